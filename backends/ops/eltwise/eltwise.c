/* Portable implementations of the element-wise ops. */
#include "ops/launch/portable.h"

/* ---- one value from one, of the same extents ------------------------------------------ */

static dm_status silu(dm_emit *e) { return dm_emit_flat(e, "eltwise/flat.cl", "silu"); }
static dm_status silu_dx(dm_emit *e) { return dm_emit_flat(e, "eltwise/flat.cl", "silu_dx"); }
static dm_status gelu(dm_emit *e) { return dm_emit_flat(e, "eltwise/flat.cl", "gelu"); }
static dm_status gelu_dx(dm_emit *e) { return dm_emit_flat(e, "eltwise/flat.cl", "gelu_dx"); }
static dm_status accum(dm_emit *e) { return dm_emit_flat(e, "eltwise/flat.cl", "accum"); }

static dm_status cast(dm_emit *e)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const int64_t n = dm_desc_count(&e->node->out[0]), chunk = dm_chunk(d, n);
    const dm_range r = dm_over(d, dm_div_up(n, chunk));
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_launch(e, e->cmds, "eltwise/cast.cl",
                                       dm_dtype_is_16bit(e->node->out[0].type) ? "to_16bit" : "to_f32",
                                       dm_lanes_typed(d, dm_op_16bit_type(e->node)), &r,
                                       DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), DM_KI(n), DM_KI(chunk)));
}

static dm_status scale(dm_emit *e)
{
    const int64_t n = dm_desc_count(&e->node->out[0]), chunk = dm_chunk(dm_device_get_info(e->dev), n);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "eltwise/flat.cl", "scale", dm_div_up(n, chunk),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), DM_KF(e->node->a.scale.k),
                                               DM_KF(e->node->a.scale.b), DM_KI(n), DM_KI(chunk)));
}

/* ---- with broadcasting -------------------------------------------------------------------- */

/* Whether axis i + 1 goes on where axis i leaves off, for both operands. */
static bool joins(const dm_attr_bcast *b, int i)
{
    return b->sa[i] == b->sa[i + 1] * b->dim[i + 1] && b->sb[i] == b->sb[i + 1] * b->dim[i + 1];
}

/* The same broadcast with as long inner axes as possible, aligned at the last. */
static dm_attr_bcast coalesced(const dm_attr_bcast *from)
{
    dm_attr_bcast b = *from, c = {{1, 1, 1, 1}, {0}, {0}};
    int n = 0;

    for (int i = 0; i < 4; i++)
        if (b.dim[i] != 1) {
            b.dim[n] = b.dim[i];
            b.sa[n] = b.sa[i];
            b.sb[n++] = b.sb[i];
        }
    for (int i = n - 2; i >= 0; i--)
        if (joins(&b, i)) {
            b.dim[i] *= b.dim[i + 1];
            b.sa[i] = b.sa[i + 1];
            b.sb[i] = b.sb[i + 1];
            for (int k = i + 1; k < n - 1; k++) {
                b.dim[k] = b.dim[k + 1];
                b.sa[k] = b.sa[k + 1];
                b.sb[k] = b.sb[k + 1];
            }
            n--;
        }
    for (int i = 0; i < n; i++) {
        c.dim[4 - n + i] = b.dim[i];
        c.sa[4 - n + i] = b.sa[i];
        c.sb[4 - n + i] = b.sb[i];
    }
    return c;
}

/* op: as kernels/eltwise/rows.cl counts them. */
static dm_status broadcasting(dm_emit *e, int op)
{
    const dm_attr_bcast b = coalesced(&e->node->a.bcast);
    const int64_t rows = b.dim[0] * b.dim[1] * b.dim[2];
    const dm_cut c = dm_cut_table(dm_device_get_info(e->dev), rows, b.dim[3]);
    const dm_status s = dm_fits(e, 0);

    if (s != DM_OK)
        return s;
    return dm_emit_typed(e, "eltwise/rows.cl", "rows", c.items,
                         DM_KARGS(DM_KI(op), DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]),
                                  DM_KI4(rows, b.dim[3], b.dim[1], b.dim[2]),
                                  DM_KI4(b.sa[0], b.sa[1], b.sa[2], b.sa[3]),
                                  DM_KI4(b.sb[0], b.sb[1], b.sb[2], b.sb[3]), DM_KI(c.each), DM_KI(c.cols)));
}

static dm_status add(dm_emit *e) { return broadcasting(e, 0); }
static dm_status mul(dm_emit *e) { return broadcasting(e, 1); }
static dm_status broadcast(dm_emit *e) { return broadcasting(e, 2); }
static dm_status sub(dm_emit *e) { return broadcasting(e, 3); }
static dm_status quotient(dm_emit *e) { return broadcasting(e, 4); }
static dm_status maximum(dm_emit *e) { return broadcasting(e, 5); }
static dm_status minimum(dm_emit *e) { return broadcasting(e, 6); }
static dm_status step(dm_emit *e) { return broadcasting(e, 7); }

const dm_impl dm_impls_eltwise[] = {
    {DM_PORTABLE(ADD, add), .types = DM_ANY_TYPE},
    {DM_PORTABLE(MUL, mul), .types = DM_ANY_TYPE},
    {DM_PORTABLE(BROADCAST, broadcast), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SUB, sub), .types = DM_ANY_TYPE},
    {DM_PORTABLE(DIV, quotient), .types = DM_ANY_TYPE},
    {DM_PORTABLE(MAXIMUM, maximum), .types = DM_ANY_TYPE},
    {DM_PORTABLE(MINIMUM, minimum), .types = DM_ANY_TYPE},
    {DM_PORTABLE(STEP, step), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SCALE, scale), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SILU, silu), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SILU_DX, silu_dx), .types = DM_ANY_TYPE},
    {DM_PORTABLE(GELU, gelu), .types = DM_ANY_TYPE},
    {DM_PORTABLE(GELU_DX, gelu_dx), .types = DM_ANY_TYPE},
    {DM_PORTABLE(ACCUM, accum)},
    {DM_PORTABLE(CAST, cast), .types = DM_ANY_TYPE},
    {0},
};
