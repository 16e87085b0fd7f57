/* Gradient of a convolution of bf16 with respect to its weights, for CPU devices: products of tiles whose sums run
 * over pixels, so that both operands are first rearranged for a range of images.
 *   x bf16[N,H,W,C], dy bf16[N,OH,OW,O] in, dw f32[O,C,k k] out
 * `join` neighbouring images make one strip. Its pixels are numbered by output row and `pitch` (zeros of dy between the
 * rows, and between images whose rows number image_rows); x as `stride`^2 planes of pixels that a tap reads as
 * neighbours: rows  bf16[strips][O/32][pixels/32][2][16 o][32 pixels] pairs bf16[strips][planes][2][C/16][pairs][16
 * c][2]: pairs that begin at even pixels, then at odd ones part  f32[parts][O/32][C/32][k k][32 o][32 c], one part for
 * each range of strips Of 32 outputs or channels, the even ones come first, since words of two neighbours are taken
 * apart without shuffles. -DSPLIT: x and dy are f32, split in two bf16 each (bf16x3, bf16_tiles.clh). Each step of rows
 * is then two tiles of upper parts and two of lower ones; behind the upper parts of all pairs of a strip are the lower
 * ones; and of 32 outputs or channels, the first 16 come first, as words are made of i and i + 16. They lie one behind
 * the other in one scratch, at offsets that kernels get in units of 64 bytes. The sum over a range, and the sum of the
 * ranges, have a fixed order. Oracle: tests/ops/conv2d.c. */
#include "bf16.clh"
#include "conv/bf16_tiles.clh"

TILES_OF(global, global)

enum { UNIT = 32 }; /* elements of 64 bytes */

#ifdef SPLIT
typedef float TX;
enum { PARTS = 2 }; /* bf16 of a number */
/* Where output or channel i of 32 is; 32 of them in order. */
#define OUTPUT(i) (i)
#define IN_ORDER(a, b, to)                                                                                             \
    do {                                                                                                               \
        vstore16(a, 0, to);                                                                                            \
        vstore16(b, 1, to);                                                                                            \
    } while (0)

static inline void words_of(global const float *p, int left, uint16 *e) { e[0] = split_some(p, left, &e[1]); }
#else
typedef ushort TX;
enum { PARTS = 1 };
#define OUTPUT(i) ((i) % 2 * 16 + (i) / 2)
#define IN_ORDER(a, b, to)                                                                                             \
    do {                                                                                                               \
        vstore16(as_float16(ZIP_LOW(as_uint16(a), as_uint16(b))), 0, to);                                              \
        vstore16(as_float16(ZIP_HIGH(as_uint16(a), as_uint16(b))), 1, to);                                             \
    } while (0)

static inline void words_of(global const ushort *p, int left, uint16 *e) { e[0] = some_words(p, left); }
#endif

/* Words of two channels, of two pixels: pairs of the channels in the lower halves, of those in the upper ones. */
#define EVENS(a, b) (((a) & 0xffffu) | (b) << 16)
#define ODDS(a, b) ((a) >> 16 | ((b) & 0xffff0000u))

/* 32 outputs of a strip of dy to its rows; `left` outputs are there. */
static inline void strip_rows(global const TX *dy, global ushort *rows, int left, int images, int image_rows, int OH,
                              int OW, int O, int pitch, int steps)
{
    global uint *to = (global uint *)rows;
    int m = 0, h = 0, v = 0;

    for (int step = 0; step < steps; step++, to += PARTS * 512) {
        uint16 t[PARTS][2][16];

        for (int i = 0; i < 16; i++) {
            uint16 e[2][PARTS];

            _Pragma("unroll") for (int j = 0; j < 2; j++) {
                _Pragma("unroll") for (int part = 0; part < PARTS; part++)
                    e[j][part] = 0;
                if (m < images && h < OH && v < OW) { /* pixels and images are neighbours */
                    words_of(dy, left, e[j]);
                    dy += O;
                }
                if (++v == pitch) {
                    v = 0;
                    if (++h == image_rows) {
                        h = 0;
                        m++;
                    }
                }
            }
            _Pragma("unroll") for (int part = 0; part < PARTS; part++) {
                t[part][0][i] = EVENS(e[0][part], e[1][part]);
                t[part][1][i] = ODDS(e[0][part], e[1][part]);
            }
        }
        _Pragma("unroll") for (int part = 0; part < PARTS; part++)
            _Pragma("unroll") for (int side = 0; side < 2; side++) {
                transpose16(t[part][side]);
                _Pragma("unroll") for (int i = 0; i < 16; i++)
                    PUT_WORDS(t[part][side][i], global, to + ((part * 2 + side) * 16 + i) * 16);
            }
    }
}

