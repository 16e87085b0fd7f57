/* Convolutions on CPUs: tiles of float16 registers straight from channels-last tensors, weights packed as a
 * packed form. Linear layers are convolutions of size 1. */
#include "ops/conv/conv_args.h"

#include <stdio.h>

enum { TILES = 4, DW_CHUNK_BYTES = 1344 * 1024, DW_MOST_PARTS = 64 * 1024 * 1024 };

bool dm_vec16_serves(const dm_device_info *dev, const dm_conv_args *g)
{
    return dev->cpu && g->N * g->H * g->W < 1 << 30 && g->N * g->OH * g->OW < 1 << 30 &&
           g->k <= 31;
}

static size_t blocks_of(int64_t n, int64_t block) { return (size_t)((n + block - 1) / block); }

/* The packed form of the weights: `wide` of them along the vectors, `deep` along the sum. */
static dm_status packed(dm_emit *e, const dm_conv_args *g, int weight, const char *kernel, int64_t wide, int64_t deep,
                        int nv, const char *options, dm_buf **out)
{
    const size_t blocks = blocks_of(wide, 16 * nv), taps = (size_t)(g->k * g->k);
    const dm_range r = {.dim = 2, .global = {blocks, taps}, .local = {1, 1}};
    char key[48];
    dm_cmds *refresh;
    dm_status rc;

    snprintf(key, sizeof key, "conv_vec16_%s_%d", kernel, nv);
    if ((rc = dm_emit_packed(e, weight, key, (blocks * taps * (size_t)(16 * nv) + 1) * (size_t)deep * sizeof(float),
                              out, &refresh)) ||
        !refresh)
        return rc;
    return dm_emit_launch(e, refresh, "conv/conv2d_vec16.cl", kernel, options, &r,
                          DM_KARGS(DM_KB(e->in[weight]), DM_KB(*out), DM_KI(g->O), DM_KI(g->C), DM_KI(taps)));
}

dm_status dm_vec16_forward(dm_emit *e, const dm_conv_args *g, int weight, dm_buf *b, dm_buf *temb, dm_buf *res)
{
    const dm_device_info *dev = dm_device_get_info(e->dev);
    const int mr = dm_tile_rows(dev), nv = dm_tile_vectors(dev, g->O);
    const dm_range r = {
        .dim = 2, .global = {blocks_of(g->N * g->OH * g->OW, mr * TILES), blocks_of(g->O, 16 * nv)}, .local = {1, 1}};
    char options[64];
    dm_buf *w;
    dm_status rc;

    snprintf(options, sizeof options, "-DMR=%d -DNV=%d -DTILES=%d", mr, nv, TILES);
    if ((rc = packed(e, g, weight, "pack", g->O, g->C, nv, options, &w)))
        return rc;
    return dm_emit_launch(
        e, e->cmds, "conv/conv2d_vec16.cl", "conv2d", options, &r,
        DM_KARGS(DM_KB(e->in[0]), DM_KB(w), DM_KB(b), DM_KB(temb), DM_KB(res), DM_KB(e->out[0]), DM_CONV_ARGS(*g)));
}

dm_status dm_vec16_dx(dm_emit *e, const dm_conv_args *g, dm_buf *dy, int weight)
{
    const dm_device_info *dev = dm_device_get_info(e->dev);
    const int mr = dm_tile_rows(dev), nv = dm_tile_vectors(dev, g->C);
    const int64_t ph = (g->H + g->stride - 1) / g->stride, pw = (g->W + g->stride - 1) / g->stride;
    const size_t tiles = blocks_of(g->N * ph * pw, mr) * (size_t)(g->stride * g->stride);
    const dm_range r = {.dim = 2, .global = {(tiles + TILES - 1) / TILES, blocks_of(g->C, 16 * nv)}, .local = {1, 1}};
    char options[64];
    dm_buf *w;
    dm_status rc;

    snprintf(options, sizeof options, "-DMR=%d -DNV=%d -DTILES=%d", mr, nv, TILES);
    if ((rc = packed(e, g, weight, "pack_dx", g->C, g->O, nv, options, &w)))
        return rc;
    return dm_emit_launch(e, e->cmds, "conv/conv2d_vec16.cl", "conv2d_dx", options, &r,
                          DM_KARGS(DM_KB(dy), DM_KB(w), DM_KB(e->out[0]), DM_CONV_ARGS(*g)));
}

