/* Convolutions and linear layers of bf16 on CPUs, by tiles of 32 x 32 sums: on tile registers (AMX) where the
 * device has them, by pairs (AVX-512-BF16) else, by f32 arithmetic on the same rounded numbers where it has neither.
 * And of f32, each number as the sum of two bf16, on the same tiles (bf16x3). */
#include "ops/conv/conv_bf16.h"

#include <stdio.h>

enum {
    PIXELS = 512,
    FEW_PIXELS = 512,
    CACHED_PIXELS = 512,
    STRIP_PIXELS = 2400,
    LOCAL = 512 * 1024,
    ITEMS_A_UNIT = 4,
    MOST_TAPS = 9
};
enum { SLICE_BYTES = 64 << 20, CACHE_BYTES = 7 << 18, PAIRS_BYTES = 1 << 20 };

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t a, int64_t b) { return div_up(a, b) * b; }

static const char *const products[] = {[DM_BF16_TILES] = "-DAMX",
                                       [DM_BF16_PAIRS] = "-DPAIRS",
                                       [DM_BF16_PLAIN] = "-DPLAIN",
                                       [DM_BF16X3_TILES] = "-DAMX -DSPLIT",
                                       [DM_BF16X3_PLAIN] = "-DPLAIN -DSPLIT"};

/* Bytes of an element as tiles read it. */
static int64_t element(dm_bf16_unit unit) { return dm_bf16_split(unit) ? 4 : 2; }

bool dm_bf16_able(const dm_device_info *dev, dm_bf16_unit unit)
{
    return dev->cpu && !dev->emulated && dev->native_float > 1 &&
           (unit == DM_BF16_TILES || unit == DM_BF16X3_TILES ? (dev->capabilities & DM_CAP_AMX_BF16) != 0
            : unit == DM_BF16_PAIRS                          ? (dev->capabilities & DM_CAP_AVX512_BF16) != 0
                                                             : true);
}

/* ---- how a convolution is cut ------------------------------------------------------------ */

/* x[N,H,W,C] to y[N,OH,OW,O]; pitch: positions from one row to the next of what an item holds. */
typedef struct cut {
    int64_t N, H, W, C, OH, OW, O;
    int k, stride, pad, dilate;
    int64_t element;
    int64_t pitch, image_rows, reach, deep;
    int64_t strip, some, per_row, plane, group, items;
} cut;

/* Zeros right of a row serve as the ones left of the next, where there are as many as that. */
static void set_pitch(cut *c)
{
    const bool same = c->stride == 1 && c->dilate == 1 && 2 * c->pad == c->k - 1 && c->OW == c->W && c->OH == c->H;

    c->reach = (c->k - 1) / c->stride;
    c->pitch = c->OW + (same ? c->pad : c->reach);
    c->image_rows = c->OH + (same ? c->pad : c->reach);
    c->deep = round_up(c->C, 32);
}

static cut cut_of(const dm_conv_args *g, dm_bf16_unit unit, bool gradient)
{
    cut c = {.N = g->N,
             .H = g->H,
             .W = g->W,
             .C = g->C,
             .OH = g->OH,
             .OW = g->OW,
             .O = g->O,
             .k = g->k,
             .stride = g->stride,
             .pad = g->pad,
             .dilate = 1};

    if (gradient)
        c = (cut){.N = g->N,
                  .H = g->OH,
                  .W = g->OW,
                  .C = g->O,
                  .OH = g->H,
                  .OW = g->W,
                  .O = g->C,
                  .k = g->k,
                  .stride = 1,
                  .pad = g->k - 1 - g->pad,
                  .dilate = g->stride};
    c.element = element(unit);
    set_pitch(&c);
    return c;
}

static int64_t plane_of(const cut *c)
{
    return round_up(((c->some - 1) * c->image_rows + c->strip + c->reach) * c->pitch + c->reach + 32, 16);
}
static int64_t local_of(const cut *c) { return plane_of(c) * c->stride * c->stride * c->deep * c->element; }

/* Strips of rows of large images, several small images; false where not even a row fits. Of a 1x1 convolution, whose
 * weights are few, each pixel is held by one item. */