/* 32 channels of a strip of x to a plane of its pairs, of which `even` and `odd` are the first, lower parts `lo` words
 * behind; `left` channels are there. */
static inline void strip_pairs(global const TX *x, global uint *even, global uint *odd, int left, int plane, int images,
                               int image_rows, int H, int W, int C, int stride, int pad, int pitch, int count,
                               size_t lo)
{
    const int h0 = plane / stride - pad, v0 = plane % stride - pad;
    global const TX *line = x + (long)h0 * W * C;
    uint16 last[PARTS] = {0};
    int m = 0, row = 0, column = 0, h = h0, v = v0;

    for (int i = 0; i <= 2 * count; i++) {
        global uint *to = (i % 2 ? even : odd) + (i - 1) / 2 * 16;
        uint16 e[PARTS];

        _Pragma("unroll") for (int part = 0; part < PARTS; part++)
            e[part] = 0;
        if (h >= 0 && h < H && v >= 0 && v < W && m < images)
            words_of(line + (long)v * C, left, e);
        _Pragma("unroll") for (int part = 0; part < PARTS; part++, to += lo) {
            if (i) {
                PUT_WORDS(EVENS(last[part], e[part]), global, to);
                PUT_WORDS(ODDS(last[part], e[part]), global, to + (long)count * 16);
            }
            last[part] = e[part];
        }
        v += stride;
        if (++column == pitch) {
            column = 0;
            v = v0;
            h += stride;
            if (++row == image_rows) {
                row = 0;
                h = h0;
                m++;
            }
            line = x + ((long)m * H + h) * W * C;
        }
    }
}

/* Elements of a strip's rows and pairs. */
#define ROWS_SIZE(blocks, steps) ((size_t)(blocks) * (steps) * 1024 * PARTS)
#define PAIRS_SIZE(planes, wide, count) (PAIRS_PART(planes, wide, count) * PARTS)
#define PAIRS_PART(planes, wide, count) ((size_t)(planes) * 4 * (wide) * (count) * 32)

