/* Layer norm of x f32[rows,C]: y = xh gamma + beta, xh = (x - mean) / sd of the row; gamma, beta f32[C]
 * or null; stats f32[rows,2] = mean, 1 / sd; and its gradient. Each work-item takes `each` rows.
 * Oracle tests/ops/norm.c; 2e-6 of the largest output. */
#include "vec.clh"

/* Sum of p[0..n) - shift. */
static inline float row_sum(global const float *p, int n, float shift)
{
    VF s = 0.0f;

    for (int c = 0; c < n; c += W)
        s += load_or(p + c, n - c, shift) - shift;
    return lanes_sum(s);
}

static inline float row_square(global const float *p, int n, float mean)
{
    VF s = 0.0f;

    for (int c = 0; c < n; c += W) {
        const VF d = load_or(p + c, n - c, mean) - mean;

        s = fma(d, d, s);
    }
    return lanes_sum(s);
}

kernel void forward(global const float *x, global const float *gamma, global const float *beta, global float *y,
                    global float *stats, int rows, int C, float eps, int each)
{
    const size_t from = get_global_id(0) * (size_t)each, to = min(from + (size_t)each, (size_t)rows);

    for (size_t r = from; r < to; r++) {
        global const float *p = x + r * C;
        const float mean = p[0] + row_sum(p, C, p[0]) / (float)C;
        const float rstd = 1.0f / sqrt(row_square(p, C, mean) / (float)C + eps);

        stats[2 * r] = mean;
        stats[2 * r + 1] = rstd;
        for (int c = 0; c < C; c += W) {
            VF v = (load(p + c, C - c) - mean) * rstd;

            v = gamma ? v * load(gamma + c, C - c) : v;
            v = beta ? v + load(beta + c, C - c) : v;
            store(v, y + r * C + c, C - c);
        }
    }
}

/* dx = rstd (dz - mean(dz) - xh mean(dz xh)), dz = dy gamma; null where not wanted. part f32[items,2,C]
 * receives each item's sums of dy xh and dy, null where no weights have gradients. */
kernel void backward(global const float *dy, global const float *x, global const float *gamma,
                     global const float *stats, global float *dx, global float *part, int rows, int C, int each)
{
    const size_t id = get_global_id(0), from = id * (size_t)each, to = min(from + (size_t)each, (size_t)rows);
    global float *dg = part + id * 2 * C, *db = dg + C;

    for (size_t r = from; r < to; r++) {
        global const float *px = x + r * C, *pd = dy + r * C;
        const float mean = stats[2 * r], rstd = stats[2 * r + 1];
        VF s1 = 0.0f, s2 = 0.0f;
        float m1, m2;

        for (int c = 0; c < C; c += W) {
            const VF xh = (load_or(px + c, C - c, mean) - mean) * rstd, d = load(pd + c, C - c);
            const VF dz = gamma ? d * load(gamma + c, C - c) : d;

            s1 += dz;
            s2 = fma(dz, xh, s2);
            if (part) {
                store(r > from ? fma(d, xh, load(dg + c, C - c)) : d * xh, dg + c, C - c);
                store(r > from ? d + load(db + c, C - c) : d, db + c, C - c);
            }
        }
        m1 = lanes_sum(s1) / (float)C;
        m2 = lanes_sum(s2) / (float)C;
        for (int c = 0; c < C && dx; c += W) {
            const VF xh = (load(px + c, C - c) - mean) * rstd, d = load(pd + c, C - c);
            const VF dz = gamma ? d * load(gamma + c, C - c) : d;

            store(rstd * (dz - m1 - xh * m2), dx + r * C + c, C - c);
        }
    }
}

/* dgamma[c] (+)= sum over the items' parts, dbeta likewise; an item a channel. */
kernel void backward_weights(global const float *part, global float *dgamma, global float *dbeta, int items, int C,
                             int accum)
{
    const int c = get_global_id(0);
    float g = 0.0f, b = 0.0f;

    if (c >= C)
        return;
    for (int i = 0; i < items; i++) {
        g += part[(size_t)i * 2 * C + c];
        b += part[(size_t)i * 2 * C + C + c];
    }
    if (dgamma)
        dgamma[c] = accum ? dgamma[c] + g : g;
    if (dbeta)
        dbeta[c] = accum ? dbeta[c] + b : b;
}
