/* y = softmax(q k' / sqrt(d)) v of bf16 for each head, and its gradient, by 32 x 32 tiles of f32 sums, for CPU devices.
 * q, y bf16[N,L,D], k, v bf16[N,M,D]; head h is columns [h d, (h+1) d); lse f32[N,heads,L].
 * `arrange` makes what tiles read, for each head of the slice of `count` examples from n0 on, tokens and d padded with
 * zeros to multiples of 32 (tp, dp), in one of three forms of tp x dp elements:
 *   ROWS  [tp/16][dp/32][16 tokens][32]: the left side of a product over d
 *   COLS  [tp/16][dp/32][16 pairs of d][16 tokens][2]: the right side of it
 *   PAIRS [tp/32][dp/16][16 pairs of tokens][16 of d][2]: the right side of a product over tokens
 * Scores stand with keys as rows and queries in the lanes. A work-item takes 32 queries (or keys) of a head; its
 * local memory has f32 scores and bf16 weights. Offsets into scratch are in units of 64 bytes.
 * Oracle tests/ops/attention.c. */
#include "vec.clh"
#include "bf16.clh"
#include "conv/bf16_tiles.clh"

enum { UNIT = 32, TILE = 512 }; /* elements of 64 bytes, and of a tile */
enum { ROWS, COLS, PAIRS_OF_TOKENS };

/* Launch: {tp / 32, count heads}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
arrange(global const ushort *x, global ushort *scratch, int to, int form, int n0, int T, int heads, int d, int dp)
{
    const int block = (int)get_global_id(0), nh = (int)get_global_id(1), tp = (int)get_global_size(0) * 32, D = heads * d;
    global const ushort *from = x + ((size_t)(n0 + nh / heads) * T + block * 32) * D + nh % heads * d;
    global uint *y = (global uint *)(scratch + (size_t)to * UNIT + ((size_t)nh * tp + block * 32) * dp);

    for (int j = 0; j < dp; j += 32)
        for (int half_block = 0; half_block < 2; half_block++) {
            global uint *p = form == PAIRS_OF_TOKENS ? y + (j / 16 + half_block) * (TILE / 2) : y + (half_block * (dp / 32) + j / 32) * (TILE / 2);
            uint16 v[16];

            if (form == PAIRS_OF_TOKENS) {
                const int at = j + half_block * 16;

                for (int i = 0; i < 16; i++) {
                    const int t = block * 32 + 2 * i;
                    const ushort16 a = t < T && at < d ? some_bf16(from + (long)(2 * i) * D + at, d - at) : (ushort16)(0);
                    const ushort16 b = t + 1 < T && at < d ? some_bf16(from + (long)(2 * i + 1) * D + at, d - at) : (ushort16)(0);

                    vstore16(pair_up(a, b), i, p);
                }
                continue;
            }
            for (int i = 0; i < 16; i++) {
                const int t = half_block * 16 + i;
                const bool there = block * 32 + t < T;

                v[i] = there ? some_words(from + (long)t * D + j, d - j) : (uint16)(0);
            }
            if (form == COLS)
                transpose16(v);
            for (int i = 0; i < 16; i++)
                vstore16(v[i], i, p);
        }
}

/* delta[to + (n,h,l)] = dy . y of the head, 0 behind L. Launch: {tp, count heads}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
deltas(global const ushort *dy, global const ushort *y, global float *scratch, int to, int n0, int L, int heads, int d)
{
    const int l = (int)get_global_id(0), nh = (int)get_global_id(1);
    const size_t at = ((size_t)(n0 + nh / heads) * L + l) * heads * d + nh % heads * d;
    float16 s = 0.0f;

    for (int j = 0; j < d && l < L; j += 16)
        s = fma(from_bf16(some_bf16(dy + at + j, d - j)), from_bf16(some_bf16(y + at + j, d - j)), s);
    scratch[(size_t)to * 16 + (size_t)nh * get_global_size(0) + l] = lanes_sum(s);
}

/* sums[32][32] = 32 rows of ROWS against 32 columns of COLS, over dp. */
#define SCORES(sums, rows, cols, dp)                                                                                   \
    do {                                                                                                               \
        TILES_ZERO(sums);                                                                                              \
        tiles_dot(PTR(sums), PTR(rows), PTR((rows) + 16 * (dp)), 64, 1024, 0, PTR(cols), PTR((cols) + 16 * (dp)),      \
                  1024, 0, (dp) / 32, 1);                                                                              \
        TILES_STORE(sums);                                                                                             \
    } while (0)

