/* One value from one: y[i] = f(x[i]), f32[n], or 16 bits wide with -DBF16 or -DF16, out distinct from in unless said
 * otherwise. Each work-item takes `chunk` neighbouring elements, W at a time. Oracle tests/ops/eltwise.c; relative
 * 2e-6. */
#include "vec.clh"

kernel void silu(global const T *x, global T *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        STORE(vsilu(LOAD(x + i, to - i)), y + i, to - i);
}

kernel void silu_dx(global const T *dy, global const T *x, global T *dx, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        STORE(LOAD(dy + i, to - i) * vsilu_slope(LOAD(x + i, to - i)), dx + i, to - i);
}

/* x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
kernel void gelu(global const T *x, global T *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF v = LOAD(x + i, to - i);

        STORE(v * sigmoid(1.59576912f * v * fma(0.044715f * v, v, (VF)(1.0f))), y + i, to - i);
    }
}

kernel void gelu_dx(global const T *dy, global const T *x, global T *dx, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF v = LOAD(x + i, to - i), v2 = v * v;
        const VF e = vexp(-1.59576912f * v * fma((VF)(0.044715f), v2, (VF)(1.0f))), s = inverse(1.0f + e, 0);
        const VF slope = 1.59576912f * fma((VF)(0.134145f), v2, (VF)(1.0f));

        STORE(LOAD(dy + i, to - i) * fma(v * slope, s * (e * s), s), dx + i, to - i);
    }
}

/* y = k x + b */
kernel void scale(global const T *x, global T *y, float k, float b, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        STORE(fma((VF)(k), LOAD(x + i, to - i), (VF)(b)), y + i, to - i);
}

/* y += x */
kernel void accum(global const T *x, global T *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        STORE(LOAD(y + i, to - i) + LOAD(x + i, to - i), y + i, to - i);
}
