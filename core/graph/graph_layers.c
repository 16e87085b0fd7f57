/* The layers with weights of the public graph table. Initial values follow the usual rule of
 * uniform within 1 / sqrt(fan in), for the weight and its bias alike. */
#include "graph/graph.h"

#include <math.h>
#include <string.h>

static dm_val weight(const dm_graph *g, const char *name, const dm_shape *s, double initial)
{
    dm_graph_core *c = dm_graph_of(g);

    if (!name || !s || s->rank < 0 || s->rank > 8)
        return dm_graph_fail(c, DM_EINVAL, "weight '%s' has rank %d; it needs a name, and a rank of 0 to 8",
                             name ? name : "", s ? (int)s->rank : -1);
    return dm_graph_to_image(c, dm_graph_weight_value(c, dm_graph_key(g, name, ""), s, DM_INIT_CONSTANT, initial));
}

/* "<name>.weight" or ".bias" of a layer. */
static dm_val part(const dm_graph *g, const char *name, const char *suffix, const dm_shape *s, uint32_t flags,
                   int64_t fan_in)
{
    const bool zero = flags & DM_ZERO_INIT;

    return dm_graph_weight_value(dm_graph_of(g), dm_graph_key(g, name, suffix), s,
                                 zero ? DM_INIT_CONSTANT : DM_INIT_UNIFORM, zero ? 0 : 1 / sqrt((double)fan_in));
}

/* What a layer is given: a name, unless it may do without, and one value. */
static bool takes(dm_graph_core *c, const char *layer, const char *name, bool named, dm_dtype type, dm_val x)
{
    char what[320];

    if (!name && named)
        dm_graph_fail(c, DM_EINVAL, "%s: its name is NULL; weights need one", layer);
    snprintf(what, sizeof what, name ? "%s '%.256s'" : "%s", layer, name);
    return dm_graph_has(c, what, type, &x, 1);
}

