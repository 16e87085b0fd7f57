/* Reverse-mode gradients: the rule of each op (core/graph/ops/), from the last node to the first, each appending nodes
 * to the graph. */
#include "graph/tape.h"

#include "graph/op_def.h"

#include <stdlib.h>

static void backward(dm_tape *t, size_t n_nodes)
{
    for (size_t i = n_nodes; i-- > 0 && !t->g->err.code;) {
        const dm_gnode n = t->g->nodes[i];
        bool reached = false, wanted = false;
        const dm_op_def *def;

        for (int k = 0; k < n.op.n_out && !n.dead; k++)
            reached |= n.out[k] >= 0 && t->g->values[n.out[k]].source == DM_VAL_NODE && t->grad[n.out[k]] != DM_NONE;
        for (int k = 0; k < n.op.n_in && !n.dead; k++)
            wanted |= dm_tape_wants(t, n.in[k]);
        if (!reached || !wanted)
            continue;
        def = dm_op_def_of(n.op.kind);
        if (def->gradient && (t->grad[n.out[0]] != DM_NONE || def->flags & DM_OP_PLUGINS))
            def->gradient(t, &n, t->grad[n.out[0]]);
    }
}

void dm_graph_reach(const dm_graph_core *g, dm_val y, bool gradients, bool *reached)
{
    reached[dm_graph_root(g, y)] = !gradients || g->values[y].needs_grad;
    for (size_t i = g->n_nodes; i-- > 0;) {
        const dm_gnode *n = &g->nodes[i];
        bool through = false;

        for (int k = 0; k < n->op.n_out; k++)
            through |= n->out[k] >= 0 && reached[n->out[k]];
        for (int k = 0; k < n->op.n_in && through; k++)
            if (n->in[k] >= 0 && (!gradients || g->values[n->in[k]].needs_grad))
                reached[dm_graph_root(g, n->in[k])] = true;
    }
}

void dm_graph_mark_trained(dm_graph_core *g, dm_val y)
{
    bool *trained = calloc(g->n_values ? g->n_values : 1, sizeof *trained);
    bool *used = calloc(g->n_values ? g->n_values : 1, sizeof *used);

    if (trained && used) {
        dm_graph_reach(g, y, true, trained);
        dm_graph_reach(g, y, false, used);
        for (size_t i = 0; i < g->n_weights; i++) {
            g->weights[i].trained = trained[g->weights[i].value];
            g->weights[i].frozen = used[g->weights[i].value] && !g->weights[i].trained;
        }
    } else {
        dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph");
    }
    free(trained);
    free(used);
}

dm_status dm_graph_differentiate(dm_graph_core *g, dm_val y, dm_val seed, const dm_val *inputs, int n, dm_val *grads,
                                 dm_err *err)
{
    const size_t n_values = g->n_values, n_nodes = g->n_nodes;
    dm_tape t = {g, malloc((n_values + 1) * sizeof *t.grad), malloc((g->n_weights + 1) * sizeof *t.weight)};

    if (!t.grad || !t.weight)
        dm_graph_fail(g, DM_ENOMEM, "out of memory for gradients");
    for (size_t i = 0; i < n_values && t.grad; i++)
        t.grad[i] = DM_NONE;
    for (size_t i = 0; i < g->n_weights && t.weight; i++)
        t.weight[i] = DM_NONE;
    if (!g->err.code) {
        dm_tape_give(&t, y, seed);
        backward(&t, n_nodes);
        for (size_t i = n_nodes; i < g->n_nodes; i++)
            g->nodes[i].backward = true;
        for (size_t i = 0; i < g->n_weights; i++)
            g->weights[i].reached = t.weight[i] != DM_NONE;
        for (int i = 0; i < n; i++)
            grads[i] = t.grad[inputs[i]];
    }
    free(t.grad);
    free(t.weight);
    return g->err.code ? dm_error(err, g->err.code, "%s", g->err.msg) : DM_OK;
}
