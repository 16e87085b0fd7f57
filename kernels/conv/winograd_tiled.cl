/* What surrounds the products of a 3x3 convolution of stride 1 by Winograd's F(4x4, 3x3), for GPUs; the 36 products are
 * matmul/tiled.cl's. Its gradient with respect to the input is the same with weights turned by half a turn.
 *   x f32[N,H,W,C] in, y f32[N,OH,OW,O] out, b f32[O], temb f32[N,O], res f32[N,OH,OW,O] in or null
 *   w f32[O,C,3,3] in, u f32[36,O,C], v f32[36,count,C], m f32[36,count,O], for `count` tiles of 4 x 4 outputs from
 * `first` on A work-item has one channel of one tile in registers; neighbours have neighbouring channels. Launch:
 * {items to 64} in groups of 64. Oracle: tests/ops/conv2d.c. */
#define VEC float
#include "conv/winograd_sides.clh"
#define ITEMS __attribute__((reqd_work_group_size(64, 1, 1))) kernel void

/* Where a tile is: its image, and its first output. */
typedef struct place { int n, h, v; } place;

static place place_of(int tile, int OH, int OW)
{
    const int across = (OW + 3) / 4, image = (OH + 3) / 4 * across, n = tile / image, at = tile - n * image;

    return (place){n, at / across * 4, at % across * 4};
}

/* u = G w G', taps counted from the end if `turn`. Items: O C. */
ITEMS weights(global const float *w, global float *u, int items, int turn)
{
    const int id = get_global_id(0);
    float g[9], t[18], r[6];

    if (id >= items)
        return;
    EACH(i, 9) g[i] = w[(size_t)id * 9 + (turn ? 8 - i : i)];
    EACH(s, 3) weight_side(g + s, 3, t + 6 * s);
    EACH(i, 6)
    {
        weight_side(t + i, 6, r);
        EACH(s, 6) u[(size_t)(6 * i + s) * items + id] = r[s];
    }
}

/* v = B' x B. Items: count C. */
ITEMS inputs(global const float *x, global float *v, int H, int W, int C, int OH, int OW, int pad, int first, int count)
{
    const int id = get_global_id(0), tile = id / C, c = id % C;
    float t[36], r[6];

    if (tile >= count)
        return;
    const place p = place_of(first + tile, OH, OW);
    EACH(j, 6) /* columns: t is transposed */
    {
        float column[6];

        EACH(i, 6)
        {
            const int h = p.h - pad + i, w = p.v - pad + j;

            column[i] = h >= 0 && h < H && w >= 0 && w < W ? x[(((size_t)p.n * H + h) * W + w) * C + c] : 0.0f;
        }
        input_side(column, 1, t + 6 * j);
    }
    EACH(i, 6)
    {
        input_side(t + i, 6, r);
        EACH(j, 6) v[((size_t)(6 * i + j) * count + tile) * C + c] = r[j];
    }
}

/* y = A' m A with all that is added; m from element m_at of scratch on. Items: count O. */
ITEMS outputs(global const float *scratch, int m_at, global const float *b, global const float *temb,
              global const float *res, global float *y, int OH, int OW, int O, int first, int count)
{
    const int id = get_global_id(0), tile = id / O, o = id % O;
    global const float *m = scratch + m_at + id;
    float x[36], t[24], r[4], add = 0.0f;

    if (tile >= count)
        return;
    const place p = place_of(first + tile, OH, OW);
    EACH(f, 36) x[f] = m[(size_t)f * count * O];
    EACH(j, 6) output_side(x + j, 6, t + 4 * j);
    if (b)
        add += b[o];
    if (temb)
        add += temb[(size_t)p.n * O + o];
    EACH(i, 4)
    {
        output_side(t + i, 4, r);
        EACH(j, 4)
        {
            const size_t at = (((size_t)p.n * OH + p.h + i) * OW + p.v + j) * O + o;

            if (p.h + i < OH && p.v + j < OW)
                y[at] = r[j] + add + (res ? res[at] : 0.0f);
        }
    }
}
