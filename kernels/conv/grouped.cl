/* Convolution in groups of channels and its gradients, one work-item an element, for any device.
 *   x [N,H,W,C], y and dy [N,OH,OW,O], f32, or 16 bits wide with -DBF16 or -DF16; w f32[O,C/groups,k,k]; b f32[O] or
 * null. Launch: one dimension over the elements of the result. Oracle: tests/ops/conv2d_grouped.c. */
#include "vec.clh"

static inline void put1(float v, global T *p) { STORE((VF)(v), p, 1); }

kernel void conv2d(global const T *x, global const float *w, global const float *b, global T *y, int4 of_x, int4 of_y,
                   int4 how, int n)
{
    INTS4(of_x, H, V, C, O);
    INTS4(of_y, OH, OW, k, groups);
    const int stride = how.s0, pad = how.s1, cg = C / groups, id = get_global_id(0), o = id % O, p = id / O,
              h0 = p / OW % OH * stride - pad, v0 = p % OW * stride - pad, first = o / (O / groups) * cg;
    float sum = 0.0f;

    if (id >= n)
        return;
    for (int r = 0; r < k; r++)
        for (int s = 0; s < k; s++) {
            const int h = h0 + r, v = v0 + s;

            if (h < 0 || h >= H || v < 0 || v >= V)
                continue;
            for (int c = 0; c < cg; c++)
                sum = fma(GET1(x + (((size_t)(p / (OH * OW)) * H + h) * V + v) * C + first + c),
                          w[(((size_t)o * cg + c) * k + r) * k + s], sum);
        }
    put1(b ? sum + b[o] : sum, y + id);
}

kernel void conv2d_dx(global const T *dy, global const float *w, global T *dx, int4 of_x, int4 of_y, int4 how, int n)
{
    INTS4(of_x, H, V, C, O);
    INTS4(of_y, OH, OW, k, groups);
    const int stride = how.s0, pad = how.s1, cg = C / groups, og = O / groups, id = get_global_id(0), c = id % C,
              q = id / C, h0 = q / V % H + pad, v0 = q % V + pad, first = c / cg * og;
    float sum = 0.0f;

    if (id >= n)
        return;
    for (int r = 0; r < k; r++)
        for (int s = 0; s < k; s++) {
            const int h = h0 - r, v = v0 - s;

            if (h < 0 || v < 0 || h % stride || v % stride || h / stride >= OH || v / stride >= OW)
                continue;
            for (int o = first; o < first + og; o++)
                sum = fma(GET1(dy + (((size_t)(q / (H * V)) * OH + h / stride) * OW + v / stride) * O + o),
                          w[(((size_t)o * cg + c % cg) * k + r) * k + s], sum);
        }
    put1(sum, dx + id);
}

/* N = how.s2, accum = how.s3; a row of outputs at a time, so that rounding grows slowly. */
kernel void conv2d_dw(global const T *x, global const T *dy, global float *dw, int4 of_x, int4 of_y, int4 how, int n)
{
    INTS4(of_x, H, V, C, O);
    INTS4(of_y, OH, OW, k, groups);
    const int stride = how.s0, pad = how.s1, cg = C / groups, id = get_global_id(0), s = id % k, r = id / k % k,
              c = id / (k * k) % cg, o = id / (k * k * cg), first = o / (O / groups) * cg;
    float total = 0.0f;

    if (id >= n)
        return;
    for (int row = 0; row < how.s2 * OH; row++) {
        const int h = row % OH * stride - pad + r;
        float sum = 0.0f;

        if (h < 0 || h >= H)
            continue;
        for (int j = 0; j < OW; j++) {
            const int v = j * stride - pad + s;

            if (v >= 0 && v < V)
                sum = fma(GET1(x + (((size_t)(row / OH) * H + h) * V + v) * C + first + c),
                          GET1(dy + ((size_t)row * OW + j) * O + o), sum);
        }
        total += sum;
    }
    dw[id] = how.s3 ? dw[id] + total : total;
}
