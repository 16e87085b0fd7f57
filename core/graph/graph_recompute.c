/* What is cheap to compute again is not kept from the forward pass to the backward pass: a second node of the same op
 * makes it just before it is read there, from what is alive anyway or takes less memory. The same op on the same
 * numbers gives the same bits. Knows neither device nor implementations. */
#include "graph/graph.h"
#include "graph/op_def.h"

#include <stdlib.h>

enum { DEPTH = 4 };                /* of chains that are looked at */

typedef struct copy { dm_gnode node; size_t at; } copy; /* comes before node `at` */

typedef struct pass {
    dm_graph_core *g;
    size_t begin;                  /* the first node of the backward pass */
    size_t *first, *last;          /* nodes that read each memory: first of the backward pass, last of all */
    bool *kept;
    dm_val *now;                   /* of each value, what the backward pass reads in its place; DM_NONE = itself */
    copy *copies;                  /* in falling order of their originals */
    size_t n;
} pass;

static bool cheap(dm_op_kind kind) { return dm_op_def_of(kind)->flags & DM_OP_CHEAP; }

static size_t bytes_of(const dm_graph_core *g, dm_val v)
{
    const dm_desc d = dm_graph_desc(g, v);

    return (size_t)dm_desc_count(&d) * dm_dtype_size(d.type);
}

static void read_at(pass *p, dm_val v, size_t at)
{
    const dm_val r = dm_graph_root(p->g, v);

    if (at >= p->begin && at < p->first[r])
        p->first[r] = at;
    if (at > p->last[r])
        p->last[r] = at;
}

/* The bytes that must be kept for memory v to be there at a node of the backward pass: none where it is alive. */
static size_t price(const pass *p, dm_val v, size_t at, int depth)
{
    const dm_val r = dm_graph_root(p->g, v);
    const dm_value *x = &p->g->values[r];
    const size_t whole = x->source == DM_VAL_NODE && p->last[r] < at && !p->kept[r] ? bytes_of(p->g, r) : 0;
    const dm_gnode *n;
    size_t parts = 0;

    if (!whole || depth == 0 || !cheap(p->g->nodes[x->node].op.kind))
        return whole;
    n = &p->g->nodes[x->node];
    for (int k = 0; k < n->op.n_in && parts < whole; k++)
        parts += n->in[k] >= 0 ? price(p, n->in[k], at, depth - 1) : 0;
    return parts < whole ? parts : whole;
}

/* Computes node i again before the first node of the backward pass that reads it, if that frees at least so many bytes.
 */
static void consider(pass *p, size_t i, size_t least)
{
    dm_graph_core *g = p->g;
    const dm_gnode *n = &g->nodes[i];
    size_t at = SIZE_MAX, gain = 0, cost = 0;
    copy *c = &p->copies[p->n];

    if (n->dead || !cheap(n->op.kind) || n->op.accum)
        return;
    for (int k = 0; k < n->op.n_out; k++)
        if (n->out[k] >= 0) {
            if (p->kept[n->out[k]] || g->values[n->out[k]].source != DM_VAL_NODE)
                return;
            at = p->first[n->out[k]] < at ? p->first[n->out[k]] : at;
            gain += p->first[n->out[k]] < SIZE_MAX ? bytes_of(g, n->out[k]) : 0;
        }
    for (int k = 0; k < n->op.n_in && at < SIZE_MAX; k++)
        cost += n->in[k] >= 0 ? price(p, n->in[k], at, DEPTH) : 0;
    if (at == SIZE_MAX || gain < cost || gain - cost < least)
        return;
    *c = (copy){*n, at};
    c->node.backward = c->node.recomputed = true;
    for (int k = 0; k < n->op.n_in; k++)
        if (n->in[k] >= 0)
            read_at(p, n->in[k], at);
    for (int k = 0; k < c->node.op.n_out; k++)
        if (c->node.out[k] >= 0) {
            const dm_value v = g->values[c->node.out[k]];
            const dm_val made = dm_graph_value(g, &v.shape, v.type, v.image);

            p->now[c->node.out[k]] = made;
            c->node.out[k] = made;
        }
    p->n++;
}

