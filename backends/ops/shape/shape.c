/* Portable implementations of the ops that move elements: concat, slice, pad, permute, resampling. */
#include "ops/launch/portable.h"

/* ---- rows ---------------------------------------------------------------------------------- */

/* width columns of each row: from column xo of x's rows of xs to column yo of y's rows of ys. x NULL: zeros. */
typedef struct strip { dm_buf *x, *y; int64_t rows, width, xs, xo, ys, yo; } strip;

static dm_status copy(dm_emit *e, const strip *t)
{
    const dm_cut c = dm_cut_table(dm_device_get_info(e->dev), t->rows, t->width ? t->width : 1);
    const dm_status s = dm_fits(e, 0);

    if (s != DM_OK || !t->width)
        return s;
    return dm_emit_typed(e, "shape/copy.cl", "copy", c.items,
                         DM_KARGS(DM_KB(t->x), DM_KB(t->y), DM_KI4(t->rows, t->width, t->xs, t->xo),
                                  DM_KI4(t->ys, t->yo, c.each, c.cols)));
}

static dm_status concat(dm_emit *e)
{
    const int64_t rows = e->node->a.concat.outer, wa = e->node->a.concat.wa, wb = e->node->a.concat.wb;
    const dm_cut c = dm_cut_table(dm_device_get_info(e->dev), rows, wa + wb);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "shape/copy.cl", "concat", c.items,
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]),
                                               DM_KI4(rows, wa, wb, c.each), DM_KI(c.cols)));
}

static dm_status slice(dm_emit *e)
{
    const int64_t count = e->node->a.slice.count;

    return copy(e, &(strip){e->in[0], e->out[0], e->node->a.slice.outer, count, e->node->a.slice.width,
                            e->node->a.slice.first, count, 0});
}

static dm_status pad(dm_emit *e)
{
    const int64_t rows = e->node->a.slice.outer, count = e->node->a.slice.count, width = e->node->a.slice.width;
    const int64_t first = e->node->a.slice.first, end = first + count;
    dm_status s = copy(e, &(strip){NULL, e->out[0], rows, first, 0, 0, width, 0});

    if (s == DM_OK)
        s = copy(e, &(strip){e->in[0], e->out[0], rows, count, count, 0, width, first});
    return s != DM_OK ? s : copy(e, &(strip){NULL, e->out[0], rows, width - end, 0, 0, width, end});
}

/* ---- permute -------------------------------------------------------------------------------- */

typedef struct axes { int n; int64_t dim[8], stride[8]; } axes;

/* y's axes with x's strides along them; extents of 1 left out, neighbours in both joined. */
static axes axes_of(const dm_opnode *n)
{
    const dm_desc *x = &n->in[0];
    int64_t stride[8], run = 1;
    axes a = {0};

    for (int i = x->rank - 1; i >= 0; i--) {
        stride[i] = run;
        run *= x->dim[i];
    }
    for (int i = 0; i < x->rank; i++) {
        const int from = n->a.perm.axes[i];

        if (x->dim[from] == 1)
            continue;
        if (a.n && a.stride[a.n - 1] == stride[from] * x->dim[from]) {
            a.dim[a.n - 1] *= x->dim[from];
            a.stride[a.n - 1] = stride[from];
        } else {
            a.dim[a.n] = x->dim[from];
            a.stride[a.n++] = stride[from];
        }
    }
    return a;
}

static dm_status permute(dm_emit *e)
{
    const axes a = axes_of(e->node);
    int64_t d[8], s[8];
    const dm_status status = dm_fits(e, 0);
    dm_cut c;

    if (status != DM_OK)
        return status;
    for (int i = 0; i < 8; i++) {
        const int from = i - (8 - a.n);

        d[i] = from < 0 ? 1 : a.dim[from];
        s[i] = from < 0 ? 0 : a.stride[from];
    }
    c = dm_cut_table(dm_device_get_info(e->dev), dm_desc_count(&e->node->out[0]) / d[7], d[7]);
    return dm_emit_typed(e, "shape/permute.cl", "permute", c.items,
                         DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]),
                                  DM_KI4(dm_desc_count(&e->node->out[0]) / d[7], d[7], d[1], d[2]),
                                  DM_KI4(d[3], d[4], d[5], d[6]), DM_KI4(s[0], s[1], s[2], s[3]),
                                  DM_KI4(s[4], s[5], s[6], a.n ? s[7] : 1), DM_KI(c.each), DM_KI(c.cols)));
}

/* ---- pixels ----------------------------------------------------------------------------------- */

static dm_status pixels(dm_emit *e, const char *name, double k)
{
    const dm_desc *y = &e->node->out[0];
    const int64_t rows = y->dim[0] * y->dim[1] * y->dim[2], C = y->dim[3];
    const dm_cut c = dm_cut_table(dm_device_get_info(e->dev), rows, C);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_typed(e, "shape/pixels.cl", name, c.items,
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), DM_KI(rows), DM_KI(y->dim[2]),
                                               DM_KI(C), DM_KI(e->node->a.factor.factor), DM_KF(k), DM_KI(c.each),
                                               DM_KI(c.cols)));
}

static double share(const dm_opnode *n) { return 1 / ((double)n->a.factor.factor * (double)n->a.factor.factor); }

static dm_status upsample(dm_emit *e) { return pixels(e, "spread", 1); }
static dm_status upsample_dx(dm_emit *e) { return pixels(e, "gather", 1); }
static dm_status avg_pool(dm_emit *e) { return pixels(e, "gather", share(e->node)); }
static dm_status avg_pool_dx(dm_emit *e) { return pixels(e, "spread", share(e->node)); }

const dm_impl dm_impls_shape[] = {
    {DM_PORTABLE(CONCAT, concat), .types = DM_ANY_TYPE},
    {DM_PORTABLE(SLICE, slice), .types = DM_ANY_TYPE},
    {DM_PORTABLE(PAD, pad), .types = DM_ANY_TYPE},
    {DM_PORTABLE(PERMUTE, permute), .types = DM_ANY_TYPE},
    {DM_PORTABLE(UPSAMPLE, upsample), .types = DM_ANY_TYPE},
    {DM_PORTABLE(UPSAMPLE_DX, upsample_dx), .types = DM_ANY_TYPE},
    {DM_PORTABLE(AVG_POOL, avg_pool), .types = DM_ANY_TYPE},
    {DM_PORTABLE(AVG_POOL_DX, avg_pool_dx), .types = DM_ANY_TYPE},
    {0},
};