static dm_val conv(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t fan_in = s.dim[1] * k.k * k.k, pads = (int64_t)k.pad[0] + k.pad[1];
    dm_val in[5] = {x, DM_NONE, DM_NONE, DM_NONE, DM_NONE}, y;
    dm_shape out = s;
    dm_gnode *n;

    if (!takes(c, "convolution", name, true, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank != 4)
        return dm_graph_fail(c, DM_EINVAL, "convolution '%s' needs f32[N,C,H,W], not rank %d", name, (int)s.rank);
    if (k.k < 1 || k.k > 31 || k.stride < 1 || k.stride > 31 || k.pad[0] < 0 || k.pad[1] < 0 || k.pad[0] >= k.k ||
        k.pad[1] >= k.k || cout < 1 || cout > 1 << 20)
        return dm_graph_fail(c, DM_EINVAL,
                             "convolution '%s': size %d, stride %d, padding {%d, %d}, %lld outputs cannot be", name,
                             (int)k.k, (int)k.stride, (int)k.pad[0], (int)k.pad[1], (long long)cout);
    for (int i = 2; i < 4; i++)
        if ((out.dim[i] = s.dim[i] + pads - k.k < 0 ? 0 : (s.dim[i] + pads - k.k) / k.stride + 1) < 1)
            return dm_graph_fail(c, DM_EINVAL, "convolution '%s' of size %d leaves nothing of %lld x %lld pixels", name,
                                 (int)k.k, (long long)s.dim[2], (long long)s.dim[3]);
    out.dim[1] = cout;
    in[1] = part(g, name, ".weight", &(dm_shape){4, {cout, s.dim[1], k.k, k.k}}, flags, fan_in);
    if (!(flags & DM_NO_BIAS))
        in[2] = part(g, name, ".bias", &(dm_shape){1, {cout}}, flags, fan_in);
    if ((n = dm_graph_op1(c, DM_OP_CONV2D, in, 5, &out, true, &y)))
        n->op.a.conv = k;
    return y;
}

static dm_val linear(const dm_graph *g, const char *name, dm_val x, int64_t nout, uint32_t flags)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t K = s.rank > 0 ? s.dim[s.rank - 1] : 0;
    dm_shape out = s;
    dm_val in[3] = {DM_NONE, DM_NONE, DM_NONE}, y;
    int64_t rows = 1;
    dm_gnode *n;

    if (!takes(c, "linear layer", name, true, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank < 1 || nout < 1 || nout > 1 << 24)
        return dm_graph_fail(c, DM_EINVAL, "linear layer '%s' of %lld outputs on rank %d cannot be", name,
                             (long long)nout, (int)s.rank);
    for (int32_t i = 0; i + 1 < s.rank; i++)
        rows *= s.dim[i];
    out.dim[s.rank - 1] = nout;
    in[0] = dm_graph_to_rows(c, x);
    in[1] = part(g, name, ".weight", &(dm_shape){2, {nout, K}}, flags, K);
    if (!(flags & DM_NO_BIAS))
        in[2] = part(g, name, ".bias", &(dm_shape){1, {nout}}, flags, K);
    if ((n = dm_graph_op1(c, DM_OP_MATMUL, in, 3, &out, false, &y))) {
        n->op.a.mm.tb = true;
        n->op.a.mm.a_batch = n->op.a.mm.b_batch = false;
        n->op.a.mm.batch = 1;
        n->op.a.mm.m = rows;
        n->op.a.mm.n = nout;
        n->op.a.mm.k = K;
    }
    return dm_graph_to_image(c, y);
}

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

    if (!takes(c, "group norm", name, false, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank < 2 || groups < 1 || s.dim[1] % groups || !(eps >= 0))
        return dm_graph_fail(c, DM_EINVAL, "group norm%s%s: %lld channels in %lld groups cannot be", name ? " " : "",
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

static dm_val layer_norm(const dm_graph *g, const char *name, dm_val x, double eps)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, x);
    const int64_t C = s.rank > 0 ? s.dim[s.rank - 1] : 1;
    dm_val in[3] = {DM_NONE, DM_NONE, DM_NONE}, out[2];
    int64_t rows = 1;
    dm_gnode *n;

    if (!takes(c, "layer norm", name, false, DM_DT_F32, x))
        return DM_FAILED;
    if (s.rank < 1 || !(eps >= 0))
        return dm_graph_fail(c, DM_EINVAL, "layer norm of rank %d, eps %g cannot be", (int)s.rank, eps);
    for (int32_t i = 0; i + 1 < s.rank; i++)
        rows *= s.dim[i];
    in[0] = dm_graph_to_rows(c, x);
    affine(g, name, C, &in[1], &in[2]);
    out[0] = dm_graph_value(c, &s, DM_DT_F32, false);
    out[1] = dm_graph_value(c, &(dm_shape){2, {rows, 2}}, DM_DT_F32, false);
    if (!(n = dm_graph_node(c, DM_OP_LAYER_NORM, in, 3, out, 2)))
        return DM_FAILED;
    n->op.a.norm = (dm_attr_norm){.N = rows, .C = C, .L = 1, .groups = 1, .eps = eps, .channels_last = true};
    return dm_graph_to_image(c, out[0]);
}

static dm_val embedding(const dm_graph *g, const char *name, dm_val i, int64_t rows, int64_t dim)
{
    dm_graph_core *c = dm_graph_of(g);
    const dm_shape s = g->shape(g, i);
    dm_val in[2] = {i, DM_NONE}, y;

    if (!takes(c, "embedding", name, true, DM_DT_I32, i))
        return DM_FAILED;
    if (s.rank != 1 || rows < 1 || dim < 1)
        return dm_graph_fail(c, DM_EINVAL, "embedding '%s' needs i32[N] and at least one row and column", name);
    in[1] = part(g, name, ".weight", &(dm_shape){2, {rows, dim}}, 0, dim);
    dm_graph_op1(c, DM_OP_EMBEDDING, in, 2, &(dm_shape){2, {s.dim[0], dim}}, false, &y);
    return y;
}

static dm_val network(const dm_graph *g, int32_t weights, dm_val x, dm_val noise, dm_val labels)
{
    dm_graph_core *c = dm_graph_of(g);

    /* of some models labels are vectors */
    const bool vectors = labels >= 0 && (size_t)labels < c->n_values && c->values[labels].type == DM_DT_F32;
    dm_val y;

    if (!dm_graph_has(c, "network", DM_DT_F32, &x, 1) ||
        (noise != DM_NONE && !dm_graph_has(c, "network: noise", DM_DT_F32, &noise, 1)) ||
        (labels != DM_NONE && !dm_graph_has(c, "network: labels", vectors ? DM_DT_F32 : DM_DT_I32, &labels, 1)))
        return DM_FAILED;
    if (!c->network || dm_call_which() == DM_CB_BUILD)
        return dm_graph_fail(c, DM_EINVAL, "a network cannot run a network");
    dm_call_host_enter();
    y = c->network(c->network_user, g, weights, x, noise, labels);
    dm_call_host_leave();
    return y;
}

void dm_graph_fill_layers(dm_graph *api)
{
    api->weight = weight;
    api->conv = conv;
    api->linear = linear;
    api->group_norm = group_norm;
    api->layer_norm = layer_norm;
    api->embedding = embedding;
    api->network = network;
}