/* What the backward pass reads in place of v. */
static dm_val instead(pass *p, dm_val v)
{
    const dm_val r = dm_graph_root(p->g, v);

    if (v < 0 || p->now[r] == DM_NONE)
        return v;
    if (p->now[v] == DM_NONE) {
        const dm_value a = p->g->values[v];

        p->now[v] = dm_graph_alias(p->g, p->now[r], &a.shape, a.image);
    }
    return p->now[v];
}

static void reread(pass *p, dm_gnode *n)
{
    for (int k = 0; k < DM_MAX_IN; k++)
        n->in[k] = instead(p, n->in[k]);
    for (int k = 0; k < DM_MAX_OUT; k++) {
        n->written[k] = instead(p, n->written[k]);
        n->dout[k] = instead(p, n->dout[k]);
    }
}

/* The copies take their places; of two before one node, the original's order holds. */
static void insert(pass *p, dm_gnode *to)
{
    dm_graph_core *g = p->g;
    size_t made = 0;

    for (size_t i = 0; i < g->n_nodes; i++) {
        for (size_t k = p->n; k-- > 0 && i >= p->begin;)
            if (p->copies[k].at == i)
                to[made++] = p->copies[k].node;
        to[made++] = g->nodes[i];
    }
    free(g->nodes);
    g->nodes = to;
    g->n_nodes = g->cap_nodes = made;
    for (size_t i = p->begin; i < made; i++)
        reread(p, &to[i]);
    for (size_t i = 0; i < made; i++)
        for (int k = 0; k < to[i].op.n_out && !to[i].dead; k++)
            if (to[i].out[k] >= 0 && g->values[to[i].out[k]].source == DM_VAL_NODE)
                g->values[to[i].out[k]].node = (int32_t)i;
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i].source == DM_VAL_ALIAS)
            g->values[i].node = g->values[g->values[i].of].node;
}

static void choose(pass *p, const dm_val *results, int n, size_t least)
{
    dm_graph_core *g = p->g;

    for (size_t i = 0; i < g->n_values; i++) {
        p->first[i] = SIZE_MAX;
        p->now[i] = DM_NONE;
    }
    for (int i = 0; i < n; i++)
        if (results[i] >= 0)
            p->kept[dm_graph_root(g, results[i])] = true;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < DM_MAX_READ && !g->nodes[i].dead; k++)
            if (dm_gnode_read(&g->nodes[i], k) >= 0)
                read_at(p, dm_gnode_read(&g->nodes[i], k), i);
    for (size_t i = p->begin; i-- > 0 && !g->err.code;)
        consider(p, i, least);
}

void dm_graph_recompute(dm_graph_core *g, const dm_val *results, int n, size_t least)
{
    const size_t values = g->n_values + 1;
    pass p = {.g = g};
    dm_gnode *to = NULL;

    while (p.begin < g->n_nodes && !g->nodes[p.begin].backward)
        p.begin++;
    p.first = malloc(values * sizeof *p.first);
    p.last = calloc(values, sizeof *p.last);
    p.kept = calloc(values, sizeof *p.kept);
    p.now = malloc(values * sizeof *p.now);
    p.copies = malloc((p.begin + 1) * sizeof *p.copies);
    if (p.first && p.last && p.kept && p.now && p.copies) {
        choose(&p, results, n, least);
        if (p.n && !g->err.code && (to = malloc((g->n_nodes + p.n) * sizeof *to)))
            insert(&p, to);
    }
    if (!p.first || !p.last || !p.kept || !p.now || !p.copies || (p.n && !to))
        dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph");
    free(p.first);
    free(p.last);
    free(p.kept);
    free(p.now);
    free(p.copies);
}
