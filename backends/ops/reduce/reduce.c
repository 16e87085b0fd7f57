/* The portable implementation of reduce: long sums are cut into parts of a fixed length, which depends on
 * the extents of one sum alone, and the parts are summed by a second launch. */
#include "ops/launch/portable.h"

enum { CPU_RUN = 16384, CPU_ROWS = 256, GPU_ROWS = 64, GPU_RUNS = 256, VECS = 4 };

/* span 0: interleaved. */
typedef struct split { int64_t parts, span; } split;

static split split_of(const dm_device_info *d, const dm_opnode *n)
{
    const int64_t red = n->a.reduce.red, rows = d->cpu ? CPU_ROWS : GPU_ROWS;
    split s = {1, red};

    if (n->a.reduce.inner == 1 && d->cpu) {
        s.span = red > 2 * CPU_RUN ? CPU_RUN : red;
        s.parts = dm_div_up(red, s.span);
    } else if (n->a.reduce.inner == 1) {
        s.parts = red / (16 * dm_lanes(d));
        s.parts = s.parts < 1 ? 1 : s.parts > GPU_RUNS ? GPU_RUNS : s.parts;
        s.span = 0;
    } else if (red > 2 * rows) {
        s.span = rows;
        s.parts = dm_div_up(red, rows);
    }
    return s;
}

static int64_t partials(const dm_device_info *d, const dm_opnode *n)
{
    const split s = split_of(d, n);

    return s.parts > 1 ? n->a.reduce.outer * s.parts * n->a.reduce.inner : 0;
}

static size_t scratch(const dm_device_info *d, const dm_opnode *n) { return (size_t)partials(d, n) * sizeof(float); }

/* typed: x is the op's input, which may be bf16, and not its sums. */
static dm_status columns(dm_emit *e, bool typed, dm_buf *x, dm_buf *y, int64_t red, split s, double k, bool accum)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const int64_t outer = e->node->a.reduce.outer, inner = e->node->a.reduce.inner, vecs = d->cpu ? VECS : 1;

    return (typed ? dm_emit_typed : dm_emit_items)(
        e, "reduce/reduce.cl", "cols", outer * s.parts * dm_div_up(inner, vecs * dm_lanes(d)),
        DM_KARGS(DM_KB(x), DM_KB(y), DM_KI(outer), DM_KI(red), DM_KI(inner), DM_KI(s.parts), DM_KI(s.span), DM_KI(vecs),
                 DM_KF(k), DM_KI(accum)));
}

static dm_status reduce(dm_emit *e)
{
    const dm_opnode *n = e->node;
    const split s = split_of(dm_device_get_info(e->dev), n);
    const bool parted = s.parts > 1;
    dm_buf *to = parted ? e->scratch : e->out[0];
    const double k = parted ? 1 : n->a.reduce.k;
    dm_status status = dm_fits(e, partials(dm_device_get_info(e->dev), n));

    if (status != DM_OK)
        return status;
    if (n->a.reduce.inner == 1)
        status = dm_emit_typed(e, "reduce/reduce.cl", "runs", n->a.reduce.outer * s.parts,
                               DM_KARGS(DM_KB(e->in[0]), DM_KB(to), DM_KI(n->a.reduce.outer), DM_KI(n->a.reduce.red),
                                        DM_KI(s.parts), DM_KI(s.span), DM_KF(k), DM_KI(!parted && n->accum)));
    else
        status = columns(e, true, e->in[0], to, n->a.reduce.red, s, k, !parted && n->accum);
    if (status == DM_OK && parted)
        status = columns(e, false, e->scratch, e->out[0], s.parts, (split){1, s.parts}, n->a.reduce.k, n->accum);
    return status;
}

const dm_impl dm_impls_reduce[] = {
    {DM_PORTABLE(REDUCE, reduce), .scratch = scratch, .types = DM_ANY_TYPE},
    {0},
};
