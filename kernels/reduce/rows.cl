/* Along the middle of x[outer,red,inner]: the largest, softmax, and their gradients. f32, or 16 bits wide with -DBF16
 * or -DF16. Items: outer, each a row, where inner is 1; else outer times blocks of W columns. Oracle
 * tests/ops/reduce.c; the largest exact, softmax 2e-6. */
#include "vec.clh"

/* NaN of either stays NaN. */
static inline VF larger(VF a, VF b) { return a > b ? a : a != a ? a : b; }
static inline float larger1(float a, float b) { return a > b ? a : a != a ? a : b; }

static inline float largest_of_row(global const T *x, size_t n)
{
    float m = -INFINITY, t[W];
    VF v = -INFINITY;
    size_t i = 0;

    for (; i + W <= n; i += W)
        v = larger(v, LOAD(x + i, W));
    VSTORE(v, t);
    for (int k = 0; k < W; k++)
        m = larger1(m, t[k]);
    for (; i < n; i++)
        m = larger1(m, GET1(x + i));
    return m;
}

static inline VF largest_of_columns(global const T *x, size_t n, size_t stride, size_t left)
{
    VF m = -INFINITY;

    for (size_t i = 0; i < n; i++)
        m = larger(m, LOAD(x + i * stride, left));
    return m;
}

static inline void put1(float v, global T *p) { STORE((VF)(v), p, 1); }

/* Where an item begins, and how many columns it has. */
#define PLACE                                                                                      \
    const size_t blocks = ((size_t)inner + W - 1) / W, id = get_global_id(0), o = id / blocks,     \
                 c = id % blocks * W, at = o * red * inner + c, left = inner - c, step = inner;    \
                                                                                                   \
    if (o >= outer)                                                                                \
        return

kernel void largest(global const T *x, global T *y, int outer, int red, int inner)
{
    PLACE;
    if (inner == 1)
        put1(largest_of_row(x + at, red), y + o);
    else
        STORE(largest_of_columns(x + at, red, step, left), y + o * step + c, left);
}

/* To all that are the largest, in equal parts. */
kernel void largest_dx(global const T *dy, global const T *x, global const T *y, global T *dx, int outer, int red,
                       int inner)
{
    PLACE;
    const VF top = inner == 1 ? (VF)(GET1(y + o)) : LOAD(y + o * step + c, left);
    const VF d = inner == 1 ? (VF)(GET1(dy + o)) : LOAD(dy + o * step + c, left);
    VF n = 0.0f;

    if (inner == 1) {
        float count = 0.0f;

        for (int i = 0; i < red; i++)
            count += GET1(x + at + i) == GET1(y + o) ? 1.0f : 0.0f;
        for (int i = 0; i < red; i += W) {
            const VF v = LOAD(x + at + i, red - i);

            STORE(v == top ? d / count : (VF)(0.0f), dx + at + i, red - i);
        }
        return;
    }
    for (int i = 0; i < red; i++)
        n += LOAD(x + at + i * step, left) == top ? (VF)(1.0f) : (VF)(0.0f);
    for (int i = 0; i < red; i++)
        STORE(LOAD(x + at + i * step, left) == top ? d / n : (VF)(0.0f), dx + at + i * step, left);
}

kernel void softmax(global const T *x, global T *y, int outer, int red, int inner)
{
    PLACE;
    if (inner == 1) {
        const float top = largest_of_row(x + at, red);
        VF sum = 0.0f;
        float total;
        int i = 0;

        for (; i + W <= red; i += W)
            sum += exp(LOAD(x + at + i, W) - top);
        total = lanes_sum(sum);
        for (; i < red; i++)
            total += exp(GET1(x + at + i) - top);
        for (i = 0; i < red; i += W)
            STORE(exp(LOAD(x + at + i, red - i) - top) / total, y + at + i, red - i);
    } else {
        const VF top = largest_of_columns(x + at, red, step, left);
        VF sum = 0.0f;

        for (int i = 0; i < red; i++)
            sum += exp(LOAD(x + at + i * step, left) - top);
        for (int i = 0; i < red; i++)
            STORE(exp(LOAD(x + at + i * step, left) - top) / sum, y + at + i * step, left);
    }
}

/* dx = y (dy - sum of dy y) */
kernel void softmax_dx(global const T *dy, global const T *y, global T *dx, int outer, int red, int inner)
{
    PLACE;
    VF sum = 0.0f;

    if (inner == 1) {
        for (int i = 0; i < red; i += W)
            sum += LOAD(dy + at + i, red - i) * LOAD(y + at + i, red - i);
        sum = lanes_sum(sum);
        for (int i = 0; i < red; i += W)
            STORE(LOAD(y + at + i, red - i) * (LOAD(dy + at + i, red - i) - sum), dx + at + i, red - i);
        return;
    }
    for (int i = 0; i < red; i++)
        sum += LOAD(dy + at + i * step, left) * LOAD(y + at + i * step, left);
    for (int i = 0; i < red; i++)
        STORE(LOAD(y + at + i * step, left) * (LOAD(dy + at + i * step, left) - sum), dx + at + i * step, left);
}
