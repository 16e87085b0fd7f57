/* 3x3 convolutions of stride 1 on CPUs by Winograd: F(4x4, 3x3), a quarter of the products, and F(2x2, 3x3), four
 * ninths of them with the rounding error of the direct sum. What is made of the weights lies in scratch and is made
 * each time: it is four times (16/9) as large as they are, and reading it from memory takes as long. */
#include "backends/capabilities.h"
#include "ops/conv/conv_args.h"

#include <stdio.h>

enum { BLOCK = 4, MOST_BLOCK = 8, RUN = 16, FEW = 4, LEAST_TILES = 4, LEAST_CHANNELS = 32 };
enum { MOST_SCRATCH = 256 << 20, MANY_WEIGHTS = 1 << 20, CACHE = 3 << 16, MOST_SUMS = 32 << 20 };
static const char file[] = "conv/winograd.cl", file_dw[] = "conv/winograd_dw.cl";

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
/* Of `tile` by `tile` outputs: how many, and the products for each. */
static int64_t tiles_of(const dm_conv_args *g, int tile) { return g->N * div_up(g->OH, tile) * div_up(g->OW, tile); }
static int64_t planes_of(int tile) { return (int64_t)(tile + 2) * (tile + 2); }

static int tail(const dm_conv_args *g) { return g->C % 16 || g->O % 16; }

/* ---- forward, and the gradient with respect to the input ------------------------------------ */

/* How a device does it: tiles of `rows` x 16 `vectors` outputs in registers, `shares` of the tiles by `cut` of the
 * outputs. No more shares than units, so that each core's V and M stay in its cache; larger blocks where many weights
 * are read for each, and where a tile has fewer products. Where tiles are few (`own`), each work-item makes the weights
 * it uses, one block of outputs at a time, in its core's cache. */
typedef struct work {
    int tile, rows, vectors;
    bool own;
    int64_t channels, outputs, shares, cut, block, weights, floats;
} work;

static work work_of(const dm_device_info *dev, const dm_conv_args *g, int tile)
{
    const int64_t units = dev->compute_units ? dev->compute_units : 1, planes = planes_of(tile);
    work w = {.tile = tile, .rows = dm_tile_rows(dev), .vectors = dm_tile_vectors(dev, g->O)};
    int64_t groups, block, most, made;

    w.channels = div_up(g->C, 16);
    w.outputs = div_up(g->O, 16 * w.vectors);
    groups = div_up(tiles_of(g, tile), w.rows);
    w.cut = 1;
    w.shares = units;
    if (groups < 4 * units) {
        w.cut = w.outputs < units ? w.outputs : units;
        w.shares = units / w.cut < groups ? units / w.cut : groups;
    }
    w.weights = planes * w.outputs * 16 * w.vectors * w.channels * 16;
    block = (w.weights < MANY_WEIGHTS ? BLOCK : MOST_BLOCK) * planes_of(4) / planes;
    w.block = div_up(groups, w.shares) < block ? div_up(groups, w.shares) : block;
    w.own = w.shares == 1 && w.block == groups;
    most = w.own ? 1 : div_up(w.outputs, w.cut);
    made = w.own ? w.weights / w.outputs : 0;
    w.weights = w.own ? 0 : w.weights;
    w.floats = w.weights +
               w.shares * w.cut *
                   (made + w.channels * 16 + w.block * planes * w.rows * (w.channels * 16 + most * 16 * w.vectors));
    return w;
}

static bool can(const dm_device_info *dev, const dm_conv_args *g)
{
    return dm_vec16_serves(dev, g) && g->k == 3 && g->stride == 1 && g->pad >= 0 && g->pad <= 2 &&
           g->W < (1 << 27) / g->C && g->OW < (1 << 27) / g->O && g->C <= 4096 && g->O <= 4096;
}

/* The better guess: where an image alone has tiles enough, whatever the batch, so that it never changes the result.
 * Gradients belong to whole batches, and their weights are new at each step: transforming costs no more than packing.
 */
static bool likely(const dm_conv_args *g, bool gradient, int tile)
{
    return g->C >= LEAST_CHANNELS && g->O >= LEAST_CHANNELS && (gradient || tiles_of(g, tile) / g->N >= LEAST_TILES);
}

static bool supports(const dm_device_info *dev, const dm_opnode *n, bool first, int tile)
{
    const dm_conv_args g = dm_conv_turned_of(n);

    return can(dev, &g) && work_of(dev, &g, tile).floats <= MOST_SCRATCH / (int64_t)sizeof(float) &&
           likely(&g, n->kind != DM_OP_CONV2D, tile) == first;
}

static bool supports_first_4(const dm_device_info *dev, const dm_opnode *n) { return supports(dev, n, true, 4); }
static bool supports_first_2(const dm_device_info *dev, const dm_opnode *n) { return supports(dev, n, true, 2); }
static bool supports_last_4(const dm_device_info *dev, const dm_opnode *n) { return supports(dev, n, false, 4); }
static bool supports_last_2(const dm_device_info *dev, const dm_opnode *n) { return supports(dev, n, false, 2); }

