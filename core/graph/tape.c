/* What gradient rules are written with; see tape.h. */
#include "graph/tape.h"

#include "graph/graph_shape.h"

/* Where the gradient of weight v goes, with v's extents. */
static dm_val target(dm_tape *t, dm_val v)
{
    dm_graph_core *g = t->g;
    const dm_value *w = &g->values[dm_graph_root(g, v)];
    const int32_t i = w->weight;
    dm_shape of;

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
    of = g->values[v].shape;
    return dm_graph_alias(g, t->weight[i], &of, g->values[v].image);
}

bool dm_tape_wants(const dm_tape *t, dm_val v) { return v >= 0 && t->g->values[v].needs_grad; }

bool dm_tape_is_weight(const dm_tape *t, dm_val v)
{
    return t->g->values[dm_graph_root(t->g, v)].source == DM_VAL_WEIGHT;
}

void dm_tape_give(dm_tape *t, dm_val v, dm_val d)
{
    dm_graph_core *g = t->g;
    const dm_val r = dm_graph_root(g, v);

    if (d < 0 || !dm_tape_wants(t, v) || (d = dm_graph_cast(g, d, g->values[v].type)) < 0)
        return;
    if (dm_tape_is_weight(t, v)) {
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

dm_val dm_tape_like(dm_tape *t, dm_val v)
{
    const dm_shape s = t->g->values[v].shape;

    return dm_graph_value(t->g, &s, t->g->values[v].type, t->g->values[v].image);
}

dm_val dm_tape_like_wanted(dm_tape *t, dm_val v) { return dm_tape_wants(t, v) ? dm_tape_like(t, v) : DM_NONE; }

dm_val dm_tape_output_for(dm_tape *t, dm_val v)
{
    return !dm_tape_wants(t, v) ? DM_NONE : dm_tape_is_weight(t, v) ? target(t, v) : dm_tape_like(t, v);
}

void dm_tape_give_output(dm_tape *t, dm_val v, dm_val d)
{
    if (d >= 0 && !dm_tape_is_weight(t, v))
        dm_tape_give(t, v, d);
}

void dm_tape_give_op(dm_tape *t, dm_op_kind kind, const dm_gnode *n, const dm_val *in, int n_in, dm_val v)
{
    const dm_shape s = t->g->values[v].shape;
    dm_gnode *made;
    dm_val d;

    if (!dm_tape_wants(t, v))
        return;
    if ((made = dm_graph_op1(t->g, kind, in, n_in, &s, t->g->values[v].image, &d))) {
        made->op.a = n->op.a;
        t->g->values[d].type = made->op.out[0].type = t->g->values[v].type;
    }
    dm_tape_give(t, v, d);
}

void dm_tape_bias(dm_tape *t, dm_val dy, dm_val b)
{
    const dm_desc d = dm_graph_desc(t->g, dy);
    const int64_t C = d.dim[d.rank - 1];
    const dm_val out = dm_tape_output_for(t, b);
    dm_gnode *n;

    if (out < 0)
        return;
    if ((n = dm_graph_node(t->g, DM_OP_REDUCE, &dy, 1, &out, 1))) {
        n->op.accum = dm_tape_is_weight(t, b);
        n->op.a.reduce.outer = 1;
        n->op.a.reduce.red = dm_desc_count(&d) / C;
        n->op.a.reduce.inner = C;
        n->op.a.reduce.k = 1;
    }
    dm_tape_give_output(t, b, out);
}
