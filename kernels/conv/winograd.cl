/* 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3) for CPU devices, and its gradient with respect to the input, which is
 * the same with weights turned by half a turn.
 *   x f32[N,H,W,C] in, y f32[N,OH,OW,O] out, b f32[O], temb f32[N,O], res f32[N,OH,OW,O] in or null
 *   scratch: u f32[O/WIDE][36][C to 16][WIDE], zero padded, made of w by `weights`
 *   then, from element `behind` on, of each work-item V f32[block][C/16][36][MR][16] and M f32[O share/WIDE][block][36][MR][WIDE]
 * A work-item takes a share of the groups of MR tiles (of 4 x 4 outputs) and of the outputs, `block` groups at a time so that
 * V and M stay in its core's cache: transform, 36 products, transform back. Each output is one chain of fma, whatever share
 * it falls in. Launch: {shares of tiles, shares of outputs}, groups of one. Oracle: tests/ops/conv2d.c. */
#ifndef MR
#define MR 12 /* tiles of a register tile */
#endif
#ifndef NV
#define NV 2 /* vectors of 16 outputs of it */
#endif
#define WIDE (16 * NV)
#include "conv/winograd.clh"

/* G w G' of vectors along the outputs. w f32[count]: weight (j, k, tap) at j across + k along + tap, tap counted from the end
 * if `turn`; `wide` values of j along the vectors, `deep` of k. Launch: {blocks of WIDE, blocks of 16 of k}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
weights(global const float *w, global float *u, int wide, int deep, int across, int along, int turn)
{
    const int block = (int)get_global_id(0), k0 = (int)get_global_id(1) * 16, rows = (deep + 15) / 16 * 16;
    const size_t plane = (size_t)rows * WIDE, count = (size_t)wide * deep * 9;

    for (int k = k0; k < k0 + 16; k++)
        for (int v = 0; v < NV; v++) {
            const int j = block * WIDE + 16 * v, left = k < deep ? wide - j : 0;
            const size_t first = (size_t)j * across + (size_t)k * along;
            global float *to = u + ((size_t)block * 36 * rows + k) * WIDE + 16 * v;
            float16 lane[16], g[9], t[18];

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
            EACH(s, 3) weight_side(g + s, 3, t + 6 * s);
            EACH(i, 6)
            {
                float16 r[6];

                weight_side(t + i, 6, r);
                EACH(s, 6) vstore16(r[s], 0, to + (size_t)(6 * i + s) * plane);
            }
        }
}

/* MR tiles by WIDE outputs over all channels: a f32[MR][16] of each block of channels, w f32[C to 16][WIDE]. */
static inline void product(global const float *a, global const float *w, global float *m, int blocks)
{
    float16 acc[MR][NV];

    EACH(i, MR) EACH(v, NV) acc[i][v] = 0.0f;
    for (int c = 0; c < blocks; c++, a += 36 * 16 * MR)
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
    EACH(i, MR) EACH(v, NV) vstore16(acc[i][v], v, m + i * WIDE);
}

/* A' m A of one tile at (h0, v0) of image n, outputs o.. of which `left` are there, with all that is added. */
static inline void output_tile(global const float *m, global const float *b, global const float *temb, global const float *res,
                               global float *y, int OH, int OW, int O, int n, int h0, int v0, int o, int left)
{
    float16 x[36], t[24], add = 0.0f;

    EACH(f, 36) x[f] = vload16(0, m + f * MR * WIDE);
    EACH(j, 6) output_side(x + j, 6, t + 4 * j);
    if (b)
        add += load_some(b + o, left);
    if (temb)
        add += load_some(temb + (size_t)n * O + o, left);
    EACH(i, 4)
    {
        float16 v[4];

        output_side(t + i, 4, v);
        EACH(j, 4)
        {
            const size_t at = (((size_t)n * OH + h0 + i) * OW + v0 + j) * O + o;

            if (h0 + i < OH && v0 + j < OW)
                store_some(v[j] + add + (res ? load_some(res + at, left) : (float16)(0.0f)), y + at, left);
        }
    }
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
winograd(global const float *x, global const float *b, global const float *temb, global const float *res,
         global float *y, global float *scratch, int behind, int N, int H, int W, int C, int OH, int OW, int O, int pad, int block)
{
    const int across = (OW + 3) / 4, image = (OH + 3) / 4 * across, tiles = N * image, groups = (tiles + MR - 1) / MR;
    const int shares = (int)get_global_size(0), share = (int)get_global_id(0), cut = (int)get_global_size(1), part = (int)get_global_id(1);
    const int cs = (C + 15) / 16, os = (O + WIDE - 1) / WIDE, o0 = os * part / cut, o1 = os * (part + 1) / cut, most = (os + cut - 1) / cut;
    const int g0 = (int)((long)groups * share / shares), g1 = (int)((long)groups * (share + 1) / shares);
    const size_t v_group = (size_t)cs * 36 * MR * 16, m_group = 36 * MR * WIDE;
    global float *V = scratch + behind + (size_t)(part * shares + share) * block * (v_group + most * m_group), *M = V + block * v_group;

    for (int step = 0, steps = (g1 - g0 + block - 1) / block; step < steps; step++) {
        const int g = g0 + (int)((long)(g1 - g0) * step / steps), here = g0 + (int)((long)(g1 - g0) * (step + 1) / steps) - g;

        for (int i = 0; i < here * MR; i++) {
            const int t = g * MR + i, n = min(t, tiles - 1) / image, at = t - n * image;

            for (int c = 0; c < cs; c++)
                input_tile(x + (size_t)n * H * W * C + 16 * c, H, W, C, at / across * 4 - pad, at % across * 4 - pad, t < tiles ? C - 16 * c : 0,
                           V + i / MR * v_group + (c * 36 * MR + i % MR) * 16, 16 * MR);
        }
        for (int f = 0; f < 36; f++)
            for (int o = o0; o < o1; o++)
                for (int i = 0; i < here; i++)
                    product(V + i * v_group + f * MR * 16, scratch + ((size_t)o * 36 + f) * cs * 16 * WIDE,
                            M + ((o - o0) * block + i) * m_group + f * MR * WIDE, cs);
        for (int i = 0; i < here * MR && g * MR + i < tiles; i++) {
            const int t = g * MR + i, n = t / image, at = t - n * image;

            for (int o = o0 * NV; o < o1 * NV && 16 * o < O; o++)
                output_tile(M + ((o / NV - o0) * block + i / MR) * m_group + i % MR * WIDE + o % NV * 16, b, temb, res, y, OH, OW, O, n,
                            at / across * 4, at % across * 4, 16 * o, O - 16 * o);
        }
    }
}