static size_t scratch(const dm_device_info *dev, const dm_opnode *n, int tile)
{
    const dm_conv_args g = dm_conv_turned_of(n);

    return (size_t)work_of(dev, &g, tile).floats * sizeof(float);
}

static size_t scratch_4(const dm_device_info *dev, const dm_opnode *n) { return scratch(dev, n, 4); }
static size_t scratch_2(const dm_device_info *dev, const dm_opnode *n) { return scratch(dev, n, 2); }

/* What a work-item of winograd.cl does. */
enum { WEIGHTS, TILES, ALL };

static dm_status launch(dm_emit *e, const dm_conv_args *g, const work *w, int stage, int64_t i, int64_t j)
{
    const dm_range r = {.dim = 2, .global = {(size_t)i, (size_t)j}, .local = {1, 1}};
    char options[64];

    snprintf(options, sizeof options, "-DTILE=%d -DMR=%d -DNV=%d -DTAIL=%d%s", w->tile, w->rows, w->vectors, tail(g),
             dm_device_get_info(e->dev)->capabilities & DM_CAP_X86 ? " -DX86" : "");
    return dm_emit_launch(e, e->cmds, file, "winograd", options, &r,
                          DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->in[4]),
                                   DM_KB(e->out[0]), DM_KB(e->scratch), DM_KI(w->weights), DM_KI(g->N), DM_KI(g->H),
                                   DM_KI(g->W), DM_KI(g->C), DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->O), DM_KI(g->pad),
                                   DM_KI(w->block), DM_KI(e->node->kind == DM_OP_CONV2D_DX), DM_KI(stage)));
}

static dm_status emit(dm_emit *e, int tile)
{
    const dm_conv_args g = dm_conv_turned_of(e->node);
    const work w = work_of(dm_device_get_info(e->dev), &g, tile);
    dm_status rc;

    if (w.own)
        return launch(e, &g, &w, ALL, w.shares, w.cut);
    return (rc = launch(e, &g, &w, WEIGHTS, w.outputs, w.channels)) ? rc : launch(e, &g, &w, TILES, w.shares, w.cut);
}

static dm_status emit_4(dm_emit *e) { return emit(e, 4); }
static dm_status emit_2(dm_emit *e) { return emit(e, 2); }

/* ---- the gradient with respect to the weights ------------------------------------------------- */

/* Where there are many tiles, `parts` of them, each summed in its core's cache, `runs` of RUN tiles at a time; where
 * there are few (parts is 0), all of them transformed, then each sum used at once and not kept. Then where arrays in
 * scratch begin, and the end. */
typedef struct dw { int vectors; int64_t channels, outputs, parts, runs, z, d, floats; } dw;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static dw dw_of(const dm_device_info *dev, const dm_conv_args *g, int tile)
{
    const int64_t units = dev->compute_units ? dev->compute_units : 1, all = div_up(tiles_of(g, tile), RUN),
                  planes = planes_of(tile);
    dw p = {.vectors = dm_tile_vectors(dev, g->O), .channels = div_up(g->C, 16), .runs = all};
    int64_t run, sums, sets;

    p.outputs = div_up(g->O, 16 * p.vectors);
    run = planes * RUN * 16 * (p.channels + p.outputs * p.vectors);
    sums = planes * p.channels * 16 * p.outputs * 16 * p.vectors;
    if (all > FEW * units) {
        p.parts = least(units, 1 + MOST_SUMS / sums);
        p.runs = run < CACHE / 2 ? CACHE / run : 2;
    }
    sets = (p.parts ? p.parts : 1) * p.runs * planes * RUN * 16;
    p.z = sets * p.channels;
    p.d = p.z + sets * p.outputs * p.vectors;
    p.floats = p.d + (p.parts ? p.parts : 1) * sums;
    return p;
}

static bool supports_dw(const dm_device_info *dev, const dm_opnode *n, bool first, int tile)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return can(dev, &g) && dw_of(dev, &g, tile).floats <= MOST_SCRATCH / (int64_t)sizeof(float) &&
           likely(&g, true, tile) == first;
}

static bool supports_dw_first_4(const dm_device_info *dev, const dm_opnode *n) { return supports_dw(dev, n, true, 4); }
static bool supports_dw_first_2(const dm_device_info *dev, const dm_opnode *n) { return supports_dw(dev, n, true, 2); }
static bool supports_dw_last_4(const dm_device_info *dev, const dm_opnode *n) { return supports_dw(dev, n, false, 4); }
static bool supports_dw_last_2(const dm_device_info *dev, const dm_opnode *n) { return supports_dw(dev, n, false, 2); }

