/* Gradient of a 3x3 convolution of stride 1 with respect to its weights by Winograd's F(TILE x TILE, 3x3) for CPU
 * devices: dw = G'[sum over tiles of (B' x B)(A dy A')]G, tiles being TILE x TILE outputs.
 *   x f32[N,H,W,C], dy f32[N,OH,OW,O] in, dw f32[O,C,3,3] (+)= out
 *   V f32[C/16][runs][PLANES][RUN][16] and Z f32[O/WIDE][runs][PLANES][RUN][WIDE] of some runs of tiles, zero padded;
 *   D f32[C/16][O/WIDE][PLANES][16][WIDE] sums over tiles, in their order.
 * They lie in scratch from elements 0, z and d on. Many tiles: `parts`, `outputs`. Few: `inputs`, `gradients`,
 * `products`, `outputs`. Groups of one. Oracle: tests/ops/conv2d.c. */
#ifndef NV
#define NV 2 /* vectors of outputs of a register tile */
#endif
#define WIDE (16 * NV)
#ifndef MB
#define MB 8 /* channels of it */
#endif
#define RUN 16 /* tiles that lie together */
#define D_BLOCK (PLANES * 16 * WIDE)
#include "conv/winograd.clh"

/* V of the run of tiles from t0 on, those before `end`, and 16 channels from c on. */
static inline void input_run(global const float *x, global float *v, int H, int W, int C, int OH, int OW, int pad,
                             int t0, int end, int c)
{
    const int across = (OW + TILE - 1) / TILE, image = (OH + TILE - 1) / TILE * across;
    global float *zeros = v + (PLANES * RUN - 1) * 16; /* until the last value of all is written there */

    vstore16((float16)(0.0f), 0, zeros);
    for (int i = 0; i < RUN; i++) {
        const int t = t0 + i, n = min(t, end - 1) / image, at = t - n * image;
        global const float *pixels[PLANES];

        input_pixels(x + (size_t)n * H * W * C + c, zeros, H, W, C, at / across * TILE - pad, at % across * TILE - pad,
                     t < end, pixels);
        input_tile(pixels, 0, C - c, v + i * 16, RUN * 16);
    }
}

/* Z of one run and WIDE outputs from o0 on. */
static inline void gradient_run(global const float *dy, global float *z, int OH, int OW, int O, int t0, int end, int o0)
{
    const int across = (OW + TILE - 1) / TILE, image = (OH + TILE - 1) / TILE * across;

    for (int i = 0; i < RUN * NV; i++) {
        const int t = t0 + i / NV, n = min(t, end - 1) / image, at = t - n * image;
        const int h0 = at / across * TILE, v0 = at % across * TILE, o = o0 + i % NV * 16, left = t < end ? O - o : 0;
        global const float *p = dy + (((long)n * OH + h0) * OW + v0) * O + o;
        float16 d[TILE * TILE], u[TILE * SIDE];

        EACH(r, TILE) EACH(s, TILE)
        {
            const bool inside = h0 + r < OH && v0 + s < OW && left > 0;

            d[TILE * r + s] = inside ? load_some(p + (r * OW + s) * O, left) : (float16)(0.0f);
        }
        EACH(s, TILE) gradient_side(d + s, TILE, u + SIDE * s);
        EACH(r, SIDE)
        {
            float16 w[SIDE];

            gradient_side(u + r, SIDE, w);
            EACH(s, SIDE) vstore16(w[s], 0, z + i * 16 + (SIDE * r + s) * RUN * WIDE);
        }
    }
}

/* 16 by WIDE of D (+)= V'Z over some runs. */
static inline void product(global const float *a, global const float *b, global float *to, int runs, int add)
{
    for (int m = 0; m < 16; m += MB) {
        float16 acc[MB][NV];

        EACH(i, MB) EACH(k, NV) acc[i][k] = 0.0f;
        for (int r = 0; r < runs; r++) {
            global const float *pa = a + r * PLANES * RUN * 16 + m, *pb = b + r * PLANES * RUN * WIDE;

            for (int t = 0; t < RUN; t++) {
                const float16 b0 = vload16(0, pb + t * WIDE);
#if NV == 2
                const float16 b1 = vload16(1, pb + t * WIDE);
#endif
                EACH(i, MB)
                {
                    const float16 e = (float16)(pa[16 * t + i]);

                    acc[i][0] = fma(e, b0, acc[i][0]);
#if NV == 2
                    acc[i][1] = fma(e, b1, acc[i][1]);
#endif
                }
            }
        }
        EACH (i, MB)
            EACH (k, NV)
                vstore16(add ? vload16(k, to + (m + i) * WIDE) + acc[i][k] : acc[i][k], k, to + (m + i) * WIDE);
    }
}

