/* Group norm with or without SiLU and its gradient on CPUs: x f32[N,L,C], or bf16 with -DBF16, C a multiple of 8;
 * formulas, operands and sums as in group_norm.cl. A work-item does `block` channels (whole groups; a multiple of 32,
 * or all) of an example in two sweeps, 32 channels at a time: whole cache lines, and what the second sweep reads is
 * still in the core's cache. The last TAIL = C % 32 channels are a step of fewer lanes. 32 of bf16 are read as 16
 * words: the even channels are the lower halves, the odd ones the upper, and no lane moves; coefficients and sums
 * lie in that order too, the one of channel c at `place(c)`. Scratch: of each example OF_CHANNEL rows of ROOM(C).
 * Oracle tests/ops/norm.c; 2e-6 of the largest output. */
#define W 16
#include "vec.clh"

#define FOLD 64

/* SUM, SQUARE (later products): of a channel. The rest: what a sweep needs. */
enum { SUM, SQUARE, MEAN, GAIN, BIAS, FACTOR, SLOPE, REST, RSTD, OF_CHANNEL };

#ifndef TAIL
#define TAIL 0
#endif
/* Rows of scratch end on whole steps. */
#define ROOM(C) (((C) + 31) & ~31)

#define THERE(type, bytes) typedef type __attribute__((aligned(bytes)))
THERE(float16, 4) float16_there;
THERE(float8, 4) float8_there;
THERE(uint16, 2) words16_there;
THERE(uint8, 2) words8_there;
THERE(uint4, 2) words4_there;

/* n, here and below, is 32 or TAIL, so that its branches are gone when it is compiled. */
#ifdef BF16
static inline int place(int c) { return (c & ~31) + (c & 1) * 16 + (c >> 1 & 15); }
/* To the nearest in the upper halves (of two as near, the one away from 0). The lower half of a NaN would have to be
 * full to turn it into another number, and here it is empty: x has none and `plain` sees to the weights. */
static inline uint16 rounded(float16 v) { return as_uint16(v) + 0x8000u; }

static inline uint16 get_words(global const T *p, int n)
{
    const uint4 none = 0;

    if (n == 32)
        return *(global const words16_there *)p;
    if (n == 8)
        return (uint16)(*(global const words4_there *)p, none, none, none);
    return (uint16)(*(global const words8_there *)p, n == 24 ? *(global const words4_there *)(p + 16) : none, none);
}

static inline void put_words(uint16 words, global T *p, int n)
{
    if (n == 32) {
        *(global words16_there *)p = words;
    } else if (n == 8) {
        *(global words4_there *)p = words.lo.lo;
    } else {
        *(global words8_there *)p = words.lo;
        if (n == 24)
            *(global words4_there *)(p + 16) = words.hi.lo;
    }
}

#define GET(a, b, p, n)                                                                                                \
    do {                                                                                                               \
        const uint16 words = get_words(p, n);                                                                          \
        a = as_float16(words << 16);                                                                                   \
        b = as_float16(words & 0xffff0000u);                                                                           \
    } while (0)
#define PUT(a, b, p, n) put_words(rounded(a) >> 16 | (rounded(b) & 0xffff0000u), p, n)
#else
static inline int place(int c) { return c; }

static inline float16 get_half(global const T *p, int n)
{
    const float8 none = 0.0f;

    if (n >= 16)
        return *(global const float16_there *)p;
    return n == 8 ? (float16)(*(global const float8_there *)p, none) : (float16)(none, none);
}

static inline void put_half(float16 v, global T *p, int n)
{
    if (n >= 16)
        *(global float16_there *)p = v;
    else if (n == 8)
        *(global float8_there *)p = v.lo;
}

#define GET(a, b, p, n) (a = get_half(p, n), b = get_half((p) + 16, (n)-16))
#define PUT(a, b, p, n) (put_half(a, p, n), put_half(b, (p) + 16, (n)-16))
#endif
/* Every NaN becomes one whose lower half is empty. */
static inline float plain(float v) { return v != v ? as_float(0x7fc00000) : v; }

#define OWN(what) (own + (what) * ROOM(C))
#define ROW_OF(what, c) (vload16(0, OWN(what) + (c)))
#define KEEP(what, c, v) (*(global float16_there *)(OWN(what) + (c)) = (v))
/* The example's part of what may be absent. */
#define ROW(p, n) ((p) ? (p) + (size_t)(n) * C : (p))

/* Whether the step at c has all lanes. */
#define WHOLE(c) (!TAIL || (c) + 32 <= to)

/* ---- forward ---------------------------------------------------------------------- */

