/* Gradient of a convolution with respect to its weights, for CPU devices: partial sums over chunks of images, then
 * their sum in a fixed order.
 *   x f32[N,H,W,C], dy f32[N,OH,OW,O] in, part f32[chunks][k k][A][B] out
 * With SWAP the tile is MB outputs of dy (broadcast: A = O) by 16 NV channels of x (vectors: B = C), so that a part
 * lies as dw does but for its taps; without, for few channels, the other way round (A = C, B = O). A is a multiple of
 * MB; B is 16 NV at least, and the last vectors begin early where it is no multiple, so that two items write the same
 * values there. Launch: {A / MB * k k, B / (16 NV) rounded up, chunks}, groups of one. Oracle: tests/ops/conv2d.c. */
#include "turn16.clh"

#ifndef MB
#define MB 8 /* broadcast channels of a tile */
#endif
#ifndef NV
#define NV 2 /* vectors of a tile */
#endif
#ifndef SWAP
#define SWAP 0
#endif

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void conv2d_dw(global const float *x, global const float *dy,
                                                                     global float *part, int4 of_x, int4 of_y,
                                                                     int stride, int pad, int chunk)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    const int A = SWAP ? O : C, B = SWAP ? C : O, blocks = A / MB;
    const int tap = (int)get_global_id(0) / blocks, a0 = ((int)get_global_id(0) - tap * blocks) * MB,
              b0 = min((int)get_global_id(1) * 16 * NV, B - 16 * NV);
    const int r = tap / k - pad, s = tap % k - pad, n0 = (int)get_global_id(2) * chunk, n1 = min(n0 + chunk, N);
    /* Outputs whose tap lies inside the image. */
    const int h0 = r < 0 ? (-r + stride - 1) / stride : 0, h1 = H - r <= 0 ? 0 : min(OH, (H - r - 1) / stride + 1);
    const int v0 = s < 0 ? (-s + stride - 1) / stride : 0, v1 = W - s <= 0 ? 0 : min(OW, (W - s - 1) / stride + 1);
    global float *to = part + (((size_t)get_global_id(2) * k * k + tap) * A + a0) * B + b0;
    float16 acc[MB][NV];

    _Pragma("unroll") for (int i = 0; i < MB; i++)
        _Pragma("unroll") for (int v = 0; v < NV; v++) acc[i][v] = 0.0f;
    for (int n = n0; n < n1; n++)
        for (int h = h0; h < h1; h++) {
            global const float *px = x + (((long)n * H + h * stride + r) * W + v0 * stride + s) * C;
            global const float *pd = dy + (((long)n * OH + h) * OW + v0) * O;
            global const float *pa = (SWAP ? pd : px) + a0, *pb = (SWAP ? px : pd) + b0;
            const int step_a = SWAP ? O : stride * C, step_b = SWAP ? stride * C : O;

            for (int v = v0; v < v1; v++, pa += step_a, pb += step_b) {
                const float16 y0 = vload16(0, pb);
#if NV == 2
                const float16 y1 = vload16(1, pb);
#endif
                _Pragma("unroll") for (int i = 0; i < MB; i++) {
                    const float16 e = (float16)(pa[i]);

                    acc[i][0] = fma(e, y0, acc[i][0]);
#if NV == 2
                    acc[i][1] = fma(e, y1, acc[i][1]);
#endif
                }
            }
        }
    _Pragma("unroll") for (int i = 0; i < MB; i++)
        _Pragma("unroll") for (int v = 0; v < NV; v++) vstore16(acc[i][v], v, to + (size_t)i * B);
}

/* dw f32[O,C,k k] (+)= the sum of part over chunks. Launch: {A, B / 16 rounded up} with SWAP, {k k A, the same}
 * without. part has 16 elements behind its last, for the last vector of a row that is shorter. */
#if SWAP
static float16 sum_of(global const float *from, int chunks, size_t next)
{
    float16 sum = vload16(0, from);

    for (int i = 1; i < chunks; i++)
        sum += vload16(0, from + i * next);
    return sum;
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
sum_parts(global const float *part, global float *dw, int C, int O, int taps, int chunks, int accum)
{
    const int o = (int)get_global_id(0), c = (int)get_global_id(1) * 16, there = min(16, C - c);
    global float *to = dw + ((size_t)o * C + c) * taps;

    part += (size_t)o * C + c;
    if (taps == 1) {
        const float16 sum = sum_of(part, chunks, (size_t)O * C);

        if (there == 16)
            vstore16(accum ? vload16(0, to) + sum : sum, 0, to);
        else
            for (int i = 0; i < there; i++)
                to[i] = (accum ? to[i] : 0.0f) + ((const float *)&sum)[i];
        return;
    }
    for (int first = 0; first < taps; first += 16) {
        float16 m[16];

        for (int t = 0; t < 16; t++)
            m[t] = first + t < taps ? sum_of(part + (size_t)(first + t) * O * C, chunks, (size_t)taps * O * C)
                                    : (float16)(0.0f);
        turn16(m);
        for (int i = 0; i < there; i++)
            for (int t = 0; t < min(16, taps - first); t++) {
                global float *at = to + i * taps + first + t;
                const float v = ((const float *)m)[i * 16 + t];

                *at = accum ? *at + v : v;
            }
    }
}
#else
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
sum_parts(global const float *part, global float *dw, int C, int O, int taps, int chunks, int accum)
{
    const int tap = (int)get_global_id(0) / C, c = (int)get_global_id(0) - tap * C, o = (int)get_global_id(1) * 16;
    global const float *from = part + ((size_t)tap * C + c) * O + o;
    float16 sum = vload16(0, from);
    float v[16];

    for (int i = 1; i < chunks; i++)
        sum += vload16(0, from + (size_t)i * taps * C * O);
    vstore16(sum, 0, v);
    for (int j = 0; j < min(16, O - o); j++) {
        const size_t at = ((size_t)(o + j) * C + c) * taps + tap;

        dw[at] = accum ? dw[at] + v[j] : v[j];
    }
}
#endif
