/* One value from one: y[i] = f(x[i]), all f32[n], out distinct from in unless said otherwise. Each
 * work-item takes `chunk` neighbouring elements, W at a time.
 * Oracle tests/ops/eltwise.c; relative 2e-6. */
#include "vec.clh"

kernel void silu(global const float *x, global float *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store(vsilu(load(x + i, to - i)), y + i, to - i);
}

kernel void silu_dx(global const float *dy, global const float *x, global float *dx, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store(load(dy + i, to - i) * vsilu_slope(load(x + i, to - i)), dx + i, to - i);
}

/* x (1 + tanh u) / 2 = x sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3) */
kernel void gelu(global const float *x, global float *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF v = load(x + i, to - i);

        store(v * sigmoid(1.59576912f * v * fma(0.044715f * v, v, (VF)(1.0f))), y + i, to - i);
    }
}

kernel void gelu_dx(global const float *dy, global const float *x, global float *dx, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF v = load(x + i, to - i), v2 = v * v;
        const VF e = vexp(-1.59576912f * v * fma((VF)(0.044715f), v2, (VF)(1.0f))), s = 1.0f / (1.0f + e);
        const VF slope = 1.59576912f * fma((VF)(0.134145f), v2, (VF)(1.0f));

        store(load(dy + i, to - i) * fma(v * slope, s * (e * s), s), dx + i, to - i);
    }
}

/* y = k x + b */
kernel void scale(global const float *x, global float *y, float k, float b, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store(fma((VF)(k), load(x + i, to - i), (VF)(b)), y + i, to - i);
}

/* y += x */
kernel void accum(global const float *x, global float *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store(load(y + i, to - i) + load(x + i, to - i), y + i, to - i);
}