static bool cut_strips(const dm_device_info *dev, cut *c)
{
    const int64_t room = LOCAL * c->element / 2, most = room < (int64_t)dev->local_mem ? room : (int64_t)dev->local_mem;
    const int64_t blocks = div_up(c->O, 32),
                  wanted = ITEMS_A_UNIT * (int64_t)(dev->compute_units ? dev->compute_units : 1);
    const int64_t share = c->N * c->OH * c->OW / wanted, few = c->k > 1 || share > FEW_PIXELS ? FEW_PIXELS : share;

    c->strip = c->OH;
    c->some = 1;
    while (c->strip > 1 && (c->strip * c->OW > PIXELS || local_of(c) > most))
        c->strip = div_up(c->strip, 2);
    if (local_of(c) > most)
        return false;
    while (c->strip == c->OH && c->some < c->N && (c->some + 1) * c->OH * c->OW <= few) {
        c->some++;
        if (local_of(c) > most) {
            c->some--;
            break;
        }
    }
    c->plane = plane_of(c);
    c->per_row = c->OW % 16 == 0 ? c->OW / 16 : 0;
    c->items = c->strip < c->OH ? c->N * div_up(c->OH, c->strip) : div_up(c->N, c->some);
    c->group = blocks;
    while (c->group > 1 && c->items * div_up(blocks, c->group) < wanted)
        c->group = div_up(c->group, 2);
    return true;
}

bool dm_bf16_serves(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g, bool gradient)
{
    cut c = cut_of(g, unit, gradient);

    return dm_bf16_able(dev, unit) && g->k * g->k <= MOST_TAPS && g->stride <= 2 && g->pad < g->k && c.pad >= 0 &&
           g->N * g->H * g->W < 1 << 30 && cut_strips(dev, &c);
}

/* ---- forward, and the gradient with respect to x ------------------------------------------- */

static dm_status packed(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, int weight, const cut *c, bool gradient,
                        dm_buf **out)
{
    const char *kernel = gradient ? "pack_dx" : "pack";
    const int64_t taps = g->k * g->k, blocks = div_up(c->O, 32);
    const dm_range r = {
        .dim = 2,
        .global = {(size_t)(gradient ? blocks : c->deep / 32), (size_t)(gradient ? c->deep / 32 : blocks)},
        .local = {1, 1}};
    char key[48];
    dm_cmds *refresh;
    dm_status rc;

    snprintf(key, sizeof key, "conv_bf16%s_%s", dm_bf16_split(unit) ? "x3" : "", kernel);
    if ((rc = dm_emit_packed(e, weight, key, (size_t)(blocks * taps * c->deep * 32 * c->element), out, &refresh)) ||
        !refresh)
        return rc;
    return dm_emit_launch(e, refresh, "conv/conv2d_bf16.cl", kernel, products[unit], &r,
                          DM_KARGS(DM_KB(e->in[weight]), DM_KB(*out), DM_KI(g->O), DM_KI(g->C), DM_KI(taps),
                                   DM_KL((size_t)taps * 32 * 16 * sizeof(uint32_t))));
}

/* y_type: of the output, and of res. */
static dm_status convolve(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, bool gradient, dm_buf *x, int weight,
                          dm_buf *b, dm_buf *temb, dm_buf *res, dm_buf *y, dm_dtype y_type)
{
    const dm_device_info *dev = dm_device_get_info(e->dev);
    cut c = cut_of(g, unit, gradient);
    char options[48];
    dm_range r = {.dim = 2, .local = {1, 1}};
    dm_buf *w;
    dm_status rc;

    cut_strips(dev, &c);
    if ((rc = packed(e, unit, g, weight, &c, gradient, &w)))
        return rc;
    snprintf(options, sizeof options, "%s%s", products[unit], y_type == DM_DT_F32 ? " -DY_F32" : "");
    r.global[0] = (size_t)c.items;
    r.global[1] = (size_t)div_up(div_up(c.O, 32), c.group);
    return dm_emit_launch(e, e->cmds, "conv/conv2d_bf16.cl", "conv2d", options, &r,
                          DM_KARGS(DM_KB(x), DM_KB(w), DM_KB(b), DM_KB(temb), DM_KB(res), DM_KB(y),
                                   DM_KI4(c.N, c.H, c.W, c.C), DM_KI4(c.OH, c.OW, c.O, c.k),
                                   DM_KI4(c.stride, c.pad, c.dilate, c.pitch),
                                   DM_KI4(c.image_rows, c.strip, c.some, c.per_row), DM_KI(c.plane), DM_KI(c.group),
                                   DM_KL((size_t)local_of(&c))));
}

