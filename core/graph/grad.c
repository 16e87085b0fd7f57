/* Reverse-mode gradients: one rule an op, each appending nodes to the graph. Gradients of weights
 * are added into the gradient arena (DM_VAL_GRAD), so that micro-batches accumulate. */
#include "graph/graph_shape.h"

#include <stdlib.h>
#include <string.h>

typedef struct tape {
    dm_graph_core *g;
    dm_val *grad;                  /* of each memory that was there at the start; DM_NONE = none yet */
    dm_val *weight;                /* the GRAD value of each weight; DM_NONE = not asked for yet */
} tape;

/* Where the gradient of weight v goes, with v's extents. */
static dm_val target(tape *t, dm_val v)
{
    dm_graph_core *g = t->g;
    const dm_value *w = &g->values[dm_graph_root(g, v)];
    const int32_t i = w->weight;

    if (t->weight[i] == DM_NONE) {
        const dm_shape s = w->shape;
        const dm_val x = dm_graph_value(g, &s, DM_DT_F32, false);

        if (x < 0)
            return DM_FAILED;
        g->values[x].source = DM_VAL_GRAD;
        g->values[x].weight = i;
        t->weight[i] = x;
    }
    if (g->values[v].source == DM_VAL_WEIGHT)
        return t->weight[i];
    {
        const dm_shape s = g->values[v].shape;

        return dm_graph_alias(g, t->weight[i], &s, g->values[v].image);
    }
}

static bool wants(const tape *t, dm_val v) { return v >= 0 && t->g->values[v].needs_grad; }

static bool is_weight(const tape *t, dm_val v) { return t->g->values[dm_graph_root(t->g, v)].source == DM_VAL_WEIGHT; }

/* d is a gradient of v, of v's shape and storage. */
static void give(tape *t, dm_val v, dm_val d)
{
    dm_graph_core *g = t->g;
    const dm_val r = dm_graph_root(g, v);

    if (d < 0 || !wants(t, v) || (d = dm_graph_cast(g, d, g->values[v].type)) < 0)
        return;
    if (is_weight(t, v)) {
        const dm_val out = target(t, v);

        if (out >= 0)
            dm_graph_node(g, DM_OP_ACCUM, &d, 1, &out, 1);
        return;
    }
    if (r != v) {
        const dm_shape s = g->values[r].shape;

        d = dm_graph_alias(g, d, &s, g->values[r].image);
    }
    t->grad[r] = t->grad[r] == DM_NONE ? d : dm_graph_sum2(g, t->grad[r], d);
}

/* A new value like v. */
static dm_val like(tape *t, dm_val v)
{
    const dm_shape s = t->g->values[v].shape;

    return dm_graph_value(t->g, &s, t->g->values[v].type, t->g->values[v].image);
}

/* The output that an op with accum writes for input v: the arena's part for a weight, else a new
 * value; DM_NONE if it is not wanted. */
static dm_val output_for(tape *t, dm_val v)
{
    return !wants(t, v) ? DM_NONE : is_weight(t, v) ? target(t, v) : like(t, v);
}

/* Hands on what output_for gave, unless it went into the arena. */
static void give_output(tape *t, dm_val v, dm_val d)
{
    if (d >= 0 && !is_weight(t, v))
        give(t, v, d);
}

/* kind(in...) of the shape of v, given to v. attrs: copied from n. */
static void give_op(tape *t, dm_op_kind kind, const dm_gnode *n, const dm_val *in, int n_in, dm_val v)
{
    const dm_shape s = t->g->values[v].shape;
    dm_gnode *made;
    dm_val d;

    if (!wants(t, v))
        return;
    if ((made = dm_graph_op1(t->g, kind, in, n_in, &s, t->g->values[v].image, &d))) {
        made->op.a = n->op.a;
        t->g->values[d].type = made->op.out[0].type = t->g->values[v].type;
    }
    give(t, v, d);
}