/* From strip n0 on. Launch: {strips, O / 32}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void arrange_dy(global const TX *dy, global ushort *rows, int n0,
                                                                      int N, int join, int image_rows, int OH, int OW,
                                                                      int O, int pitch, int steps)
{
    const int m = (int)get_global_id(0), block = (int)get_global_id(1), first = (n0 + m) * join;

    strip_rows(dy + (size_t)first * OH * OW * O + block * 32,
               rows + m * ROWS_SIZE(get_global_size(1), steps) + block * ROWS_SIZE(1, steps), O - block * 32,
               min(join, N - first), image_rows, OH, OW, O, pitch, steps);
}

static inline void arrange_pairs(global const TX *x, global ushort *pairs, int block, int wide, int plane, int images,
                                 int image_rows, int H, int W, int C, int stride, int pad, int pitch, int count)
{
    global uint *even = (global uint *)pairs + ((size_t)plane * 4 * wide + 2 * block) * count * 16;

    strip_pairs(x + block * 32, even, even + (size_t)2 * wide * count * 16, C - block * 32, plane, images, image_rows,
                H, W, C, stride, pad, pitch, count, PAIRS_PART(stride * stride, wide, count) / 2);
}

/* Launch: {strips, C / 32, planes}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void arrange_x(global const TX *x, global ushort *scratch,
                                                                     int pairs_at, int n0, int N, int join,
                                                                     int image_rows, int H, int W, int C, int stride,
                                                                     int pad, int pitch, int count)
{
    const int m = (int)get_global_id(0), wide = (int)get_global_size(1), first = (n0 + m) * join;

    arrange_pairs(x + (size_t)first * H * W * C,
                  scratch + (size_t)pairs_at * UNIT + m * PAIRS_SIZE(get_global_size(2), wide, count),
                  (int)get_global_id(1), wide, (int)get_global_id(2), min(join, N - first), image_rows, H, W, C, stride,
                  pad, pitch, count);
}

/* Adds a strip's products of 32 outputs and 32 channels to the sums of all taps. */
static inline void products(global const ushort *rows, global const ushort *pairs, global float *sums, int c, int wide,
                            int k, int stride, int pitch, int steps, int count, int begin)
{
    for (int tap = 0; tap < k * k; tap++, sums += 1024) {
        const int r = tap / k, s = tap % k, shift = r / stride * pitch + s / stride,
                  plane = r % stride * stride + s % stride;
        global const ushort *b = pairs + ((((size_t)plane * 2 + (shift & 1)) * wide + c) * 2 * count + shift / 2) * 32;

        if (begin) {
            TILES_ZERO(sums);
        } else {
            TILES_LOAD(sums);
        }
        TILES_DOT(global, global, sums, rows, rows + 512, 64, PARTS * 2048, 2048, b, b + (size_t)count * 32, 1024,
                  (long)PAIRS_PART(stride * stride, wide, count) * 2, steps, 1);
        TILES_STORE(sums);
    }
}

/* 9 taps of each of 32 channels, which lie in the lanes, to their places. Nothing is read that was just written. */
static inline void put_nine(const uint16 *even, const uint16 *odd, global float *to, int accum)
{
    for (int c = 0; c < 32; c++, to += 9) {
        const float16 v = as_float16(OUTPUT(c) < 16 ? even[OUTPUT(c)] : odd[OUTPUT(c) - 16]);

        *(global float8_there *)to = accum ? *(global const float8_there *)to + v.lo : v.lo;
        to[8] = accum ? to[8] + v.s8 : v.s8;
    }
}

/* dw (+)= the sum of the parts, `next` elements from one to the next, of 32 outputs and 32 channels. These x all taps
 * of an output are 32 taps neighbours. */
static void add_up(global const float *part, int parts, size_t next, global float *dw, int block, int c, int O, int C,
                   int taps, int accum, local float *line)
{
    const int c0 = c * 32;

    for (int i = 0; i < 32 && block * 32 + i < O; i++) {
        global const float *from = part + OUTPUT(i) * 32;
        global float *to = dw + ((size_t)(block * 32 + i) * C + c0) * taps;
        const int there = min(C - c0, 32) * taps;

        for (int first = 0; first < taps; first += 16) {
            uint16 m[2][16];

            for (int t = 0; t < 16; t++) {
                float16 even = 0.0f, odd = 0.0f;

                for (int p = 0; p < parts && first + t < taps; p++) {
                    even += vload16(0, from + p * next + (size_t)(first + t) * 1024);
                    odd += vload16(1, from + p * next + (size_t)(first + t) * 1024);
                }
                m[0][t] = as_uint16(even);
                m[1][t] = as_uint16(odd);
            }
            if (taps == 1) {
                IN_ORDER(as_float16(m[0][0]), as_float16(m[1][0]), line);
                break;
            }
            transpose16(m[0]);
            transpose16(m[1]);
            if (taps == 9 && there == 288) {
                put_nine(m[0], m[1], to, accum);
                break;
            }
            for (int c = 0; c < 32; c++) /* in order: lanes beyond the taps are overwritten by the next channel */
                PUT_FLOATS(as_float16(m[OUTPUT(c) / 16][OUTPUT(c) % 16]), local, line + c * taps + first);
        }
        for (int j = 0; j < there && (taps != 9 || there != 288); j += 16) {
            float16 v = vload16(0, line + j);

            if (accum)
                v += some_f32(to + j, there - j);
            put_f32(v, to + j, there - j);
        }
    }
}