/* 32 rows of weights [steps][2][16][32] times PAIRS_OF_TOKENS [steps][dp / 16], row i by k[i], to rows of `out` at distance
 * D: `rows` of them, d columns. */
static inline void mix(local const ushort *weights, global const ushort *pairs, int steps, int dp, const float *k, global ushort *out, int rows,
                       int D, int d)
{
    float sums[1024] __attribute__((aligned(64)));

    for (int j = 0; j < d; j += 32) {
        TILES_ZERO(sums);
        tiles_dot(PTR(sums), PTR(weights), PTR(weights + TILE), 64, 2048, 0, PTR(pairs + j / 16 * TILE),
                  PTR(pairs + (j / 16 + 1) * TILE), dp / 16 * 1024, 0, steps, 1);
        TILES_STORE(sums);
        for (int i = 0; i < rows; i++) {
            put_bf16(vload16(2 * i, sums) * k[i], out + (long)i * D + j, d - j);
            if (j + 16 < d)
                put_bf16(vload16(2 * i + 1, sums) * k[i], out + (long)i * D + j + 16, d - j - 16);
        }
    }
}

/* Keys as rows, queries in lanes, to [2][16 queries][32 keys]: pairs of rows, transposed. */
static inline void turn(const float16 *p, local ushort *to)
{
    for (int part = 0; part < 2; part++) {
        uint16 v[16];

        _Pragma("unroll") for (int i = 0; i < 16; i++)
            v[i] = pair_up(to_bf16(p[4 * i + part]), to_bf16(p[4 * i + 2 + part]));
        transpose16(v);
        _Pragma("unroll") for (int i = 0; i < 16; i++)
            vstore16(v[i], i, (local uint *)(to + part * TILE));
    }
}

/* Launch: {lp / 32, count heads}. scores: f32[mp][32]; weights: bf16[mp / 32][2][16][32]. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
forward(global const ushort *scratch, int krows, int qcols, int vpairs, global ushort *y, global float *lse, int n0, int L, int M, int heads, int d,
        int dp, float scale, local float *scores, local ushort *weights)
{
    const int block = (int)get_global_id(0), nh = (int)get_global_id(1), lp = (int)get_global_size(0) * 32, mp = (M + 31) / 32 * 32;
    const int rows = min(32, L - block * 32), n = n0 + nh / heads, h = nh % heads, D = heads * d;
    global const ushort *k = scratch + (size_t)krows * UNIT + (size_t)nh * mp * dp;
    global const ushort *q = scratch + (size_t)qcols * UNIT + ((size_t)nh * lp + block * 32) * dp;
    float16 top[2] = {-1e30f, -1e30f}, sum[2] = {0.0f, 0.0f}, p[64];
    float by[32], logs[32];
    TILES_BEGIN;

    for (int m = 0; m < mp; m += 32) {
        SCORES(scores + m * 32, k + (long)m * dp, q, dp);
        for (int i = m; i < min(m + 32, M); i++) {
            top[0] = fmax(top[0], vload16(2 * i, scores));
            top[1] = fmax(top[1], vload16(2 * i + 1, scores));
        }
    }
    for (int m = 0; m < mp; m += 32) {
        for (int i = 0; i < 64; i++) {
            p[i] = m + i / 2 < M ? vexp(scale * (vload16(2 * m + i, scores) - top[i % 2])) : (float16)(0.0f);
            sum[i % 2] += p[i];
        }
        turn(p, weights + m * 32);
    }
    for (int part = 0; part < 2; part++) {
        vstore16(1.0f / sum[part], part, by);
        vstore16(scale * top[part] + log(sum[part]), part, logs);
    }
    for (int i = 0; i < rows; i++)
        lse[((size_t)n * heads + h) * L + block * 32 + i] = logs[i];
    mix(weights, scratch + (size_t)vpairs * UNIT + (size_t)nh * mp * dp, mp / 32, dp, by, y + ((size_t)n * L + block * 32) * D + h * d, rows, D, d);
    TILES_END;
}

/* What both gradients begin with, of 32 keys against 32 queries: p = e^(scale s - lse), ds = p (dp - delta) scale. */
static inline void weights_of(const float *s, const float *dp, const float16 *less, const float16 *delta, float scale, float16 *p, float16 *ds)
{
    for (int i = 0; i < 64; i++) {
        p[i] = vexp(fma((float16)(scale), vload16(i, s), -less[i % 2]));
        ds[i] = scale * p[i] * (vload16(i, dp) - delta[i % 2]);
    }
}