/* The sum of dy over all but its last stored axis, into bias b. */
static void bias_gradient(tape *t, dm_val dy, dm_val b)
{
    const dm_desc d = dm_graph_desc(t->g, dy);
    const int64_t C = d.dim[d.rank - 1];
    const dm_val out = output_for(t, b);
    dm_gnode *n;

    if (out < 0)
        return;
    if ((n = dm_graph_node(t->g, DM_OP_REDUCE, &dy, 1, &out, 1))) {
        n->op.accum = is_weight(t, b);
        n->op.a.reduce.outer = 1;
        n->op.a.reduce.red = dm_desc_count(&d) / C;
        n->op.a.reduce.inner = C;
        n->op.a.reduce.k = 1;
    }
    give_output(t, b, out);
}

static void conv_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    dm_graph_core *g = t->g;
    const dm_val x = n->in[0], w = n->in[1], dw = output_for(t, w);
    const dm_shape s = g->values[n->out[0]].shape;
    dm_gnode *made;

    give_op(t, DM_OP_CONV2D_DX, n, (dm_val[]){dy, w}, 2, x);
    if (dw >= 0 && (made = dm_graph_node(g, DM_OP_CONV2D_DW, (dm_val[]){x, dy}, 2, &dw, 1))) {
        made->op.a = n->op.a;
        made->op.accum = is_weight(t, w);
    }
    give_output(t, w, dw);
    if (n->in[2] >= 0)
        bias_gradient(t, dy, n->in[2]);
    if (wants(t, n->in[3]))
        give(t, n->in[3],
             dm_graph_reduce(g, dy, s.dim[0], s.dim[2] * s.dim[3], s.dim[1], 1, &(dm_shape){2, {s.dim[0], s.dim[1]}},
                             false));
    if (n->in[4] >= 0)
        give(t, n->in[4], dy);
}

/* Linear layers: y[m,n] = x[m,k] w[n,k]' + b. */
static void matmul_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], w = n->in[1], dw = output_for(t, w);
    const int64_t m = n->op.a.mm.m, nn = n->op.a.mm.n, k = n->op.a.mm.k;
    dm_gnode *made;

    if (wants(t, x)) {
        const dm_val dx = like(t, x);

        if (dx >= 0 && (made = dm_graph_node(t->g, DM_OP_MATMUL, (dm_val[]){dy, w, DM_NONE}, 3, &dx, 1))) {
            made->op.a.mm.batch = 1;
            made->op.a.mm.m = m;
            made->op.a.mm.n = k;
            made->op.a.mm.k = nn;
        }
        give(t, x, dx);
    }
    if (dw >= 0 && (made = dm_graph_node(t->g, DM_OP_MATMUL, (dm_val[]){dy, x, DM_NONE}, 3, &dw, 1))) {
        made->op.a.mm.ta = true;
        made->op.a.mm.batch = 1;
        made->op.a.mm.m = nn;
        made->op.a.mm.n = k;
        made->op.a.mm.k = m;
        made->op.accum = is_weight(t, w);
    }
    give_output(t, w, dw);
    if (n->in[2] >= 0)
        bias_gradient(t, dy, n->in[2]);
}

static void reduce_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0];
    const dm_shape s = t->g->values[x].shape;
    const int64_t outer = n->op.a.reduce.outer, red = n->op.a.reduce.red, inner = n->op.a.reduce.inner;
    const bool image = t->g->values[x].image;
    const double k = n->op.a.reduce.k;
    dm_gnode *made;
    dm_val d;

    if (!wants(t, x))
        return;
    if (k != 1) {
        const dm_shape sy = t->g->values[dy].shape;
        const dm_val from = dy;

        if ((made = dm_graph_op1(t->g, DM_OP_SCALE, &from, 1, &sy, t->g->values[from].image, &dy)))
            made->op.a.scale.k = k;
    }
    if (dy >= 0 && (made = dm_graph_op1(t->g, DM_OP_BROADCAST, &dy, 1, &s, image, &d)))
        made->op.a.bcast = (dm_attr_bcast){{1, outer, red, inner}, {0, inner, 0, 1}, {0, 0, 0, 0}};
    give(t, x, dy < 0 ? DM_FAILED : d);
}

