/* Gradient of a convolution of bf16 with respect to its weights, for CPU devices: products of tiles whose sums run
 * over pixels, so that both operands are first rearranged for a range of images.
 *   x bf16[N,H,W,C], dy bf16[N,OH,OW,O] in, dw f32[O,C,k k] out
 * Pixels of an image are numbered by output row and `pitch` (zeros of dy between the rows); x as `stride`^2 planes of
 * pixels that a tap reads as neighbours:
 *   rows  bf16[images][O/32][pixels/32][2][16 o][32 pixels]
 *   pairs bf16[images][planes][2][C/16][pairs][16 c][2]: pairs that begin at even pixels, then at odd ones
 *   part  f32[parts][O/32][C/32][k k][32 o][32 c], one part for each range of images
 * They lie one behind the other in one scratch, at offsets that kernels get in units of 64 bytes.
 * The sum over a range, and the sum of the ranges, have a fixed order. Oracle: tests/ops/conv2d_bf16.c. */
#include "bf16.clh"
#include "conv/bf16_tiles.clh"

enum { UNIT = 32 }; /* elements of 64 bytes */

/* 16 outputs of an image dy to its rows. */
static inline void image_rows(global const ushort *dy, global ushort *rows, int tile, int OH, int OW, int O, int pitch, int steps)
{
    const int o = tile * 16;
    global const ushort *from = dy + o;
    global uint *to = (global uint *)rows + ((size_t)(tile / 2) * steps * 2 + tile % 2) * 256;
    int h = 0, v = 0;

    for (int step = 0; step < steps; step++, to += 512) {
        uint16 t[16];

        for (int i = 0; i < 16; i++) {
            ushort16 e[2];

            for (int j = 0; j < 2; j++) {
                e[j] = h < OH && v < OW && o < O ? some_bf16(from + ((long)h * OW + v) * O, O - o) : (ushort16)(0);
                if (++v == pitch) {
                    v = 0;
                    h++;
                }
            }
            t[i] = pair_up(e[0], e[1]);
        }
        transpose16(t);
        for (int i = 0; i < 16; i++)
            vstore16(t[i], i, to);
    }
}

/* 16 channels of an image x to a plane of its pairs. */
static inline void image_pairs(global const ushort *x, global ushort *pairs, int tile, int tiles, int plane, int H, int W, int C, int stride,
                               int pad, int pitch, int count)
{
    const int c = tile * 16;
    global const ushort *from = x + c;
    global uint *even = (global uint *)pairs + ((size_t)plane * 2 * tiles + tile) * count * 16;
    global uint *odd = even + (size_t)tiles * count * 16;
    ushort16 last = 0;
    int h = plane / stride - pad, v = plane % stride - pad, column = 0;

    for (int i = 0; i <= 2 * count; i++) {
        const ushort16 e = h >= 0 && h < H && v >= 0 && v < W && c < C ? some_bf16(from + ((long)h * W + v) * C, C - c) : (ushort16)(0);

        if (i % 2)
            vstore16(pair_up(last, e), i / 2, even);
        else if (i)
            vstore16(pair_up(last, e), i / 2 - 1, odd);
        last = e;
        v += stride;
        if (++column == pitch) {
            column = 0;
            v = plane % stride - pad;
            h += stride;
        }
    }
}

/* Elements of an image's rows and pairs. */
#define ROWS_SIZE(blocks, steps) ((size_t)(blocks) * (steps) * 1024)
#define PAIRS_SIZE(planes, wide, count) ((size_t)(planes) * 4 * (wide) * (count) * 32)

/* Launch: {images, O tiles of 16, rounded up to even}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
arrange_dy(global const ushort *dy, global ushort *rows, int n0, int OH, int OW, int O, int pitch, int steps)
{
    const int m = (int)get_global_id(0);

    image_rows(dy + (size_t)(n0 + m) * OH * OW * O, rows + m * ROWS_SIZE(get_global_size(1) / 2, steps), (int)get_global_id(1), OH, OW, O, pitch,
               steps);
}

/* Launch: {images, C tiles of 16, rounded up to even, planes}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
arrange_x(global const ushort *x, global ushort *scratch, int pairs_at, int n0, int H, int W, int C, int stride, int pad, int pitch, int count)
{
    const int m = (int)get_global_id(0), tiles = (int)get_global_size(1);

    image_pairs(x + (size_t)(n0 + m) * H * W * C,
                scratch + (size_t)pairs_at * UNIT + m * PAIRS_SIZE(get_global_size(2), tiles / 2, count), (int)get_global_id(1), tiles,
                (int)get_global_id(2), H, W, C, stride, pad, pitch, count);
}

/* Adds an image's products of 32 outputs and 32 channels to the sums of all taps. */
static inline void products(global const ushort *rows, global const ushort *pairs, global float *sums, int c, int wide, int k, int stride, int pitch,
                            int steps, int count, int begin)
{
    for (int tap = 0; tap < k * k; tap++, sums += 1024) {
        const int r = tap / k, s = tap % k, shift = r / stride * pitch + s / stride, plane = r % stride * stride + s % stride;
        global const ushort *b = pairs + ((((size_t)plane * 2 + (shift & 1)) * wide + c) * 2 * count + shift / 2) * 32;

        if (begin) {
            TILES_ZERO(sums);
        } else {
            TILES_LOAD(sums);
        }
        tiles_dot(PTR(sums), PTR(rows), PTR(rows + 512), 64, 2048, PTR(b), PTR(b + (size_t)count * 32), 1024, steps, 1);
        TILES_STORE(sums);
    }
}