static size_t scratch_dw(const dm_device_info *dev, const dm_opnode *n, int tile)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return (size_t)dw_of(dev, &g, tile).floats * sizeof(float);
}

static size_t scratch_dw_4(const dm_device_info *dev, const dm_opnode *n) { return scratch_dw(dev, n, 4); }
static size_t scratch_dw_2(const dm_device_info *dev, const dm_opnode *n) { return scratch_dw(dev, n, 2); }

static dm_status emit_dw(dm_emit *e, int tile)
{
    const dm_conv_args g = dm_conv_args_of(e->node);
    const dm_device_info *dev = dm_device_get_info(e->dev);
    const dw p = dw_of(dev, &g, tile);
    const size_t runs = (size_t)p.runs, channels = (size_t)p.channels, outputs = (size_t)p.outputs;
    const dm_range parts = {.dim = 1, .global = {(size_t)p.parts}, .local = {1}},
                   in = {.dim = 2, .global = {runs, channels}, .local = {1, 1}};
    const dm_range out = {.dim = 2, .global = {runs, outputs}, .local = {1, 1}},
                   all = {.dim = 2, .global = {outputs, channels}, .local = {1, 1}};
    const dm_range last = {.dim = 2, .global = {(size_t)g.C, (size_t)div_up(g.O, 16)}, .local = {1, 1}};
    const int64_t tiles = tiles_of(&g, tile);
    char options[64];
    dm_status rc = DM_OK;

    snprintf(options, sizeof options, "-DTILE=%d -DNV=%d -DMB=%d -DTAIL=%d", tile, p.vectors,
             dev->native_float >= 16 ? 8 : 4, tail(&g));
    if (p.parts)
        rc = dm_emit_launch(e, e->cmds, file_dw, "parts", options, &parts,
                            DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->scratch), DM_KI(p.z), DM_KI(p.d),
                                     DM_KI(g.H), DM_KI(g.W), DM_KI(g.C), DM_KI(g.OH), DM_KI(g.OW), DM_KI(g.O),
                                     DM_KI(g.pad), DM_KI(tiles), DM_KI(p.runs)));
    else if (!(rc = dm_emit_launch(e, e->cmds, file_dw, "inputs", options, &in,
                                   DM_KARGS(DM_KB(e->in[0]), DM_KB(e->scratch), DM_KI(g.H), DM_KI(g.W), DM_KI(g.C),
                                            DM_KI(g.OH), DM_KI(g.OW), DM_KI(g.pad), DM_KI(tiles)))) &&
             !(rc = dm_emit_launch(e, e->cmds, file_dw, "gradients", options, &out,
                                   DM_KARGS(DM_KB(e->in[1]), DM_KB(e->scratch), DM_KI(p.z), DM_KI(g.OH), DM_KI(g.OW),
                                            DM_KI(g.O), DM_KI(tiles)))))
        rc = dm_emit_launch(e, e->cmds, file_dw, "products", options, &all,
                            DM_KARGS(DM_KB(e->scratch), DM_KI(p.z), DM_KI(p.d), DM_KI(p.runs)));
    return rc ? rc
              : dm_emit_launch(e, e->cmds, file_dw, "outputs", options, &last,
                               DM_KARGS(DM_KB(e->scratch), DM_KI(p.d), DM_KB(e->out[0]), DM_KI(g.C), DM_KI(g.O),
                                        DM_KI(p.parts), DM_KI(e->node->accum)));
}

static dm_status emit_dw_4(dm_emit *e) { return emit_dw(e, 4); }
static dm_status emit_dw_2(dm_emit *e) { return emit_dw(e, 2); }

/* The three ops: F(4x4, 3x3) where products of fp32 may round more than the direct sum does, F(2x2, 3x3) where they may
 * not. */
#define ROW(op, id, where, of, tile, most, alone)    \
    {.name = id,                                     \
     .kind = op,                                     \
     .supports = supports##of##where##tile,          \
     .scratch = scratch##of##tile,                   \
     .emit = emit##of##tile,                         \
     .tolerance = most,                              \
     .for_highest = alone}
#define ROWS(where)                                                        \
    ROW(DM_OP_CONV2D, "winograd", where, , _4, 1e-5, false),               \
        ROW(DM_OP_CONV2D_DX, "winograd", where, , _4, 1e-5, false),        \
        ROW(DM_OP_CONV2D_DW, "winograd", where, _dw, _4, 2e-5, false),     \
        ROW(DM_OP_CONV2D, "winograd_2x2", where, , _2, 0, true),           \
        ROW(DM_OP_CONV2D_DX, "winograd_2x2", where, , _2, 0, true),        \
        ROW(DM_OP_CONV2D_DW, "winograd_2x2", where, _dw, _2, 0, true)

/* These come before the direct convolution, the others after it. */
const dm_impl dm_impls_winograd[] = {ROWS(_first), {0}};
const dm_impl dm_impls_winograd_last[] = {ROWS(_last), {0}};
