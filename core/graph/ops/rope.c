/* Rotary position. */
#include "graph/ops/families.h"
#include "graph/tape.h"

#include <math.h>

/* l 10000^(-2 j / d) for position l and pair j of d / 2. */
static dm_val usual_angles(const dm_graph *api, int64_t L, int64_t pairs)
{
    dm_graph_core *g = dm_graph_of(api);
    float *a = dm_alloc_n(g->arena, (size_t)(L * pairs), sizeof *a);

    if (!a)
        return dm_graph_fail(g, DM_ENOMEM, "out of memory for %lld angles", (long long)(L * pairs));
    for (int64_t i = 0; i < L * pairs; i++)
        a[i] = (float)((double)(i / pairs) * pow(10000, -(double)(i % pairs) / (double)pairs));
    return api->constant(api, a, &(dm_shape){2, {L, pairs}});
}

static dm_val rope(const dm_graph *api, dm_val x, dm_val angles, int64_t heads)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_shape sa;
    dm_gnode *n;
    dm_val y;

    if (!dm_graph_has(g, "rope", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if (s.rank != 3 || heads < 1 || heads > s.dim[2] || s.dim[2] % (2 * heads))
        return dm_graph_fail(g, DM_EINVAL, "rope needs x [N,L,D] and heads of an even number of elements, not rank %d, "
                             "D = %lld and %lld heads", (int)s.rank, (long long)s.dim[2], (long long)heads);
    if (angles == DM_NONE)
        angles = usual_angles(api, s.dim[1], s.dim[2] / heads / 2);
    sa = api->shape(api, angles);
    if (!dm_graph_has(g, "rope: angles", DM_DT_F32, &angles, 1))
        return DM_FAILED;
    if (sa.rank != 2 || sa.dim[0] != s.dim[1] || sa.dim[1] != s.dim[2] / heads / 2)
        return dm_graph_fail(g, DM_EINVAL, "rope needs angles [L,D/heads/2] = [%lld,%lld]", (long long)s.dim[1],
                             (long long)(s.dim[2] / heads / 2));
    if (g->values[angles].needs_grad)
        return dm_graph_fail(g, DM_EINVAL, "rope has no gradient of its angles; give them through stop_gradient");
    if ((n = dm_graph_op1(g, DM_OP_ROPE, (dm_val[]){x, angles}, 2, &s, false, &y)))
        n->op.a.rope.heads = heads;
    return y;
}

static void gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_gnode back = *n;

    back.op.a.rope.inverse = !n->op.a.rope.inverse;
    dm_tape_give_op(t, DM_OP_ROPE, &back, (dm_val[]){dy, n->in[1]}, 2, n->in[0]);
}

static const dm_op_attr attrs[] = {
    DM_ATTR(DM_ATTR_LONG, "heads", rope.heads), DM_ATTR(DM_ATTR_BOOL, "inverse", rope.inverse), {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_ROPE,
     .name = "rope",
     .in = {{"x", DM_ARG_16BIT}, {"angle", 0}},
     .out = {{"y", DM_ARG_16BIT}},
     .attrs = attrs,
     .each = 12,
     .flags = DM_OP_CHEAP,
     .gradient = gradient},
    {0},
};

static void fill(dm_graph *api) { api->rope = rope; }

const dm_op_family dm_family_rope = {rows, fill};
