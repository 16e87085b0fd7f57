/* The table of functions that plugins describe a graph with, and the scopes that they name weights in. */
#include "graph/graph_scope.h"
#include "graph/op_def.h"

#include <stdlib.h>

static dm_shape shape_of(const dm_graph *g, dm_val x)
{
    const dm_graph_core *c = dm_graph_of(g);
    const dm_shape none = {0, {1, 1, 1, 1, 1, 1, 1, 1}};

    return x < 0 || (size_t)x >= c->n_values ? none : c->values[x].shape;
}

static const dm_graph *new_scope(dm_graph_core *core, const dm_graph *table, const char *prefix)
{
    dm_graph_scope *s = dm_alloc(core->arena, sizeof *s);

    if (!s)
        return NULL;
    s->api = *table;
    s->core = core;
    s->prefix = prefix;
    return &s->api;
}

/* Never NULL: where memory ran out the graph has failed, and the outer scope serves for the rest. */
static const dm_graph *sub_scope(const dm_graph *g, const char *fmt, ...)
{
    const dm_graph_scope *s = dm_graph_scope_of(g);
    char name[256];
    const dm_graph *sub;
    char *prefix;
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof name) {
        dm_graph_fail(s->core, DM_EINVAL, "scope name of %d characters; at most %d", n, (int)sizeof name - 1);
        return g;
    }
    prefix = dm_sprintf(s->core->arena, "%s%s.", s->prefix, name);
    sub = prefix ? new_scope(s->core, g, prefix) : NULL;
    if (!sub)
        dm_graph_fail(s->core, DM_ENOMEM, "out of memory for the graph");
    return sub ? sub : g;
}

dm_status dm_graph_new(dm_graph_core **out, const dm_graph **api, dm_err *err)
{
    dm_graph table = {.size = sizeof(dm_graph), .shape = shape_of, .scope = sub_scope};
    dm_graph_core *g = calloc(1, sizeof *g);

    if (!g || !(g->arena = dm_arena_new())) {
        free(g);
        return dm_error(err, DM_ENOMEM, "out of memory for a graph");
    }
    g->state = DM_NONE;
    dm_graph_fill_values(&table);
    dm_ops_fill(&table);
    if (!(*api = new_scope(g, &table, ""))) {
        dm_graph_free(g);
        return dm_error(err, DM_ENOMEM, "out of memory for a graph");
    }
    *out = g;
    return DM_OK;
}
