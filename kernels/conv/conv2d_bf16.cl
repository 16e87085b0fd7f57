/* Convolution of bf16 for CPU devices: y[p,o] = sum over taps and c of x[p at tap, c] w[tap,c,o], f32 sums.
 *   x bf16[N,H,W,C] in; y and res bf16[N,OH,OW,O], f32 with -DY_F32; b f32[O], temb f32[N,O]; b, temb, res may be null
 *   w bf16[O/32][k k][C/32][2][16][16][2] in: tiles of pairs (bf16_tiles.clh), zero padded
 * An item copies its part of the image into local memory, zeros around it, as `stride`^2 planes of pixels in rows of
 * `pitch`, so that 16 outputs in a row are a tile at every tap: pixels of a plane that a tap reads are neighbours too.
 * Outputs are numbered by row and pitch; with per_row > 0 a row is so many tiles exactly, else tiles run over
 * row ends and what falls between rows is left out. dilate > 1: zeros between the pixels of x (gradients of stride 2).
 * Each output is one chain of sums whose order depends on nothing else: not on N.
 * Launch: {strips of rows or of images, blocks of outputs / group}, groups of one. Oracle: tests/ops/conv2d_bf16.c. */
#include "bf16.clh"
#include "conv/bf16_tiles.clh"

#ifdef Y_F32
typedef float TY;
#define LOAD_Y load_f32
#define STORE_Y store_f32
#else
typedef ushort TY;
#define LOAD_Y(p, n) from_bf16(load_bf16(p, n))
#define STORE_Y store_bf16
#endif

static inline void zeros(local ushort *to, int n)
{
    for (int i = 0; i < n; i += 32)
        vstore16((uint16)(0), 0, (local uint *)(to + i));
}

/* One pixel of C channels, padded with zeros to whole steps of 32. */
static inline void pixel(global const ushort *from, local ushort *to, int C)
{
    int c = 0;

    for (; c + 32 <= C; c += 32)
        vstore16(vload16(0, (global const uint *)(from + c)), 0, (local uint *)(to + c));
    if (c < C)
        for (int i = 0; i < 32; i++)
            to[c + i] = c + i < C ? from[c + i] : 0;
}

/* Columns j of a plane's row, at image column j stride + v0, from an image row `from`; null: zeros. */
static inline void copy_row(global const ushort *from, local ushort *to, int columns, int v0, int stride, int dilate, int width, int C, int deep)
{
    if (!from) {
        zeros(to, columns * deep);
        return;
    }
    if (stride == 1 && dilate == 1 && C == deep) {
        const int first = max(0, -v0), last = min(columns, width - v0);

        zeros(to, first * deep);
        for (int i = first * deep; i < last * deep; i += 32)
            vstore16(vload16(0, (global const uint *)(from + (long)v0 * C + i)), 0, (local uint *)(to + i));
        zeros(to + last * deep, (columns - last) * deep);
        return;
    }
    for (int j = 0; j < columns; j++) {
        const int v = j * stride + v0;

        if (v >= 0 && v % dilate == 0 && v / dilate < width)
            pixel(from + (long)(v / dilate) * C, to + (long)j * deep, C);
        else
            zeros(to + (long)j * deep, deep);
    }
}

/* Adds b, temb and res to 16 rows of sums and stores those that are pixels of the image. */
typedef struct place { int image, row, column; } place;