/* ---- weight gradients ------------------------------------------------------------------ */

typedef struct dw_tile { int mb, nv; bool swap; int64_t chunk, chunks; } dw_tile;

static int broadcast_block(const dm_device_info *dev, int64_t n)
{
    return dev->native_float >= 16 && n % 8 == 0 ? 8 : n % 4 == 0 ? 4 : n % 3 == 0 ? 3 : n % 2 == 0 ? 2 : 1;
}

/* Vectors run over inputs where these fill them, else over outputs; the last begins early where they fill none. Chunks
 * of images stay in the cache. */
static bool dw_tile_of(const dm_device_info *dev, const dm_conv_args *g, dw_tile *t)
{
    const int64_t image = (g->H * g->W * g->C + g->OH * g->OW * g->O) * (int64_t)sizeof(float);
    const int64_t part = (int64_t)g->k * g->k * g->C * g->O * (int64_t)sizeof(float);
    int64_t most, wide;

    if (g->O < 16 && g->C < 16)
        return false;
    t->swap = g->C % 16 == 0 || (g->C >= 16 && g->O % 16);
    wide = t->swap ? g->C : g->O;
    t->mb = broadcast_block(dev, t->swap ? g->O : g->C);
    t->nv = wide >= 32 && (wide + 31) / 32 * 2 == (wide + 15) / 16 && dev->native_float >= 16 ? 2 : 1;
    t->chunk = image >= DW_CHUNK_BYTES ? 1 : DW_CHUNK_BYTES / image;
    most = part >= DW_MOST_PARTS ? 1 : DW_MOST_PARTS / part;
    if ((g->N + t->chunk - 1) / t->chunk > most)
        t->chunk = (g->N + most - 1) / most;
    t->chunks = (g->N + t->chunk - 1) / t->chunk;
    return true;
}

bool dm_vec16_dw_serves(const dm_device_info *dev, const dm_conv_args *g)
{
    dw_tile t;

    return dm_vec16_serves(dev, g) && dw_tile_of(dev, g, &t);
}

size_t dm_vec16_dw_scratch(const dm_device_info *dev, const dm_conv_args *g)
{
    dw_tile t;

    return dw_tile_of(dev, g, &t) ? (size_t)(t.chunks * g->k * g->k * g->C * g->O + 16) * sizeof(float) : 0;
}

dm_status dm_vec16_dw(dm_emit *e, const dm_conv_args *g, dm_buf *x, dm_buf *dy)
{
    const size_t taps = (size_t)(g->k * g->k);
    dm_range r = {.dim = 3, .local = {1, 1, 1}};
    char options[64];
    dw_tile t;
    int64_t A, B;
    bool whole;
    dm_status rc;

    dw_tile_of(dm_device_get_info(e->dev), g, &t);
    whole = t.swap && t.chunks == 1 && taps == 1 && !e->node->accum; /* its one part lies as dw does */
    A = t.swap ? g->O : g->C;
    B = t.swap ? g->C : g->O;
    snprintf(options, sizeof options, "-DMB=%d -DNV=%d -DSWAP=%d", t.mb, t.nv, t.swap);
    r.global[0] = (size_t)(A / t.mb) * taps;
    r.global[1] = blocks_of(B, 16 * t.nv);
    r.global[2] = (size_t)t.chunks;
    if ((rc = dm_emit_launch(
             e, e->cmds, "conv/conv2d_dw_vec16.cl", "conv2d_dw", options, &r,
             DM_KARGS(DM_KB(x), DM_KB(dy), DM_KB(whole ? e->out[0] : e->scratch), DM_CONV_ARGS(*g), DM_KI(t.chunk)))) ||
        whole)
        return rc;
    r = (dm_range){.dim = 2, .global = {t.swap ? (size_t)A : taps * (size_t)A, blocks_of(B, 16)}, .local = {1, 1}};
    return dm_emit_launch(e, e->cmds, "conv/conv2d_dw_vec16.cl", "sum_parts", options, &r,
                          DM_KARGS(DM_KB(e->scratch), DM_KB(e->out[0]), DM_KI(g->C), DM_KI(g->O), DM_KI(taps),
                                   DM_KI(t.chunks), DM_KI(e->node->accum)));
}
