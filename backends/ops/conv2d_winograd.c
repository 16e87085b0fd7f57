/* 3x3 convolutions of stride 1 on CPUs by Winograd's F(4x4, 3x3), a quarter of the products. What is made of the weights lies
 * in scratch and is made each time: it is four times as large as they are, and reading it from memory takes as long. */
#include "conv_args.h"

#include <stdio.h>

enum { SIDE = 4, PLANES = 36, BLOCK = 8, SHARE = 6, CHUNK = 256, RUN = 16, LEAST_TILES = 4, LEAST_CHANNELS = 32 };
enum { MOST_SCRATCH = 256 << 20 };
static const char file[] = "conv/winograd.cl", file_dw[] = "conv/winograd_dw.cl";

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t tiles_of(const dm_conv_args *g) { return g->N * div_up(g->OH, SIDE) * div_up(g->OW, SIDE); }

static int tail(const dm_conv_args *g) { return g->C % 16 || g->O % 16; }

/* The convolution of dy with turned weights that the gradient with respect to the input is. */
static dm_conv_args turned(const dm_conv_args *g)
{
    return (dm_conv_args){.N = g->N, .H = g->OH, .W = g->OW, .C = g->O, .OH = g->H, .OW = g->W, .O = g->C, .k = g->k, .stride = g->stride, .pad = 2 - g->pad};
}

static dm_conv_args args_of(const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return n->kind == DM_OP_CONV2D_DX ? turned(&g) : g;
}

/* ---- forward, and the gradient with respect to the input ------------------------------------ */

/* How a device does it: tiles of `rows` x 16 `vectors` outputs in registers, `shares` of the tiles by `cut` of the outputs. */
typedef struct work { int rows, vectors; int64_t channels, outputs, shares, cut, block, weights, floats; } work;

static work work_of(const dm_device_info *dev, const dm_conv_args *g)
{
    const int64_t units = dev->compute_units ? dev->compute_units : 1;
    work w = {.rows = dm_tile_rows(dev), .vectors = dm_tile_vectors(dev, g->O)};
    int64_t groups;

    w.channels = div_up(g->C, 16);
    w.outputs = div_up(g->O, 16 * w.vectors);
    groups = div_up(tiles_of(g), w.rows);
    w.cut = 1;
    w.shares = groups / SHARE / units * units;
    w.shares = w.shares < units ? units : w.shares > 8 * units ? 8 * units : w.shares;
    if (groups < 4 * units) {
        w.cut = w.outputs < units ? w.outputs : units;
        w.shares = units / w.cut < groups ? units / w.cut : groups;
    }
    w.block = div_up(groups, w.shares) < BLOCK ? div_up(groups, w.shares) : BLOCK;
    w.weights = PLANES * w.outputs * 16 * w.vectors * w.channels * 16;
    w.floats = w.weights + w.shares * w.cut * w.block * PLANES * w.rows * (w.channels * 16 + div_up(w.outputs, w.cut) * 16 * w.vectors);
    return w;
}

static bool can(const dm_device_info *dev, const dm_conv_args *g)
{
    return dm_vec16_serves(dev, g) && g->k == 3 && g->stride == 1 && g->pad >= 0 && g->pad <= 2 && g->W < (1 << 27) / g->C &&
           g->OW < (1 << 27) / g->O && g->C <= 4096 && g->O <= 4096;
}

/* The better guess: where an image alone has tiles enough, whatever the batch, so that it never changes the result. Gradients
 * belong to whole batches, and their weights are new at each step: transforming costs no more than packing. */
static bool likely(const dm_conv_args *g, bool gradient)
{
    return g->C >= LEAST_CHANNELS && g->O >= LEAST_CHANNELS && (gradient || tiles_of(g) / g->N >= LEAST_TILES);
}

static bool serves(const dm_device_info *dev, const dm_opnode *n, bool first)
{
    const dm_conv_args g = args_of(n);

    return can(dev, &g) && work_of(dev, &g).floats <= MOST_SCRATCH / (int64_t)sizeof(float) && likely(&g, n->kind != DM_OP_CONV2D) == first;
}

static bool serves_first(const dm_device_info *dev, const dm_opnode *n) { return serves(dev, n, true); }
static bool serves_last(const dm_device_info *dev, const dm_opnode *n) { return serves(dev, n, false); }

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = args_of(n);

    return (size_t)work_of(dev, &g).floats * sizeof(float);
}

static dm_status emit(dm_emit *e)
{
    const bool turn = e->node->kind == DM_OP_CONV2D_DX;
    const dm_conv_args g = args_of(e->node);
    const work w = work_of(dm_device_about(e->dev), &g);
    const dm_range weights = {.dim = 2, .global = {(size_t)w.outputs, (size_t)w.channels}, .local = {1, 1}};
    const dm_range tiles = {.dim = 2, .global = {(size_t)w.shares, (size_t)w.cut}, .local = {1, 1}};
    char options[64];
    dm_status rc;

    snprintf(options, sizeof options, "-DMR=%d -DNV=%d -DTAIL=%d", w.rows, w.vectors, tail(&g));
    if ((rc = dm_emit_launch(e, e->cmds, file, "weights", options, &weights,
                             DM_KARGS(DM_KB(e->in[1]), DM_KB(e->scratch), DM_KI(g.O), DM_KI(g.C), DM_KI(turn ? 9 : g.C * 9),
                                      DM_KI(turn ? g.O * 9 : 9), DM_KI(turn)))))
        return rc;
    return dm_emit_launch(e, e->cmds, file, "winograd", options, &tiles,
                          DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->in[4]), DM_KB(e->out[0]), DM_KB(e->scratch),
                                   DM_KI(w.weights), DM_KI(g.N), DM_KI(g.H), DM_KI(g.W), DM_KI(g.C), DM_KI(g.OH), DM_KI(g.OW), DM_KI(g.O),
                                   DM_KI(g.pad), DM_KI(w.block)));
}