/* lse and delta of 32 queries; those behind L weigh nothing, since their rows are zeros. */
static inline void of_queries(global const float *lse, global const float *delta, int left, float16 *less, float16 *d)
{
    for (int part = 0; part < 2; part++) {
        less[part] = left > 16 * part ? some_f32(lse + 16 * part, left - 16 * part) : (float16)(0.0f);
        d[part] = vload16(part, delta);
    }
}

/* dq of 32 queries. Launch: {lp / 32, count heads}. weights: bf16[mp / 32][2][16][32]. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
backward_q(global const ushort *scratch, int krows, int vrows, int qcols, int dycols, int kpairs, int delta, global const float *lse,
           global ushort *dq, int n0, int L, int M, int heads, int d, int dp, float scale, local ushort *weights)
{
    const int block = (int)get_global_id(0), nh = (int)get_global_id(1), lp = (int)get_global_size(0) * 32, mp = (M + 31) / 32 * 32;
    const int n = n0 + nh / heads, h = nh % heads, D = heads * d;
    const size_t keys = (size_t)nh * mp * dp, queries = ((size_t)nh * lp + block * 32) * dp;
    float s[1024] __attribute__((aligned(64))), t[1024] __attribute__((aligned(64))), one[32];
    float16 less[2], minus[2], p[64], ds[64];
    TILES_BEGIN;

    of_queries(lse + ((size_t)n * heads + h) * L + block * 32, (global const float *)scratch + (size_t)delta * 16 + (size_t)nh * lp + block * 32,
               L - block * 32, less, minus);
    for (int i = 0; i < 32; i++)
        one[i] = 1.0f;
    for (int m = 0; m < mp; m += 32) {
        SCORES(s, scratch + (size_t)krows * UNIT + keys + (long)m * dp, scratch + (size_t)qcols * UNIT + queries, dp);
        SCORES(t, scratch + (size_t)vrows * UNIT + keys + (long)m * dp, scratch + (size_t)dycols * UNIT + queries, dp);
        weights_of(s, t, less, minus, scale, p, ds);
        turn(ds, weights + m * 32);
    }
    mix(weights, scratch + (size_t)kpairs * UNIT + keys, mp / 32, dp, one, dq + ((size_t)n * L + block * 32) * D + h * d, min(32, L - block * 32), D,
        d);
    TILES_END;
}

/* dk and dv of 32 keys. Launch: {mp / 32, count heads}. pw, dw: bf16[lp / 32][2][16][32]. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
backward_kv(global const ushort *scratch, int krows, int vrows, int qcols, int dycols, int qpairs, int dypairs, int delta, global const float *lse,
            global ushort *dk, global ushort *dv, int n0, int L, int M, int heads, int d, int dp, float scale, local ushort *pw, local ushort *dw)
{
    const int block = (int)get_global_id(0), nh = (int)get_global_id(1), mp = (int)get_global_size(0) * 32, lp = (L + 31) / 32 * 32;
    const int n = n0 + nh / heads, h = nh % heads, D = heads * d, rows = min(32, M - block * 32);
    const size_t keys = ((size_t)nh * mp + block * 32) * dp, queries = (size_t)nh * lp * dp, out = ((size_t)n * M + block * 32) * D + h * d;
    float s[1024] __attribute__((aligned(64))), t[1024] __attribute__((aligned(64))), one[32];
    float16 less[2], minus[2], p[64], ds[64];
    TILES_BEGIN;

    for (int i = 0; i < 32; i++)
        one[i] = 1.0f;
    for (int l = 0; l < lp; l += 32) {
        SCORES(s, scratch + (size_t)krows * UNIT + keys, scratch + (size_t)qcols * UNIT + queries + (long)l * dp, dp);
        SCORES(t, scratch + (size_t)vrows * UNIT + keys, scratch + (size_t)dycols * UNIT + queries + (long)l * dp, dp);
        of_queries(lse + ((size_t)n * heads + h) * L + l, (global const float *)scratch + (size_t)delta * 16 + (size_t)nh * lp + l, L - l, less,
                   minus);
        weights_of(s, t, less, minus, scale, p, ds);
        for (int i = 0; i < 64; i++) {
            *(local ushort16 *)(pw + l * 32 + i * 16) = to_bf16(p[i]);
            *(local ushort16 *)(dw + l * 32 + i * 16) = to_bf16(ds[i]);
        }
    }
    mix(pw, scratch + (size_t)dypairs * UNIT + queries, lp / 32, dp, one, dv + out, rows, D, d);
    mix(dw, scratch + (size_t)qpairs * UNIT + queries, lp / 32, dp, one, dk + out, rows, D, d);
    TILES_END;
}
