/* Portable implementations of what runs along the middle of [outer,red,inner] and is no sum. */
#include "ops/launch/portable.h"

static int64_t items(const dm_emit *e)
{
    const dm_opnode *n = e->node;

    return n->a.reduce.outer * dm_div_up(n->a.reduce.inner, dm_lanes(dm_device_get_info(e->dev)));
}

#define EXTENTS DM_KI(e->node->a.reduce.outer), DM_KI(e->node->a.reduce.red), DM_KI(e->node->a.reduce.inner)

static dm_status of_one(dm_emit *e, const char *name)
{
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "reduce/rows.cl", name, items(e),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), EXTENTS));
}

static dm_status reduce_max(dm_emit *e) { return of_one(e, "largest"); }
static dm_status softmax(dm_emit *e) { return of_one(e, "softmax"); }

static dm_status reduce_max_dx(dm_emit *e)
{
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK
               ? s
               : dm_emit_typed(
                     e, "reduce/rows.cl", "largest_dx", items(e),
                     DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]), EXTENTS));
}

static dm_status softmax_dx(dm_emit *e)
{
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "reduce/rows.cl", "softmax_dx", items(e),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), EXTENTS));
}

const dm_impl dm_impls_reduce_rows[] = {
    {DM_PORTABLE(REDUCE_MAX, reduce_max), .types = DM_ANY_TYPE},
    {DM_PORTABLE(REDUCE_MAX_DX, reduce_max_dx), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SOFTMAX, softmax), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SOFTMAX_DX, softmax_dx), .types = DM_ANY_TYPE},
    {0},
};