/* images of a slice by ranges of `some`; begin: part is written, else added to. Launch: {O / 32, C / 32 / group, parts}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
conv2d_dw(global ushort *rows, int pairs_at, int part_at, int images, int some, int C, int k, int stride, int pitch, int steps, int count, int group,
          int begin)
{
    const int block = (int)get_global_id(0), blocks = (int)get_global_size(0), wide = (C + 31) / 32, range = (int)get_global_id(2);
    const int c0 = (int)get_global_id(1) * group, c1 = min(c0 + group, wide), m1 = min((range + 1) * some, images);
    global const ushort *pairs = rows + (size_t)pairs_at * UNIT;
    global float *part = (global float *)(rows + (size_t)part_at * UNIT) + ((size_t)range * blocks + block) * wide * k * k * 1024;
    TILES_BEGIN;

    for (int m = range * some; m < m1; m++)
        for (int c = c0; c < c1; c++)
            products(rows + m * ROWS_SIZE(blocks, steps) + block * ROWS_SIZE(1, steps), pairs + m * PAIRS_SIZE(stride * stride, wide, count),
                     part + (size_t)c * k * k * 1024, c, wide, k, stride, pitch, steps, count, begin && m == range * some);
    TILES_END;
}

/* All of it for a range of images, one after the other in the same place, which stays in the cache: few channels. Launch: {parts}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
whole(global const ushort *x, global const ushort *dy, global ushort *scratch, int pairs_at, int part_at, int N, int some, int H, int W, int C,
      int OH, int OW, int O, int k, int stride, int pad, int pitch, int steps, int count)
{
    const int range = (int)get_global_id(0), blocks = (O + 31) / 32, wide = (C + 31) / 32, planes = stride * stride;
    global ushort *rows = scratch + range * ROWS_SIZE(blocks, steps);
    global ushort *pairs = scratch + (size_t)pairs_at * UNIT + range * PAIRS_SIZE(planes, wide, count);
    global float *part = (global float *)(scratch + (size_t)part_at * UNIT) + (size_t)range * blocks * wide * k * k * 1024;
    TILES_BEGIN;

    for (int m = range * some; m < min((range + 1) * some, N); m++) {
        for (int tile = 0; tile < 2 * blocks; tile++)
            image_rows(dy + (size_t)m * OH * OW * O, rows, tile, OH, OW, O, pitch, steps);
        for (int tile = 0; tile < 2 * wide; tile++)
            for (int plane = 0; plane < planes; plane++)
                image_pairs(x + (size_t)m * H * W * C, pairs, tile, 2 * wide, plane, H, W, C, stride, pad, pitch, count);
        for (int block = 0; block < blocks; block++)
            for (int c = 0; c < wide; c++)
                products(rows + block * ROWS_SIZE(1, steps), pairs, part + (size_t)(block * wide + c) * k * k * 1024, c, wide, k, stride, pitch,
                         steps, count, m == range * some);
    }
    TILES_END;
}

/* dw (+)= the sum of the parts. 16 channels x all taps of an output are 16 taps neighbours. Launch: {O / 32, C / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
sum_parts(global const ushort *scratch, int part_at, global float *dw, int O, int C, int taps, int parts, int accum, local float *line)
{
    const int block = (int)get_global_id(0), tile = (int)get_global_id(1), wide = (C + 31) / 32, c0 = tile * 16;
    const size_t next = (size_t)get_global_size(0) * wide * taps * 1024;
    global const float *part = (global const float *)(scratch + (size_t)part_at * UNIT);

    for (int i = 0; i < 32 && block * 32 + i < O; i++) {
        global const float *from = part + ((size_t)block * wide + tile / 2) * taps * 1024 + i * 32 + tile % 2 * 16;
        global float *to = dw + ((size_t)(block * 32 + i) * C + c0) * taps;
        const int there = min(C - c0, 16) * taps;

        for (int first = 0; first < taps; first += 16) {
            uint16 m[16];

            for (int t = 0; t < 16; t++) {
                float16 sum = 0.0f;

                for (int p = 0; p < parts && first + t < taps; p++)
                    sum += vload16(0, from + p * next + (size_t)(first + t) * 1024);
                m[t] = as_uint16(sum);
            }
            transpose16(m);
            for (int c = 0; c < 16; c++) /* in order: lanes beyond the taps are overwritten by the next channel */
                vstore16(as_float16(m[c]), 0, line + c * taps + first);
        }
        for (int j = 0; j < there; j += 16) {
            float16 v = vload16(0, line + j);

            if (accum)
                v += some_f32(to + j, there - j);
            put_f32(v, to + j, there - j);
        }
    }
}