dm_status dm_bf16_forward(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, int weight, dm_buf *b, dm_buf *temb,
                          dm_buf *res)
{
    return convolve(e, unit, g, false, e->in[0], weight, b, temb, res, e->out[0], e->node->out[0].type);
}

dm_status dm_bf16_dx(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, dm_buf *dy, int weight)
{
    return convolve(e, unit, g, true, dy, weight, NULL, NULL, NULL, e->out[0], e->node->out[0].type);
}

/* ---- the gradient with respect to the weights ------------------------------------------------ */

typedef struct ranges {
    cut c;
    int64_t join, strips, image_rows; /* images of a strip, strips; rows from one image of it to the next */
    int64_t steps, count, planes;  /* of 32 pixels, of pairs of a copy of a strip, of x */
    int64_t blocks, wide;          /* of 32 outputs, of 32 channels */
    int64_t rows, pairs, part;     /* bytes: of a strip's rearranged dy and x, of one range's sums */
    int64_t held, parts, some,
        group;  /* strips of a slice; ranges of it, strips of each; blocks of channels of an item */
    bool whole; /* a strip's part of the work stays in the cache: ranges of all strips, one strip's scratch each */
} ranges;

/* Small images lie in one strip of so many pixels, so that sums are fetched and stored less often. */
static void cut_images(ranges *r, int64_t pixels)
{
    const cut *c = &r->c;

    r->join = pixels / (c->image_rows * c->pitch);
    r->join = r->join < 1 ? 1 : r->join > c->N ? c->N : r->join;
    r->join = div_up(c->N, div_up(c->N, r->join));
    r->strips = div_up(c->N, r->join);
    r->image_rows = c->image_rows;
    r->steps = div_up(((r->join - 1) * c->image_rows + c->OH) * c->pitch, 32);
    r->count = r->steps * 16 + (c->reach * (c->pitch + 1)) / 2 + 1;
    r->rows = r->blocks * r->steps * 1024 * c->element;
    r->pairs = r->planes * 2 * r->wide * 2 * r->count * 32 * c->element;
}

static ranges ranges_of(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g)
{
    const int64_t wanted = ITEMS_A_UNIT * (int64_t)(dev->compute_units ? dev->compute_units : 1);
    ranges r = {.c = cut_of(g, unit, false)};
    const cut *c = &r.c;

    r.planes = c->stride * c->stride;
    r.blocks = div_up(c->O, 32);
    r.wide = div_up(c->C, 32);
    r.part = r.blocks * r.wide * c->k * c->k * 4096;
    cut_images(&r, CACHED_PIXELS);
    r.whole = r.strips >= wanted && r.rows + r.pairs + r.part <= CACHE_BYTES;
    if (r.whole) {
        r.some = div_up(r.strips, 2 * wanted);
        r.held = r.parts = div_up(r.strips, r.some);
        return r;
    }
    cut_images(&r, STRIP_PIXELS);
    r.held = SLICE_BYTES / (r.rows + r.pairs);
    r.held = r.held < 1 ? 1 : r.held > r.strips ? r.strips : r.held;
    r.group = r.wide; /* items that follow one another read the same pairs: they should lie in the cache */
    while (r.group > 1 &&
           (r.blocks * div_up(r.wide, r.group) < wanted || r.held * r.pairs / r.wide * r.group > PAIRS_BYTES))
        r.group = div_up(r.group, 2);
    r.parts = div_up(wanted, r.blocks * div_up(r.wide, r.group));
    r.parts = r.parts > r.held ? r.held : r.parts;
    r.some = div_up(r.held, r.parts);
    r.parts = div_up(r.held, r.some);
    return r;
}

bool dm_bf16_dw_serves(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g)
{
    return dm_bf16_able(dev, unit) && g->k * g->k <= MOST_TAPS && g->stride <= 2 && g->pad < g->k &&
           g->N * g->H * g->W < 1 << 30;
}