static void product_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_shape s = t->g->values[n->out[0]].shape;

    for (int i = 0; i < 2; i++)
        if (wants(t, n->in[i])) {
            const dm_val d = n->op.kind == DM_OP_ADD ? dy : dm_graph_elementwise(t->g, DM_OP_MUL, dy, n->in[1 - i], &s);

            give(t, n->in[i], d < 0 ? d : dm_graph_reduce_like(t->g, d, n->in[i]));
        }
}

static void group_norm_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0], scale = n->in[3], shift = n->in[4];
    const dm_val out[5] = {wants(t, x) ? like(t, x) : DM_NONE, output_for(t, n->in[1]), output_for(t, n->in[2]),
                           wants(t, scale) ? like(t, scale) : DM_NONE, wants(t, shift) ? like(t, shift) : DM_NONE};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_GROUP_NORM_DX,
                                   (dm_val[]){dy, x, n->in[1], n->in[2], n->out[1], scale, shift}, 7, out, 5);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = (out[1] >= 0 && is_weight(t, n->in[1])) || (out[2] >= 0 && is_weight(t, n->in[2]));
    if (out[0] >= 0)
        give(t, x, out[0]);
    for (int i = 0; i < 2; i++) {
        give_output(t, n->in[1 + i], out[1 + i]);
        if (out[3 + i] >= 0)
            give(t, n->in[3 + i], out[3 + i]);
    }
}

static void layer_norm_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val x = n->in[0];
    const dm_val out[3] = {wants(t, x) ? like(t, x) : DM_NONE, output_for(t, n->in[1]), output_for(t, n->in[2])};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_LAYER_NORM_DX, (dm_val[]){dy, x, n->in[1], n->out[1]}, 4, out, 3);

    if (!made)
        return;
    made->op.a = n->op.a;
    made->op.accum = (out[1] >= 0 && is_weight(t, n->in[1])) || (out[2] >= 0 && is_weight(t, n->in[2]));
    if (out[0] >= 0)
        give(t, x, out[0]);
    give_output(t, n->in[1], out[1]);
    give_output(t, n->in[2], out[2]);
}

static void attention_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val out[3] = {like(t, n->in[0]), like(t, n->in[1]), like(t, n->in[2])};
    dm_gnode *made = dm_graph_node(t->g, DM_OP_ATTENTION_DX,
                                   (dm_val[]){dy, n->in[0], n->in[1], n->in[2], n->out[0], n->out[1]}, 6, out, 3);

    if (!made)
        return;
    made->op.a = n->op.a;
    for (int i = 0; i < 3; i++)
        give(t, n->in[i], out[i]);
}

static void concat_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const int64_t wa = n->op.a.concat.wa, wb = n->op.a.concat.wb;

    for (int i = 0; i < 2; i++) {
        dm_gnode part = *n;

        part.op.a.slice.outer = n->op.a.concat.outer;
        part.op.a.slice.width = wa + wb;
        part.op.a.slice.first = i ? wa : 0;
        part.op.a.slice.count = i ? wb : wa;
        give_op(t, DM_OP_SLICE, &part, &dy, 1, n->in[i]);
    }
}

static void permute_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    dm_gnode back = *n;

    for (int32_t i = 0; i < n->op.in[0].rank; i++)
        back.op.a.perm.axes[n->op.a.perm.axes[i]] = i;
    give_op(t, DM_OP_PERMUTE, &back, &dy, 1, n->in[0]);
}

static void embedding_rule(tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val w = n->in[1], dw = output_for(t, w);
    dm_gnode *made;

    if (dw >= 0 && (made = dm_graph_node(t->g, DM_OP_EMBEDDING_DW, (dm_val[]){n->in[0], dy}, 2, &dw, 1)))
        made->op.accum = is_weight(t, w);
    give_output(t, w, dw);
}

