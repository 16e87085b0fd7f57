/* Passes over a described graph: fusion, dead nodes, numbering of dropouts. */
#include "graph/graph_shape.h"
#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

/* How often each memory is read, results included; NULL when memory ran out. */
static int32_t *count_uses(const dm_graph_core *g, const dm_val *results, int n)
{
    int32_t *uses = calloc(g->n_values ? g->n_values : 1, sizeof *uses);

    if (!uses)
        return NULL;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < DM_MAX_READ && !g->nodes[i].dead; k++)
            if (dm_gnode_read(&g->nodes[i], k) >= 0)
                uses[dm_graph_root(g, dm_gnode_read(&g->nodes[i], k))]++;
    for (int i = 0; i < n; i++)
        if (results[i] >= 0)
            uses[dm_graph_root(g, results[i])]++;
    return uses;
}

static void fuse_silu(dm_graph_core *g, const int32_t *uses, size_t at)
{
    dm_gnode *s = &g->nodes[at], *n;
    const dm_val x = s->in[0];

    if (s->op.kind != DM_OP_SILU || g->values[x].source != DM_VAL_NODE || uses[x] != 1)
        return;
    n = &g->nodes[g->values[x].node];
    if (n->op.kind != DM_OP_GROUP_NORM || n->out[0] != x || n->op.a.norm.silu)
        return;
    n->op.a.norm.silu = true;
    n->out[0] = s->out[0];
    g->values[s->out[0]].node = g->values[x].node;
    s->dead = true;
}

/* The convolution takes the place of the addition, where all it reads has been made. */
static void fuse_add(dm_graph_core *g, const int32_t *uses, size_t at)
{
    dm_gnode *a = &g->nodes[at];

    if (a->op.kind != DM_OP_ADD)
        return;
    for (int side = 1; side >= 0; side--) {
        const dm_val x = a->in[side], other = a->in[1 - side], y = a->out[0];
        const dm_value *v = &g->values[x], *o = &g->values[other];
        int slot;
        dm_gnode *n;

        if (v->source != DM_VAL_NODE || uses[x] != 1 || !v->image || !dm_same_shape(&v->shape, &g->values[y].shape))
            continue;
        n = &g->nodes[v->node];
        slot = o->image && dm_same_shape(&o->shape, &v->shape) ? 4
             : o->shape.rank == 2 && o->shape.dim[0] == v->shape.dim[0] && o->shape.dim[1] == v->shape.dim[1] ? 3 : 0;
        if (n->op.kind != DM_OP_CONV2D || n->out[0] != x || n->dead || !slot || n->in[slot] >= 0)
            continue;
        *a = *n;
        n->dead = true;
        a->in[slot] = other;
        a->op.in[slot] = dm_graph_desc(g, other);
        a->out[0] = y;
        g->values[y].node = (int32_t)at;
        return;
    }
}

void dm_graph_fuse(dm_graph_core *g, const dm_val *results, int n)
{
    int32_t *uses = count_uses(g, results, n);

    for (size_t i = 0; i < g->n_nodes && uses; i++)
        if (!g->nodes[i].dead) {
            fuse_silu(g, uses, i);
            fuse_add(g, uses, i);
        }
    free(uses); /* without it the graph is right, only slower */
}

bool dm_graph_reads(const dm_graph_core *g, dm_val v)
{
    for (size_t i = 0; i < g->n_nodes && v >= 0; i++)
        for (int k = 0; k < g->nodes[i].op.n_in; k++)
            if (g->nodes[i].in[k] >= 0 && dm_graph_root(g, g->nodes[i].in[k]) == dm_graph_root(g, v))
                return true;
    return false;
}

void dm_graph_prune(dm_graph_core *g, const dm_val *results, int n)
{
    bool *needed = calloc(g->n_values ? g->n_values : 1, sizeof *needed);

    for (int i = 0; i < n && needed; i++)
        if (results[i] >= 0)
            needed[dm_graph_root(g, results[i])] = true;
    for (size_t i = g->n_nodes; i-- > 0 && needed;) {
        dm_gnode *node = &g->nodes[i];
        bool live = false;

        for (int k = 0; k < node->op.n_out; k++)
            if (node->out[k] >= 0) {
                const dm_val r = dm_graph_root(g, node->out[k]);

                live |= needed[r] || g->values[r].source != DM_VAL_NODE;
            }
        node->dead |= !live;
        for (int k = 0; k < DM_MAX_READ && !node->dead; k++)
            if (dm_gnode_read(node, k) >= 0)
                needed[dm_graph_root(g, dm_gnode_read(node, k))] = true;
    }
    free(needed);
}

void dm_graph_number_dropouts(dm_graph_core *g, dm_val result)
{
    /* Depth first from the result, inputs in order: a stack of nodes, each visited once. */
    bool *seen = calloc(g->n_nodes ? g->n_nodes : 1, sizeof *seen);
    int32_t *stack = malloc((g->n_nodes + 1) * DM_MAX_IN * sizeof *stack);
    uint32_t place = 0;
    size_t depth = 0;

    if (!seen || !stack) {
        dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph");
    } else if (result >= 0) {
        const int32_t first = g->values[dm_graph_root(g, result)].node;

        if (first >= 0)
            stack[depth++] = first;
        while (depth > 0) {
            const int32_t at = stack[--depth];
            dm_gnode *n = &g->nodes[at];

            if (seen[at])
                continue;
            seen[at] = true;
            if (n->op.kind == DM_OP_DROPOUT)
                n->op.a.random.node = place++;
            for (int k = n->op.n_in - 1; k >= 0; k--) {
                const int32_t from = n->in[k] >= 0 ? g->values[dm_graph_root(g, n->in[k])].node : -1;

                if (from >= 0 && !seen[from])
                    stack[depth++] = from;
            }
        }
    }
    free(seen);
    free(stack);
}

static bool is_gradient(const dm_graph_core *g, dm_val v)
{
    return v >= 0 && g->values[dm_graph_root(g, v)].source == DM_VAL_GRAD;
}

bool dm_graph_write_gradients(dm_graph_core *g)
{
    bool *made = calloc(g->n_values ? g->n_values : 1, sizeof *made), ok = made;

    for (size_t i = 0; i < g->n_nodes && ok; i++) {
        const dm_gnode *n = &g->nodes[i];

        for (int k = 0; k < n->op.n_out && ok && !n->dead; k++)
            if (is_gradient(g, n->out[k])) {
                bool *m = &made[dm_graph_root(g, n->out[k])];

                ok = !*m && !n->custom && dm_op_may_write(n->op.kind);
                *m = true;
            }
    }
    for (size_t i = 0; i < g->n_nodes && ok; i++)
        for (int k = 0; k < g->nodes[i].op.n_out; k++)
            if (is_gradient(g, g->nodes[i].out[k]))
                g->nodes[i].op.accum = false;
    free(made);
    return ok;
}
