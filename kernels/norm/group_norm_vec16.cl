/* Group norm with or without SiLU and its gradient on CPUs: x f32[N,L,C], or bf16 with -DBF16, C a multiple of 32;
 * formulas, operands and sums as in group_norm.cl. A work-item does `block` channels (whole groups, a multiple of
 * 32) of an example in two sweeps, 32 channels at a time: whole cache lines, and what the second sweep reads is
 * still in the core's cache. 32 of bf16 are read as 16 words: the even channels are the lower halves, the odd ones
 * the upper, and no lane moves; coefficients and sums lie in that order too, the one of channel c at `place(c)`.
 * Scratch: of each example OF_CHANNEL rows of C. Oracle tests/ops/norm.c; 2e-6 of the largest output. */
#define W 16
#include "vec.clh"

#define FOLD 64

/* SUM, SQUARE (later products): of a channel. The rest: what a sweep needs. */
enum { SUM, SQUARE, MEAN, GAIN, BIAS, FACTOR, SLOPE, REST, RSTD, OF_CHANNEL };

typedef float16 __attribute__((aligned(4))) float16_there;
typedef uint16 __attribute__((aligned(2))) words_there;

#ifdef BF16
static inline int place(int c) { return (c & ~31) + (c & 1) * 16 + (c >> 1 & 15); }
/* To the nearest in the upper halves (of two as near, the one away from 0). The lower half of a NaN would have to be
 * full to turn it into another number, and here it is empty: x has none and `plain` sees to the weights. */
static inline uint16 rounded(float16 v) { return as_uint16(v) + 0x8000u; }
#define GET(a, b, p)                                                                                                   \
    do {                                                                                                               \
        const uint16 words = *(global const words_there *)(p);                                                         \
        a = as_float16(words << 16);                                                                                   \
        b = as_float16(words & 0xffff0000u);                                                                           \
    } while (0)
#define PUT(a, b, p) (*(global words_there *)(p) = rounded(a) >> 16 | (rounded(b) & 0xffff0000u))
#else
static inline int place(int c) { return c; }
#define GET(a, b, p)                                                                                                   \
    do {                                                                                                               \
        a = *(global const float16_there *)(p);                                                                        \
        b = *(global const float16_there *)((p) + 16);                                                                 \
    } while (0)
#define PUT(a, b, p) (*(global float16_there *)(p) = (a), *(global float16_there *)((p) + 16) = (b))
#endif
/* Every NaN becomes one whose lower half is empty. */
static inline float plain(float v) { return v != v ? as_float(0x7fc00000) : v; }

#define ROW_OF(what, c) (vload16(0, own + (what) * C + (c)))
#define KEEP(what, c, v) (*(global float16_there *)(own + (what) * C + (c)) = (v))
/* The example's part of what may be absent. */
#define ROW(p, n) ((p) ? (p) + (size_t)(n) * C : (p))

/* ---- forward ---------------------------------------------------------------------- */

/* Means, and sums of squares about them, of 32 channels from c. */
static inline void channel_stats(global const T *x, global float *own, int c, int C, int L)
{
    float16 shift0, shift1, sum0 = 0.0f, sum1 = 0.0f, square0 = 0.0f, square1 = 0.0f;

    GET(shift0, shift1, x + c);
    for (int l = 0; l < L;) {
        const int fold = min(L, l + FOLD);
        float16 s0 = 0.0f, s1 = 0.0f, q0 = 0.0f, q1 = 0.0f;

        for (; l < fold; l++) {
            float16 a, b;

            GET(a, b, x + (size_t)l * C + c);
            a -= shift0;
            b -= shift1;
            s0 += a;
            s1 += b;
            q0 = fma(a, a, q0);
            q1 = fma(b, b, q1);
        }
        sum0 += s0;
        sum1 += s1;
        square0 += q0;
        square1 += q1;
    }
    KEEP(SUM, c, shift0 + sum0 / (float)L);
    KEEP(SUM, c + 16, shift1 + sum1 / (float)L);
    KEEP(SQUARE, c, square0 - sum0 * (sum0 / (float)L));
    KEEP(SQUARE, c + 16, square1 - sum1 * (sum1 / (float)L));
}

/* Statistics of group g, and the coefficients of its channels. */
static inline void group_coef(global const float *gamma, global const float *beta, global const float *scale,
                              global const float *shift, global float *stats, global float *own, int g, int C, int L,
                                  int groups,
                              float eps)
{
    const int width = C / groups, from = g * width, to = from + width;
    float mean = 0.0f, square = 0.0f, between = 0.0f, rstd;

    for (int c = from; c < to; c++)
        mean += own[SUM * C + place(c)];
    mean /= (float)width;
    for (int c = from; c < to; c++) {
        const float d = own[SUM * C + place(c)] - mean;

        square += own[SQUARE * C + place(c)];
        between = fma(d, d, between);
    }
    square = fmax(fma(between, (float)L, square), 0.0f);
    rstd = 1.0f / sqrt(square / ((float)width * (float)L) + eps);
    stats[2 * g] = mean;
    stats[2 * g + 1] = rstd;
    for (int c = from; c < to; c++) {
        const float k = scale ? 1.0f + scale[c] : 1.0f;

        own[MEAN * C + place(c)] = mean;
        own[GAIN * C + place(c)] = plain(rstd * k * (gamma ? gamma[c] : 1.0f));
        own[BIAS * C + place(c)] = plain((beta ? beta[c] * k : 0.0f) + (shift ? shift[c] : 0.0f));
    }
}