/* An elementwise loss of `from`.. inputs, those from `first` on having gradients, in one node. */
static void loss_rule(tape *t, dm_op_kind kind, const dm_gnode *n, dm_val dy, int first)
{
    dm_val in[DM_MAX_IN] = {dy}, out[DM_MAX_OUT] = {DM_NONE};
    const int n_in = n->op.n_in, n_out = n_in - first;
    dm_gnode *made;

    for (int i = 0; i < n_in; i++)
        in[1 + i] = n->in[i];
    for (int i = 0; i < n_out; i++)
        out[i] = wants(t, n->in[first + i]) ? like(t, n->in[first + i]) : DM_NONE;
    if (!(made = dm_graph_node(t->g, kind, in, 1 + n_in, out, n_out)))
        return;
    made->op.a = n->op.a;
    for (int i = 0; i < n_out; i++)
        if (out[i] >= 0)
            give(t, n->in[first + i], out[i]);
}

/* The plan clears each din and calls the plugin, which adds to it. */
static void custom_rule(tape *t, const dm_gnode *n)
{
    dm_val out[DM_MAX_OUT] = {DM_NONE};
    dm_gnode *made;

    if (!n->custom->backward)
        return;
    for (int i = 0; i < n->op.n_in; i++)
        out[i] = wants(t, n->in[i]) ? like(t, n->in[i]) : DM_NONE;
    if (!(made = dm_graph_node(t->g, DM_OP_CUSTOM_DX, n->in, n->op.n_in, out, n->op.n_in)))
        return;
    made->custom = n->custom;
    made->owner = n->owner;
    for (int i = 0; i < n->op.n_out; i++) {
        made->written[i] = n->out[i];
        made->dout[i] = t->grad[n->out[i]];
    }
    for (int i = 0; i < n->op.n_in; i++)
        if (out[i] >= 0)
            give(t, n->in[i], out[i]);
}

/* n is a copy: rules append to the list it came from. */
static void rule(tape *t, const dm_gnode *n, dm_val dy)
{
    switch (n->op.kind) {
    case DM_OP_CONV2D: conv_rule(t, n, dy); break;
    case DM_OP_MATMUL: matmul_rule(t, n, dy); break;
    case DM_OP_REDUCE: reduce_rule(t, n, dy); break;
    case DM_OP_ADD: case DM_OP_MUL: product_rule(t, n, dy); break;
    case DM_OP_BROADCAST: give(t, n->in[0], dm_graph_reduce_like(t->g, dy, n->in[0])); break;
    case DM_OP_SCALE: {
        dm_gnode part = *n;

        part.op.a.scale.b = 0;
        give_op(t, DM_OP_SCALE, &part, &dy, 1, n->in[0]);
        break;
    }
    case DM_OP_SILU: give_op(t, DM_OP_SILU_DX, n, (dm_val[]){dy, n->in[0]}, 2, n->in[0]); break;
    case DM_OP_GELU: give_op(t, DM_OP_GELU_DX, n, (dm_val[]){dy, n->in[0]}, 2, n->in[0]); break;
    case DM_OP_GROUP_NORM: group_norm_rule(t, n, dy); break;
    case DM_OP_LAYER_NORM: layer_norm_rule(t, n, dy); break;
    case DM_OP_ATTENTION: attention_rule(t, n, dy); break;
    case DM_OP_CONCAT: concat_rule(t, n, dy); break;
    case DM_OP_SLICE: give_op(t, DM_OP_PAD, n, &dy, 1, n->in[0]); break;
    case DM_OP_PERMUTE: permute_rule(t, n, dy); break;
    case DM_OP_UPSAMPLE: give_op(t, DM_OP_UPSAMPLE_DX, n, &dy, 1, n->in[0]); break;
    case DM_OP_AVG_POOL: give_op(t, DM_OP_AVG_POOL_DX, n, &dy, 1, n->in[0]); break;
    case DM_OP_EMBEDDING: embedding_rule(t, n, dy); break;
    case DM_OP_DROPOUT: give_op(t, DM_OP_DROPOUT, n, (dm_val[]){dy, n->in[1]}, 2, n->in[0]); break;
    case DM_OP_CROSS_ENTROPY:
        give_op(t, DM_OP_CROSS_ENTROPY_DX, n, (dm_val[]){dy, n->in[0], n->in[1]}, 3, n->in[0]);
        break;
    case DM_OP_GAUSSIAN_KL: loss_rule(t, DM_OP_GAUSSIAN_KL_DX, n, dy, 0); break;
    case DM_OP_DISCRETIZED_NLL: loss_rule(t, DM_OP_DISCRETIZED_NLL_DX, n, dy, 1); break;
    default: break; /* noise, time embeddings: constants */
    }
}