/* Strips of a slice by ranges of `some`; begin: part is written, else added to. last: there is one part, and it goes to
 * dw. Launch: {O / 32, C / 32 / group, parts}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
conv2d_dw(global ushort *rows, int pairs_at, int part_at, global float *dw, int strips, int some, int O, int C, int k,
          int stride, int pitch, int steps, int count, int group, int begin, int last, int accum, local float *line)
{
    const int block = (int)get_global_id(0), blocks = (int)get_global_size(0), wide = (C + 31) / 32,
              range = (int)get_global_id(2);
    const int c0 = (int)get_global_id(1) * group, c1 = min(c0 + group, wide), m1 = min((range + 1) * some, strips);
    global const ushort *pairs = rows + (size_t)pairs_at * UNIT;
    global float *part =
        (global float *)(rows + (size_t)part_at * UNIT) + ((size_t)range * blocks + block) * wide * k * k * 1024;
    TILES_BEGIN;

    for (int c = c0; c < c1; c++) {
        global float *sums = part + (size_t)c * k * k * 1024;

        for (int m = range * some; m < m1; m++)
            products(rows + m * ROWS_SIZE(blocks, steps) + block * ROWS_SIZE(1, steps),
                     pairs + m * PAIRS_SIZE(stride * stride, wide, count), sums, c, wide, k, stride, pitch, steps,
                     count, begin && m == range * some);
        if (last)
            add_up(sums, 1, 0, dw, block, c, O, C, k * k, accum, line);
    }
    TILES_END;
}

/* All of it for a range of strips, one after the other in the same place, which stays in the cache: few channels.
 * Launch: {parts}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void whole(global const TX *x, global const TX *dy,
                                                                 global ushort *scratch, int pairs_at, int part_at,
                                                                 int N, int join, int image_rows, int some, int H,
                                                                 int W, int C, int OH, int OW, int O, int k, int stride,
                                                                 int pad, int pitch, int steps, int count)
{
    const int range = (int)get_global_id(0), blocks = (O + 31) / 32, wide = (C + 31) / 32, planes = stride * stride,
              strips = (N + join - 1) / join;
    global ushort *rows = scratch + range * ROWS_SIZE(blocks, steps);
    global ushort *pairs = scratch + (size_t)pairs_at * UNIT + range * PAIRS_SIZE(planes, wide, count);
    global float *part =
        (global float *)(scratch + (size_t)part_at * UNIT) + (size_t)range * blocks * wide * k * k * 1024;
    TILES_BEGIN;

    for (int m = range * some; m < min((range + 1) * some, strips); m++) {
        const size_t first = (size_t)m * join;
        const int images = min(join, N - m * join);

        for (int block = 0; block < blocks; block++)
            strip_rows(dy + first * OH * OW * O + block * 32, rows + block * ROWS_SIZE(1, steps), O - block * 32,
                       images, image_rows, OH, OW, O, pitch, steps);
        for (int i = 0; i < wide * planes; i++)
            arrange_pairs(x + first * H * W * C, pairs, i / planes, wide, i % planes, images, image_rows, H, W, C,
                          stride, pad, pitch, count);
        for (int block = 0; block < blocks; block++)
            for (int c = 0; c < wide; c++)
                products(rows + block * ROWS_SIZE(1, steps), pairs, part + (size_t)(block * wide + c) * k * k * 1024, c,
                         wide, k, stride, pitch, steps, count, m == range * some);
    }
    TILES_END;
}

/* dw (+)= the sum of the parts. Launch: {O / 32, C / 32}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void sum_parts(global const ushort *scratch, int part_at,
                                                                     global float *dw, int O, int C, int taps,
                                                                     int parts, int accum, local float *line)
{
    const int block = (int)get_global_id(0), wide = (int)get_global_size(1), c = (int)get_global_id(1);

    add_up((global const float *)(scratch + (size_t)part_at * UNIT) + ((size_t)block * wide + c) * taps * 1024, parts,
           (size_t)get_global_size(0) * wide * taps * 1024, dw, block, c, O, C, taps, accum, line);
}
