/* y = x r gamma, r = 1 / sqrt(mean of x^2 + eps) of each row of x[rows,C]; gamma f32[C] or null; stats f32[rows] = r;
 * and its gradient. Activations f32, or 16 bits wide with -DBF16 or -DF16. Each work-item takes `each` rows.
 * Oracle tests/ops/norm.c; 2e-6 of the largest output. */
#include "vec.clh"

kernel void forward(global const T *x, global const float *gamma, global T *y, global float *stats, int rows, int C,
                    float eps, int each)
{
    const size_t from = get_global_id(0) * (size_t)each, to = min(from + (size_t)each, (size_t)rows);

    for (size_t row = from; row < to; row++) {
        global const T *p = x + row * C;
        VF s = 0.0f;
        float r;

        for (int c = 0; c < C; c += W) {
            const VF v = LOAD(p + c, C - c);

            s = fma(v, v, s);
        }
        r = stats[row] = 1.0f / sqrt(lanes_sum(s) / (float)C + eps);
        for (int c = 0; c < C; c += W) {
            const VF v = r * LOAD(p + c, C - c);

            STORE(gamma ? v * load(gamma + c, C - c) : v, y + row * C + c, C - c);
        }
    }
}

/* dx = r (dz - x r^2 mean(dz x)), dz = dy gamma; null where not wanted. part f32[items,C] receives each item's sums of
 * dy x r, null where the weight has no gradient. */
kernel void backward(global const T *dy, global const T *x, global const float *gamma, global const float *stats,
                     global T *dx, global float *part, int rows, int C, int each)
{
    const size_t id = get_global_id(0), from = id * (size_t)each, to = min(from + (size_t)each, (size_t)rows);
    global float *dg = part + id * C;

    for (size_t row = from; row < to; row++) {
        global const T *px = x + row * C, *pd = dy + row * C;
        const float r = stats[row];
        VF s = 0.0f;
        float k;

        for (int c = 0; c < C; c += W) {
            const VF v = LOAD(px + c, C - c), d = LOAD(pd + c, C - c);

            s = fma(gamma ? d * load(gamma + c, C - c) : d, v, s);
            if (part)
                store(row > from ? fma(d, v * r, load(dg + c, C - c)) : d * (v * r), dg + c, C - c);
        }
        k = lanes_sum(s) / (float)C * r * r;
        for (int c = 0; c < C && dx; c += W) {
            const VF d = LOAD(pd + c, C - c);

            STORE(r * ((gamma ? d * load(gamma + c, C - c) : d) - k * LOAD(px + c, C - c)), dx + row * C + c, C - c);
        }
    }
}

/* dgamma[c] (+)= sum over the items' parts; an item a channel. */
kernel void backward_weight(global const float *part, global float *dgamma, int items, int C, int accum)
{
    const int c = get_global_id(0);
    float g = 0.0f;

    if (c >= C)
        return;
    for (int i = 0; i < items; i++)
        g += part[(size_t)i * C + c];
    dgamma[c] = accum ? dgamma[c] + g : g;
}
