/* Norms of groups, of layers, and by the root of the mean square. */
#include "graph/ops/families.h"
#include "graph/tape.h"
#include "graph/layer.h"

/* gamma and beta of a norm, or DM_NONE. */
static void affine(const dm_graph *g, const char *name, int64_t C, dm_val *gamma, dm_val *beta)
{
    dm_graph_core *c = dm_graph_of(g);

    *gamma = *beta = DM_NONE;
    if (!name)
        return;
    *gamma = dm_graph_weight_value(c, dm_graph_key(g, name, ".weight"), &(dm_shape){1, {C}}, DM_INIT_CONSTANT, 1);
    *beta = dm_graph_weight_value(c, dm_graph_key(g, name, ".bias"), &(dm_shape){1, {C}}, DM_INIT_CONSTANT, 0);
}

static dm_val group_norm(const dm_graph *g, const char *name, dm_val x, int64_t groups, double eps)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    dm_val in[5] = {x, DM_NONE, DM_NONE, DM_NONE, DM_NONE}, out[2];
    dm_gnode *n;

    if (!dm_layer_takes(c, "group norm", name, false, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank < 2 || groups < 1 || s.dim[1] % groups || !(eps >= 0))
        return dm_graph_fail(c, DM_EINVAL, "group norm%s%s: %lld channels cannot be divided into %lld groups", name
                                           ? " " : "",
                             name ? name : "", (long long)s.dim[1], (long long)groups);
    affine(g, name, s.dim[1], &in[1], &in[2]);
    out[0] = dm_graph_value(c, &s, DM_DT_F32, s.rank == 4);
    out[1] = dm_graph_value(c, &(dm_shape){3, {s.dim[0], groups, 2}}, DM_DT_F32, false);
    if (!(n = dm_graph_node(c, DM_OP_GROUP_NORM, in, 5, out, 2)))
        return DM_FAILED;
    n->op.a.norm = (dm_attr_norm){.N = s.dim[0], .C = s.dim[1], .L = 1, .groups = groups, .eps = eps,
                                  .channels_last = s.rank == 2 || s.rank == 4};
    for (int32_t i = 2; i < s.rank; i++)
        n->op.a.norm.L *= s.dim[i];
    return out[0];
}

/* How many rows there are to norm over the last axis of x, of shape s; -1 where it cannot be done, which is said. */
static int64_t rows_to_norm(dm_graph_core *c, const char *what, const char *name, dm_val x, const dm_shape *s,
                            double eps)
{
    int64_t rows = 1;

    if (!dm_layer_takes(c, what, name, false, DM_DT_F32, x))
        return -1;
    if (s->rank < 1 || !(eps >= 0)) {
        dm_graph_fail(c, DM_EINVAL, "%s of a value of rank %d with eps %g is not possible", what, (int)s->rank, eps);
        return -1;
    }
    for (int32_t i = 0; i + 1 < s->rank; i++)
        rows *= s->dim[i];
    return rows;
}

static dm_val layer_norm(const dm_graph *g, const char *name, dm_val x, double eps)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t C = s.rank > 0 ? s.dim[s.rank - 1] : 1;
    dm_val in[3] = {DM_NONE, DM_NONE, DM_NONE}, out[2];
    int64_t rows;
    dm_gnode *n;

    if ((rows = rows_to_norm(c, "layer norm", name, x, &s, eps)) < 0)
        return DM_FAILED;
    in[0] = dm_graph_to_rows(c, x);
    affine(g, name, C, &in[1], &in[2]);
    out[0] = dm_graph_value(c, &s, DM_DT_F32, false);
    out[1] = dm_graph_value(c, &(dm_shape){2, {rows, 2}}, DM_DT_F32, false);
    if (!(n = dm_graph_node(c, DM_OP_LAYER_NORM, in, 3, out, 2)))
        return DM_FAILED;
    n->op.a.norm = (dm_attr_norm){.N = rows, .C = C, .L = 1, .groups = 1, .eps = eps, .channels_last = true};
    return dm_graph_to_image(c, out[0]);
}

