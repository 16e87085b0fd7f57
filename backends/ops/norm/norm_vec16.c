/* Group norm and its gradient on CPUs, channels last in steps of 32; see kernels/norm/group_norm_vec16.cl. */
#include "ops/launch/portable.h"

/* Rows of scratch of an example, as in the kernel; channels that an item takes where groups allow, and bytes of an
 * image that it may take then, so that x, dy and dx stay in its core's cache; items wanted of a core. */
enum { OF_CHANNEL = 9, LANES = 32, LEAST = 8, CHANNELS = 64, SLAB = 512 << 10, ITEMS_A_UNIT = 4 };

enum { X, GAMMA, BETA, SCALE, SHIFT };
enum { DY, BACK_X, BACK_GAMMA, BACK_BETA, STATS, BACK_SCALE, BACK_SHIFT };
enum { DX, DGAMMA, DBETA, DSCALE, DSHIFT };

static bool supports(const dm_device_info *d, const dm_opnode *n)
{
    (void)d;
    return (n->a.norm.channels_last || n->a.norm.L == 1) && n->a.norm.C % LEAST == 0;
}

/* The fewest channels that are whole groups and whole vectors. */
static int64_t unit_of(const dm_attr_norm *a)
{
    int64_t unit = a->C / a->groups;

    for (int i = 1; i < LANES && unit % LANES; i++)
        unit += a->C / a->groups;
    return unit;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* Channels of a work-item. A sum is one item's, so that no result depends on it. */
static int64_t block_of(const dm_device_info *d, const dm_opnode *n)
{
    const dm_attr_norm *a = &n->a.norm;
    const int64_t unit = unit_of(a), items = ITEMS_A_UNIT * (int64_t)(d->compute_units ? d->compute_units : 1);
    const int64_t fits = SLAB / (a->L * (int64_t)dm_dtype_size(n->in[0].type));
    const int64_t channels = least(least(CHANNELS, fits), a->C * a->N / items);

    return channels > unit ? channels / unit * unit : unit;
}

static int64_t floats_of(const dm_attr_norm *a) { return a->N * OF_CHANNEL * dm_div_up(a->C, LANES) * LANES; }

static size_t scratch(const dm_device_info *d, const dm_opnode *n)
{
    (void)d;
    return (size_t)floats_of(&n->a.norm) * sizeof(float);
}

static dm_status launch(dm_emit *e, const char *name, int64_t items, const dm_karg *args, int n)
{
    const dm_range r = {.dim = 1, .global = {(size_t)items}};
    const int tail = (int)(e->node->a.norm.C % LANES);
    char options[32];

    snprintf(options, sizeof options, "%s%s%.0d", e->node->in[0].type == DM_DT_BF16 ? "-DBF16 " : "",
             tail ? "-DTAIL=" : "", tail);
    return dm_emit_launch(e, e->cmds, "norm/group_norm_vec16.cl", name, options, &r, args, n);
}

static dm_status forward(dm_emit *e)
{
    const dm_attr_norm *a = &e->node->a.norm;
    const int64_t block = block_of(dm_device_get_info(e->dev), e->node);
    const dm_status s = dm_fits(e, floats_of(a));
    dm_buf *const *in = e->in;

    return s != DM_OK ? s
                      : launch(e, "forward", a->N * dm_div_up(a->C, block),
                               DM_KARGS(DM_KB(in[X]), DM_KB(in[GAMMA]), DM_KB(in[BETA]), DM_KB(in[SCALE]),
                                        DM_KB(in[SHIFT]), DM_KB(e->out[0]), DM_KB(e->out[1]), DM_KB(e->scratch),
                                        DM_KI4(a->C, a->L, a->groups, block), DM_KF(a->eps), DM_KI(a->silu)));
}

static dm_status backward(dm_emit *e)
{
    const dm_attr_norm *a = &e->node->a.norm;
    const int64_t block = block_of(dm_device_get_info(e->dev), e->node);
    dm_buf *const *in = e->in, *const *out = e->out;
    dm_status s = dm_fits(e, floats_of(a));

    if (s == DM_OK)
        s = launch(e, "backward", a->N * dm_div_up(a->C, block),
                   DM_KARGS(DM_KB(in[DY]), DM_KB(in[BACK_X]), DM_KB(in[BACK_GAMMA]), DM_KB(in[BACK_BETA]),
                            DM_KB(in[STATS]), DM_KB(in[BACK_SCALE]), DM_KB(in[BACK_SHIFT]), DM_KB(out[DX]),
                            DM_KB(out[DSCALE]), DM_KB(out[DSHIFT]), DM_KB(e->scratch),
                            DM_KI4(a->C, a->L, a->groups, block), DM_KI(a->silu)));
    if (s != DM_OK || (!out[DGAMMA] && !out[DBETA]))
        return s;
    return launch(e, "backward_weights", a->C,
                  DM_KARGS(DM_KB(e->scratch), DM_KB(in[BACK_SCALE]), DM_KB(out[DGAMMA]), DM_KB(out[DBETA]),
                           DM_KI(a->N), DM_KI(a->C), DM_KI(e->node->accum)));
}

const dm_impl dm_impls_norm_vec16[] = {
    {.name = "vec16",
     .kind = DM_OP_GROUP_NORM,
     .supports = supports,
     .scratch = scratch,
     .emit = forward,
     .types = DM_TYPE(DM_DT_F32) | DM_TYPE(DM_DT_BF16),
     .devices = DM_ON_CPUS},
    {.name = "vec16",
     .kind = DM_OP_GROUP_NORM_DX,
     .supports = supports,
     .scratch = scratch,
     .emit = backward,
     .types = DM_TYPE(DM_DT_F32) | DM_TYPE(DM_DT_BF16),
     .devices = DM_ON_CPUS},
    {0},
};