/* Means, and sums of squares about them, of 32 channels from c. */
static inline void channel_stats(global const T *x, global float *own, int c, int C, int L, int n)
{
    float16 shift0, shift1, sum0 = 0.0f, sum1 = 0.0f, square0 = 0.0f, square1 = 0.0f;

    GET(shift0, shift1, x + c, n);
    for (int l = 0; l < L;) {
        const int fold = min(L, l + FOLD);
        float16 s0 = 0.0f, s1 = 0.0f, q0 = 0.0f, q1 = 0.0f;

        for (; l < fold; l++) {
            float16 a, b;

            GET(a, b, x + (size_t)l * C + c, n);
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
        mean += OWN(SUM)[place(c)];
    mean /= (float)width;
    for (int c = from; c < to; c++) {
        const float d = OWN(SUM)[place(c)] - mean;

        square += OWN(SQUARE)[place(c)];
        between = fma(d, d, between);
    }
    square = fmax(fma(between, (float)L, square), 0.0f);
    rstd = 1.0f / sqrt(square / ((float)width * (float)L) + eps);
    stats[2 * g] = mean;
    stats[2 * g + 1] = rstd;
    for (int c = from; c < to; c++) {
        const float k = scale ? 1.0f + scale[c] : 1.0f;

        OWN(MEAN)[place(c)] = mean;
        OWN(GAIN)[place(c)] = plain(rstd * k * (gamma ? gamma[c] : 1.0f));
        OWN(BIAS)[place(c)] = plain((beta ? beta[c] * k : 0.0f) + (shift ? shift[c] : 0.0f));
    }
}

static inline void normalise(global const T *x, global const float *own, global T *y, int c, int C, int L, int silu,
                             int n)
{
    const float16 m0 = ROW_OF(MEAN, c), m1 = ROW_OF(MEAN, c + 16), k0 = ROW_OF(GAIN, c), k1 = ROW_OF(GAIN, c + 16);
    const float16 b0 = ROW_OF(BIAS, c), b1 = ROW_OF(BIAS, c + 16);

    for (int l = 0; l < L; l++) {
        float16 a, b;

        GET(a, b, x + (size_t)l * C + c, n);
        a = fma(a - m0, k0, b0);
        b = fma(b - m1, k1, b1);
        if (silu) {
            a = vsilu(a);
            b = vsilu(b);
        }
        PUT(a, b, y + (size_t)l * C + c, n);
    }
}

kernel void forward(global const T *x, global const float *gamma, global const float *beta, global const float *scale,
                    global const float *shift, global T *y, global float *stats, global float *scratch, int4 extents,
                    float eps, int silu)
{
    INTS4(extents, C, L, groups, block);
    const int blocks = (C + block - 1) / block, n = get_global_id(0) / blocks, from = get_global_id(0) % blocks * block;
    const int to = min(from + block, C), width = C / groups;
    global float *own = scratch + (size_t)n * OF_CHANNEL * ROOM(C);

    x += (size_t)n * C * L;
    y += (size_t)n * C * L;
    for (int c = from; c < to; c += 32)
        if (WHOLE(c))
            channel_stats(x, own, c, C, L, 32);
        else
            channel_stats(x, own, c, C, L, TAIL);
    for (int g = from / width; g < to / width; g++)
        group_coef(gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups, own, g, C, L, groups,
                   eps);
    for (int c = from; c < to; c += 32)
        if (WHOLE(c))
            normalise(x, own, y, c, C, L, silu, 32);
        else
            normalise(x, own, y, c, C, L, silu, TAIL);
}

/* ---- backward ----------------------------------------------------------------------- */

static inline void channel_coef(global const float *gamma, global const float *beta, global const float *scale,
                                global const float *shift, global const float *stats, global float *own, int c,
                                    int C, int groups)
{
    const int g = c / (C / groups);
    const float k = scale ? 1.0f + scale[c] : 1.0f;

    OWN(MEAN)[place(c)] = stats[2 * g];
    OWN(RSTD)[place(c)] = stats[2 * g + 1];
    OWN(GAIN)[place(c)] = plain(k * (gamma ? gamma[c] : 1.0f));
    OWN(BIAS)[place(c)] = plain((beta ? beta[c] * k : 0.0f) + (shift ? shift[c] : 0.0f));
}

/* dz = dy act'(z), z = (x - mean) rstd gain + bias: of 32 channels the sums of dz and of dz (x - mean). In f32 with
 * an activation dz is left in dx (where wanted), so that its exponential is taken once; bf16 would round it. */
#ifdef BF16
#define LEAVE 0
#else
#define LEAVE 1
#endif
static inline void channel_sums(global const T *dy, global const T *x, global float *own, global T *dx, int c, int C,
                                int L, int silu, int n)
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

            GET(a, b, x + (size_t)l * C + c, n);
            GET(da, db, dy + (size_t)l * C + c, n);
            a -= m0;
            b -= m1;
            if (silu) {
                da *= vsilu_slope_by(fma(a, k0, b0), LEAVE ? 5 : 4);
                db *= vsilu_slope_by(fma(b, k1, b1), LEAVE ? 5 : 4);
                if (LEAVE && dx)
                    PUT(da, db, dx + (size_t)l * C + c, n);
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
        const float s = OWN(SUM)[place(c)], p = OWN(SQUARE)[place(c)];

        mean = fma(OWN(GAIN)[place(c)], s, mean);
        slope = fma(OWN(GAIN)[place(c)], p, slope);
        if (dscale)
            dscale[c] = (gamma ? gamma[c] * p : p) + (beta ? beta[c] * s : 0.0f);
        if (dshift)
            dshift[c] = s;
    }
    for (int c = from; c < to; c++) {
        const float r = OWN(RSTD)[place(c)];

        OWN(FACTOR)[place(c)] = r * OWN(GAIN)[place(c)];
        OWN(SLOPE)[place(c)] = -r * r * (slope / total);
        OWN(REST)[place(c)] = -r * (mean / total);
    }
}

/* dx = rstd (gain dz - mean of gain dz - xh mean of gain dz xh) */
static inline void input_gradient(global const T *dy, global const T *x, global const float *own, global T *dx,
                                  int c, int C, int L, int silu, int n)
{
    const float16 m0 = ROW_OF(MEAN, c), m1 = ROW_OF(MEAN, c + 16), k0 = ROW_OF(FACTOR, c), k1 = ROW_OF(FACTOR, c + 16);
    const float16 b0 = ROW_OF(BIAS, c), b1 = ROW_OF(BIAS, c + 16);
    const float16 slope0 = ROW_OF(SLOPE, c), slope1 = ROW_OF(SLOPE, c + 16);
    const float16 rest0 = ROW_OF(REST, c), rest1 = ROW_OF(REST, c + 16);
    global const T *from = LEAVE && silu ? dx : dy;

    for (int l = 0; l < L; l++) {
        float16 a, b, da, db;

        GET(a, b, x + (size_t)l * C + c, n);
        GET(da, db, from + (size_t)l * C + c, n);
        a -= m0;
        b -= m1;
        if (!LEAVE && silu) {
            da *= vsilu_slope_by(fma(a, k0, b0), 3);
            db *= vsilu_slope_by(fma(b, k1, b1), 3);
        }
        PUT(fma(da, k0, fma(a, slope0, rest0)), fma(db, k1, fma(b, slope1, rest1)), dx + (size_t)l * C + c, n);
    }
}

kernel void backward(global const T *dy, global const T *x, global const float *gamma, global const float *beta,
                     global const float *stats, global const float *scale, global const float *shift, global T *dx,
                     global float *dscale, global float *dshift, global float *scratch, int4 extents, int silu)
{
    INTS4(extents, C, L, groups, block);
    const int blocks = (C + block - 1) / block, n = get_global_id(0) / blocks, from = get_global_id(0) % blocks * block;
    const int to = min(from + block, C), width = C / groups;
    global float *own = scratch + (size_t)n * OF_CHANNEL * ROOM(C);

    x += (size_t)n * C * L;
    dy += (size_t)n * C * L;
    dx = dx ? dx + (size_t)n * C * L : dx;
    for (int c = from; c < to; c++)
        channel_coef(gamma, beta, ROW(scale, n), ROW(shift, n), stats + (size_t)n * 2 * groups, own, c, C, groups);
    for (int c = from; c < to; c += 32)
        if (WHOLE(c))
            channel_sums(dy, x, own, dx, c, C, L, silu, 32);
        else
            channel_sums(dy, x, own, dx, c, C, L, silu, TAIL);
    for (int g = from / width; g < to / width; g++)
        group_means(gamma, beta, own, ROW(dscale, n), ROW(dshift, n), g, C, L, groups);
    for (int c = from; dx && c < to; c += 32)
        if (WHOLE(c))
            input_gradient(dy, x, own, dx, c, C, L, silu, 32);
        else
            input_gradient(dy, x, own, dx, c, C, L, silu, TAIL);
}

/* dgamma[c] (+)= sum over n of (1 + scale) sum of dz xh, dbeta likewise of dz; an item a channel. */
kernel void backward_weights(global const float *scratch, global const float *scale, global float *dgamma,
                             global float *dbeta,
                             int N, int C, int accum)
{
    const int c = get_global_id(0);
    float g = 0.0f, b = 0.0f;

    for (int n = 0; n < N; n++) {
        global const float *own = scratch + (size_t)n * OF_CHANNEL * ROOM(C);
        const float k = scale ? 1.0f + scale[(size_t)n * C + c] : 1.0f;

        b = fma(k, OWN(SUM)[place(c)], b);
        g = fma(k, OWN(SQUARE)[place(c)], g);
    }
    if (dgamma)
        dgamma[c] = accum ? dgamma[c] + g : g;
    if (dbeta)
        dbeta[c] = accum ? dbeta[c] + b : b;
}
