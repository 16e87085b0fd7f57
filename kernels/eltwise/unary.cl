/* y[i] = f(x[i]), and dx[i] = dy[i] f'(x[i]): f32[n], or 16 bits wide with -DBF16 or -DF16. Each work-item takes
 * `chunk` neighbouring elements, W at a time. Oracle tests/ops/unary.c; 2e-6 of the largest. */
#include "vec.clh"

#define FOR_EACH                                                                                            \
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);        \
                                                                                                            \
    for (size_t i = from; i < to; i += W)

/* f of v */
#define FORWARD(name, f)                                                        \
    kernel void name(global const T *x, global T *y, int n, int chunk)          \
    {                                                                           \
        FOR_EACH {                                                              \
            const VF v = LOAD(x + i, to - i);                                   \
                                                                                \
            STORE(f, y + i, to - i);                                            \
        }                                                                       \
    }

/* f of v and d = dy */
#define BACKWARD(name, f)                                                                          \
    kernel void name(global const T *dy, global const T *x, global T *dx, int n, int chunk)        \
    {                                                                                              \
        FOR_EACH {                                                                                 \
            const VF v = LOAD(x + i, to - i), d = LOAD(dy + i, to - i);                            \
                                                                                                   \
            STORE(f, dx + i, to - i);                                                              \
        }                                                                                          \
    }

static inline VF sigmoid_slope(VF v)
{
    const VF e = vexp(-v), s = inverse(1.0f + e, 0);

    return s * (e * s);
}

static inline VF tanh_slope(VF v)
{
    const VF t = tanh(v);

    return (1.0f - t) * (1.0f + t);
}

FORWARD(op_exp, exp(v))
BACKWARD(op_exp_dx, d * exp(v))
FORWARD(op_log, log(v))
BACKWARD(op_log_dx, d / v)
FORWARD(op_sqrt, sqrt(v))
BACKWARD(op_sqrt_dx, 0.5f * d / sqrt(v))
FORWARD(op_rsqrt, 1.0f / sqrt(v))
BACKWARD(op_rsqrt_dx, -0.5f * d / (v * sqrt(v)))
FORWARD(op_sigmoid, sigmoid(v))
BACKWARD(op_sigmoid_dx, d * sigmoid_slope(v))
FORWARD(op_tanh, tanh(v))
BACKWARD(op_tanh_dx, d * tanh_slope(v))
FORWARD(op_sin, sin(v))
BACKWARD(op_sin_dx, d * cos(v))
FORWARD(op_cos, cos(v))
BACKWARD(op_cos_dx, -d * sin(v))
FORWARD(op_square, v * v)
BACKWARD(op_square_dx, 2.0f * d * v)
FORWARD(op_abs, fabs(v))
BACKWARD(op_abs_dx, v > 0.0f ? d : v < 0.0f ? -d : (VF)(0.0f))
FORWARD(op_relu, v <= 0.0f ? (VF)(0.0f) : v) /* NaN stays NaN */
BACKWARD(op_relu_dx, v > 0.0f ? d : (VF)(0.0f))

kernel void op_clamp(global const T *x, global T *y, float lo, float hi, int n, int chunk)
{
    FOR_EACH {
        const VF v = LOAD(x + i, to - i);

        STORE(v < lo ? (VF)(lo) : v > hi ? (VF)(hi) : v, y + i, to - i);
    }
}

kernel void op_clamp_dx(global const T *dy, global const T *x, global T *dx, float lo, float hi, int n, int chunk)
{
    FOR_EACH {
        const VF v = LOAD(x + i, to - i);

        STORE(v < lo ? (VF)(0.0f) : v > hi ? (VF)(0.0f) : LOAD(dy + i, to - i), dx + i, to - i);
    }
}
