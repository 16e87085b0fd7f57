/* Group norm of x f32[N,L,C] (or f32[N,C,L] with -DW=1), y = act((xh gamma + beta) (1 + scale) + shift),
 * xh = (x - mean) / sd over a group's channels and all of L; act = SiLU or nothing; and its gradient.
 * An element (c, l) of an example is at l sl + c sc; sc = 1 unless W = 1.
 * gamma, beta f32[C], scale, shift f32[N,C] may be null; stats f32[N,groups,2] = mean, 1 / sd.
 * Scratch: part f32[N,parts,2,C] sums over `span` pixels each; from element `behind` on coef f32[N,6,C].
 * CPUs: `forward`, `backward`, a work-item a block of whole groups, two sweeps, parts = 1. GPUs: the same
 * steps as kernels of their own. Sums are shifted by the channel's first value and folded, so that a
 * large mean costs nothing. Oracle tests/ops/norm.c; 2e-6 of the largest output. */
#include "vec.clh"

#define FOLD 64

enum { MEAN, RSTD, GAIN, BIAS, GRAD_MEAN, GRAD_SLOPE, COEFS };

#if W == 1
#define GET(p, c, n) GET1((p) + (size_t)(c) * sc)
#define PUT(v, p, c, n) ((p)[(size_t)(c) * sc] = ROUND_16BIT(v))
#else
#define GET(p, c, n) LOAD((p) + (c), n)
#define PUT(v, p, c, n) STORE(v, (p) + (c), n)
#endif

/* ---- forward ---------------------------------------------------------------------- */

/* Mean and sum of squares about it of pixels [l0, l1), W channels from c. */
static inline void channel_stats(global const T *x, global float *part, int c, int c1, int C, int l0, int l1,
                                 int sl, int sc)
{
    const VF shift = GET(x + (size_t)l0 * sl, c, c1 - c);
    const float n = (float)(l1 - l0);
    VF sum = 0.0f, square = 0.0f;

    for (int l = l0; l < l1;) {
        const int fold = min(l1, l + FOLD);
        VF s = 0.0f, q = 0.0f;

        for (; l < fold; l++) {
            const VF d = GET(x + (size_t)l * sl, c, c1 - c) - shift;

            s += d;
            q = fma(d, d, q);
        }
        sum += s;
        square += q;
    }
    store(shift + sum / n, part + c, c1 - c);
    store(square - sum * (sum / n), part + C + c, c1 - c);
}

static inline int part_pixels(int s, int span, int L) { return min(span, L - s * span); }

/* Statistics of group g from its channels' parts, into stats; and the coefficients of its channels. */
static inline void group_coef(global const float *part, global const float *gamma, global const float *beta,
                              global const float *scale, global const float *shift, global float *stats,
                              global float *coef, int g, int C, int L, int groups, int parts, int span, float eps)
{
    const int width = C / groups, c0 = g * width;
    const float total = (float)width * (float)L;
    float mean = 0.0f, square = 0.0f, rstd;

    for (int s = 0; s < parts; s++) {
        float m = 0.0f;

        for (int c = c0; c < c0 + width; c++)
            m += part[(size_t)s * 2 * C + c];
        mean += m * ((float)part_pixels(s, span, L) / total);
    }
    for (int s = 0; s < parts; s++) {
        float q = 0.0f, b = 0.0f;

        for (int c = c0; c < c0 + width; c++) {
            const float d = part[(size_t)s * 2 * C + c] - mean;

            q += part[(size_t)(s * 2 + 1) * C + c];
            b = fma(d, d, b);
        }
        square += q + b * (float)part_pixels(s, span, L);
    }
    square = square < 0.0f ? 0.0f : square;
    rstd = 1.0f / sqrt(square / total + eps);
    stats[2 * g] = mean;
    stats[2 * g + 1] = rstd;
    for (int c = c0; c < c0 + width; c++) {
        const float k = scale ? 1.0f + scale[c] : 1.0f;

        coef[MEAN * C + c] = mean;
        coef[GAIN * C + c] = rstd * k * (gamma ? gamma[c] : 1.0f);
        coef[BIAS * C + c] = (beta ? beta[c] * k : 0.0f) + (shift ? shift[c] : 0.0f);
    }
}