/* dw (+)= G'DG of channel c and 16 outputs from o on; D is the sum of `parts`, `apart` floats from each other. */
static inline void output(global const float *from, int parts, size_t apart, global float *dw, int C, int O, int c,
                          int o, int accum)
{
    float16 m[PLANES], t[3 * SIDE], g[16];

    EACH(f, PLANES) m[f] = vload16(0, from + f * 16 * WIDE);
    for (int p = 1; p < parts; p++)
        EACH(f, PLANES) m[f] += vload16(0, from + p * apart + f * 16 * WIDE);
    EACH(j, SIDE) weight_gradient_side(m + j, SIDE, t + 3 * j);
    EACH(i, 3)
    {
        float16 r[3];

        weight_gradient_side(t + i, 3, r);
        EACH(j, 3) g[3 * i + j] = r[j];
    }
    EACH(i, 7) g[9 + i] = 0.0f;
    transpose(g); /* row j: the 9 taps of output o + j */
    EACH(j, 16)
        if (o + j < O) {
            global float *p = dw + ((size_t)(o + j) * C + c) * 9;

            vstore8(accum ? vload8(0, p) + g[j].lo : g[j].lo, 0, p);
            p[8] = accum ? p[8] + g[j].s8 : g[j].s8;
        }
}

/* V of all tiles. Launch: {runs, C / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
inputs(global const float *x, global float *scratch, int H, int W, int C, int OH, int OW, int pad, int tiles)
{
    const int r = (int)get_global_id(0), c = (int)get_global_id(1), runs = (int)get_global_size(0);

    input_run(x, scratch + ((size_t)c * runs + r) * PLANES * RUN * 16, H, W, C, OH, OW, pad, r * RUN, tiles, 16 * c);
}

/* Z of all tiles. Launch: {runs, O / WIDE}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
gradients(global const float *dy, global float *scratch, int z, int OH, int OW, int O, int tiles)
{
    const int r = (int)get_global_id(0), o = (int)get_global_id(1), runs = (int)get_global_size(0);

    gradient_run(dy, scratch + z + ((size_t)o * runs + r) * PLANES * RUN * WIDE, OH, OW, O, r * RUN, tiles, WIDE * o);
}

/* D of all tiles. Launch: {O / WIDE, C / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
products(global float *scratch, int z, int d, int runs)
{
    const int o = (int)get_global_id(0), c = (int)get_global_id(1), os = (int)get_global_size(0);

    for (int f = 0; f < PLANES; f++)
        product(scratch + ((size_t)c * runs * PLANES + f) * RUN * 16,
                scratch + z + ((size_t)o * runs * PLANES + f) * RUN * WIDE,
                scratch + d + ((size_t)c * os + o) * D_BLOCK + f * 16 * WIDE, runs, 0);
}

/* D of a part of the tiles by V and Z of `runs` at a time, all of the work-item's own. Launch: {parts}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void parts(global const float *x, global const float *dy,
                                                                 global float *scratch, int z, int d, int H, int W,
                                                                 int C, int OH, int OW, int O, int pad, int tiles,
                                                                 int runs)
{
    const int cs = (C + 15) / 16, os = (O + WIDE - 1) / WIDE, all = (tiles + RUN - 1) / RUN;
    const int i = (int)get_global_id(0), is = (int)get_global_size(0);
    const int r0 = (int)((long)all * i / is), r1 = (int)((long)all * (i + 1) / is);
    global float *V = scratch + (size_t)i * runs * PLANES * RUN * 16 * cs,
                 *Z = scratch + z + (size_t)i * runs * PLANES * RUN * WIDE * os;
    global float *D = scratch + d + (size_t)i * cs * os * D_BLOCK;

    for (int r = r0; r < r1; r += runs) {
        const int here = min(runs, r1 - r);

        for (int c = 0; c < cs; c++)
            for (int k = 0; k < here; k++)
                input_run(x, V + ((size_t)c * runs + k) * PLANES * RUN * 16, H, W, C, OH, OW, pad, (r + k) * RUN, tiles,
                          16 * c);
        for (int o = 0; o < os; o++)
            for (int k = 0; k < here; k++)
                gradient_run(dy, Z + ((size_t)o * runs + k) * PLANES * RUN * WIDE, OH, OW, O, (r + k) * RUN, tiles,
                             WIDE * o);
        for (int n = 0; n < cs * os * PLANES; n++)
            product(V + ((size_t)(n / PLANES / os) * runs * PLANES + n % PLANES) * RUN * 16,
                    Z + ((size_t)(n / PLANES % os) * runs * PLANES + n % PLANES) * RUN * WIDE,
                    D + n / PLANES * D_BLOCK + n % PLANES * 16 * WIDE, here, r > r0);
    }
}

/* dw from the D of `count` parts. Launch: {C, O / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
outputs(global const float *scratch, int d, global float *dw, int C, int O, int count, int accum)
{
    const int c = (int)get_global_id(0), o = (int)get_global_id(1) * 16, cs = (C + 15) / 16, os = (O + WIDE - 1) / WIDE;

    output(scratch + d + ((size_t)(c / 16) * os + o / WIDE) * D_BLOCK + c % 16 * WIDE + o % WIDE, count,
           (size_t)cs * os * D_BLOCK, dw, C, O, c, o, accum);
}
