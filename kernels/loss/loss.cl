/* Losses of examples and elements, in nats, with gradients. What is not wanted is null. The
 * element-wise ones: f32[n], each work-item `chunk` neighbours, W at a time.
 * Oracle tests/ops/loss.c; 1e-5 of the largest value. */
#include "vec.clh"

/* ---- cross entropy: logits f32[N,K], labels i32[N]; a label outside [0, K) gives 0. An item a row. */

static inline float row_top(global const float *z, int K)
{
    float m = z[0];

    for (int k = 1; k < K; k++)
        m = fmax(m, z[k]);
    return m;
}

/* Sum of e^(z - top) over all but the label, so that ln(1 + small) keeps its digits. */
static inline float row_rest(global const float *z, int K, int label, float top)
{
    float s = 0.0f;

    for (int k = 0; k < K; k++)
        s += k == label ? 0.0f : exp(z[k] - top);
    return s;
}

kernel void cross_entropy(global const float *logits, global const int *labels, global float *y, int N, int K)
{
    const size_t n = get_global_id(0);

    if (n < N) {
        global const float *z = logits + n * K;
        const int label = labels[n];
        const float top = row_top(z, K), rest = row_rest(z, K, label, top);

        if (label < 0 || label >= K)
            y[n] = 0.0f;
        else
            y[n] = z[label] == top ? log1p(rest) : top - z[label] + log(rest + exp(z[label] - top));
    }
}

kernel void cross_entropy_dx(global const float *dy, global const float *logits, global const int *labels,
                             global float *dx, int N, int K)
{
    const size_t n = get_global_id(0);

    if (n < N) {
        global const float *z = logits + n * K;
        const int label = labels[n], counts = label >= 0 && label < K;
        const float top = row_top(z, K), rest = row_rest(z, K, label, top);
        const float k0 = counts ? dy[n] / (rest + exp(z[label] - top)) : 0.0f;

        for (int k = 0; k < K; k++)
            dx[n * K + k] = k0 * (k == label ? -rest : exp(z[k] - top));
    }
}

/* ---- KL(N(m1, e^lv1) || N(m2, e^lv2)) = (e^(lv1 - lv2) - 1 - (lv1 - lv2) + (m1 - m2)^2 e^-lv2) / 2 */

kernel void gaussian_kl(global const float *m1, global const float *lv1, global const float *m2,
                        global const float *lv2, global float *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF b = load(lv2 + i, to - i), r = load(lv1 + i, to - i) - b,
                 d = load(m1 + i, to - i) - load(m2 + i, to - i);

        store(0.5f * (expm1(r) - r + d * d * exp(-b)), y + i, to - i);
    }
}

kernel void gaussian_kl_dx(global const float *dy, global const float *m1, global const float *lv1,
                           global const float *m2, global const float *lv2, global float *dm1, global float *dlv1,
                           global float *dm2, global float *dlv2, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF g = load(dy + i, to - i), b = load(lv2 + i, to - i), d = load(m1 + i, to - i) - load(m2 + i, to - i);
        const VF e = expm1(load(lv1 + i, to - i) - b), q = d * exp(-b);

        if (dm1)
            store(g * q, dm1 + i, to - i);
        if (dlv1)
            store(0.5f * g * e, dlv1 + i, to - i);
        if (dm2)
            store(-g * q, dm2 + i, to - i);
        if (dlv2)
            store(-0.5f * g * fma(d, q, e), dlv2 + i, to - i);
    }
}

/* ---- -ln of the mass of N(mean, e^log_var) in [x - h, x + h], h = 1 / (levels - 1), open below the
 * lowest bin and above the highest. The mass is that of the smaller tail, or by erf across the mean. */

#define SQRT_HALF 0.707106781f
#define LEAST 1e-12f

typedef struct bin { float mass, step, slope; } bin;

/* A bin narrow against the deviation, by the Taylor series about its middle m: differences of erf, and of densities,
 * would leave few digits. Hermite polynomials of m; what is cut off is below 2e-6 of it for |m| < 6, width < 0.15. */
static inline bin narrow_bin(float m, float w)
{
    const float density = 0.398942280f * exp(-0.5f * m * m), q = w * w, p = m * m;
    const float he2 = p - 1.0f, he3 = m * (p - 3.0f), he4 = fma(p, p - 6.0f, 3.0f), he5 = m * fma(p, p - 10.0f, 15.0f);
    const float edges =
        2.0f * fma(q, fma(q, he4 * (1.0f / 384.0f), he2 * 0.125f), 1.0f); /* the sum of their densities */
    bin v;

    v.mass = density * w * fma(q, fma(q, he4 * (1.0f / 1920.0f), he2 * (1.0f / 24.0f)), 1.0f);
    v.step = -density * w * fma(q, fma(q, he5 * (1.0f / 1920.0f), he3 * (1.0f / 24.0f)), m);
    v.slope = fma(m, v.step, 0.5f * w * density * edges);
    return v;
}

/* step: density at the upper edge less that at the lower, 0 where open; slope: the same of density times edge. */
static inline bin bin_of(float x, float mean, float log_var, float h)
{
    const float r = exp(-0.5f * log_var), a = (x - h - mean) * r, b = (x + h - mean) * r;
    const int below = x - h < -1.0f, above = x + h > 1.0f;
    float low, high;
    bin v;

    if (!below && !above && b - a < 0.15f && fabs(a) < 6.0f)
        return narrow_bin(0.5f * (a + b), 2.0f * h * r);
    low = below ? 0.0f : 0.398942280f * exp(-0.5f * a * a);
    high = above ? 0.0f : 0.398942280f * exp(-0.5f * b * b);
    v.step = high - low;
    v.slope = (above ? 0.0f : high * b) - (below ? 0.0f : low * a);
    if (below && above)
        v.mass = 1.0f;
    else if (below)
        v.mass = 0.5f * erfc(-b * SQRT_HALF);
    else if (above)
        v.mass = 0.5f * erfc(a * SQRT_HALF);
    else if (a > 1.0f)
        v.mass = 0.5f * (erfc(a * SQRT_HALF) - erfc(b * SQRT_HALF));
    else if (b < -1.0f)
        v.mass = 0.5f * (erfc(-b * SQRT_HALF) - erfc(-a * SQRT_HALF));
    else
        v.mass = 0.5f * (erf(b * SQRT_HALF) - erf(a * SQRT_HALF));
    return v;
}

kernel void discretized_nll(global const float *x, global const float *mean, global const float *log_var,
                            global float *y, float h, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i++) {
        const float mass = bin_of(x[i], mean[i], log_var[i], h).mass;

        y[i] = -log(mass < LEAST ? LEAST : mass);
    }
}

/* d mass / d mean = -(high - low) / sd, d mass / d log_var = -slope / 2. */
kernel void discretized_nll_dx(global const float *dy, global const float *x, global const float *mean,
                               global const float *log_var, global float *dmean, global float *dlog_var, float h, int n,
                               int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i++) {
        const bin v = bin_of(x[i], mean[i], log_var[i], h);
        const float k = v.mass < LEAST ? 0.0f : dy[i] / v.mass;

        if (dmean)
            dmean[i] = k * v.step * exp(-0.5f * log_var[i]);
        if (dlog_var)
            dlog_var[i] = 0.5f * k * v.slope;
    }
}
