/* Convolution for CPU devices: y[p,o] = sum over taps and c of x[p at tap, c] w[tap,c,o], channels last.
 *   x f32[N,H,W,C] in, y f32[N,OH,OW,O] out, b f32[O], temb f32[N,O], res f32[N,OH,OW,O] in or null
 *   w f32[O/(16 NV)][k k][C][16 NV] in, zero padded, then a row of zeros for what lies outside the image
 * One work-item holds MR pixels x 16 NV outputs in registers and takes TILES such tiles, one after the other.
 * Each output is one chain of fma in the order of taps and channels, whatever tile it falls in.
 * Launch: {pixel tiles / TILES, outputs / (16 NV)}, groups of one. Oracle: tests/ops/conv2d.c. */
#ifndef MR
#define MR 12 /* pixels of a tile */
#endif
#ifndef NV
#define NV 2 /* vectors of 16 outputs of a tile */
#endif
#ifndef TILES
#define TILES 4 /* tiles of a work-item */
#endif
#define WIDE (16 * NV)
#include "first_lanes.clh"

/* Adds one tap: MR rows of x at p, C weights at w. */
#if NV == 2
#define TAP(p, w, C)                                                                                                   \
    for (int c = 0; c < (C); c++) {                                                                                    \
        const float16 w0 = vload16(0, (w) + (size_t)c * WIDE), w1 = vload16(1, (w) + (size_t)c * WIDE);                \
        _Pragma("unroll") for (int i = 0; i < MR; i++) {                                                               \
            const float16 a = (float16)((p)[i][c]);                                                                    \
            acc[i][0] = fma(a, w0, acc[i][0]);                                                                         \
            acc[i][1] = fma(a, w1, acc[i][1]);                                                                         \
        }                                                                                                              \
    }
#else
#define TAP(p, w, C)                                                                                                   \
    for (int c = 0; c < (C); c++) {                                                                                    \
        const float16 w0 = vload16(0, (w) + (size_t)c * WIDE);                                                         \
        _Pragma("unroll") for (int i = 0; i < MR; i++) acc[i][0] = fma((float16)((p)[i][c]), w0, acc[i][0]);           \
    }
#endif

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void conv2d(global const float *x, global const float *w,
                                                                  global const float *b, global const float *temb,
                                                                  global const float *res, global float *y, int4 of_x,
                                                                  int4 of_y, int stride, int pad)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    const int pixels = N * OH * OW, o = (int)get_global_id(1) * WIDE;
    global const float *weights = w + (size_t)get_global_id(1) * k * k * C * WIDE;
    global const float *zeros = w + (size_t)((O + WIDE - 1) / WIDE) * k * k * C * WIDE;

    for (int t = 0; t < TILES; t++) {
        const int first = ((int)get_global_id(0) * TILES + t) * MR;
        global const float *centre[MR], *p[MR];
        uint rows[MR], columns[MR];
        float16 acc[MR][NV];

        if (first >= pixels)
            return;
        for (int i = 0; i < MR; i++) {
            const int q = first + i < pixels ? first + i : pixels - 1, n = q / (OH * OW), at = q - n * OH * OW;
            const int h = at / OW * stride - pad, v = at % OW * stride - pad;

            rows[i] = columns[i] = 0;
            for (int r = 0; r < k; r++) {
                rows[i] |= (uint)(h + r >= 0 && h + r < H) << r;
                columns[i] |= (uint)(v + r >= 0 && v + r < W) << r;
            }
            centre[i] = x + (((long)n * H + h) * W + v) * C;
        }
        _Pragma("unroll") for (int i = 0; i < MR; i++)
            _Pragma("unroll") for (int v = 0; v < NV; v++) acc[i][v] = 0.0f;
        for (int r = 0; r < k; r++)
            for (int s = 0; s < k; s++) {
                const long offset = ((long)r * W + s) * C;

                _Pragma("unroll") for (int i = 0; i < MR; i++)
                    p[i] = (rows[i] >> r & columns[i] >> s & 1) ? centre[i] + offset : zeros;
                TAP(p, weights + (size_t)(r * k + s) * C * WIDE, C)
            }
        _Pragma("unroll") for (int i = 0; i < MR; i++) {
            if (first + i < pixels) {
                _Pragma("unroll") for (int v = 0; v < NV; v++) {
                    const int at = o + 16 * v, left = O - at;
                    const size_t place = (size_t)(first + i) * O + at;
                    float16 sum = acc[i][v];

                    if (left > 0) {
                        if (b)
                            sum += load_some(b + at, left);
                        if (temb)
                            sum += load_some(temb + (size_t)((first + i) / (OH * OW)) * O + at, left);
                        if (res)
                            sum += load_some(res + place, left);
                        store_some(sum, y + place, left);
                    }
                }
            }
        }
    }
}

