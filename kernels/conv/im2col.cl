/* What surrounds a matrix product to make it a convolution, for any device. cols f32[images,OH,OW,k k,C] lies in
 * scratch from element `at` on; w as a matrix is [O,k k,C] or [C,k k,O], f32 or with -DBF16 or -DF16 rounded to that.
 * One work-item an element, if no other is said. Oracle: tests/ops/conv2d.c. */
#include "bf16_one.clh"
#ifdef BF16
#define WEIGHT ushort
#define PUT_WEIGHT(v, at, to) ((to)[at] = bf16_of(v))
#elif defined(F16)
#define WEIGHT half
#define PUT_WEIGHT vstore_half_rte
#else
#define WEIGHT float
#define PUT_WEIGHT(v, at, to) ((to)[at] = (v))
#endif

/* x f32[N,H,W,C] -> cols, of images n0.. on. */
kernel void im2col(global const float *x, global float *cols, int H, int W, int C, int OH, int OW, int k, int stride,
                   int pad, int n0, int at)
{
    const long id = (long)get_global_id(0);
    const int c = (int)(id % C), tap = (int)(id / C % (k * k)), p = (int)(id / ((long)C * k * k));
    const int n = p / (OH * OW), h = p / OW % OH * stride - pad + tap / k, v = p % OW * stride - pad + tap % k;

    cols[at + id] = h >= 0 && h < H && v >= 0 && v < W ? x[(((long)(n0 + n) * H + h) * W + v) * C + c] : 0.0f;
}

/* The reverse, as a sum over the taps that saw each element, in their order. */
kernel void col2im(global const float *cols, global float *dx, int H, int W, int C, int OH, int OW, int k, int stride,
                   int pad, int n0, int at)
{
    const long id = (long)get_global_id(0);
    const int c = (int)(id % C), q = (int)(id / C), n = q / (H * W), h0 = q / W % H + pad, v0 = q % W + pad;
    float sum = 0.0f;

    for (int tap = 0; tap < k * k; tap++) {
        const int h = h0 - tap / k, v = v0 - tap % k;

        if (h >= 0 && v >= 0 && h % stride == 0 && v % stride == 0 && h / stride < OH && v / stride < OW)
            sum += cols[at + ((((long)n * OH + h / stride) * OW + v / stride) * k * k + tap) * C + c];
    }
    dx[(long)n0 * H * W * C + id] = sum;
}

/* w f32[O,C,k k] -> [O,k k,C]. An item: the taps of a channel, neighbours of neighbours. */
kernel void by_taps(global const float *w, global WEIGHT *matrix, int C, int taps)
{
    const uint id = get_global_id(0), o = id / C, c = id % C;

    for (int tap = 0; tap < taps; tap++)
        PUT_WEIGHT(w[(size_t)id * taps + tap], ((size_t)o * taps + tap) * C + c, matrix);
}

/* dw f32[O,C,k k] (+)= matrix f32[O,k k,C], from element `at` on. */
kernel void by_channels(global const float *matrix, global float *dw, int C, int taps, int at, int accum)
{
    const long id = (long)get_global_id(0);
    const int tap = (int)(id % taps), c = (int)(id / taps % C);
    const float v = matrix[at + ((id / ((long)C * taps)) * taps + tap) * C + c];

    dw[id] = accum ? dw[id] + v : v;
}

/* What the product is added to: y[p,o] = b[o] + temb[n,o] + res[p,o], of those that there are. */
kernel void begin(global const float *b, global const float *temb, global const float *res, global float *y, int pixels,
                  int O)
{
    const long id = (long)get_global_id(0);
    float v = 0.0f;

    if (b)
        v += b[id % O];
    if (temb)
        v += temb[id / ((long)pixels * O) * O + id % O];
    if (res)
        v += res[id];
    y[id] = v;
}

/* w f32[O,C,k k] -> [C,k k,O]. An item as in by_taps. */
kernel void by_inputs(global const float *w, global WEIGHT *matrix, int O, int C, int taps)
{
    const uint id = get_global_id(0), c = id / O, o = id % O;

    for (int tap = 0; tap < taps; tap++)
        PUT_WEIGHT(w[((size_t)o * C + c) * taps + tap], ((size_t)c * taps + tap) * O + o, matrix);
}

/* dw f32[O,C,k k] (+)= the sum of parts f32[slices,O,k k,C], in their order. */
kernel void sum_slices(global const float *parts, global float *dw, int O, int C, int taps, int slices, int accum)
{
    const long id = (long)get_global_id(0), all = (long)O * C * taps;
    const int tap = (int)(id % taps), c = (int)(id / taps % C);
    const long at = ((id / ((long)C * taps)) * taps + tap) * C + c;
    float sum = 0.0f;

    for (int i = 0; i < slices; i++)
        sum += parts[i * all + at];
    dw[id] = accum ? dw[id] + sum : sum;
}
