/* The gradient of attention by 32 x 32 tiles of sums, for CPU devices: dy, q, y, dq [N,L,D], k, v, dk, dv [N,M,D] of
 * bf16 or, with -DSPLIT, f32; head h is columns [h d, (h+1) d); lse f32[N,heads,L]. SIDE queries and SIDE keys at a
 * time, 32 of these: p and ds against all queries once, keys as rows and queries in the lanes, from which dv and dk
 * follow; ds is kept as pairs of keys for dq, which is summed transposed. Sums over more than SIDE tokens go on from
 * scratch. A work-item takes every get_global_size(0)-th head and has `stride` bytes of scratch, which stay in the
 * cache. Oracle: tests/ops/attention.c. */
#include "attention/attention_bf16.clh"
#include "turn16.clh"

TILES_OF(private, global)
TILES_OF(global, global)

/* The first or the second half of the steps of sums[32][32] = 32 tokens of ROWS against 32 of COLS, over 32 wide:
 * weights are made meanwhile. TILES_STORE follows when the sums are there, since stores behind it would wait for it. */
#define HALF_SCORES(sums, second, rows, cols, wide)                                                                    \
    do {                                                                                                               \
        const int first_steps = (wide) / 2, from = (second) ? first_steps * TILE_BYTES : 0;                            \
        global const uchar *at_a = (rows) + from, *at_b = (cols) + from;                                               \
        if (!(second)) {                                                                                               \
            TILES_ZERO(sums);                                                                                          \
        }                                                                                                              \
        TILES_DOT(private, global, sums, at_a, at_a + (wide) * TILE_BYTES, 64, TILE_BYTES, LO, at_b,                   \
                  at_b + (wide) * TILE_BYTES, TILE_BYTES, LO, (second) ? (wide) - first_steps : first_steps, 1);       \
    } while (0)

/* delta[l] = dy . y of 16 rows, `rows` of them there. */
INLINE float16 row_dots(global const T *dy, global const T *y, int rows, size_t D, int d)
{
    float16 dots[16];

    for (int i = 0; i < 16; i++) {
        dots[i] = 0.0f;
        for (int j = 0; j < d && i < rows; j += 16)
            dots[i] = fma(get(dy + i * D + j, d - j), get(y + i * D + j, d - j), dots[i]);
    }
    return sum_of(dots);
}

/* What weights of queries need: -lse / ln 2 and delta; those behind the last weigh nothing, since their rows are zeros.
 */
INLINE void of_queries(global const T *dy, global const T *y, global const float *lse, global float *less,
                       global float *delta, int n, size_t D, int d)
{
    for (int l = 0; l < (n + 31) / 32 * 32; l += 16) {
        GLOBAL_PUT(l < n ? some_f32(lse + l, n - l) * -LOG2_E : (float16)(0.0f), less + l);
        GLOBAL_PUT(row_dots(dy + l * D, y + l * D, n - l, D, d), delta + l);
    }
}

/* Weights as rows of 32 queries, upper and lower parts. */
INLINE void put_weights(float16 first, float16 second, global uchar *to)
{
    const halves a = halve(first), b = halve(second);

    *(global uint16_there *)to = pair_high(a, b);
#ifdef SPLIT
    *(global uint16_there *)(to + LO_ROW) = pair_low(a, b);
#endif
}

INLINE void put_pairs(float16 first, float16 second, global uchar *to)
{
    const halves a = halve(first), b = halve(second);

    *(global uint16_there *)to = pair_high(a, b);
#ifdef SPLIT
    *(global uint16_there *)(to + LO) = pair_low(a, b);
#endif
}

/* Of a quarter of 32 keys against 32 queries, from s = k q' and t = v dy': p = 2^(c s - lse / ln 2), ds = p (t -
 * delta). */