/* y of pixels [l0, l1), channels [c0, c1). */
static inline void normalise(global const T *x, global const float *coef, global T *y, int c0, int c1, int C,
                             int l0, int l1, int sl, int sc, int silu)
{
    for (int l = l0; l < l1; l++)
        for (int c = c0; c < c1; c += W) {
            const VF m = load(coef + MEAN * C + c, c1 - c), k = load(coef + GAIN * C + c, c1 - c);
            const VF v = fma(GET(x + (size_t)l * sl, c, c1 - c) - m, k, load(coef + BIAS * C + c, c1 - c));

            PUT(silu ? vsilu(v) : v, y + (size_t)l * sl, c, c1 - c);
        }
}

/* The example's slices of what may be absent. */
#define ROW(p, n) ((p) ? (p) + (size_t)(n) * C : (p))

kernel void forward(global const T *x, global const float *gamma, global const float *beta,
                    global const float *scale, global const float *shift, global T *y, global float *stats,
                    global float *part, int behind, int N, int C, int L, int groups, int sl, int sc, float eps,
                    int silu, int block)
{
    const int blocks = (C + block - 1) / block, n = get_global_id(0) / blocks, c0 = get_global_id(0) % blocks * block;
    const int c1 = min(c0 + block, C), width = C / groups;
    global float *coef;

    if (n >= N)
        return;
    x += (size_t)n * C * L;
    coef = part + behind + (size_t)n * COEFS * C;
    part += (size_t)n * 2 * C;
    for (int c = c0; c < c1; c += W)
        channel_stats(x, part, c, c1, C, 0, L, sl, sc);
    for (int g = c0 / width; g < c1 / width; g++)
        group_coef(part, gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups, coef, g, C, L,
                   groups, 1, L, eps);
    normalise(x, coef, y + (size_t)n * C * L, c0, c1, C, 0, L, sl, sc, silu);
}

kernel void forward_stats(global const T *x, global float *part, int N, int C, int L, int sl, int sc, int parts,
                          int span)
{
    const int blocks = (C + W - 1) / W, row = get_global_id(0) / blocks, c = get_global_id(0) % blocks * W,
              n = row / parts;
    const int l0 = row % parts * span;

    if (n < N)
        channel_stats(x + (size_t)n * C * L, part + (size_t)row * 2 * C, c, C, C, l0,
                      min(l0 + span, L), sl, sc);
}

kernel void forward_coef(global float *part, global const float *gamma, global const float *beta,
                         global const float *scale, global const float *shift, global float *stats, int behind, int N,
                         int C, int L, int groups, int parts, int span, float eps)
{
    const int n = get_global_id(0) / groups, g = get_global_id(0) % groups;

    if (n < N)
        group_coef(part + (size_t)n * parts * 2 * C, gamma, beta, ROW(scale, n), ROW(shift, n),
                   stats + (size_t)n * 2 * groups, part + behind + (size_t)n * COEFS * C, g, C, L, groups, parts, span,
                   eps);
}

/* An item: W channels of `each` pixels. */
kernel void forward_apply(global const T *x, global const float *part, global T *y, int behind, int N, int C,
                          int L, int sl, int sc, int silu, int each)
{
    const int blocks = (C + W - 1) / W, strips = (L + each - 1) / each, row = get_global_id(0) / blocks;
    const int c = get_global_id(0) % blocks * W, n = row / strips, l0 = row % strips * each;

    if (n < N)
        normalise(x + (size_t)n * C * L, part + behind + (size_t)n * COEFS * C, y + (size_t)n * C * L, c, min(c + W, C),
                  C, l0, min(l0 + each, L), sl, sc, silu);
}

/* ---- backward ----------------------------------------------------------------------- */

/* dz = dy act'(z), z = xh gain + bias. */
static inline VF before_act(VF dy, VF xh, VF gain, VF bias, int silu)
{
    return silu ? dy * vsilu_slope(fma(xh, gain, bias)) : dy;
}

static inline void channel_coef(global const float *gamma, global const float *beta, global const float *scale,
                                global const float *shift, global const float *stats, global float *coef, int c, int C,
                                int groups)
{
    const int g = c / (C / groups);
    const float k = scale ? 1.0f + scale[c] : 1.0f;

    coef[MEAN * C + c] = stats[2 * g];
    coef[RSTD * C + c] = stats[2 * g + 1];
    coef[GAIN * C + c] = k * (gamma ? gamma[c] : 1.0f);
    coef[BIAS * C + c] = (beta ? beta[c] * k : 0.0f) + (shift ? shift[c] : 0.0f);
}

