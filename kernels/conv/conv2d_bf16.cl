/* Convolution of bf16 for CPU devices: y[p,o] = sum over taps and c of x[p at tap, c] w[tap,c,o], f32 sums.
 *   x bf16[N,H,W,C] in; y and res bf16[N,OH,OW,O], f32 with -DY_F32; b f32[O], temb f32[N,O]; b, temb, res may be null
 *   w bf16[O/32][C/32][k k][2][16][16][2] in: tiles of pairs (bf16_tiles.clh), zero padded
 * An item copies its part of the image into local memory, zeros around it, as `stride`^2 planes of pixels in rows of
 * `pitch`, so that 16 outputs in a row are a tile at every tap: pixels of a plane that a tap reads are neighbours too.
 * Slabs of 32 channels lie apart and are gone through one by one, all taps of each, so that what is read again is near.
 * Outputs are numbered by row and pitch; with per_row > 0 a row is so many tiles exactly, else tiles run over
 * row ends and what falls between rows is left out. dilate > 1: zeros between the pixels of x (gradients of stride 2).
 * Each output is one chain of sums whose order depends on nothing else: not on N.
 * -DSPLIT: x and y are f32, and x and w are split in two bf16 each (bf16x3, bf16_tiles.clh): `a` has the upper parts of
 * all pixels, then the lower ones, w for each tap two tiles of upper and two of lower parts. Pairs are then
 * channels c and c + 16 of 32, since vectors of f32 become words of such pairs without a shuffle.
 * Launch: {strips of rows or of images, blocks of outputs / group}, groups of one. Oracle: tests/ops/conv2d.c. */
#include "bf16.clh"
#include "conv/bf16_tiles.clh"

TILES_OF(private, local)

#ifdef Y_F32
typedef float TY;
#define LOAD_Y some_f32
#define STORE_Y put_f32
#else
typedef ushort TY;
#define LOAD_Y(p, n) from_bf16(some_bf16(p, n))
#define STORE_Y put_bf16
#endif

#ifdef SPLIT
typedef float TX;
enum { TILES_A_TAP = 4 };
#define PAIR(p, e) ((p) + (e) * 16)

static inline void put_words(global const float *from, local ushort *to, int n, long lo)
{
    uint16 low;

    PUT_WORDS(split_some(from, n, &low), local, to);
    PUT_WORDS(low, local, to + lo);
}

static inline void put_pair(float16 e, float16 f, global uint *to)
{
    uint16 low;

    PUT_WORDS(split_words(e, f, &low), global, to);
    PUT_WORDS(low, global, to + 512);
}
#else
typedef ushort TX;
enum { TILES_A_TAP = 2 };
#define PAIR(p, e) (2 * (p) + (e))

static inline void put_words(global const ushort *from, local ushort *to, int n, long lo)
{
    (void)lo;
    PUT_WORDS(some_words(from, n), local, to);
}

static inline void put_pair(float16 e, float16 f, global uint *to)
{
    PUT_WORDS(pair_up(to_bf16(e), to_bf16(f)), global, to);
}
#endif

/* Pixels lie in slabs of 32 channels, `slab` elements from one to the next; lower parts `lo` elements behind. */
static inline void put_zeros(local ushort *to, int pixels, int slab, int slabs, long lo)
{
    for (int d = 0; d < slabs; d++)
        for (int i = 0; i < pixels; i++) {
            PUT_WORDS((uint16)(0), local, to + (long)d * slab + i * 32);
#ifdef SPLIT
            PUT_WORDS((uint16)(0), local, to + lo + (long)d * slab + i * 32);
#endif
        }
}

/* `pixels` neighbours of C channels. */
static inline void put_pixels(global const TX *from, local ushort *to, int pixels, int C, int slab, int slabs, long lo)
{
    for (int i = 0; i < pixels; i++, from += C, to += 32)
        for (int d = 0; d < slabs; d++)
            put_words(from + d * 32, to + (long)d * slab, C - d * 32, lo);
}