static inline void normalise(global const T *x, global const float *own, global T *y, int c, int C, int L, int silu)
{
    const float16 m0 = ROW_OF(MEAN, c), m1 = ROW_OF(MEAN, c + 16), k0 = ROW_OF(GAIN, c), k1 = ROW_OF(GAIN, c + 16);
    const float16 b0 = ROW_OF(BIAS, c), b1 = ROW_OF(BIAS, c + 16);

    for (int l = 0; l < L; l++) {
        float16 a, b;

        GET(a, b, x + (size_t)l * C + c);
        a = fma(a - m0, k0, b0);
        b = fma(b - m1, k1, b1);
        if (silu) {
            a = vsilu(a);
            b = vsilu(b);
        }
        PUT(a, b, y + (size_t)l * C + c);
    }
}

kernel void forward(global const T *x, global const float *gamma, global const float *beta, global const float *scale,
                    global const float *shift, global T *y, global float *stats, global float *scratch, int4 extents,
                    float eps, int silu)
{
    INTS4(extents, C, L, groups, block);
    const int blocks = (C + block - 1) / block, n = get_global_id(0) / blocks, from = get_global_id(0) % blocks * block;
    const int to = min(from + block, C), width = C / groups;
    global float *own = scratch + (size_t)n * OF_CHANNEL * C;

    x += (size_t)n * C * L;
    y += (size_t)n * C * L;
    for (int c = from; c < to; c += 32)
        channel_stats(x, own, c, C, L);
    for (int g = from / width; g < to / width; g++)
        group_coef(gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups, own, g, C, L, groups,
                   eps);
    for (int c = from; c < to; c += 32)
        normalise(x, own, y, c, C, L, silu);
}

/* ---- backward ----------------------------------------------------------------------- */

static inline void channel_coef(global const float *gamma, global const float *beta, global const float *scale,
                                global const float *shift, global const float *stats, global float *own, int c,
                                    int C, int groups)
{
    const int g = c / (C / groups);
    const float k = scale ? 1.0f + scale[c] : 1.0f;

    own[MEAN * C + place(c)] = stats[2 * g];
    own[RSTD * C + place(c)] = stats[2 * g + 1];
    own[GAIN * C + place(c)] = plain(k * (gamma ? gamma[c] : 1.0f));
    own[BIAS * C + place(c)] = plain((beta ? beta[c] * k : 0.0f) + (shift ? shift[c] : 0.0f));
}

/* dz = dy act'(z), z = (x - mean) rstd gain + bias: of 32 channels the sums of dz and of dz (x - mean). In f32 with
 * an activation dz is left in dx (where wanted), so that its exponential is taken once; bf16 would round it. */
#ifdef BF16
#define LEAVE 0
#else
#define LEAVE 1
#endif
static inline void channel_sums(global const T *dy, global const T *x, global float *own, global T *dx, int c, int C,
                                int L,
                                int silu)
{
    const float16 m0 = ROW_OF(MEAN, c), m1 = ROW_OF(MEAN, c + 16), r0 = ROW_OF(RSTD, c), r1 = ROW_OF(RSTD, c + 16);
    const float16 k0 = r0 * ROW_OF(GAIN, c), k1 = r1 * ROW_OF(GAIN, c + 16);
    const float16 b0 = ROW_OF(BIAS, c), b1 = ROW_OF(BIAS, c + 16);
    float16 sum0 = 0.0f, sum1 = 0.0f, product0 = 0.0f, product1 = 0.0f;

    for (int l = 0; l < L;) {
        const int fold = min(L, l + FOLD);
        float16 s0 = 0.0f, s1 = 0.0f, p0 = 0.0f, p1 = 0.0f;

        for (; l < fold; l++) {
            float16 a, b, da, db;

            GET(a, b, x + (size_t)l * C + c);
            GET(da, db, dy + (size_t)l * C + c);
            a -= m0;
            b -= m1;
            if (silu) {
                da *= vsilu_slope_by(fma(a, k0, b0), LEAVE ? 5 : 4);
                db *= vsilu_slope_by(fma(b, k1, b1), LEAVE ? 5 : 4);
                if (LEAVE && dx)
                    PUT(da, db, dx + (size_t)l * C + c);
            }
            s0 += da;
            s1 += db;
            p0 = fma(a, da, p0);
            p1 = fma(b, db, p1);
        }
        sum0 += s0;
        sum1 += s1;
        product0 += p0;
        product1 += p1;
    }
    KEEP(SUM, c, sum0);
    KEEP(SUM, c + 16, sum1);
    KEEP(SQUARE, c, product0 * r0);
    KEEP(SQUARE, c + 16, product1 * r1);
}