INLINE void weights_of(const float *s, const float *t, int quarter, global const float *less, global const float *delta,
                       float c, global uchar *p, global uchar *ds, global uchar *pairs)
{
    for (int i = quarter * 4; i < quarter * 4 + 4; i++) {
        float16 w[2][2], slope[2][2];

        _Pragma("unroll") for (int e = 0; e < 4; e++) {
            const int at = (i + e / 2 * 16) * 32 + e % 2 * 16;

            w[e / 2][e % 2] = two_to(fma(GET(s + at), (float16)(c), GLOBAL_GET(less + e % 2 * 16)));
            slope[e / 2][e % 2] = w[e / 2][e % 2] * (GET(t + at) - GLOBAL_GET(delta + e % 2 * 16));
        }
        _Pragma("unroll") for (int e = 0; e < 2; e++) {
            put_weights(w[e][0], w[e][1], p + (i + e * 16) * ROW);
            put_weights(slope[e][0], slope[e][1], ds + (i + e * 16) * ROW);
            put_pairs(slope[0][e], slope[1][e], pairs + e * TILE_BYTES + i * 64);
        }
    }
}

/* 32 columns of rows of x from sums[32][32]. */
INLINE void put_rows(global const float *sums, float by, global T *to, int rows, size_t D, int d)
{
    for (int i = 0; i < rows; i++) {
        put(GLOBAL_GET(sums + i * 32) * by, to + i * D, d);
        if (d > 16)
            put(GLOBAL_GET(sums + i * 32 + 16) * by, to + i * D + 16, d - 16);
    }
}

/* The same, transposed. */
INLINE void put_columns(global const float *sums, float by, global T *to, int rows, size_t D, int d)
{
    for (int part = 0; part < 4; part++) {
        const int down = part / 2 * 16, across = part % 2 * 16;
        float16 v[16];

        for (int i = 0; i < 16; i++)
            v[i] = GLOBAL_GET(sums + (across + i) * 32 + down);
        turn16(v);
        for (int i = 0; i < min(16, rows - down) && across < d; i++)
            put(v[i] * by, to + (down + i) * D + across, d - across);
    }
}

