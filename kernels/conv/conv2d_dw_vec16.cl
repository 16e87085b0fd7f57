/* Gradient of a convolution with respect to its weights, for CPU devices: partial sums over chunks of images, then
 * their sum in a fixed order.
 *   x f32[N,H,W,C], dy f32[N,OH,OW,O] in, part f32[chunks][k k][A][B] out
 * Without SWAP the tile is MB channels of x (broadcast: A = C) by 16 NV of dy (vectors: B = O); with SWAP the
 * other way round (A = O, B = C), for few outputs. A is a multiple of MB, B of 16 NV.
 * Launch: {A / MB * k k, B / (16 NV), chunks}, groups of one. Oracle: tests/ops/conv2d.c. */
#ifndef MB
#define MB 8 /* broadcast channels of a tile */
#endif
#ifndef NV
#define NV 2 /* vectors of a tile */
#endif
#ifndef SWAP
#define SWAP 0
#endif

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
conv2d_dw(global const float *x, global const float *dy, global float *part, int N, int H, int W, int C, int OH, int OW, int O, int k,
          int stride, int pad, int chunk)
{
    const int A = SWAP ? O : C, B = SWAP ? C : O, blocks = A / MB;
    const int tap = (int)get_global_id(0) / blocks, a0 = ((int)get_global_id(0) - tap * blocks) * MB, b0 = (int)get_global_id(1) * 16 * NV;
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

/* dw f32[O,C,k k] (+)= the sum of part over chunks. Launch: {k k A, B / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
sum_parts(global const float *part, global float *dw, int C, int O, int taps, int chunks, int accum)
{
    const int A = SWAP ? O : C, B = SWAP ? C : O;
    const int tap = (int)get_global_id(0) / A, a = (int)get_global_id(0) - tap * A, b = (int)get_global_id(1) * 16;
    global const float *from = part + ((size_t)tap * A + a) * B + b;
    float16 sum = vload16(0, from);
    float v[16];

    for (int i = 1; i < chunks; i++)
        sum += vload16(0, from + (size_t)i * taps * A * B);
    vstore16(sum, 0, v);
    for (int j = 0; j < 16; j++) {
        const int o = SWAP ? a : b + j, c = SWAP ? b + j : a;
        const size_t at = ((size_t)o * C + c) * taps + tap;

        dw[at] = accum ? dw[at] + v[j] : v[j];
    }
}
