/* y[o,i] = k sum over r of x[o,r,i], + y if accum; in parts, which a second run of `cols` sums. Sums run
 * over at most FOLD values before they are added to a sum of sums, so that rounding grows slowly.
 * x is 16 bits wide with -DBF16 or -DF16. Oracle tests/ops/reduce.c; 2e-6 of the sum of |x|. */
#include "vec.clh"

#define FOLD 64

/* inner = 1: y[o,s] from x[o, s span + ...] at every `step`, step a multiple of W; span = 0: interleaved. */
kernel void runs(global const T *x, global float *y, int outer, int red, int parts, int span, float k, int accum)
{
    const size_t id = get_global_id(0), o = id / parts, s = id % parts;
    const size_t from = span ? s * span : s * W, step = span ? W : (size_t)parts * W;
    const size_t to = span ? min(from + (size_t)span, (size_t)red) : (size_t)red;
    VF total = 0.0f;

    if (o >= outer)
        return;
    for (size_t i = from; i < to;) {
        const size_t fold = min(to, i + 2 * FOLD * step);
        VF a = 0.0f, b = 0.0f;

        for (; i + step < fold; i += 2 * step) {
            a += LOAD(x + o * red + i, to - i);
            b += LOAD(x + o * red + i + step, to - i - step);
        }
        for (; i < fold; i += step)
            a += LOAD(x + o * red + i, to - i);
        total += a + b;
    }
    y[id] = accum ? y[id] + k * lanes_sum(total) : k * lanes_sum(total);
}

/* n values at distance `stride`, for a whole vector of columns. */
static inline VF column(global const T *x, size_t n, size_t stride)
{
    VF total = 0.0f;

    for (size_t r = 0; r < n;) {
        const size_t fold = min(n, r + FOLD);
        VF a = 0.0f;

        for (; r < fold; r++)
            a += LOAD(x + r * stride, W);
        total += a;
    }
    return total;
}

static inline float column1(global const T *x, size_t n, size_t stride)
{
    float total = 0.0f;

    for (size_t r = 0; r < n;) {
        const size_t fold = min(n, r + FOLD);
        float a = 0.0f;

        for (; r < fold; r++)
            a += GET1(x + r * stride);
        total += a;
    }
    return total;
}

/* y[o,s,i]: rows [s span, (s+1) span) of x[o]; an item takes W * VECS columns. */
kernel void cols(global const T *x, global float *y, int outer, int red, int inner, int parts, int span, int vecs,
                 float k, int accum)
{
    const size_t wide = (size_t)W * vecs, blocks = ((size_t)inner + wide - 1) / wide, id = get_global_id(0);
    const size_t row = id / blocks, o = row / parts, first = row % parts * span,
                 n = min((size_t)span, (size_t)red - first);
    const size_t left = id % blocks * wide, right = min(left + wide, (size_t)inner);
    global const T *p = x + (o * red + first) * inner;
    global float *q = y + row * inner;
    size_t c = left;

    if (o >= outer)
        return;
    for (; c + W <= right; c += W) {
        const VF v = k * column(p + c, n, inner);

        VSTORE(accum ? VLOAD(q + c) + v : v, q + c);
    }
    for (; c < right; c++) {
        const float v = k * column1(p + c, n, inner);

        q[c] = accum ? q[c] + v : v;
    }
}
