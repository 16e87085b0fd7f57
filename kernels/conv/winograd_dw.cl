/* Gradient of a 3x3 convolution of stride 1 with respect to its weights by Winograd's F(4x4, 3x3) for CPU devices:
 * dw = G'[sum over tiles of (B' x B)(A dy A')]G, tiles being 4 x 4 outputs.
 *   x f32[N,H,W,C], dy f32[N,OH,OW,O] in, dw f32[O,C,3,3] (+)= out
 *   scratch, each from its element on: V f32[C/16][count/RUN][36][RUN][16], Z f32[O/WIDE][count/RUN][36][RUN][WIDE] of the
 *   `count` tiles from `first` on, zero padded; D f32[C/16][O/WIDE][36][16][WIDE] sums over tiles, in their order.
 * Launched in this order, `inputs` to `products` once a chunk of tiles. Groups of one. Oracle: tests/ops/conv2d.c. */
#ifndef NV
#define NV 2 /* vectors of outputs of a register tile */
#endif
#define WIDE (16 * NV)
#define MB 8 /* channels of it */
#define RUN 16 /* tiles that lie together */
#include "conv/winograd.clh"

/* V. Launch: {count / RUN, C / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
inputs(global const float *x, global float *scratch, int to, int H, int W, int C, int OH, int OW, int pad, int first, int count)
{
    const int across = (OW + 3) / 4, image = (OH + 3) / 4 * across, run = (int)get_global_id(0), c = (int)get_global_id(1);
    global float *v = scratch + to + ((size_t)c * get_global_size(0) + run) * 36 * RUN * 16;

    for (int i = 0; i < RUN; i++) {
        const int t = run * RUN + i, n = (first + min(t, count - 1)) / image, at = first + t - n * image;

        input_tile(x + (size_t)n * H * W * C + 16 * c, H, W, C, at / across * 4 - pad, at % across * 4 - pad, t < count ? C - 16 * c : 0,
                   v + i * 16, RUN * 16);
    }
}

/* Z. Launch: {count / RUN, O / WIDE}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
gradients(global const float *dy, global float *scratch, int to, int OH, int OW, int O, int first, int count)
{
    const int across = (OW + 3) / 4, image = (OH + 3) / 4 * across, run = (int)get_global_id(0), block = (int)get_global_id(1);

    for (int i = 0; i < RUN * NV; i++) {
        const int t = run * RUN + i / NV, n = (first + min(t, count - 1)) / image, at = first + t - n * image;
        const int h0 = at / across * 4, v0 = at % across * 4, o = block * WIDE + i % NV * 16, left = t < count ? O - o : 0;
        global float *z = scratch + to + ((size_t)block * get_global_size(0) + run) * 36 * RUN * WIDE + i * 16;
        global const float *p = dy + (((long)n * OH + h0) * OW + v0) * O + o;
        float16 d[16], u[24];

        EACH(r, 4) EACH(s, 4)
        {
            const bool inside = h0 + r < OH && v0 + s < OW && left > 0;

            d[4 * r + s] = inside ? load_some(p + (r * OW + s) * O, left) : (float16)(0.0f);
        }
        EACH(s, 4) gradient_side(d + s, 4, u + 6 * s);
        EACH(r, 6)
        {
            float16 w[6];

            gradient_side(u + r, 6, w);
            EACH(s, 6) vstore16(w[s], 0, z + (6 * r + s) * RUN * WIDE);
        }
    }
}

/* D (+)= V'Z. Launch: {36, O / WIDE, C / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
products(global float *scratch, int v, int z, int d, int runs, int add)
{
    const int f = (int)get_global_id(0), block = (int)get_global_id(1), c = (int)get_global_id(2);
    global const float *a = scratch + v + ((size_t)c * runs * 36 + f) * RUN * 16;
    global const float *b = scratch + z + ((size_t)block * runs * 36 + f) * RUN * WIDE;
    global float *to = scratch + d + (((size_t)c * get_global_size(1) + block) * 36 + f) * 16 * WIDE;

    for (int m = 0; m < 16; m += MB) {
        float16 acc[MB][NV];

        EACH(i, MB) EACH(k, NV) acc[i][k] = 0.0f;
        for (int r = 0; r < runs; r++) {
            global const float *pa = a + r * 36 * RUN * 16 + m, *pb = b + r * 36 * RUN * WIDE;

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
        EACH(i, MB) EACH(k, NV) vstore16(add ? vload16(k, to + (m + i) * WIDE) + acc[i][k] : acc[i][k], k, to + (m + i) * WIDE);
    }
}

/* dw (+)= G'DG. Launch: {C, O / 16}. */
__attribute__((reqd_work_group_size(1, 1, 1))) kernel void
outputs(global const float *scratch, int d, global float *dw, int C, int O, int accum)
{
    const int c = (int)get_global_id(0), o = (int)get_global_id(1) * 16, blocks = (O + WIDE - 1) / WIDE;
    global const float *from = scratch + d + (((size_t)(c / 16) * blocks + o / WIDE) * 36 * 16 + c % 16) * WIDE + o % WIDE;
    float16 m[36], t[18], g[16];

    EACH(f, 36) m[f] = vload16(0, from + f * 16 * WIDE);
    EACH(j, 6) weight_gradient_side(m + j, 6, t + 3 * j);
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