static dm_val rms_norm(const dm_graph *g, const char *name, dm_val x, double eps)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t C = s.rank > 0 ? s.dim[s.rank - 1] : 1;
    dm_val in[2] = {DM_NONE, DM_NONE}, out[2];
    int64_t rows;
    dm_gnode *n;

    if ((rows = rows_to_norm(c, "RMS norm", name, x, &s, eps)) < 0)
        return DM_FAILED;
    in[0] = dm_graph_to_rows(c, x);
    if (name)
        in[1] = dm_graph_weight_value(c, dm_graph_key(g, name, ".weight"), &(dm_shape){1, {C}}, DM_INIT_CONSTANT, 1);
    out[0] = dm_graph_value(c, &s, DM_DT_F32, false);
    out[1] = dm_graph_value(c, &(dm_shape){1, {rows}}, DM_DT_F32, false);
    if (!(n = dm_graph_node(c, DM_OP_RMS_NORM, in, 2, out, 2)))
        return DM_FAILED;
    n->op.a.norm = (dm_attr_norm){.N = rows, .C = C, .L = 1, .groups = 1, .eps = eps, .channels_last = true};
    return dm_graph_to_image(c, out[0]);
}

static void rms_norm_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], out[2] = {dm_tape_like_wanted(t, x), dm_tape_output_for(t, n->in[1])};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_RMS_NORM_DX, (dm_val[]){dy, x, n->in[1], n->out[1]}, 4, out, 2);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = out[1] >= 0 && dm_tape_is_weight(t, n->in[1]);
    if (out[0] >= 0)
        dm_tape_give(t, x, out[0]);
    dm_tape_give_output(t, n->in[1], out[1]);
}

static void group_norm_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], scale = n->in[3], shift = n->in[4];
    const dm_val out[5] = {dm_tape_like_wanted(t, x), dm_tape_output_for(t, n->in[1]), dm_tape_output_for(t, n->in[2]),
                           dm_tape_like_wanted(t, scale), dm_tape_like_wanted(t, shift)};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_GROUP_NORM_DX,
                                   (dm_val[]){dy, x, n->in[1], n->in[2], n->out[1], scale, shift}, 7, out, 5);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = (out[1] >= 0 && dm_tape_is_weight(t, n->in[1])) || (out[2] >= 0 && dm_tape_is_weight(t, n->in[2]));
    if (out[0] >= 0)
        dm_tape_give(t, x, out[0]);
    for (int i = 0; i < 2; i++) {
        dm_tape_give_output(t, n->in[1 + i], out[1 + i]);
        if (out[3 + i] >= 0)
            dm_tape_give(t, n->in[3 + i], out[3 + i]);
    }
}

static void layer_norm_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0];
    const dm_val out[3] = {dm_tape_like_wanted(t, x), dm_tape_output_for(t, n->in[1]), dm_tape_output_for(t, n->in[2])};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_LAYER_NORM_DX, (dm_val[]){dy, x, n->in[1], n->out[1]}, 4, out, 3);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = (out[1] >= 0 && dm_tape_is_weight(t, n->in[1])) || (out[2] >= 0 && dm_tape_is_weight(t, n->in[2]));
    if (out[0] >= 0)
        dm_tape_give(t, x, out[0]);
    dm_tape_give_output(t, n->in[1], out[1]);
    dm_tape_give_output(t, n->in[2], out[2]);
}

static const dm_op_attr norm_attrs[] = {DM_ATTR(DM_ATTR_LONG, "N", norm.N),
                                  DM_ATTR(DM_ATTR_LONG, "C", norm.C),
                                  DM_ATTR(DM_ATTR_LONG, "L", norm.L),
                                  DM_ATTR(DM_ATTR_LONG, "groups", norm.groups),
                                  DM_ATTR(DM_ATTR_REAL, "eps", norm.eps),
                                  DM_ATTR(DM_ATTR_BOOL, "channels_last", norm.channels_last),
                                  DM_ATTR(DM_ATTR_BOOL, "silu", norm.silu),
                                  {0}};