/* Numbers of keys behind the last: no weight, and no infinity that zeros would make NaN. */
INLINE void blank(float *s, int rows)
{
    for (int i = rows * 2; i < 64; i++)
        vstore16((float16)(-1e30f), i, s);
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
backward(global const T *dy, global const T *q, global const T *k, global const T *v, global const T *y,
         global const float *lse, global T *dq, global T *dk, global T *dv, global uchar *scratch, int stride, int N,
         int L, int M, int heads, int d, int dp, int lp, int mp, float scale)
{
    const int wide = dp / 32, parts = (L + SIDE - 1) / SIDE, key_parts = (M + SIDE - 1) / SIDE;
    const int form = min((int)SIDE, lp) * dp * 2 * PARTS, key_form = 32 * dp * 2 * PARTS,
              sides = min((int)SIDE, lp) * min((int)SIDE, mp);
    const size_t D = (size_t)heads * d;
    global uchar *cols = scratch + get_global_id(0) * (size_t)stride, *pairs = cols + 2 * form,
                 *rows = pairs + 2 * form, *turned = rows + 2 * key_form;
    global uchar *p = turned + min((int)SIDE, mp) * dp * 2 * PARTS, *ds = p + SIDE / 32 * BLOCK,
                 *slopes = ds + SIDE / 32 * BLOCK;
    global float *less = (global float *)(slopes + sides * 2 * PARTS), *delta = less + SIDE;
    global float *acc_q = delta + SIDE, *acc_k = acc_q + (key_parts > 1 ? SIDE * dp : 1024);
    global T *spare = (global T *)(acc_k + (parts > 1 ? 2 * mp * dp : 1024));
    float s[2][1024] __attribute__((aligned(64))), t[2][1024] __attribute__((aligned(64)));
    TILES_BEGIN;

    for (int nh = (int)get_global_id(0); nh < N * heads; nh += (int)get_global_size(0))
        for (int job = 0; job < parts * key_parts; job++) {
            const int part = job / key_parts, key_part = job % key_parts;
            const int n_queries = min((int)SIDE, L - part * SIDE), n_keys = min((int)SIDE, M - key_part * SIDE);
            const int blocks = (n_queries + 31) / 32, key_blocks = (n_keys + 31) / 32;
            const size_t head = (size_t)(nh % heads) * d, at_q = ((size_t)(nh / heads) * L + part * SIDE) * D + head;
            const size_t at_k = ((size_t)(nh / heads) * M + key_part * SIDE) * D + head;

            for (int i = 0; i < 4 && key_part == 0; i++)
                arrange((i % 2 ? dy : q) + at_q, (i < 2 ? cols : pairs) + i % 2 * form, i < 2 ? COLS : PAIRS_OF_TOKENS,
                        n_queries, D, d, dp, spare);
            if (key_part == 0)
                of_queries(dy + at_q, y + at_q, lse + (size_t)nh * L + part * SIDE, less, delta, n_queries, D, d);
            arrange(k + at_k, turned, TURNED, n_keys, D, d, dp, spare);
            for (int b = 0; b < key_blocks; b++) {
                const int left = min(32, n_keys - b * 32);

                for (int i = 0; i < 2; i++)
                    arrange((i ? v : k) + at_k + b * 32 * D, rows + i * key_form, ROWS, left, D, d, dp, spare);
                for (int a = -1; a < blocks; a++) /* scores of the next queries, weights of these */
                    for (int quarter = 0; quarter < 4; quarter++) {
                        float *next = quarter < 2 ? s[(a + 1) % 2] : t[(a + 1) % 2];

                        if (a + 1 < blocks)
                            HALF_SCORES(next, quarter % 2, rows + quarter / 2 * key_form,
                                        cols + quarter / 2 * form + (a + 1) * key_form, wide);
                        if (a >= 0 && quarter == 0 && left < 32)
                            blank(s[a % 2], left);
                        if (a >= 0)
                            weights_of(s[a % 2], t[a % 2], quarter, less + a * 32, delta + a * 32, scale * LOG2_E,
                                       p + a * BLOCK, ds + a * BLOCK, slopes + (a * key_blocks + b) * 2 * TILE_BYTES);
                        if (a + 1 < blocks && quarter % 2)
                            TILES_STORE(next);
                    }
                for (int i = 0; i < 2 * wide; i++) {
                    global uchar *w = i % 2 ? ds : p;
                    const int block = (key_part * SIDE / 32 + b) * wide + i / 2;
                    global float *sums = acc_k + (parts > 1 ? block * 2 + i % 2 : 0) * (size_t)1024;

                    ADD_TOKENS(global, sums, part, w, w + 16 * ROW, ROW, BLOCK, LO_ROW,
                               pairs + (i % 2 ? 0 : form) + i / 2 * blocks * 2 * TILE_BYTES, blocks);
                    if (part == parts - 1)
                        put_rows(sums, i % 2 ? scale : 1.0f, (i % 2 ? dk : dv) + at_k + b * 32 * D + i / 2 * 32, left,
                                 D, d - i / 2 * 32);
                }
            }
            for (int i = 0; i < blocks * wide; i++) {
                const int a = i / wide, j = i % wide;
                global float *sums = acc_q + (key_parts > 1 ? i * 1024 : 0);
                global uchar *side = turned + j * key_blocks * 2 * TILE_BYTES;

                ADD_TOKENS(global, sums, key_part, side, side + TILE_BYTES, 64, 2 * TILE_BYTES, LO,
                           slopes + a * key_blocks * 2 * TILE_BYTES, key_blocks);
                if (key_part == key_parts - 1)
                    put_columns(sums, scale, dq + at_q + a * 32 * D + j * 32, min(32, n_queries - a * 32), D,
                                d - j * 32);
            }
        }
    TILES_END;
}
