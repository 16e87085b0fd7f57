/* 3x3 convolution of stride 1 by Winograd's F(TILE x TILE, 3x3) for CPU devices, and its gradient with respect to the
 * input, which is the same with weights turned by half a turn. x f32[N,H,W,C] in, y f32[N,OH,OW,O] out, b f32[O], temb
 * f32[N,O], res f32[N,OH,OW,O] in or null scratch: u f32[O/WIDE][PLANES][C to 16][WIDE], zero padded, made of w then,
 * from element `behind` on, of each work-item zeros f32[C to 16], V f32[block][C/16][PLANES][MR][16], M f32[O
 * share/WIDE][block][PLANES][MR][WIDE] and, if it makes u itself, one [PLANES][C to 16][WIDE] of u A work-item takes a
 * share of the groups of MR tiles (of TILE x TILE outputs) and of the outputs, `block` groups at a time so that V and M
 * stay in its core's cache: transform, PLANES products, transform back. Each output is one chain of fma, whatever share
 * it falls in. Launch: {shares of tiles, shares of outputs}, groups of one. Oracle: tests/ops/conv2d.c. */
#ifndef MR
#define MR 12 /* tiles of a register tile */
#endif
#ifndef NV
#define NV 2 /* vectors of 16 outputs of it */
#endif
#define WIDE (16 * NV)
#define FAR (1 << 18) /* floats of weights from which on they no longer stay in a core's cache */
#include "conv/winograd.clh"

/* G w G' of vectors along the outputs: block `block` of WIDE by 16 values of k from k0 on, to u f32[PLANES][deep to
 * 16][WIDE]. w f32[wide * deep * 9]: weight (j, k, tap) at j across + k along + tap, tap counted from the end if
 * `turn`. */
static inline void weights(global const float *w, global float *u, int wide, int deep, int block, int k0, int turn)
{
    const int across = turn ? 9 : deep * 9, along = turn ? wide * 9 : 9;
    const size_t plane = (size_t)((deep + 15) / 16 * 16) * WIDE, count = (size_t)wide * deep * 9;

    for (int k = k0; k < k0 + 16; k++)
        for (int v = 0; v < NV; v++) {
            const int j = block * WIDE + 16 * v, left = k < deep ? wide - j : 0;
            const size_t first = (size_t)j * across + (size_t)k * along;
            global float *to = u + (size_t)k * WIDE + 16 * v;
            float16 lane[16], g[9], t[3 * SIDE];

            EACH(i, 16)
            {
                const size_t at = first + (size_t)i * across;

                if (i >= left)
                    lane[i] = 0.0f;
                else if (count - at >= 16)
                    lane[i] = vload16(0, w + at);
                else /* the last weight: its 9 taps, and nothing behind them */
                    lane[i] = (float16)(vload8(0, w + at), w[at + 8], 0, 0, 0, 0, 0, 0, 0);
            }
            transpose(lane);
            EACH(tap, 9) g[tap] = turn ? lane[8 - tap] : lane[tap];
            EACH(s, 3) weight_side(g + s, 3, t + SIDE * s);
            EACH(i, SIDE)
            {
                float16 r[SIDE];

                weight_side(t + i, SIDE, r);
                EACH(s, SIDE) vstore16(r[s], 0, to + (size_t)(SIDE * i + s) * plane);
            }
        }
}

/* -DX86: by the processor's own instruction, since `prefetch` does nothing with PoCL. */
#ifdef X86
#define AHEAD(p) __asm__ volatile("prefetcht1 (%0)" ::"r"((ulong)(p)))
#else
#define AHEAD(p) prefetch(p, 16)
#endif

/* MR tiles by WIDE outputs over all channels: a f32[MR][16] of each block of channels, w f32[C to 16][WIDE]. Meanwhile
 * the weights that are needed later are called for, `ahead` floats from `next` on for each block of channels. */
static inline void product(global const float *a, global const float *w, global float *m, int blocks,
                           global const float *next, int ahead)
{
    float16 acc[MR][NV];

    EACH(i, MR) EACH(v, NV) acc[i][v] = 0.0f;
    for (int c = 0; c < blocks; c++, a += PLANES * 16 * MR, next += ahead) {
        for (int j = 0; j < ahead; j += 16)
            AHEAD(next + j);
        for (int j = 0; j < 16; j++, w += WIDE) {
            const float16 w0 = vload16(0, w);
#if NV == 2
            const float16 w1 = vload16(1, w);
#endif
            EACH(i, MR)
            {
                const float16 e = (float16)(a[16 * i + j]);

                acc[i][0] = fma(e, w0, acc[i][0]);
#if NV == 2
                acc[i][1] = fma(e, w1, acc[i][1]);
#endif
            }
        }
    }
    EACH(i, MR) EACH(v, NV) vstore16(acc[i][v], v, m + i * WIDE);
}