/* Sums of dz and dz xh over pixels [l0, l1), W channels from c. With an activation, dz is left in dx (where
 * wanted), so that its exponential is taken once; not where it is 16 bits wide, which would round it. */
#ifdef IS_16BIT
#define LEAVE 0
#else
#define LEAVE 1
#endif
static inline void channel_sums(global const T *dy, global const T *x, global const float *coef,
                                global float *part, global T *dx, int c, int C, int c1, int l0, int l1, int sl,
                                int sc, int silu)
{
    const VF m = load(coef + MEAN * C + c, c1 - c), r = load(coef + RSTD * C + c, c1 - c);
    const VF k = load(coef + GAIN * C + c, c1 - c), b = load(coef + BIAS * C + c, c1 - c);
    VF s1 = 0.0f, s2 = 0.0f;

    for (int l = l0; l < l1;) {
        const int fold = min(l1, l + FOLD);
        VF a1 = 0.0f, a2 = 0.0f;

        for (; l < fold; l++) {
            const VF xh = (GET(x + (size_t)l * sl, c, c1 - c) - m) * r;
            const VF dz = before_act(GET(dy + (size_t)l * sl, c, c1 - c), xh, k, b, silu);

            if (LEAVE && silu && dx)
                PUT(dz, dx + (size_t)l * sl, c, c1 - c);
            a1 += dz;
            a2 = fma(dz, xh, a2);
        }
        s1 += a1;
        s2 += a2;
    }
    store(s1, part + c, c1 - c);
    store(s2, part + C + c, c1 - c);
}

/* The parts of group g summed into part 0, the group's two means, and dscale and dshift. */
static inline void group_means(global float *part, global const float *gamma, global const float *beta,
                               global float *coef, global float *dscale, global float *dshift, int g, int C, int L,
                               int groups, int parts)
{
    const int width = C / groups, c0 = g * width;
    const float total = (float)width * (float)L;
    float mean = 0.0f, slope = 0.0f;

    for (int c = c0; c < c0 + width; c++) {
        float s1 = 0.0f, s2 = 0.0f;

        for (int s = 0; s < parts; s++) {
            s1 += part[(size_t)s * 2 * C + c];
            s2 += part[(size_t)(s * 2 + 1) * C + c];
        }
        part[c] = s1;
        part[C + c] = s2;
        mean = fma(coef[GAIN * C + c], s1, mean);
        slope = fma(coef[GAIN * C + c], s2, slope);
        if (dscale)
            dscale[c] = (gamma ? gamma[c] * s2 : s2) + (beta ? beta[c] * s1 : 0.0f);
        if (dshift)
            dshift[c] = s1;
    }
    for (int c = c0; c < c0 + width; c++) {
        coef[GRAD_MEAN * C + c] = mean / total;
        coef[GRAD_SLOPE * C + c] = slope / total;
    }
}

static inline void input_gradient(global const T *dy, global const T *x, global const float *coef,
                                  global T *dx, int c0, int c1, int C, int l0, int l1, int sl, int sc, int silu)
{
    for (int l = l0; l < l1; l++)
        for (int c = c0; c < c1; c += W) {
            const VF r = load(coef + RSTD * C + c, c1 - c), k = load(coef + GAIN * C + c, c1 - c);
            const VF xh = (GET(x + (size_t)l * sl, c, c1 - c) - load(coef + MEAN * C + c, c1 - c)) * r;
#ifdef IS_16BIT
            const VF dz =
                before_act(GET(dy + (size_t)l * sl, c, c1 - c), xh, k, load(coef + BIAS * C + c, c1 - c), silu);
#else
            const VF dz = GET((silu ? dx : dy) + (size_t)l * sl, c, c1 - c);
#endif
            const VF v = fma(k, dz, -load(coef + GRAD_MEAN * C + c, c1 - c));

            PUT(r * fma(-xh, load(coef + GRAD_SLOPE * C + c, c1 - c), v), dx + (size_t)l * sl, c, c1 - c);
        }
}