size_t dm_bf16_dw_scratch(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g)
{
    const ranges r = ranges_of(dev, unit, g);

    return (size_t)(r.held * (r.rows + r.pairs) + r.parts * r.part);
}

/* One part of one slice is dw. */
static bool at_once(const ranges *r) { return !r->whole && r->parts == 1 && r->held == r->strips; }
/* Bytes of local memory in which a row of dw is put together. */
static size_t line_of(const cut *c) { return (size_t)(32 * c->k * c->k + 16) * sizeof(float); }

/* Where in the scratch, in units of 64 bytes. */
enum { UNIT = 64 };

static dm_status slice(dm_emit *e, dm_bf16_unit unit, const ranges *r, dm_buf *x, dm_buf *dy, int64_t n0,
                       int64_t strips)
{
    static const char file[] = "conv/conv2d_dw_bf16.cl";
    const char *options = products[unit];
    const int64_t pairs_at = r->held * r->rows / UNIT, part_at = pairs_at + r->held * r->pairs / UNIT;
    const cut *c = &r->c;
    dm_range range = {.dim = 2, .global = {(size_t)strips, (size_t)r->blocks}, .local = {1, 1, 1}};
    dm_status rc;

    if ((rc = dm_emit_launch(e, e->cmds, file, "arrange_dy", options, &range,
                             DM_KARGS(DM_KB(dy), DM_KB(e->scratch), DM_KI(n0), DM_KI(c->N), DM_KI(r->join),
                                      DM_KI(r->image_rows), DM_KI(c->OH), DM_KI(c->OW), DM_KI(c->O), DM_KI(c->pitch),
                                      DM_KI(r->steps)))))
        return rc;
    range = (dm_range){.dim = 3, .global = {(size_t)strips, (size_t)r->wide, (size_t)r->planes}, .local = {1, 1, 1}};
    if ((rc = dm_emit_launch(e, e->cmds, file, "arrange_x", options, &range,
                             DM_KARGS(DM_KB(x), DM_KB(e->scratch), DM_KI(pairs_at), DM_KI(n0), DM_KI(c->N),
                                      DM_KI(r->join), DM_KI(r->image_rows), DM_KI(c->H), DM_KI(c->W), DM_KI(c->C),
                                      DM_KI(c->stride), DM_KI(c->pad), DM_KI(c->pitch), DM_KI(r->count)))))
        return rc;
    range = (dm_range){.dim = 3,
                       .global = {(size_t)r->blocks, (size_t)div_up(r->wide, r->group), (size_t)r->parts},
                       .local = {1, 1, 1}};
    return dm_emit_launch(e, e->cmds, file, "conv2d_dw", options, &range,
                          DM_KARGS(DM_KB(e->scratch), DM_KI(pairs_at), DM_KI(part_at), DM_KB(e->out[0]), DM_KI(strips),
                                   DM_KI(r->some), DM_KI(c->O), DM_KI(c->C), DM_KI(c->k), DM_KI(c->stride),
                                   DM_KI(c->pitch), DM_KI(r->steps), DM_KI(r->count), DM_KI(r->group), DM_KI(n0 == 0),
                                   DM_KI(at_once(r)), DM_KI(e->node->accum), DM_KL(line_of(c))));
}

static dm_status whole(dm_emit *e, dm_bf16_unit unit, const ranges *r, dm_buf *x, dm_buf *dy)
{
    const int64_t pairs_at = r->held * r->rows / UNIT, part_at = pairs_at + r->held * r->pairs / UNIT;
    const dm_range range = {.dim = 1, .global = {(size_t)r->parts}, .local = {1}};
    const cut *c = &r->c;

    return dm_emit_launch(e, e->cmds, "conv/conv2d_dw_bf16.cl", "whole", products[unit], &range,
                          DM_KARGS(DM_KB(x), DM_KB(dy), DM_KB(e->scratch), DM_KI(pairs_at), DM_KI(part_at), DM_KI(c->N),
                                   DM_KI(r->join), DM_KI(r->image_rows), DM_KI(r->some), DM_KI(c->H), DM_KI(c->W),
                                   DM_KI(c->C), DM_KI(c->OH), DM_KI(c->OW), DM_KI(c->O), DM_KI(c->k), DM_KI(c->stride),
                                   DM_KI(c->pad), DM_KI(c->pitch), DM_KI(r->steps), DM_KI(r->count)));
}

