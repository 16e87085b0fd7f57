/* Portable implementations of group norm, layer norm and their gradients. */
#include "ops/launch/portable.h"

/* ---- group norm: how it is cut ------------------------------------------------------------ */

/* Of coefficients an example's channel needs; pixels of a part and of an item that writes, on GPUs. */
enum { COEFS = 6, PART = 256, STRIP = 8, STRIPS_WANTED = 4 };

typedef struct gn {
    dm_attr_norm a;
    const char *option;
    int lanes;
    int64_t sl, sc;                /* element strides of pixels and of channels */
    int64_t parts, span;           /* of the pixels, for sums */
    int64_t block;                 /* channels of a CPU's work-item: whole groups; 0: steps are kernels of their own */
    int64_t part_floats, floats;   /* of scratch: sums, and in all */
} gn;

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t t = a % b;

        a = b;
        b = t;
    }
    return a;
}

/* The most channels, whole groups and whole vectors where that is possible, that leave items enough for all units. */
static int64_t block_of(const dm_device_info *d, const dm_attr_norm *a, int lanes)
{
    const int64_t width = a->C / a->groups, unit = width / gcd(width, lanes) * lanes,
                  wanted = STRIPS_WANTED * (int64_t)d->compute_units;
    int64_t blocks = dm_div_up(wanted, a->N), step;

    if (unit >= a->C)
        return a->C;
    step = dm_div_up(a->C / unit, blocks < 1 ? 1 : blocks);
    return unit * step;
}

static gn gn_of(const dm_device_info *d, const dm_opnode *n)
{
    gn g = {.a = n->a.norm, .option = dm_lanes_option(d), .lanes = dm_lanes(d)};

    g.sl = g.a.C;
    g.sc = 1;
    if (!g.a.channels_last && g.a.L > 1) {
        g.sl = 1;
        g.sc = g.a.L;
        g.lanes = 1;
        g.option = "-DW=1";
    }
    if (n->in[0].type == DM_DT_BF16)
        g.option = g.lanes == 16 ? "-DW=16 -DBF16" : g.lanes == 4 ? "-DW=4 -DBF16" : "-DW=1 -DBF16";
    if (n->in[0].type == DM_DT_F16)
        g.option = g.lanes == 16 ? "-DW=16 -DF16" : g.lanes == 4 ? "-DW=4 -DF16" : "-DW=1 -DF16";
    g.block = d->cpu ? block_of(d, &g.a, g.lanes) : 0;
    g.span = g.block || g.a.L <= 2 * PART ? g.a.L : PART;
    g.parts = dm_div_up(g.a.L, g.span);
    g.part_floats = g.a.N * g.parts * 2 * g.a.C;
    g.floats = g.part_floats + g.a.N * COEFS * g.a.C;
    return g;
}

/* The coefficients lie behind the sums: kernels get one buffer and an offset. */
static size_t gn_scratch(const dm_device_info *d, const dm_opnode *n)
{
    return (size_t)gn_of(d, n).floats * sizeof(float);
}

static dm_status gn_launch(dm_emit *e, const gn *g, const char *name, int64_t items, const dm_karg *args, int n)
{
    const dm_range r = dm_over(dm_device_get_info(e->dev), items);

    return dm_emit_launch(e, e->cmds, "norm/group_norm.cl", name, g->option, &r, args, n);
}

/* N, C, L; strides; */
#define GN_EXTENTS(g) DM_KI((g)->a.N), DM_KI((g)->a.C), DM_KI((g)->a.L)
#define GN_STRIDES(g) DM_KI((g)->sl), DM_KI((g)->sc)

static int64_t gn_vectors(const gn *g) { return dm_div_up(g->a.C, g->lanes); }
static int64_t gn_strips(const gn *g) { return g->a.N * dm_div_up(g->a.L, STRIP); }

/* ---- group norm: forward ------------------------------------------------------------------- */

