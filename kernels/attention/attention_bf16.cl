/* y = softmax(q k' / sqrt(d)) v for each head by 32 x 32 tiles of sums, for CPU devices: q, y [N,L,D], k, v [N,M,D] of
 * bf16 or, with -DSPLIT, f32; head h is columns [h d, (h+1) d); lse f32[N,heads,L]. A job is a strip of queries of a
 * head. It goes through the keys by SIDE at a time: arranges them, then for each 32 of its queries has scores (queries
 * as rows, keys in lanes), weights in their place, and their sum of values. What was summed before shrinks as a larger
 * score comes. A work-item takes every get_global_size(0)-th job and has `stride` bytes of scratch, which stay in the
 * cache. Oracle: tests/ops/attention.c. */
#include "attention/attention_bf16.clh"

TILES_OF(local, global)
TILES_OF(global, local)

/* sums[32][32] = 32 tokens of ROWS against 32 of COLS, over dp. */
#define SCORES(sums, rows, cols, dp)                                                                                   \
    do {                                                                                                               \
        TILES_ZERO(sums);                                                                                              \
        TILES_DOT(local, global, sums, rows, (rows) + (dp) / 32 * TILE_BYTES, 64, TILE_BYTES, LO, cols,                \
                  (cols) + (dp) / 32 * TILE_BYTES, TILE_BYTES, LO, (dp) / 32, 1);                                      \
        TILES_STORE(sums);                                                                                             \
    } while (0)

/* 32 rows of n scores: weights relative to the largest so far. by[i]: what the sums of before shrink by. */
INLINE void soften(local uchar *s, int blocks, float c, global float *top, global float *sum, float *by, int more)
{
    float16 most[2][16];
    float less[32];

    for (int i = 0; i < 32; i++) {
        local const float *p = (local const float *)(s + i * ROW);
        float16 m = LOCAL_GET(p), other = LOCAL_GET(p + 16);

        for (int b = 1; b < blocks; b++) {
            p += BLOCK / 4;
            m = MOST(LOCAL_GET(p), m);
            other = MOST(LOCAL_GET(p + 16), other);
        }
        most[i / 16][i % 16] = MOST(m, other);
    }
    for (int part = 0; part < 2; part++) {
        const float16 before = more ? GLOBAL_GET(top + part * 16) : (float16)(-1e30f), last = most_of(most[part]),
                      now = MOST(last, before);

        vstore16(two_to(c * (before - now)), part, by);
        vstore16(-c * now, part, less);
        GLOBAL_PUT(now, top + part * 16);
    }
    for (int i = 0; i < 32; i++)
        GLOBAL_PUT(more ? GLOBAL_GET(sum + i * 16) * by[i] : (float16)(0.0f), sum + i * 16);
    for (int b = 0; b < blocks; b++)
        for (int i = 0; i < 32; i++) {
            local uchar *p = s + b * BLOCK + i * ROW;
            const float16 u = two_to(fma(LOCAL_GET((local float *)p), (float16)(c), (float16)(less[i])));
            const float16 v = two_to(fma(LOCAL_GET((local float *)p + 16), (float16)(c), (float16)(less[i])));
            const halves first = halve(u), second = halve(v);

            GLOBAL_PUT(GLOBAL_GET(sum + i * 16) + (u + v), sum + i * 16);
            *(local uint16_there *)p = pair_high(first, second);
#ifdef SPLIT
            *(local uint16_there *)(p + LO_ROW) = pair_low(first, second);
#endif
        }
}

/* Scores of keys behind the last weigh nothing. */
INLINE void blank(local uchar *s, int left)
{
    for (int i = 0; i < 32; i++)
        for (int j = left; j < 32; j++)
            ((local float *)(s + i * ROW))[j] = -1e30f;
}

/* s: BLOCK bytes for each 32 of SIDE keys. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
forward(global const T *q, global const T *k, global const T *v, global T *y, global float *lse, global uchar *scratch,
        int stride, int N, int L, int M, int heads, int d, int dp, int strip, float scale, local uchar *s)
{
    const int strips = (L + strip - 1) / strip, parts = (M + SIDE - 1) / SIDE, form = SIDE * dp * 2 * PARTS,
              wide = dp / 32;
    const size_t D = (size_t)heads * d;
    global uchar *cols = scratch + get_global_id(0) * (size_t)stride, *pairs = cols + form, *rows = pairs + form;
    global float *top = (global float *)(rows + strip * dp * 2 * PARTS), *sum = top + strip, *acc = sum + strip * 16;
    global T *spare = (global T *)(acc + (parts > 1 ? strip * dp : 1024));
    TILES_BEGIN;

    for (int job = (int)get_global_id(0); job < N * heads * strips; job += (int)get_global_size(0)) {
        const int nh = job / strips, n = nh / heads, l0 = job % strips * strip, n_queries = min(strip, L - l0);
        const size_t head = (size_t)(nh % heads) * d, row = (size_t)n * L + l0;

        arrange(q + row * D + head, rows, ROWS, n_queries, D, d, dp, spare);
        for (int part = 0; part < parts; part++) {
            const int n_keys = min((int)SIDE, M - part * SIDE), blocks = (n_keys + 31) / 32;

            for (int i = 0; i < 2; i++)
                arrange((i ? v : k) + ((size_t)n * M + part * SIDE) * D + head, i ? pairs : cols,
                        i ? PAIRS_OF_TOKENS : COLS, n_keys, D, d, dp, spare);
            for (int l = 0; l < n_queries; l += 32) {
                float by[32], over[32], logs[32];

                for (int b = 0; b < blocks; b++)
                    SCORES((local float *)(s + b * BLOCK), rows + l * dp * 2 * PARTS, cols + b * 32 * dp * 2 * PARTS,
                           dp);
                if (n_keys < blocks * 32)
                    blank(s + (blocks - 1) * BLOCK, n_keys % 32);
                soften(s, blocks, scale * LOG2_E, top + l, sum + l * 16, by, part > 0);
                for (int half_block = 0; half_block < 2 && part == parts - 1; half_block++) {
                    float16 all[16], total;

                    for (int i = 0; i < 16; i++)
                        all[i] = GLOBAL_GET(sum + (l + half_block * 16 + i) * 16);
                    total = sum_of(all);
                    vstore16(1.0f / total, half_block, over);
                    vstore16(fma((float16)(scale), GLOBAL_GET(top + l + half_block * 16), log(total)), half_block,
                             logs);
                }
                for (int i = l; i < min(l + 32, n_queries) && part == parts - 1; i++)
                    lse[(size_t)nh * L + l0 + i] = logs[i - l];
                for (int j = 0; j < wide; j++) {
                    global float *sums = acc + (parts > 1 ? (l / 32 * wide + j) * 1024 : 0);

                    for (int i = 0; i < 64 && part; i++)
                        GLOBAL_PUT(GLOBAL_GET(sums + i * 16) * by[i / 2], sums + i * 16);
                    ADD_TOKENS(local, sums, part, s, s + 16 * ROW, ROW, BLOCK, LO_ROW,
                               pairs + j * blocks * 2 * TILE_BYTES, blocks);
                    for (int i = 0; i < min(32, n_queries - l) && part == parts - 1; i++) {
                        global T *to = y + (row + l + i) * D + head + j * 32;

                        put(GLOBAL_GET(sums + i * 32) * over[i], to, d - j * 32);
                        if (d - j * 32 > 16)
                            put(GLOBAL_GET(sums + i * 32 + 16) * over[i], to + 16, d - j * 32 - 16);
                    }
                }
            }
        }
    }
    TILES_END;
}