/* The two means of group g, what the second sweep needs of them, and dscale and dshift. */
static inline void group_means(global const float *gamma, global const float *beta, global float *own,
                               global float *dscale,
                               global float *dshift, int g, int C, int L, int groups)
{
    const int width = C / groups, from = g * width, to = from + width;
    const float total = (float)width * (float)L;
    float mean = 0.0f, slope = 0.0f;

    for (int c = from; c < to; c++) {
        const float s = own[SUM * C + place(c)], p = own[SQUARE * C + place(c)];

        mean = fma(own[GAIN * C + place(c)], s, mean);
        slope = fma(own[GAIN * C + place(c)], p, slope);
        if (dscale)
            dscale[c] = (gamma ? gamma[c] * p : p) + (beta ? beta[c] * s : 0.0f);
        if (dshift)
            dshift[c] = s;
    }
    for (int c = from; c < to; c++) {
        const float r = own[RSTD * C + place(c)];

        own[FACTOR * C + place(c)] = r * own[GAIN * C + place(c)];
        own[SLOPE * C + place(c)] = -r * r * (slope / total);
        own[REST * C + place(c)] = -r * (mean / total);
    }
}

/* dx = rstd (gain dz - mean of gain dz - xh mean of gain dz xh) */
static inline void input_gradient(global const T *dy, global const T *x, global const float *own, global T *dx,
                                  int c, int C, int L,
                                  int silu)
{
    const float16 m0 = ROW_OF(MEAN, c), m1 = ROW_OF(MEAN, c + 16), k0 = ROW_OF(FACTOR, c), k1 = ROW_OF(FACTOR, c + 16);
    const float16 b0 = ROW_OF(BIAS, c), b1 = ROW_OF(BIAS, c + 16);
    const float16 slope0 = ROW_OF(SLOPE, c), slope1 = ROW_OF(SLOPE, c + 16);
    const float16 rest0 = ROW_OF(REST, c), rest1 = ROW_OF(REST, c + 16);
    global const T *from = LEAVE && silu ? dx : dy;

    for (int l = 0; l < L; l++) {
        float16 a, b, da, db;

        GET(a, b, x + (size_t)l * C + c);
        GET(da, db, from + (size_t)l * C + c);
        a -= m0;
        b -= m1;
        if (!LEAVE && silu) {
            da *= vsilu_slope_by(fma(a, k0, b0), 3);
            db *= vsilu_slope_by(fma(b, k1, b1), 3);
        }
        PUT(fma(da, k0, fma(a, slope0, rest0)), fma(db, k1, fma(b, slope1, rest1)), dx + (size_t)l * C + c);
    }
}

kernel void backward(global const T *dy, global const T *x, global const float *gamma, global const float *beta,
                     global const float *stats, global const float *scale, global const float *shift, global T *dx,
                     global float *dscale, global float *dshift, global float *scratch, int4 extents, int silu)
{
    INTS4(extents, C, L, groups, block);
    const int blocks = (C + block - 1) / block, n = get_global_id(0) / blocks, from = get_global_id(0) % blocks * block;
    const int to = min(from + block, C), width = C / groups;
    global float *own = scratch + (size_t)n * OF_CHANNEL * C;

    x += (size_t)n * C * L;
    dy += (size_t)n * C * L;
    dx = dx ? dx + (size_t)n * C * L : dx;
    for (int c = from; c < to; c++)
        channel_coef(gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups, own, c, C, groups);
    for (int c = from; c < to; c += 32)
        channel_sums(dy, x, own, dx, c, C, L, silu);
    for (int g = from / width; g < to / width; g++)
        group_means(gamma, beta, own, ROW(dscale, n), ROW(dshift, n), g, C, L, groups);
    for (int c = from; dx && c < to; c += 32)
        input_gradient(dy, x, own, dx, c, C, L, silu);
}

/* dgamma[c] (+)= sum over n of (1 + scale) sum of dz xh, dbeta likewise of dz; an item a channel. */
kernel void backward_weights(global const float *scratch, global const float *scale, global float *dgamma,
                             global float *dbeta,
                             int N, int C, int accum)
{
    const int c = get_global_id(0);
    float g = 0.0f, b = 0.0f;

    for (int n = 0; n < N; n++) {
        global const float *own = scratch + (size_t)n * OF_CHANNEL * C + place(c);
        const float k = scale ? 1.0f + scale[(size_t)n * C + c] : 1.0f;

        b = fma(k, own[SUM * C], b);
        g = fma(k, own[SQUARE * C], g);
    }
    if (dgamma)
        dgamma[c] = accum ? dgamma[c] + g : g;
    if (dbeta)
        dbeta[c] = accum ? dbeta[c] + b : b;
}
