/* Attention and its gradient for CPU devices, by register tiles of MR x 16 NV sums: q, y f32[N,L,D], k, v f32[N,M,D],
 * head h in columns [h d, (h+1) d); lse f32[N,heads,L]. Both sides of a product over d are turned into panels
 * [tokens/16][P][16] first, P = d rounded up to vectors. With TAIL = d % 16 the last vector of a row has so many lanes,
 * and rows that an inner loop reads are copied to a distance of P, so that it reads whole vectors. Scores stand with
 * keys as rows and queries in the lanes, [queries/16][KEYS][16], so that sums and maxima over keys are whole vectors,
 * and every product reads its broadcast side at constant distances. A work-item takes every get_global_size(0)-th head
 * (backward) or strip of queries (forward) and has `stride` floats of scratch, which stay in the cache.
 * Oracle: tests/ops/attention.c. */
#define W 16
#include "vec.clh"
#include "turn16.clh"

#ifndef MR
#define MR 8 /* rows of a tile: 8 or 4, of 16 neighbours */
#endif
#ifndef NV
#define NV 2 /* vectors of a tile */
#endif
enum { KEYS = 256, STRIP = 64, QUERIES = 256 }; /* at a time; STRIP, QUERIES: forward, backward */
#define ROWS _Pragma("unroll") for (int i = 0; i < MR; i++)
#define VECTORS _Pragma("unroll") for (int v = 0; v < NV; v++)
#define INLINE static inline __attribute__((always_inline))
/* A vector at the address of any element: vstore16 becomes four stores with some compilers. */
typedef float16 __attribute__((aligned(4))) float16_there;
#define GET(p) (*(global const float16_there *)(p))
#define PUT(e, p) (*(global float16_there *)(p) = (e))

/* The vector at column j of a row of d. */
#ifndef TAIL
#define TAIL 0
#endif
#if TAIL
INLINE float4 get4(global const float *p, int n)
{
    return n >= 4   ? vload4(0, p)
           : n == 3 ? (float4)(p[0], p[1], p[2], 0.0f)
           : n == 2 ? (float4)(p[0], p[1], 0.0f, 0.0f)
           : n == 1 ? (float4)(p[0], 0.0f, 0.0f, 0.0f)
                    : (float4)(0.0f);
}

INLINE void put4(float4 v, global float *p, int n)
{
    if (n >= 4)
        vstore4(v, 0, p);
    if (n >= 1 && n < 4)
        p[0] = v.x;
    if (n >= 2 && n < 4)
        p[1] = v.y;
    if (n == 3)
        p[2] = v.z;
}

INLINE float16 get_at(global const float *p, int j, int d)
{
    if (j + 16 <= d)
        return GET(p);
    return (float16)(get4(p, TAIL), get4(p + 4, TAIL - 4), get4(p + 8, TAIL - 8), get4(p + 12, TAIL - 12));
}

INLINE void put_at(float16 v, global float *p, int j, int d)
{
    if (j + 16 <= d) {
        PUT(v, p);
        return;
    }
    put4(v.s0123, p, TAIL);
    put4(v.s4567, p + 4, TAIL - 4);
    put4(v.s89ab, p + 8, TAIL - 8);
    put4(v.scdef, p + 12, TAIL - 12);
}
#define GET_AT(p, j) get_at(p, j, d)
#define PUT_AT(e, p, j) put_at(e, p, j, d)
#else
#define GET_AT(p, j) GET(p)
#define PUT_AT(e, p, j) PUT(e, p)
#endif
#define ROOM(d) (((d) + 15) & ~15)

/* The rows of x where whole vectors can be read, and their distance: x itself, or a copy. */
INLINE global const float *readable(global const float *x, global float *copy, int rows, size_t D, int d, size_t *step)
{
#if TAIL
    const int P = ROOM(d);

    for (int i = 0; i < rows; i++)
        for (int j = 0; j < d; j += 16)
            PUT(GET_AT(x + i * D + j, j), copy + i * P + j);
    *step = P;
    return copy;
#else
    *step = D;
    return x;
#endif
}

