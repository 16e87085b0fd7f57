/* Linear layers of few rows; see kernels/matmul/rows.cl. */
#include "ops/conv/conv_args.h"
#include "ops/launch/portable.h"

enum { MOST_ROWS = 64, OUTPUTS = 2, VECTORS = 2 };
static const char file[] = "matmul/rows.cl";

static int64_t rows_of(const dm_conv_args *g) { return g->N * g->W; }

static bool supports(const dm_device_info *dev, const dm_opnode *n)
{
    dm_conv_args g;
    const dm_linear form = dm_linear_of(n, &g);

    (void)dev;
    return (form == DM_LINEAR_FORWARD || form == DM_LINEAR_DX) && rows_of(&g) <= MOST_ROWS;
}

static dm_status emit(dm_emit *e)
{
    dm_conv_args g;
    const dm_linear form = dm_linear_of(e->node, &g);
    const int64_t rows = rows_of(&g);

    if (form == DM_LINEAR_FORWARD)
        return dm_emit_items(e, file, "matmul_rows", dm_div_up(g.O, OUTPUTS),
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]), DM_KI(rows),
                                      DM_KI(g.O), DM_KI(g.C)));
    return dm_emit_items(
        e, file, "matmul_rows_dx", dm_div_up(g.C, VECTORS * dm_lanes(dm_device_get_info(e->dev))),
        DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(rows), DM_KI(g.O), DM_KI(g.C)));
}

const dm_impl dm_impls_matmul_rows[] = {
    /* Rows are an example's or several's: beyond MOST_ROWS another has them, with other bits. */
    {.name = "rows",
     .kind = DM_OP_MATMUL,
     .supports = supports,
     .emit = emit,
     .devices = DM_ON_CPUS,
     .batch_dependent = true},
    {0},
};