kernel void backward(global const T *dy, global const T *x, global const float *gamma, global const float *beta,
                     global const float *stats, global const float *scale, global const float *shift, global T *dx,
                     global float *dscale, global float *dshift, global float *part, int behind, int N, int C, int L,
                     int groups, int sl, int sc, int silu, int block)
{
    const int blocks = (C + block - 1) / block, n = get_global_id(0) / blocks, c0 = get_global_id(0) % blocks * block;
    const int c1 = min(c0 + block, C), width = C / groups;
    global float *coef;

    if (n >= N)
        return;
    x += (size_t)n * C * L;
    dy += (size_t)n * C * L;
    coef = part + behind + (size_t)n * COEFS * C;
    part += (size_t)n * 2 * C;
    for (int c = c0; c < c1; c++)
        channel_coef(gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups, coef, c, C, groups);
    dx = dx ? dx + (size_t)n * C * L : dx;
    for (int c = c0; c < c1; c += W)
        channel_sums(dy, x, coef, part, dx, c, C, c1, 0, L, sl, sc, silu);
    for (int g = c0 / width; g < c1 / width; g++)
        group_means(part, gamma, beta, coef, ROW(dscale, n), ROW(dshift, n), g, C, L, groups, 1);
    if (dx)
        input_gradient(dy, x, coef, dx, c0, c1, C, 0, L, sl, sc, silu);
}

kernel void backward_coef(global const float *gamma, global const float *beta, global const float *stats,
                          global const float *scale, global const float *shift, global float *part, int behind, int N,
                          int C, int groups)
{
    const int n = get_global_id(0) / C, c = get_global_id(0) % C;

    if (n < N)
        channel_coef(gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups,
                     part + behind + (size_t)n * COEFS * C, c, C, groups);
}

kernel void backward_sums(global const T *dy, global const T *x, global float *part, global T *dx,
                          int behind, int N, int C, int L, int sl, int sc, int silu, int parts, int span)
{
    const int blocks = (C + W - 1) / W, row = get_global_id(0) / blocks, c = get_global_id(0) % blocks * W,
              n = row / parts;
    const int l0 = row % parts * span;

    if (n < N)
        channel_sums(dy + (size_t)n * C * L, x + (size_t)n * C * L, part + behind + (size_t)n * COEFS * C,
                     part + (size_t)row * 2 * C, dx ? dx + (size_t)n * C * L : dx, c, C, min(c + W, C), l0,
                     min(l0 + span, L), sl, sc, silu);
}

kernel void backward_means(global float *part, global const float *gamma, global const float *beta,
                           global float *dscale, global float *dshift, int behind, int N, int C, int L, int groups,
                           int parts)
{
    const int n = get_global_id(0) / groups, g = get_global_id(0) % groups;

    if (n < N)
        group_means(part + (size_t)n * parts * 2 * C, gamma, beta, part + behind + (size_t)n * COEFS * C,
                    ROW(dscale, n), ROW(dshift, n), g, C, L, groups, parts);
}

kernel void backward_apply(global const T *dy, global const T *x, global const float *part, global T *dx,
                           int behind, int N, int C, int L, int sl, int sc, int silu, int each)
{
    const int blocks = (C + W - 1) / W, strips = (L + each - 1) / each, row = get_global_id(0) / blocks;
    const int c = get_global_id(0) % blocks * W, n = row / strips, l0 = row % strips * each;

    if (n < N)
        input_gradient(dy + (size_t)n * C * L, x + (size_t)n * C * L, part + behind + (size_t)n * COEFS * C,
                       dx + (size_t)n * C * L, c, min(c + W, C), C, l0, min(l0 + each, L), sl, sc, silu);
}

/* dgamma[c] (+)= sum over n of (1 + scale) sum of dz xh, dbeta likewise of dz; an item a channel. */
kernel void backward_weights(global const float *part, global const float *scale, global float *dgamma,
                             global float *dbeta, int N, int C, int parts, int accum)
{
    const int c = get_global_id(0);
    float g = 0.0f, b = 0.0f;

    if (c >= C)
        return;
    for (int n = 0; n < N; n++) {
        global const float *p = part + (size_t)n * parts * 2 * C;
        const float k = scale ? 1.0f + scale[(size_t)n * C + c] : 1.0f;

        b = fma(k, p[c], b);
        g = fma(k, p[C + c], g);
    }
    if (dgamma)
        dgamma[c] = accum ? dgamma[c] + g : g;
    if (dbeta)
        dbeta[c] = accum ? dbeta[c] + b : b;
}