static void backward(tape *t, size_t n_nodes)
{
    for (size_t i = n_nodes; i-- > 0 && !t->g->err.code;) {
        const dm_gnode n = t->g->nodes[i];
        bool reached = false, wanted = false;

        for (int k = 0; k < n.op.n_out && !n.dead; k++)
            reached |= n.out[k] >= 0 && t->g->values[n.out[k]].source == DM_VAL_NODE && t->grad[n.out[k]] != DM_NONE;
        for (int k = 0; k < n.op.n_in && !n.dead; k++)
            wanted |= wants(t, n.in[k]);
        if (!reached || !wanted)
            continue;
        if (n.op.kind == DM_OP_CUSTOM)
            custom_rule(t, &n);
        else if (t->grad[n.out[0]] != DM_NONE)
            rule(t, &n, t->grad[n.out[0]]);
    }
}

void dm_graph_mark_trained(dm_graph_core *g, dm_val y)
{
    bool *reached = calloc(g->n_values ? g->n_values : 1, sizeof *reached);

    if (!reached) {
        dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph");
        return;
    }
    reached[dm_graph_root(g, y)] = g->values[y].needs_grad;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const dm_gnode *n = &g->nodes[i];
        bool through = false;

        for (int k = 0; k < n->op.n_out; k++)
            through |= n->out[k] >= 0 && reached[n->out[k]];
        for (int k = 0; k < n->op.n_in && through; k++)
            if (n->in[k] >= 0 && g->values[n->in[k]].needs_grad)
                reached[dm_graph_root(g, n->in[k])] = true;
    }
    for (size_t i = 0; i < g->n_weights; i++)
        g->weights[i].trained = reached[g->weights[i].value];
    free(reached);
}

dm_status dm_graph_differentiate(dm_graph_core *g, dm_val y, dm_val seed, const dm_val *inputs, int n, dm_val *grads,
                                 dm_err *err)
{
    const size_t n_values = g->n_values, n_nodes = g->n_nodes;
    tape t = {g, malloc((n_values + 1) * sizeof *t.grad), malloc((g->n_weights + 1) * sizeof *t.weight)};

    if (!t.grad || !t.weight)
        dm_graph_fail(g, DM_ENOMEM, "out of memory for gradients");
    for (size_t i = 0; i < n_values && t.grad; i++)
        t.grad[i] = DM_NONE;
    for (size_t i = 0; i < g->n_weights && t.weight; i++)
        t.weight[i] = DM_NONE;
    if (!g->err.code) {
        give(&t, y, seed);
        backward(&t, n_nodes);
        for (size_t i = n_nodes; i < g->n_nodes; i++)
            g->nodes[i].backward = true;
        for (int i = 0; i < n; i++)
            grads[i] = t.grad[inputs[i]];
    }
    free(t.grad);
    free(t.weight);
    return g->err.code ? dm_error(err, g->err.code, "%s", g->err.msg) : DM_OK;
}