static const dm_op_def rows[] = {
    {.kind = DM_OP_GROUP_NORM,
     .name = "group_norm",
     .in = {{"x", DM_ARG_16BIT},
            {"gamma", DM_ARG_OPTIONAL},
            {"beta", DM_ARG_OPTIONAL},
            {"scale", DM_ARG_OPTIONAL},
            {"shift", DM_ARG_OPTIONAL}},
     .out = {{"y", DM_ARG_16BIT}, {"stats", 0}},
     .attrs = norm_attrs,
     .each = 12,
     .flags = DM_OP_CHEAP | DM_OP_HEAVY,
     .gradient = group_norm_gradient},
    {.kind = DM_OP_GROUP_NORM_DX,
     .name = "group_norm_dx",
     .in = {{"dy", DM_ARG_16BIT},
            {"x", DM_ARG_16BIT},
            {"gamma", DM_ARG_OPTIONAL},
            {"beta", DM_ARG_OPTIONAL},
            {"stats", 0},
            {"scale", DM_ARG_OPTIONAL},
            {"shift", DM_ARG_OPTIONAL}},
     .out = {{"dx", DM_ARG_OPTIONAL | DM_ARG_16BIT},
             {"dgamma", DM_ARG_OPTIONAL | DM_ARG_ACCUM},
             {"dbeta", DM_ARG_OPTIONAL | DM_ARG_ACCUM},
             {"dscale", DM_ARG_OPTIONAL},
             {"dshift", DM_ARG_OPTIONAL}},
     .attrs = norm_attrs,
     .each = 20,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_LAYER_NORM,
     .name = "layer_norm",
     .in = {{"x", DM_ARG_16BIT}, {"gamma", DM_ARG_OPTIONAL}, {"beta", DM_ARG_OPTIONAL}},
     .out = {{"y", DM_ARG_16BIT}, {"stats", 0}},
     .attrs = norm_attrs,
     .each = 12,
     .flags = DM_OP_CHEAP | DM_OP_HEAVY,
     .gradient = layer_norm_gradient},
    {.kind = DM_OP_LAYER_NORM_DX,
     .name = "layer_norm_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}, {"gamma", DM_ARG_OPTIONAL}, {"stats", 0}},
     .out = {{"dx", DM_ARG_OPTIONAL | DM_ARG_16BIT},
             {"dgamma", DM_ARG_OPTIONAL | DM_ARG_ACCUM},
             {"dbeta", DM_ARG_OPTIONAL | DM_ARG_ACCUM}},
     .attrs = norm_attrs,
     .each = 20,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_RMS_NORM,
     .name = "rms_norm",
     .in = {{"x", DM_ARG_16BIT}, {"gamma", DM_ARG_OPTIONAL}},
     .out = {{"y", DM_ARG_16BIT}, {"stats", 0}},
     .attrs = norm_attrs,
     .each = 6,
     .flags = DM_OP_CHEAP | DM_OP_HEAVY,
     .gradient = rms_norm_gradient},
    {.kind = DM_OP_RMS_NORM_DX,
     .name = "rms_norm_dx",
     .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}, {"gamma", DM_ARG_OPTIONAL}, {"stats", 0}},
     .out = {{"dx", DM_ARG_OPTIONAL | DM_ARG_16BIT}, {"dgamma", DM_ARG_OPTIONAL | DM_ARG_ACCUM}},
     .attrs = norm_attrs,
     .each = 12,
     .of = 1,
     .flags = DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->group_norm = group_norm;
    api->layer_norm = layer_norm;
    api->rms_norm = rms_norm;
}

const dm_op_family dm_family_norm = {rows, fill};
