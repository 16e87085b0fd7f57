/* 3x3 convolutions of stride 1 on GPUs by Winograd's F(4x4, 3x3): transforms in registers, the 36 products by tiles in
 * local memory. Where a device is not meant for it, it runs where it is forced. */
#include "ops/conv/conv_args.h"
#include "ops/gemm/tiled.h"

enum { SIDE = 4, PLANES = 36, GROUP = 64, MOST_SCRATCH = 64 << 20 };
static const char file[] = "conv/winograd_tiled.cl";

static int64_t div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t tiles_of(const dm_conv_args *g) { return g->N * div_up(g->OH, SIDE) * div_up(g->OW, SIDE); }
static dm_range items(int64_t n)
{
    return (dm_range){.dim = 1, .global = {(size_t)(div_up(n, GROUP) * GROUP)}, .local = {GROUP}};
}

/* Tiles at once, so that the transformed inputs and products of all of them fit; about as many each time. */
static int64_t some_of(const dm_conv_args *g)
{
    const int64_t tile = PLANES * (g->C + g->O) * (int64_t)sizeof(float), tiles = tiles_of(g);

    return div_up(tiles, div_up(tiles, tile >= MOST_SCRATCH ? 1 : MOST_SCRATCH / tile));
}

static bool supports(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_turned_of(n);

    return dm_tiled_able(dev) && g.k == 3 && g.stride == 1 && g.pad >= 0 && g.pad <= 2 && tiles_of(&g) < 1 << 30 &&
           g.C <= 1 << 14 && g.O <= 1 << 14;
}

static size_t scratch(const dm_device_info *dev, const dm_opnode *n)
{
    const dm_conv_args g = dm_conv_turned_of(n);

    (void)dev;
    return (size_t)(some_of(&g) * PLANES * (g.C + g.O)) * sizeof(float);
}

static dm_status weights(dm_emit *e, const dm_conv_args *g, bool turn, dm_buf **u)
{
    const int64_t count = g->O * g->C;
    const dm_range r = items(count);
    dm_cmds *refresh;
    dm_status rc;

    if ((rc = dm_emit_packed(e, 1, turn ? "winograd_tiled_turned" : "winograd_tiled",
                              (size_t)(PLANES * count) * sizeof(float), u, &refresh)) ||
        !refresh)
        return rc;
    return dm_emit_launch(e, refresh, file, "weights", NULL, &r,
                          DM_KARGS(DM_KB(e->in[1]), DM_KB(*u), DM_KI(count), DM_KI(turn)));
}

/* Transform, products, transform back, of `count` tiles. */
static dm_status part(dm_emit *e, const dm_conv_args *g, bool turn, dm_buf *u, int64_t first, int64_t count)
{
    const dm_range in = items(count * g->C), out = items(count * g->O);
    const dm_tiled t = {.batch = PLANES, .m = count, .n = g->O, .k = g->C, .y_at = PLANES * count * g->C, .tb = !turn};
    dm_status rc;

    if ((rc = dm_emit_launch(e, e->cmds, file, "inputs", NULL, &in,
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->scratch), DM_KI(g->H), DM_KI(g->W), DM_KI(g->C),
                                      DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->pad), DM_KI(first), DM_KI(count)))) ||
        (rc = dm_tiled_products(e, &t, e->scratch, u)))
        return rc;
    return dm_emit_launch(e, e->cmds, file, "outputs", NULL, &out,
                          DM_KARGS(DM_KB(e->scratch), DM_KI(t.y_at), DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->in[4]),
                                   DM_KB(e->out[0]), DM_KI(g->OH), DM_KI(g->OW), DM_KI(g->O), DM_KI(first),
                                   DM_KI(count)));
}

static dm_status emit(dm_emit *e)
{
    const dm_conv_args g = dm_conv_turned_of(e->node);
    const int64_t tiles = tiles_of(&g), some = some_of(&g);
    const bool turn = e->node->kind == DM_OP_CONV2D_DX;
    dm_buf *u;
    dm_status rc = weights(e, &g, turn, &u);

    for (int64_t first = 0; first < tiles && !rc; first += some)
        rc = part(e, &g, turn, u, first, tiles - first < some ? tiles - first : some);
    return rc;
}

/* Behind the direct tiles. They multiply 9 C times for an output, this 9/4 C times, but each value that a tile has of V
 * and of M (9/4 an input, 9/4 an output) is written and read again: with as many channels on either side, 36 bytes of
 * memory traffic for 13.5 C operations saved. That pays from C = 2.7 times the device's operations a byte on (20 to 80
 * for GPUs: 53 to 220 channels), more or less where caches hold a part: to be measured on the device. */
const dm_impl dm_impls_winograd_tiled[] = {
    {.name = "winograd_tiled",
     .kind = DM_OP_CONV2D,
     .supports = supports,
     .scratch = scratch,
     .emit = emit,
     .tolerance = 1e-5,
     .devices = DM_ON_OTHERS},
    {.name = "winograd_tiled",
     .kind = DM_OP_CONV2D_DX,
     .supports = supports,
     .scratch = scratch,
     .emit = emit,
     .tolerance = 1e-5,
     .devices = DM_ON_OTHERS},
    {0},
};