static dm_status gn_forward_steps(dm_emit *e, const gn *g)
{
    dm_buf *const *in = e->in;
    dm_status s = gn_launch(e, g, "forward_stats", g->a.N * g->parts * gn_vectors(g),
                            DM_KARGS(DM_KB(in[0]), DM_KB(e->scratch), GN_EXTENTS(g), GN_STRIDES(g), DM_KI(g->parts),
                                     DM_KI(g->span)));

    if (s == DM_OK)
        s = gn_launch(e, g, "forward_coef", g->a.N * g->a.groups,
                      DM_KARGS(DM_KB(e->scratch), DM_KB(in[1]), DM_KB(in[2]), DM_KB(in[3]), DM_KB(in[4]),
                               DM_KB(e->out[1]), DM_KI(g->part_floats), GN_EXTENTS(g), DM_KI(g->a.groups),
                               DM_KI(g->parts), DM_KI(g->span), DM_KF(g->a.eps)));
    if (s == DM_OK)
        s = gn_launch(e, g, "forward_apply", gn_strips(g) * gn_vectors(g),
                      DM_KARGS(DM_KB(in[0]), DM_KB(e->scratch), DM_KB(e->out[0]), DM_KI(g->part_floats), GN_EXTENTS(g),
                               GN_STRIDES(g), DM_KI(g->a.silu), DM_KI(STRIP)));
    return s;
}

static dm_status gn_forward(dm_emit *e)
{
    const gn g = gn_of(dm_device_get_info(e->dev), e->node);
    const dm_status s = dm_fits(e, g.floats);
    dm_buf *const *in = e->in;

    if (s != DM_OK || !g.block)
        return s != DM_OK ? s : gn_forward_steps(e, &g);
    return gn_launch(e, &g, "forward", g.a.N * dm_div_up(g.a.C, g.block),
                     DM_KARGS(DM_KB(in[0]), DM_KB(in[1]), DM_KB(in[2]), DM_KB(in[3]), DM_KB(in[4]), DM_KB(e->out[0]),
                              DM_KB(e->out[1]), DM_KB(e->scratch), DM_KI(g.part_floats), GN_EXTENTS(&g),
                              DM_KI(g.a.groups), GN_STRIDES(&g), DM_KF(g.a.eps), DM_KI(g.a.silu), DM_KI(g.block)));
}

/* ---- group norm: backward ------------------------------------------------------------------- */

enum { DY, X, GAMMA, BETA, STATS, SCALE, SHIFT };
enum { DX, DGAMMA, DBETA, DSCALE, DSHIFT };

static dm_status gn_backward_steps(dm_emit *e, const gn *g)
{
    dm_buf *const *in = e->in;
    dm_status s = gn_launch(e, g, "backward_coef", g->a.N * g->a.C,
                            DM_KARGS(DM_KB(in[GAMMA]), DM_KB(in[BETA]), DM_KB(in[STATS]), DM_KB(in[SCALE]),
                                     DM_KB(in[SHIFT]), DM_KB(e->scratch), DM_KI(g->part_floats), DM_KI(g->a.N),
                                     DM_KI(g->a.C), DM_KI(g->a.groups)));

    if (s == DM_OK)
        s = gn_launch(e, g, "backward_sums", g->a.N * g->parts * gn_vectors(g),
                      DM_KARGS(DM_KB(in[DY]), DM_KB(in[X]), DM_KB(e->scratch), DM_KB(e->out[DX]), DM_KI(g->part_floats),
                               GN_EXTENTS(g), GN_STRIDES(g), DM_KI(g->a.silu), DM_KI(g->parts), DM_KI(g->span)));
    if (s == DM_OK)
        s = gn_launch(e, g, "backward_means", g->a.N * g->a.groups,
                      DM_KARGS(DM_KB(e->scratch), DM_KB(in[GAMMA]), DM_KB(in[BETA]), DM_KB(e->out[DSCALE]),
                               DM_KB(e->out[DSHIFT]), DM_KI(g->part_floats), GN_EXTENTS(g), DM_KI(g->a.groups),
                               DM_KI(g->parts)));
    if (s == DM_OK && e->out[DX])
        s = gn_launch(e, g, "backward_apply", gn_strips(g) * gn_vectors(g),
                      DM_KARGS(DM_KB(in[DY]), DM_KB(in[X]), DM_KB(e->scratch), DM_KB(e->out[DX]), DM_KI(g->part_floats),
                               GN_EXTENTS(g), GN_STRIDES(g), DM_KI(g->a.silu), DM_KI(STRIP)));
    return s;
}