/* Panels of `rows` rows of x at distance D; zeros behind them. */
INLINE void panels(global const float *x, global float *to, int rows, size_t D, int d)
{
    for (int t = 0; t < rows; t += 16)
        for (int j = 0; j < d; j += 16, to += 256) {
            float16 v[16];

            for (int i = 0; i < 16; i++)
                v[i] = t + i < rows ? GET_AT(x + (t + i) * D + j, j) : (float16)(0.0f);
            turn16(v);
            for (int i = 0; i < 16; i++)
                PUT(v[i], to + i * 16);
        }
}

/* acc[i][v] += sum over k < n of a[i across + k along] b[k step + v second]. */
INLINE void product(float16 acc[MR][NV], global const float *a, int across, int along, global const float *b,
                    int second, size_t step, int n)
{
    for (int k = 0; k < n; k++, a += along, b += step) {
        float16 e[NV];

        VECTORS e[v] = GET(b + v * second);
        ROWS {
            const float16 r = a[i * across];

            VECTORS acc[i][v] = fma(r, e[v], acc[i][v]);
        }
    }
}

/* to[queries/16][KEYS][16] = the products of both, of panels. */
INLINE void scores(global float *to, global const float *keys, global const float *queries, int n_keys, int n_queries,
                   int d)
{
    const int P = ROOM(d);

    for (int l = 0; l < n_queries; l += 16 * NV)
        for (int m = 0; m < n_keys; m += MR) {
            const int vectors = min(NV, (n_queries - l + 15) / 16);
            float16 acc[MR][NV];

            ROWS VECTORS acc[i][v] = 0.0f;
            product(acc, keys + m / 16 * 16 * P + m % 16, 1, 16, queries + l * P, vectors < NV ? 0 : 16 * P, 16, d);
            ROWS VECTORS if (v < vectors)
                PUT(acc[i][v], to + ((l / 16 + v) * KEYS + m + i) * 16);
        }
}

/* A tile of out from column j on, of which `rows` rows and `vectors` vectors are there, begins and ends. */
INLINE void begin(float16 acc[MR][NV], global const float *out, int rows, int vectors, size_t D, int j, int d, int add)
{
    ROWS VECTORS acc[i][v] = add && i < rows && v < vectors ? GET_AT(out + i * D + j + v * 16, j + v * 16)
                                                            : (float16)(0.0f);
}

INLINE void end(float16 acc[MR][NV], global float *out, int rows, int vectors, size_t D, int j, int d)
{
    ROWS VECTORS if (i < rows && v < vectors)
        PUT_AT(acc[i][v], out + i * D + j + v * 16, j + v * 16);
}

/* out[l] (+)= sum over keys of p[m][l] x[m], rows of x at distance X. */
INLINE void over_keys(global float *out, global const float *p, global const float *x, size_t X, int n_keys,
                      int n_queries, size_t D, int d, int add)
{
    for (int j = 0; j < d; j += 16 * NV)
        for (int l = 0; l < n_queries; l += MR) {
            const int rows = n_queries - l, vectors = (ROOM(d) - j) / 16;
            float16 acc[MR][NV];

            begin(acc, out + l * D, rows, vectors, D, j, d, add);
            product(acc, p + l / 16 * 16 * KEYS + l % 16, 1, 16, x + j, vectors < NV ? 0 : 16, X, n_keys);
            end(acc, out + l * D, rows, vectors, D, j, d);
        }
}