/* ---- the gradient with respect to the weights ------------------------------------------------- */

/* Floats of each part of scratch, and of all. */
typedef struct dw { int vectors; int64_t channels, outputs, chunk, z, d, floats; } dw;

static dw dw_of(const dm_device_info *dev, const dm_conv_args *g)
{
    const int64_t tiles = div_up(tiles_of(g), RUN) * RUN;
    dw p = {.vectors = dm_tile_vectors(dev, g->O), .channels = div_up(g->C, 16), .chunk = tiles < CHUNK ? tiles : CHUNK};

    p.outputs = div_up(g->O, 16 * p.vectors);
    p.z = PLANES * p.channels * 16 * p.chunk;
    p.d = p.z + PLANES * p.outputs * 16 * p.vectors * p.chunk;
    p.floats = p.d + PLANES * p.channels * 16 * p.outputs * 16 * p.vectors;
    return p;
}

static bool serves_dw(const dm_device_info *dev, const dm_opnode *n, bool first)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return can(dev, &g) && dw_of(dev, &g).floats <= MOST_SCRATCH / (int64_t)sizeof(float) && likely(&g, n->kind != DM_OP_CONV2D) == first;
}

static bool serves_dw_first(const dm_device_info *dev, const dm_opnode *n) { return serves_dw(dev, n, true); }
static bool serves_dw_last(const dm_device_info *dev, const dm_opnode *n) { return serves_dw(dev, n, false); }

static size_t scratch_dw(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return (size_t)dw_of(dev, &g).floats * sizeof(float);
}

/* The tiles from `first` on. */
static dm_status emit_chunk(dm_emit *e, const dm_conv_args *g, const dw *p, const char *options, int64_t first, int64_t count)
{
    const size_t runs = (size_t)div_up(count, RUN), channels = (size_t)p->channels, outputs = (size_t)p->outputs;
    const dm_range in = {.dim = 2, .global = {runs, channels}, .local = {1, 1}}, out = {.dim = 2, .global = {runs, outputs}, .local = {1, 1}};
    const dm_range all = {.dim = 3, .global = {PLANES, outputs, channels}, .local = {1, 1, 1}};
    dm_status rc;

    if ((rc = dm_emit_launch(e, e->cmds, file_dw, "inputs", options, &in,
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->scratch), DM_KI(0), DM_KI(g->H), DM_KI(g->W), DM_KI(g->C), DM_KI(g->OH),
                                      DM_KI(g->OW), DM_KI(g->pad), DM_KI(first), DM_KI(count)))) ||
        (rc = dm_emit_launch(e, e->cmds, file_dw, "gradients", options, &out,
                             DM_KARGS(DM_KB(e->in[1]), DM_KB(e->scratch), DM_KI(p->z), DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->O), DM_KI(first),
                                      DM_KI(count)))))
        return rc;
    return dm_emit_launch(e, e->cmds, file_dw, "products", options, &all,
                          DM_KARGS(DM_KB(e->scratch), DM_KI(0), DM_KI(p->z), DM_KI(p->d), DM_KI(runs), DM_KI(first > 0)));
}

static dm_status emit_dw(dm_emit *e)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const dw p = dw_of(dm_device_about(e->dev), &g);
    const dm_range r = {.dim = 2, .global = {(size_t)g.C, (size_t)div_up(g.O, 16)}, .local = {1, 1}};
    const int64_t tiles = tiles_of(&g);
    char options[64];
    dm_status rc;

    snprintf(options, sizeof options, "-DNV=%d -DTAIL=%d", p.vectors, tail(&g));
    for (int64_t first = 0; first < tiles; first += p.chunk)
        if ((rc = emit_chunk(e, &g, &p, options, first, tiles - first < p.chunk ? tiles - first : p.chunk)))
            return rc;
    return dm_emit_launch(e, e->cmds, file_dw, "outputs", options, &r,
                          DM_KARGS(DM_KB(e->scratch), DM_KI(p.d), DM_KB(e->out[0]), DM_KI(g.C), DM_KI(g.O), DM_KI(e->node->accum)));
}

/* The first three come before the direct convolution, the others after it. */
static const dm_impl impls[] = {
    {"winograd", DM_OP_CONV2D, serves_first, scratch, emit, 1e-5},
    {"winograd", DM_OP_CONV2D_DX, serves_first, scratch, emit, 1e-5},
    {"winograd", DM_OP_CONV2D_DW, serves_dw_first, scratch_dw, emit_dw, 2e-5},
    {"winograd", DM_OP_CONV2D, serves_last, scratch, emit, 1e-5},
    {"winograd", DM_OP_CONV2D_DX, serves_last, scratch, emit, 1e-5},
    {"winograd", DM_OP_CONV2D_DW, serves_dw_last, scratch_dw, emit_dw, 2e-5},
};

const dm_impl *const dm_impls_winograd[] = {&impls[0], &impls[1], &impls[2], NULL};
const dm_impl *const dm_impls_winograd_last[] = {&impls[3], &impls[4], &impls[5], NULL};