/* Columns j of a plane's row, at image column j stride + v0, from an image row `from`; null: zeros. */
static inline void copy_row(global const TX *from, local ushort *to, int columns, int v0, int stride, int dilate,
                            int width, int C, int slab, int slabs, long lo)
{
    if (!from) {
        put_zeros(to, columns, slab, slabs, lo);
        return;
    }
    if (stride == 1 && dilate == 1) {
        const int first = max(0, -v0), last = min(columns, width - v0);

        put_zeros(to, first, slab, slabs, lo);
        put_pixels(from + (long)(v0 + first) * C, to + first * 32, last - first, C, slab, slabs, lo);
        put_zeros(to + last * 32, columns - last, slab, slabs, lo);
        return;
    }
    for (int j = 0; j < columns; j++) {
        const int v = j * stride + v0;

        if (v >= 0 && v % dilate == 0 && v / dilate < width)
            put_pixels(from + (long)(v / dilate) * C, to + j * 32, 1, C, slab, slabs, lo);
        else
            put_zeros(to + j * 32, 1, slab, slabs, lo);
    }
}

enum { MOST_TAPS = 16 };

/* Where a tile's first row lies, and what part of the images an item has. */
typedef struct place { int image, row, column; } place;
typedef struct part { int n0, images, h0, rows, image_rows, pitch, OH, OW; } part;

#ifdef Y_F32
#define GET_Y(p) vload16(0, p)
#define PUT_Y(v, p) PUT_FLOATS(v, global, p)
#else
#define GET_Y(p) from_bf16(LOAD16(p))
#define PUT_Y(v, p) STORE16(to_bf16(v), p)
#endif

/* Adds b and res to `rows` rows of 32 sums, neighbours of which all outputs are there, and stores them. */
static inline void put_run(const float *sums, int rows, int O, float16 b0, float16 b1, global const TY *res,
                           global TY *y)
{
    for (int i = 0; i < rows; i++, sums += 32, y += O) {
        float16 u = vload16(0, sums) + b0, v = vload16(1, sums) + b1;

        if (res) {
            u += GET_Y(res);
            v += GET_Y(res + 16);
            res += O;
        }
        PUT_Y(u, y);
        PUT_Y(v, y + 16);
    }
}

/* The same where fewer than 32 outputs are left. */
static void put_some(const float *sums, int rows, int O, int left, float16 b0, float16 b1, global const TY *res,
                     global TY *y)
{
    for (int i = 0; i < rows; i++, sums += 32, y += O) {
        float16 u = vload16(0, sums) + b0, v = vload16(1, sums) + b1;

        if (res) {
            u += LOAD_Y(res, left);
            v += left > 16 ? LOAD_Y(res + 16, left - 16) : (float16)(0.0f);
            res += O;
        }
        STORE_Y(u, y, left);
        if (left > 16)
            STORE_Y(v, y + 16, left - 16);
    }
}

