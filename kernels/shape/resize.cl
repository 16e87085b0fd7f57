/* Bilinear resizing of x[N,H,V,C] to y[N,OH,OW,C], centres of pixels on centres, edges repeated; and its gradient.
 * f32, or 16 bits wide with -DBF16 or -DF16. Items: blocks of W channels of each pixel of the result.
 * Oracle tests/ops/resize.c; 2e-6. */
#include "vec.clh"

/* Where output o lies in the input: between *lower and the next, which is *share of the way on. */
static inline void source(int o, int in, int out, int *lower, float *share)
{
    const float at = fmax(((float)o + 0.5f) * ((float)in / (float)out) - 0.5f, 0.0f);

    *lower = min((int)at, in - 1);
    *share = *lower + 1 < in ? at - (float)*lower : 0.0f;
}

/* How much of input i output o has. */
static inline float weight(int o, int i, int in, int out)
{
    float share;
    int lower;

    source(o, in, out, &lower, &share);
    return i == lower ? 1.0f - share : i == lower + 1 ? share : 0.0f;
}

#define PLACE(height, width)                                                                                     \
    const size_t blocks = ((size_t)C + W - 1) / W, id = get_global_id(0), p = id / blocks, c = id % blocks * W,  \
                 left = C - c;                                                                                   \
    const int i = p / (width) % (height), j = p % (width);                                                       \
    const size_t n = p / (width) / (height);                                                                     \
                                                                                                                 \
    if (p >= pixels)                                                                                             \
        return

kernel void resize(global const T *x, global T *y, int4 extents, int C, int pixels)
{
    INTS4(extents, H, V, OH, OW);
    PLACE(OH, OW);
    float a, b;
    int h, v;

    source(i, H, OH, &h, &a);
    source(j, V, OW, &v, &b);
    {
        global const T *q = x + ((n * H + h) * V + v) * C + c;
        const size_t right = b > 0.0f ? C : 0, down = a > 0.0f ? (size_t)V * C : 0;
        const VF top = LOAD(q, left) * (1.0f - b) + LOAD(q + right, left) * b;
        const VF bottom = LOAD(q + down, left) * (1.0f - b) + LOAD(q + down + right, left) * b;

        STORE(top * (1.0f - a) + bottom * a, y + p * C + c, left);
    }
}

/* The outputs that may have a part of input i: [from, to). */
static inline void readers(int i, int in, int out, int *from, int *to)
{
    const float scale = (float)out / (float)in;

    *from = max((int)floor(((float)i - 0.5f) * scale - 0.5f) - 1, 0);
    *to = min((int)ceil(((float)i + 1.5f) * scale - 0.5f) + 2, out);
}

kernel void resize_dx(global const T *dy, global T *dx, int4 extents, int C, int pixels)
{
    INTS4(extents, H, V, OH, OW);
    PLACE(H, V);
    int h0, h1, v0, v1;
    VF sum = 0.0f;

    readers(i, H, OH, &h0, &h1);
    readers(j, V, OW, &v0, &v1);
    for (int h = h0; h < h1; h++) {
        const float a = weight(h, i, H, OH);

        for (int v = v0; v < v1 && a > 0.0f; v++) {
            const float b = weight(v, j, V, OW);

            if (b > 0.0f)
                sum += a * b * LOAD(dy + ((n * OH + h) * OW + v) * C + c, left);
        }
    }
    STORE(sum, dx + p * C + c, left);
}