/* The gradient with respect to x: dx[q,c] = sum over taps and o of dy[(q + pad - tap) / stride, o] w[o,c,tap].
 * w f32[C/(16 NV)][k k][O][16 NV], then zeros. Pixels go by phase (row and column modulo stride), so that all of a
 * tile use the same taps. Launch: {tiles of all phases / TILES, C / (16 NV)}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
conv2d_dx(global const float *dy, global const float *w, global float *dx, int4 of_x, int4 of_y, int stride, int pad)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    const int PH = (H + stride - 1) / stride, PW = (W + stride - 1) / stride, phase_tiles = (N * PH * PW + MR - 1) / MR;
    const int c0 = (int)get_global_id(1) * WIDE;
    global const float *weights = w + (size_t)get_global_id(1) * k * k * O * WIDE;
    global const float *zeros = w + (size_t)((C + WIDE - 1) / WIDE) * k * k * O * WIDE;

    for (int t = 0; t < TILES; t++) {
        const int tile = (int)get_global_id(0) * TILES + t, phase = tile / phase_tiles,
                  first = (tile - phase * phase_tiles) * MR;
        const int py = phase / stride, px = phase % stride;
        global const float *image[MR], *p[MR];
        int row[MR], column[MR];
        float16 acc[MR][NV];

        if (phase >= stride * stride)
            return;
        for (int i = 0; i < MR; i++) {
            const int q = min(first + i, N * PH * PW - 1), n = q / (PH * PW), at = q - n * PH * PW;

            row[i] = at / PW * stride + py;
            column[i] = at % PW * stride + px;
            image[i] = dy + (long)n * OH * OW * O;
        }
        _Pragma("unroll") for (int i = 0; i < MR; i++)
            _Pragma("unroll") for (int v = 0; v < NV; v++) acc[i][v] = 0.0f;
        for (int r = 0; r < k; r++)
            for (int s = 0; s < k; s++) {
                if ((py + pad - r) % stride != 0 || (px + pad - s) % stride != 0)
                    continue;
                _Pragma("unroll") for (int i = 0; i < MR; i++) {
                    const int h = row[i] + pad - r, v = column[i] + pad - s;
                    const bool inside = h >= 0 && v >= 0 && h / stride < OH && v / stride < OW;

                    p[i] = inside ? image[i] + ((long)(h / stride) * OW + v / stride) * O : zeros;
                }
                TAP(p, weights + (size_t)(r * k + s) * O * WIDE, O)
            }
        _Pragma("unroll") for (int i = 0; i < MR; i++) /* else the sums would lie in memory */
            if (first + i < N * PH * PW && row[i] < H && column[i] < W) {
                const int n = (first + i) / (PH * PW);
                global float *to = dx + (((long)n * H + row[i]) * W + column[i]) * C;

                _Pragma("unroll") for (int v = 0; v < NV; v++)
                    if (C - c0 - 16 * v > 0)
                        store_some(acc[i][v], to + c0 + 16 * v, C - c0 - 16 * v);
            }
    }
}

/* w f32[O,C,k k] in, packed f32[O/WIDE][k k][C][WIDE] then C zeros out. Launch: {blocks of O, k k}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
pack(global const float *w, global float *packed, int O, int C, int taps)
{
    const int block = (int)get_global_id(0), tap = (int)get_global_id(1);
    global float *to = packed + ((size_t)block * taps + tap) * C * WIDE;

    for (int c = 0; c < C; c++)
        for (int j = 0; j < WIDE; j++) {
            const int o = block * WIDE + j;

            to[c * WIDE + j] = o < O ? w[((size_t)o * C + c) * taps + tap] : 0.0f;
        }
    if (block == 0 && tap == 0)
        for (int c = 0; c < C; c++)
            packed[(size_t)get_global_size(0) * taps * C * WIDE + c] = 0.0f;
}

/* w f32[O,C,k k] in, packed f32[C/WIDE][k k][O][WIDE] then O zeros out. Launch: {blocks of C, k k}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
pack_dx(global const float *w, global float *packed, int O, int C, int taps)
{
    const int block = (int)get_global_id(0), tap = (int)get_global_id(1);
    global float *to = packed + ((size_t)block * taps + tap) * O * WIDE;

    for (int o = 0; o < O; o++)
        for (int j = 0; j < WIDE; j++) {
            const int c = block * WIDE + j;

            to[o * WIDE + j] = c < C ? w[((size_t)o * C + c) * taps + tap] : 0.0f;
        }
    if (block == 0 && tap == 0)
        for (int o = 0; o < O; o++)
            packed[(size_t)get_global_size(0) * taps * O * WIDE + o] = 0.0f;
}