static dm_status gn_backward_block(dm_emit *e, const gn *g)
{
    dm_buf *const *in = e->in, *const *out = e->out;

    return gn_launch(e, g, "backward", g->a.N * dm_div_up(g->a.C, g->block),
                     DM_KARGS(DM_KB(in[DY]), DM_KB(in[X]), DM_KB(in[GAMMA]), DM_KB(in[BETA]), DM_KB(in[STATS]),
                              DM_KB(in[SCALE]), DM_KB(in[SHIFT]), DM_KB(out[DX]), DM_KB(out[DSCALE]),
                              DM_KB(out[DSHIFT]), DM_KB(e->scratch), DM_KI(g->part_floats), GN_EXTENTS(g),
                              DM_KI(g->a.groups), GN_STRIDES(g), DM_KI(g->a.silu), DM_KI(g->block)));
}

static dm_status gn_backward(dm_emit *e)
{
    const gn g = gn_of(dm_device_get_info(e->dev), e->node);
    dm_status s = dm_fits(e, g.floats);

    if (s == DM_OK)
        s = g.block ? gn_backward_block(e, &g) : gn_backward_steps(e, &g);
    if (s != DM_OK || (!e->out[DGAMMA] && !e->out[DBETA]))
        return s;
    return gn_launch(e, &g, "backward_weights", g.a.C,
                     DM_KARGS(DM_KB(e->scratch), DM_KB(e->in[SCALE]), DM_KB(e->out[DGAMMA]), DM_KB(e->out[DBETA]),
                              DM_KI(g.a.N), DM_KI(g.a.C), DM_KI(g.parts), DM_KI(e->node->accum)));
}

/* ---- layer norm ------------------------------------------------------------------------------- */

enum { ITEMS_CPU = 64, ITEMS_GPU = 1024, ROW_FLOATS = 8192 };

static int64_t ln_rows(const dm_device_info *d, const dm_attr_norm *a)
{
    const int64_t each = ROW_FLOATS / a->C;

    return d->cpu && each > 1 ? each : 1;
}

static dm_status ln_forward(dm_emit *e)
{
    const dm_attr_norm *a = &e->node->a.norm;
    const int64_t each = ln_rows(dm_device_get_info(e->dev), a);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, "norm/layer_norm.cl", "forward", dm_div_up(a->N, each),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]),
                                               DM_KB(e->out[1]), DM_KI(a->N), DM_KI(a->C), DM_KF(a->eps), DM_KI(each)));
}

/* Rows of an item where each keeps sums of its own. */
static int64_t ln_back_rows(const dm_device_info *d, const dm_attr_norm *a)
{
    return dm_div_up(a->N, d->cpu ? ITEMS_CPU : ITEMS_GPU);
}

static bool ln_weights(const dm_opnode *n) { return n->out[1].rank >= 0 || n->out[2].rank >= 0; }

static int64_t ln_floats(const dm_device_info *d, const dm_opnode *n)
{
    return ln_weights(n) ? dm_div_up(n->a.norm.N, ln_back_rows(d, &n->a.norm)) * 2 * n->a.norm.C : 0;
}

static size_t ln_scratch(const dm_device_info *d, const dm_opnode *n)
{
    return (size_t)ln_floats(d, n) * sizeof(float);
}

static dm_status ln_backward(dm_emit *e)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const dm_attr_norm *a = &e->node->a.norm;
    const int64_t each = ln_back_rows(d, a), items = dm_div_up(a->N, each);
    dm_buf *part = ln_weights(e->node) ? e->scratch : NULL;
    dm_status s = dm_fits(e, ln_floats(d, e->node));

    if (s == DM_OK)
        s = dm_emit_items(e, "norm/layer_norm.cl", "backward", items,
                          DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]), DM_KB(e->out[0]),
                                   DM_KB(part), DM_KI(a->N), DM_KI(a->C), DM_KI(each)));
    if (s == DM_OK && part)
        s = dm_emit_items(e, "norm/layer_norm.cl", "backward_weights", a->C,
                          DM_KARGS(DM_KB(part), DM_KB(e->out[1]), DM_KB(e->out[2]), DM_KI(items), DM_KI(a->C),
                                   DM_KI(e->node->accum)));
    return s;
}

const dm_impl dm_impls_norm[] = {
    {DM_PORTABLE(GROUP_NORM, gn_forward), .scratch = gn_scratch, .types = DM_ANY_TYPE},
    {DM_PORTABLE(GROUP_NORM_DX, gn_backward), .scratch = gn_scratch, .types = DM_ANY_TYPE},
    {DM_PORTABLE(LAYER_NORM, ln_forward)},
    {DM_PORTABLE(LAYER_NORM_DX, ln_backward), .scratch = ln_scratch},
    {0},
};