dm_status dm_bf16_dw(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, dm_buf *x, dm_buf *dy)
{
    const dm_device_info *dev = dm_device_get_info(e->dev);
    const ranges r = ranges_of(dev, unit, g);
    const dm_range range = {.dim = 2, .global = {(size_t)r.blocks, (size_t)r.wide}, .local = {1, 1}};
    dm_status rc;

    if (r.whole && (rc = whole(e, unit, &r, x, dy)))
        return rc;
    for (int64_t n0 = 0; n0 < r.strips && !r.whole; n0 += r.held)
        if ((rc = slice(e, unit, &r, x, dy, n0, r.strips - n0 < r.held ? r.strips - n0 : r.held)))
            return rc;
    if (at_once(&r))
        return DM_OK;
    return dm_emit_launch(e, e->cmds, "conv/conv2d_dw_bf16.cl", "sum_parts", products[unit], &range,
                          DM_KARGS(DM_KB(e->scratch), DM_KI(r.held * (r.rows + r.pairs) / UNIT), DM_KB(e->out[0]),
                                   DM_KI(g->O), DM_KI(g->C), DM_KI(g->k * g->k), DM_KI(r.parts), DM_KI(e->node->accum),
                                   DM_KL(line_of(&r.c))));
}

/* ---- convolutions as nodes ----------------------------------------------------------------------- */

static bool is_bf16(const dm_desc *d) { return d->type == DM_DT_BF16; }

static bool supports(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);
    const bool stored = !dm_bf16_split(unit);

    if (is_bf16(&n->in[0]) != stored)
        return false;
    if (n->kind == DM_OP_CONV2D_DW)
        return is_bf16(&n->in[1]) == stored && dm_bf16_dw_serves(dev, unit, &g);
    return (n->kind == DM_OP_CONV2D_DX || n->in[4].rank < 0 || n->in[4].type == n->out[0].type) &&
           dm_bf16_serves(dev, unit, &g, n->kind == DM_OP_CONV2D_DX);
}

static size_t scratch_of(const dm_device_info *dev, dm_bf16_unit unit, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_args_of(n);

    return n->kind == DM_OP_CONV2D_DW ? dm_bf16_dw_scratch(dev, unit, &g) : 0;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n) { return scratch_of(dev, DM_BF16_TILES, n); }

static dm_status emit(dm_emit *e, dm_bf16_unit unit)
{
    const dm_conv_args g = dm_conv_args_of(e->node);

    switch (e->node->kind) {
    case DM_OP_CONV2D: return dm_bf16_forward(e, unit, &g, 1, e->in[2], e->in[3], e->in[4]);
    case DM_OP_CONV2D_DX: return dm_bf16_dx(e, unit, &g, e->in[0], 1);
    default: return dm_bf16_dw(e, unit, &g, e->in[0], e->in[1]);
    }
}

DM_BF16_UNITS(supports, emit)

const dm_impl dm_impls_conv2d_bf16[] = {
    DM_BF16_IMPLS(DM_OP_CONV2D, scratch),
    DM_BF16_IMPLS(DM_OP_CONV2D_DX, scratch),
    DM_BF16_IMPLS(DM_OP_CONV2D_DW, scratch),
    {0},
};

static bool serves_x3(const dm_device_info *dev, const dm_opnode *n) { return supports(dev, dm_bf16x3_unit(dev), n); }
static size_t scratch_x3(const dm_device_info *dev, const dm_opnode *n)
{
    return scratch_of(dev, dm_bf16x3_unit(dev), n);
}
static dm_status emit_x3(dm_emit *e) { return emit(e, dm_bf16x3_unit(dm_device_get_info(e->dev))); }

const dm_impl dm_impls_conv2d_bf16x3[] = {
    DM_BF16X3(DM_OP_CONV2D, serves_x3, scratch_x3, emit_x3, DM_BF16X3_TOLERANCE),
    DM_BF16X3(DM_OP_CONV2D_DX, serves_x3, scratch_x3, emit_x3, DM_BF16X3_TOLERANCE),
    DM_BF16X3(DM_OP_CONV2D_DW, serves_x3, scratch_x3, emit_x3, DM_BF16X3_TOLERANCE),
    {0},
};