/* A' m A of one tile at (h0, v0) of image n, outputs o.. of which `left` are there, with all that is added. */
static inline void output_tile(global const float *m, global const float *b, global const float *temb,
                               global const float *res, global float *y, int OH, int OW, int O, int n, int h0, int v0,
                               int o, int left)
{
    float16 x[PLANES], t[SIDE * TILE], add = 0.0f;

    EACH(f, PLANES) x[f] = vload16(0, m + f * MR * WIDE);
    EACH(j, SIDE) output_side(x + j, SIDE, t + TILE * j);
    if (b)
        add += load_some(b + o, left);
    if (temb)
        add += load_some(temb + (size_t)n * O + o, left);
    EACH(i, TILE)
    {
        float16 v[TILE];

        output_side(t + i, TILE, v);
        EACH(j, TILE)
        {
            const size_t at = (((size_t)n * OH + h0 + i) * OW + v0 + j) * O + o;

            if (h0 + i < OH && v0 + j < OW)
                store_some(v[j] + add + (res ? load_some(res + at, left) : (float16)(0.0f)), y + at, left);
        }
    }
}

/* By stage:
 *   WEIGHTS  u of all weights.                                             Launch: {blocks of WIDE, C / 16}
 *   TILES    outputs by what that left.                                    Launch: {shares of tiles, shares of outputs}
 *   ALL      outputs; a work-item makes the weights of one WIDE at a time. Launch: the same */
enum { WEIGHTS, TILES, ALL };

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
winograd(global const float *x, global const float *weight, global const float *b, global const float *temb,
         global const float *res, global float *y, global float *scratch, int behind, int N, int H, int W, int C,
         int OH, int OW, int O, int pad, int block, int turn, int stage)
{
    const int across = (OW + TILE - 1) / TILE, image = (OH + TILE - 1) / TILE * across, tiles = N * image,
              groups = (tiles + MR - 1) / MR;
    const int shares = (int)get_global_size(0), share = (int)get_global_id(0), cut = (int)get_global_size(1),
              part = (int)get_global_id(1);
    const bool make = stage != TILES, use = stage != WEIGHTS;
    const int cs = (C + 15) / 16, os = (O + WIDE - 1) / WIDE, o0 = use ? os * part / cut : share,
              o1 = use ? os * (part + 1) / cut : share + 1;
    const int most = stage == ALL ? 1 : (os + cut - 1) / cut, k0 = use ? 0 : part, k1 = use ? cs : part + 1;
    const int g0 = (int)((long)groups * share / shares), g1 = (int)((long)groups * (share + 1) / shares);
    const size_t plane = (size_t)cs * 16 * WIDE, v_group = (size_t)cs * PLANES * MR * 16, m_group = PLANES * MR * WIDE;
    const size_t own = stage == ALL ? PLANES * plane : 0, each = own + block * (v_group + most * m_group) + 16 * cs;
    const bool far = stage == TILES && os * PLANES * plane > FAR;
    global float *zeros = scratch + behind + (size_t)(part * shares + share) * each, *V = zeros + 16 * cs,
                 *M = V + block * v_group;
    global float *u = stage == ALL ? M + block * most * m_group : scratch;

    for (int c = 0; c < cs && use; c++)
        vstore16((float16)(0.0f), c, zeros);
    for (int step = 0, steps = use ? (g1 - g0 + block - 1) / block : 1; step < steps; step++) {
        const int g = g0 + (int)((long)(g1 - g0) * step / steps),
                  here = use ? g0 + (int)((long)(g1 - g0) * (step + 1) / steps) - g : 0;

        for (int i = 0; i < here * MR; i++) {
            const int t = g * MR + i, n = min(t, tiles - 1) / image, at = t - n * image;
            global const float *pixels[PLANES];

            input_pixels(x + (size_t)n * H * W * C, zeros, H, W, C, at / across * TILE - pad, at % across * TILE - pad,
                         t < tiles, pixels);
            for (int c = 0; c < cs; c++)
                input_tile(pixels, 16 * c, C - 16 * c, V + i / MR * v_group + (c * PLANES * MR + i % MR) * 16, 16 * MR);
        }
        for (int first = o0; first < o1; first += most) {
            const int last = min(first + most, o1);

            for (int k = k0; k < k1 && make; k++)
                weights(weight, u + (stage == ALL ? 0 : first * PLANES * plane), O, C, first, 16 * k, turn);
            for (int f = 0; f < PLANES; f++)
                for (int o = first; o < last; o++) {
                    global const float *w = u + ((size_t)(stage == ALL ? 0 : o) * PLANES + f) * plane;
                    global const float *next =
                        o + 1 < last ? w + PLANES * plane : u + ((size_t)first * PLANES + f + 1) * plane;
                    const int ahead = far ? (16 * NV + here - 1) / here * 16 : 0;

                    for (int i = 0; i < here; i++)
                        product(V + i * v_group + f * MR * 16, w,
                                M + ((o - first) * block + i) * m_group + f * MR * WIDE, cs, next + i * cs * ahead,
                                ahead);
                }
            for (int i = 0; i < here * MR && g * MR + i < tiles; i++) {
                const int t = g * MR + i, n = t / image, at = t - n * image;

                for (int o = first * NV; o < last * NV && 16 * o < O; o++)
                    output_tile(M + ((o / NV - first) * block + i / MR) * m_group + i % MR * WIDE + o % NV * 16, b,
                                temb, res, y, OH, OW, O, n, at / across * TILE, at % across * TILE, 16 * o, O - 16 * o);
            }
        }
    }
}