/* out[m] (+)= sum over queries of p[m][l] x[l], rows of x at distance X. */
INLINE void over_queries(global float *out, global const float *p, global const float *x, size_t X, int n_keys,
                         int n_queries, size_t D, int d, int add)
{
    for (int j = 0; j < d; j += 16 * NV)
        for (int m = 0; m < n_keys; m += MR) {
            const int rows = n_keys - m, vectors = (ROOM(d) - j) / 16;
            float16 acc[MR][NV];

            begin(acc, out + m * D, rows, vectors, D, j, d, add);
            for (int l = 0; l < n_queries; l += 16)
                product(acc, p + (l * KEYS + m * 16), 16, 1, x + l * X + j, vectors < NV ? 0 : 16, X,
                        min(16, n_queries - l));
            end(acc, out + m * D, rows, vectors, D, j, d);
        }
}

/* One part of the keys of a strip: weights relative to the largest so far; what was summed before shrinks with it. */
INLINE void soften(global float *p, global float *y, float16 *top, float16 *sum, int n_keys, int n_queries, size_t D,
                   int d, float scale, int more)
{
    for (int l = 0; l < n_queries; l += 16, p += 16 * KEYS) {
        float16 most = top[l / 16], total = 0.0f, keep;
        float by[16];

        for (int m = 0; m < n_keys; m++)
            most = fmax(most, GET(p + m * 16));
        for (int m = 0; m < n_keys; m++) {
            const float16 e = vexp(scale * (GET(p + m * 16) - most));

            PUT(e, p + m * 16);
            total += e;
        }
        keep = vexp(scale * (top[l / 16] - most));
        sum[l / 16] = more ? fma(sum[l / 16], keep, total) : total;
        top[l / 16] = most;
        vstore16(keep, 0, by);
        for (int i = 0; more && i < min(16, n_queries - l); i++)
            for (int j = 0; j < d; j += 16)
                PUT_AT(GET_AT(y + (l + i) * D + j, j) * by[i], y + (l + i) * D + j, j);
    }
}

