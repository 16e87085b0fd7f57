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

/* Launch: {images, O tiles of 16, rounded up to even}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
arrange_dy(global const ushort *dy, global ushort *rows, int n0, int OH, int OW, int O, int pitch, int steps)
{
    const int m = (int)get_global_id(0), tile = (int)get_global_id(1), o = tile * 16;
    global const ushort *from = dy + (size_t)(n0 + m) * OH * OW * O + o;
    global uint *to = (global uint *)rows + (((size_t)m * (get_global_size(1) / 2) + tile / 2) * steps * 2 + tile % 2) * 256;
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

/* Launch: {images, C tiles of 16, rounded up to even, planes}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
arrange_x(global const ushort *x, global ushort *scratch, int pairs_at, int n0, int H, int W, int C, int stride, int pad, int pitch, int count)
{
    const int m = (int)get_global_id(0), tile = (int)get_global_id(1), plane = (int)get_global_id(2), c = tile * 16;
    const int tiles = (int)get_global_size(1), planes = (int)get_global_size(2);
    global const ushort *from = x + (size_t)(n0 + m) * H * W * C + c;
    global uint *even = (global uint *)(scratch + (size_t)pairs_at * UNIT) + ((((size_t)m * planes + plane) * 2) * tiles + tile) * count * 16;
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

/* images of a slice by ranges of `some`; begin: part is written, else added to. Launch: {O / 32, C / 32 / group, parts}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
conv2d_dw(global ushort *rows, int pairs_at, int part_at, int images, int some, int C, int k, int stride,
          int pitch, int steps, int count, int group, int begin)
{
    const int block = (int)get_global_id(0), blocks = (int)get_global_size(0), wide = (C + 31) / 32, range = (int)get_global_id(2);
    const int c0 = (int)get_global_id(1) * group, c1 = min(c0 + group, wide), m1 = min((range + 1) * some, images);
    global const ushort *pairs = rows + (size_t)pairs_at * UNIT;
    global float *part = (global float *)(rows + (size_t)part_at * UNIT);
    TILES_BEGIN;

    for (int m = range * some; m < m1; m++)
        for (int c = c0; c < c1; c++)
            for (int tap = 0; tap < k * k; tap++) {
                const int r = tap / k, s = tap % k, shift = r / stride * pitch + s / stride, plane = r % stride * stride + s % stride;
                global float *sums = part + ((((size_t)range * blocks + block) * wide + c) * k * k + tap) * 1024;
                global const ushort *a = rows + ((size_t)m * blocks + block) * steps * 1024;
                global const ushort *b = pairs + (((((size_t)m * stride * stride + plane) * 2 + (shift & 1)) * wide + c) * 2 * count + shift / 2) * 32;

                if (begin && m == range * some) {
                    TILES_ZERO(sums);
                } else {
                    TILES_LOAD(sums);
                }
                tiles_dot(PTR(sums), PTR(a), PTR(a + 512), 64, 2048, PTR(b), PTR(b + (size_t)count * 32), 1024, steps, 1);
                TILES_STORE(sums);
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
