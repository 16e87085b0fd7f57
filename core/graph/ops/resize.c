/* Images of other sizes. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static dm_val resized(const dm_graph *api, dm_op_kind kind, const char *name, dm_val x, int32_t f, bool up)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_shape s = api->shape(api, x);
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, name, DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (s.rank != 4 || f < 1 || f > 64 || (!up && (s.dim[2] % f || s.dim[3] % f)))
        return dm_graph_fail(g, DM_EINVAL, "%s by %d needs images%s, not rank %d of %lld x %lld", name,
                             (int)f, up ? "" : " whose sides it divides", (int)s.rank, (long long)s.dim[2],
                             (long long)s.dim[3]);
    for (int i = 2; i < 4; i++)
        s.dim[i] = up ? s.dim[i] * f : s.dim[i] / f;
    if ((n = dm_graph_op1(g, kind, &x, 1, &s, true, &y)))
        n->op.a.factor.factor = f;
    return y;
}

static dm_val upsample(const dm_graph *g, dm_val x, int32_t f)
{
    return resized(g, DM_OP_UPSAMPLE, "upsample", x, f, true);
}

static dm_val avg_pool(const dm_graph *g, dm_val x, int32_t k)
{
    return resized(g, DM_OP_AVG_POOL, "avg_pool", x, k, false);
}

static dm_val resize(const dm_graph *api, dm_val x, int64_t h, int64_t w)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_shape s = api->shape(api, x);
    dm_val y;

    if (!dm_graph_has(g, "resize", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (s.rank != 4 || h < 1 || w < 1 || h > 1 << 20 || w > 1 << 20)
        return dm_graph_fail(g, DM_EINVAL, "resize of a value of rank %d to %lld x %lld is not possible; it takes "
                                           "images", (int)s.rank,
                             (long long)h, (long long)w);
    s.dim[2] = h;
    s.dim[3] = w;
    dm_graph_op1(g, DM_OP_RESIZE, &x, 1, &s, true, &y);
    return y;
}

static void resize_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_RESIZE_DX, n, &dy, 1, n->in[0]);
}

static void upsample_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_UPSAMPLE_DX, n, &dy, 1, n->in[0]);
}

static void avg_pool_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, DM_OP_AVG_POOL_DX, n, &dy, 1, n->in[0]);
}

static const dm_op_attr factor_attrs[] = {DM_ATTR(DM_ATTR_LONG, "factor", factor.factor), {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_UPSAMPLE,
     .name = "upsample",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = factor_attrs,
     .flags = DM_OP_CHEAP,
     .gradient = upsample_gradient},
    {.kind = DM_OP_UPSAMPLE_DX,
     .name = "upsample_dx",
     .in = {{"dy", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = factor_attrs,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_AVG_POOL,
     .name = "avg_pool",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = factor_attrs,
     .each = 1,
     .flags = DM_OP_CHEAP,
     .gradient = avg_pool_gradient},
    {.kind = DM_OP_AVG_POOL_DX,
     .name = "avg_pool_dx",
     .in = {{"dy", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .attrs = factor_attrs,
     .each = 1,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_RESIZE,
     .name = "resize",
     .in = {{"x", DM_ARG_16BIT}},
     .out = {{"y", DM_ARG_16BIT}},
     .each = 8,
     .flags = DM_OP_CHEAP,
     .gradient = resize_gradient},
    {.kind = DM_OP_RESIZE_DX,
     .name = "resize_dx",
     .in = {{"dy", DM_ARG_16BIT}},
     .out = {{"dx", DM_ARG_16BIT}},
     .each = 8,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->upsample = upsample;
    api->avg_pool = avg_pool;
    api->resize = resize;
}

const dm_op_family dm_family_resize = {rows, fill};