/* y / sum and lse of a strip. */
INLINE void finish(global float *y, global float *lse, const float16 *top, const float16 *sum, int n_queries, size_t D,
                   int d, float scale)
{
    for (int l = 0; l < n_queries; l += 16) {
        float by[16], all[16];

        vstore16(1.0f / sum[l / 16], 0, by);
        vstore16(fma((float16)(scale), top[l / 16], log(sum[l / 16])), 0, all);
        for (int i = 0; i < min(16, n_queries - l); i++) {
            lse[l + i] = all[i];
            for (int j = 0; j < d; j += 16)
                PUT_AT(GET_AT(y + (l + i) * D + j, j) * by[i], y + (l + i) * D + j, j);
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void forward(global const float *q, global const float *k,
                                                                   global const float *v, global float *y,
                                                                   global float *lse, global float *scratch, int stride,
                                                                   int N, int L, int M, int heads, int d, float scale)
{
    const int strips = (L + STRIP - 1) / STRIP;
    const size_t D = (size_t)heads * d;
    global float *p = scratch + get_global_id(0) * (size_t)stride, *queries = p + STRIP * KEYS,
                 *keys = queries + STRIP * ROOM(d), *rows = keys + KEYS * ROOM(d);

    for (int job = (int)get_global_id(0); job < N * heads * strips; job += (int)get_global_size(0)) {
        const int nh = job / strips, n = nh / heads, l0 = job % strips * STRIP, n_queries = min((int)STRIP, L - l0);
        const size_t head = (size_t)(nh % heads) * d, row = (size_t)n * L + l0;
        float16 top[STRIP / 16], sum[STRIP / 16];

        for (int i = 0; i < STRIP / 16; i++)
            top[i] = -1e30f;
        panels(q + row * D + head, queries, n_queries, D, d);
        for (int m0 = 0; m0 < M; m0 += KEYS) {
            const int n_keys = min((int)KEYS, M - m0);
            const size_t at = ((size_t)n * M + m0) * D + head;
            global const float *values;
            size_t step;

            panels(k + at, keys, n_keys, D, d);
            scores(p, keys, queries, n_keys, n_queries, d);
            soften(p, y + row * D + head, top, sum, n_keys, n_queries, D, d, scale, m0 > 0);
            values = readable(v + at, rows, n_keys, D, d, &step);
            over_keys(y + row * D + head, p, values, step, n_keys, n_queries, D, d, m0 > 0);
        }
        finish(y + row * D + head, lse + (size_t)nh * L + l0, top, sum, n_queries, D, d, scale);
    }
}

/* The dot products of 16 rows. */
INLINE float16 row_dots(global const float *a, global const float *b, int rows, size_t D, int d)
{
    float16 dots[16], sum = 0.0f;

    for (int i = 0; i < 16; i++) {
        dots[i] = 0.0f;
        for (int j = 0; j < d && i < rows; j += 16)
            dots[i] = fma(GET_AT(a + i * D + j, j), GET_AT(b + i * D + j, j), dots[i]);
    }
    turn16(dots);
    for (int i = 0; i < 16; i++)
        sum += dots[i];
    return sum;
}

/* p := e^(scale p - lse), ds := scale p (ds - dy . y). */
INLINE void slopes(global float *p, global float *ds, global const float *dy, global const float *y,
                   global const float *lse, int n_keys, int n_queries, size_t D, int d, float scale)
{
    for (int l = 0; l < n_queries; l += 16, p += 16 * KEYS, ds += 16 * KEYS) {
        const float16 delta = row_dots(dy + l * D, y + l * D, n_queries - l, D, d), less = load(lse + l, n_queries - l);

        for (int m = 0; m < n_keys; m++) {
            const float16 e = vexp(fma((float16)(scale), GET(p + m * 16), -less));

            PUT(e, p + m * 16);
            PUT(scale * e * (GET(ds + m * 16) - delta), ds + m * 16);
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
backward(global const float *dy, global const float *q, global const float *k, global const float *v,
         global const float *y, global const float *lse, global float *dq, global float *dk, global float *dv,
         global float *scratch, int stride, int N, int L, int M, int heads, int d, float scale)
{
    const size_t D = (size_t)heads * d;
    global float *p = scratch + get_global_id(0) * (size_t)stride, *ds = p + QUERIES * KEYS,
                 *queries = ds + QUERIES * KEYS;
    global float *keys = queries + QUERIES * ROOM(d), *rows = keys + KEYS * ROOM(d);

    for (int nh = (int)get_global_id(0); nh < N * heads; nh += (int)get_global_size(0)) {
        const size_t head = (size_t)(nh % heads) * d, from_q = (size_t)(nh / heads) * L * D + head,
                     from_k = (size_t)(nh / heads) * M * D + head;

        for (int l0 = 0; l0 < L; l0 += QUERIES)
            for (int m0 = 0; m0 < M; m0 += KEYS) {
                const int n_queries = min((int)QUERIES, L - l0), n_keys = min((int)KEYS, M - m0);
                const size_t at_q = from_q + l0 * D, at_k = from_k + m0 * D;
                global const float *x;
                size_t step;

                for (int i = 0; i < 2; i++) {
                    panels((i ? dy : q) + at_q, queries, n_queries, D, d);
                    panels((i ? v : k) + at_k, keys, n_keys, D, d);
                    scores(i ? ds : p, keys, queries, n_keys, n_queries, d);
                }
                slopes(p, ds, dy + at_q, y + at_q, lse + (size_t)nh * L + l0, n_keys, n_queries, D, d, scale);
                x = readable(k + at_k, rows, n_keys, D, d, &step);
                over_keys(dq + at_q, ds, x, step, n_keys, n_queries, D, d, m0 > 0);
                for (int i = 0; i < 2; i++) {
                    x = readable((i ? dy : q) + at_q, rows, n_queries, D, d, &step);
                    over_queries((i ? dv : dk) + at_k, i ? p : ds, x, step, n_keys, n_queries, D, d, l0 > 0);
                }
            }
    }
}