/* 16 rows of 32 sums from `at` on: those that are pixels of an image, run by run. */
static inline void finish(const float *sums, place at, const part *p, int O, int o, float16 b0, float16 b1,
                          global const float *temb, global const TY *res, global TY *y)
{
    const int left = O - o;

    for (int i = 0; i < 16;) {
        const bool there = at.column < p->OW && at.row < p->rows && at.image < p->images;
        const int run = min((at.column < p->OW ? p->OW : p->pitch) - at.column, 16 - i);

        if (there) {
            const size_t n = (size_t)(p->n0 + at.image),
                         to = ((n * p->OH + p->h0 + at.row) * p->OW + at.column) * O + o;
            float16 u = b0, v = b1;

            if (temb) {
                u += some_f32(temb + n * O + o, left);
                v += left > 16 ? some_f32(temb + n * O + o + 16, left - 16) : (float16)(0.0f);
            }
            if (left >= 32)
                put_run(sums + i * 32, run, O, u, v, res ? res + to : 0, y + to);
            else
                put_some(sums + i * 32, run, O, left, u, v, res ? res + to : 0, y + to);
        }
        i += run;
        at.column += run;
        if (at.column == p->pitch) {
            at.column = 0;
            if (++at.row == p->image_rows) {
                at.row = 0;
                at.image++;
            }
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void conv2d(global const TX *x, global const ushort *w,
                                                                  global const float *b, global const float *temb,
                                                                  global const TY *res, global TY *y, int4 of_x,
                                                                  int4 of_y, int4 steps, int4 cut, int plane, int group,
                                                                  local ushort *a)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    INTS4(steps, stride, pad, dilate, pitch);
    INTS4(cut, image_rows, strip, some, per_row);
    const int slabs = (C + 31) / 32, slab = plane * 32, reach = (k - 1) / stride, strips = (OH + strip - 1) / strip,
              id = (int)get_global_id(0);
    const int n0 = strip < OH ? id / strips : id * some, images = strip < OH ? 1 : min(some, N - n0);
    const int h0 = strip < OH ? id % strips * strip : 0, rows = min(strip, OH - h0);
    const int all_rows = (images - 1) * image_rows + rows,
              tiles = per_row ? all_rows * per_row : (all_rows * pitch + 15) / 16;
    const part mine = {n0, images, h0, rows, image_rows, pitch, OH, OW};
    const long lo = (long)stride * stride * slabs * slab;
    long shift[MOST_TAPS];
    float sums[1024] __attribute__((aligned(64)));
    TILES_BEGIN;

    for (int p = 0; p < stride * stride; p++)
        for (int m = 0; m < images; m++)
            for (int i = 0; i < rows + reach; i++) {
                const int h = (h0 + i) * stride + p / stride - pad;
                const bool inside = h >= 0 && h % dilate == 0 && h / dilate < H;

                copy_row(inside ? x + ((long)(n0 + m) * H + h / dilate) * W * C : 0,
                         a + (long)p * slabs * slab + (m * image_rows + i) * pitch * 32, OW + reach, p % stride - pad,
                         stride, dilate, W, C, slab, slabs, lo);
            }
    for (int tap = 0; tap < k * k; tap++) {
        const int r = tap / k, s = tap % k;

        shift[tap] =
            (long)(r % stride * stride + s % stride) * slabs * slab + (r / stride * pitch + s / stride) * 32;
    }
    for (int block = 0; block < group; block++) {
        const int o = ((int)get_global_id(1) * group + block) * 32;
        const float16 b0 = b && o < O ? some_f32(b + o, O - o) : 0.0f,
                      b1 = b && o + 16 < O ? some_f32(b + o + 16, O - o - 16) : 0.0f;

        for (int t = 0; t < tiles && o < O; t += 2) {
            const int last = min(t + 1, tiles - 1);
            const int first = per_row ? t / per_row * pitch + t % per_row * 16 : t * 16;
            const int second = per_row ? last / per_row * pitch + last % per_row * 16 : last * 16;
            global const ushort *weights = w + (size_t)(o / 32) * k * k * slabs * TILES_A_TAP * 512;
            local const ushort *from = a;

            TILES_ZERO(sums);
            for (int d = 0; d < slabs; d++, from += slab)
                for (int tap = 0; tap < k * k; tap++, weights += TILES_A_TAP * 512)
                    TILES_DOT(private, local, sums, from + shift[tap] + first * 32, from + shift[tap] + second * 32, 64,
                              0, lo * 2, weights, weights + 512, 0, 2048, 1, O - o > 16);
            TILES_STORE(sums);
            for (int second_tile = 0; second_tile < 2 && t + second_tile < tiles; second_tile++) {
                const int at = second_tile ? second : first;
                const place where = {at / pitch / image_rows, at / pitch % image_rows, at % pitch};

                finish(sums + second_tile * 512, where, &mine, O, o, b0, b1, temb, res, y);
            }
        }
    }
    TILES_END;
}

/* ---- weights --------------------------------------------------------------------------- */

/* Tiles of a step of 32 channels, of which `half_block` is one of the two of columns. */
static inline global uint *packed_at(global ushort *packed, int block, int deep, int step, int taps, int tap,
                                     int half_block)
{
    return (global uint *)packed + (((size_t)(block * deep + step) * taps + tap) * TILES_A_TAP + half_block) * 256;
}

/* w f32[O,C,k k] in, packed as conv2d reads it. 32 channels x all taps of 16 outputs are two times `taps` squares of
 * words. Launch: {C / 32, O / 32}: items that follow one another go on in the same rows of w. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
pack(global const float *w, global ushort *packed, int O, int C, int taps, local uint *panel)
{
    const int deep = (int)get_global_size(0), block = (int)get_global_id(1), step = (int)get_global_id(0);
    const int width = 16 * taps;

    for (int half_block = 0; half_block < 2; half_block++) {
        for (int v = 0; v < 2 * width; v += 16) {
            const int o0 = block * 32 + half_block * 16, c0 = step * 32 + v / width * 16,
                      there = clamp(C - c0, 0, 16) * taps - v % width;
            uint16 m[16];

            _Pragma("unroll") for (int i = 0; i < 16; i++) m[i] =
                o0 + i < O && there > 0 ? as_uint16(some_f32(w + ((size_t)(o0 + i) * C + c0) * taps + v % width, there))
                                        : (uint16)(0);
            transpose16(m);
            _Pragma("unroll") for (int i = 0; i < 16; i++) PUT_WORDS(m[i], local, panel + (v + i) * 16);
        }
        for (int tap = 0; tap < taps; tap++)
            for (int p = 0; p < 16; p++)
                put_pair(as_float16(vload16(PAIR(p, 0) * taps + tap, panel)),
                         as_float16(vload16(PAIR(p, 1) * taps + tap, panel)),
                         packed_at(packed, block, deep, step, taps, tap, half_block) + p * 16);
    }
}

/* The same for the gradient with respect to x: sums over outputs, at most 16 taps in reverse. Launch: {C / 32, O / 32}.
 */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
pack_dx(global const float *w, global ushort *packed, int O, int C, int taps, local uint *panel)
{
    const int deep = (int)get_global_size(1), block = (int)get_global_id(0), step = (int)get_global_id(1);

    for (int half_block = 0; half_block < 2; half_block++)
        for (int p = 0; p < 16; p++) {
            const int c0 = block * 32 + half_block * 16;

            for (int e = 0; e < 2; e++) {
                const int o = step * 32 + PAIR(p, e);

                const long left = ((long)(O - o) * C - c0) * taps; /* behind w lies other memory, or none */
                uint16 m[16];

                if (taps == 1) { /* neighbours already */
                    PUT_WORDS(o < O && c0 < C ? as_uint16(some_f32(w + (size_t)o * C + c0, C - c0)) : (uint16)(0),
                              local, panel + e * 16);
                    continue;
                }
                _Pragma("unroll") for (int i = 0; i < 16; i++) m[i] =
                    o < O && c0 + i < C
                        ? as_uint16(some_f32(w + ((size_t)o * C + c0 + i) * taps, (int)min(left - i * taps, 16L)))
                        : (uint16)(0);
                transpose16(m);
                _Pragma("unroll") for (int i = 0; i < 16; i++) PUT_WORDS(m[i], local, panel + (i * 2 + e) * 16);
            }
            for (int tap = 0; tap < taps; tap++)
                put_pair(as_float16(vload16(2 * tap, panel)), as_float16(vload16(2 * tap + 1, panel)),
                         packed_at(packed, block, deep, step, taps, taps - 1 - tap, half_block) + p * 16);
        }
}