static inline void finish(const float *sums, place at, int n0, int images, int h0, int rows, int image_rows, int pitch, int OH, int OW, int O,
                          int o, float16 b0, float16 b1, global const float *temb, global const TY *res, global TY *y)
{
    const int left = O - o;

    for (int i = 0; i < 16; i++) {
        if (at.column < OW && at.row < rows && at.image < images) {
            const size_t to = (((size_t)(n0 + at.image) * OH + h0 + at.row) * OW + at.column) * O + o;
            float16 u = vload16(2 * i, sums) + b0, v = vload16(2 * i + 1, sums) + b1;

            if (temb) {
                u += load_f32(temb + (size_t)(n0 + at.image) * O + o, left);
                if (left > 16)
                    v += load_f32(temb + (size_t)(n0 + at.image) * O + o + 16, left - 16);
            }
            if (res) {
                u += LOAD_Y(res + to, left);
                if (left > 16)
                    v += LOAD_Y(res + to + 16, left - 16);
            }
            STORE_Y(u, y + to, left);
            if (left > 16)
                STORE_Y(v, y + to + 16, left - 16);
        }
        if (++at.column == pitch) {
            at.column = 0;
            if (++at.row == image_rows) {
                at.row = 0;
                at.image++;
            }
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
conv2d(global const ushort *x, global const ushort *w, global const float *b, global const float *temb, global const TY *res, global TY *y,
       int N, int H, int W, int C, int OH, int OW, int O, int k, int stride, int pad, int dilate, int pitch, int image_rows, int strip,
       int some, int per_row, int plane, int group, local ushort *a)
{
    const int deep = (C + 31) / 32 * 32, reach = (k - 1) / stride, strips = (OH + strip - 1) / strip, id = (int)get_global_id(0);
    const int n0 = strip < OH ? id / strips : id * some, images = strip < OH ? 1 : min(some, N - n0);
    const int h0 = strip < OH ? id % strips * strip : 0, rows = min(strip, OH - h0);
    const int all_rows = (images - 1) * image_rows + rows, tiles = per_row ? all_rows * per_row : (all_rows * pitch + 15) / 16;
    float sums[1024];
    TILES_BEGIN;

    for (int p = 0; p < stride * stride; p++)
        for (int m = 0; m < images; m++)
            for (int i = 0; i < rows + reach; i++) {
                const int h = (h0 + i) * stride + p / stride - pad;
                const bool inside = h >= 0 && h % dilate == 0 && h / dilate < H;

                copy_row(inside ? x + ((long)(n0 + m) * H + h / dilate) * W * C : 0, a + ((long)p * plane + (m * image_rows + i) * pitch) * deep,
                         OW + reach, p % stride - pad, stride, dilate, W, C, deep);
            }
    for (int block = 0; block < group; block++) {
        const int o = ((int)get_global_id(1) * group + block) * 32;
        const float16 b0 = b && o < O ? load_f32(b + o, O - o) : 0.0f, b1 = b && o + 16 < O ? load_f32(b + o + 16, O - o - 16) : 0.0f;

        for (int t = 0; t < tiles && o < O; t += 2) {
            const int last = min(t + 1, tiles - 1);
            const int first = per_row ? t / per_row * pitch + t % per_row * 16 : t * 16;
            const int second = per_row ? last / per_row * pitch + last % per_row * 16 : last * 16;
            global const ushort *weights = w + (size_t)(o / 32) * k * k * deep * 32;

            TILES_ZERO(sums);
            for (int tap = 0; tap < k * k; tap++, weights += deep * 32) {
                const int r = tap / k, s = tap % k;
                local const ushort *at = a + ((long)(r % stride * stride + s % stride) * plane + r / stride * pitch + s / stride) * deep;

                tiles_dot(PTR(sums), PTR(at + (long)first * deep), PTR(at + (long)second * deep), deep * 2L, 64, PTR(weights),
                          PTR(weights + 512), 2048, deep / 32, O - o > 16);
            }
            TILES_STORE(sums);
            finish(sums, (place){first / pitch / image_rows, first / pitch % image_rows, first % pitch}, n0, images, h0, rows, image_rows, pitch,
                   OH, OW, O, o, b0, b1, temb, res, y);
            if (t + 1 < tiles)
                finish(sums + 512, (place){second / pitch / image_rows, second / pitch % image_rows, second % pitch}, n0, images, h0, rows,
                       image_rows, pitch, OH, OW, O, o, b0, b1, temb, res, y);
        }
    }
    TILES_END;
}

/* ---- weights --------------------------------------------------------------------------- */

/* w f32[O,C,k k] in, packed as conv2d reads it. 16 channels x all taps of 16 outputs are `taps` squares of words.
 * Launch: {O / 32, C / 32}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
pack(global const float *w, global ushort *packed, int O, int C, int taps, local uint *panel)
{
    const int deep = (int)get_global_size(1), block = (int)get_global_id(0), step = (int)get_global_id(1);
    const int width = 16 * taps;

    for (int part = 0; part < 4; part++) {
        const int o0 = block * 32 + part / 2 * 16, c0 = step * 32 + part % 2 * 16, there = clamp(C - c0, 0, 16) * taps;

        for (int v = 0; v < width; v += 16) {
            uint16 m[16];

            _Pragma("unroll") for (int i = 0; i < 16; i++)
                m[i] = o0 + i < O && there > v ? as_uint16(load_f32(w + ((size_t)(o0 + i) * C + c0) * taps + v, there - v)) : (uint16)(0);
            transpose16(m);
            _Pragma("unroll") for (int i = 0; i < 16; i++) vstore16(m[i], v + i, panel);
        }
        for (int tap = 0; tap < taps; tap++)
            for (int p = 0; p < 8; p++) {
                const float16 e = as_float16(vload16(2 * p * taps + tap, panel)), f = as_float16(vload16((2 * p + 1) * taps + tap, panel));

                vstore16(pair_up(to_bf16(e), to_bf16(f)), 0,
                         (global uint *)packed + (((size_t)(block * taps + tap) * deep + step) * 2 + part / 2) * 256 + (part % 2 * 8 + p) * 16);
            }
    }
}

/* The same for the gradient with respect to x: sums over outputs, at most 16 taps in reverse. Launch: {C / 32, O / 32}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
pack_dx(global const float *w, global ushort *packed, int O, int C, int taps, local uint *panel)
{
    const int deep = (int)get_global_size(1), block = (int)get_global_id(0), step = (int)get_global_id(1);

    for (int half_block = 0; half_block < 2; half_block++)
        for (int p = 0; p < 16; p++) {
            const int c0 = block * 32 + half_block * 16;

            for (int e = 0; e < 2; e++) {
                const int o = step * 32 + 2 * p + e;

                const long left = ((long)(O - o) * C - c0) * taps; /* behind w lies other memory, or none */
                uint16 m[16];

                if (taps == 1) { /* neighbours already */
                    vstore16(o < O && c0 < C ? as_uint16(load_f32(w + (size_t)o * C + c0, C - c0)) : (uint16)(0), e, panel);
                    continue;
                }
                _Pragma("unroll") for (int i = 0; i < 16; i++)
                    m[i] = o < O && c0 + i < C ? as_uint16(load_f32(w + ((size_t)o * C + c0 + i) * taps, (int)min(left - i * taps, 16L))) : (uint16)(0);
                transpose16(m);
                _Pragma("unroll") for (int i = 0; i < 16; i++) vstore16(m[i], i * 2 + e, panel);
            }
            for (int tap = 0; tap < taps; tap++) {
                const float16 e = as_float16(vload16(2 * tap, panel)), f = as_float16(vload16(2 * tap + 1, panel));

                vstore16(pair_up(to_bf16(e), to_bf16(f)), 0,
                         (global uint *)packed + (((size_t)(block * taps + taps - 1 - tap) * deep + step) * 2 + half_block) * 256 + p * 16);
            }
        }
}
