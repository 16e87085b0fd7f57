/* The table of functions that plugins describe a graph with, and the scopes that they name weights in. */
#include "graph/graph_scope.h"
#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

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
    dm_graph_core *core = dm_graph_of(g);
    char name[256];
    const dm_graph *sub;
    char *prefix;
    va_list ap;
    int n;

    if (core->err.code)
        return g;
    va_start(ap, fmt);
    n = fmt ? vsnprintf(name, sizeof name, fmt, ap) : -1;
    va_end(ap);
    if (n < 0 || (size_t)n >= sizeof name) {
        dm_graph_fail(core, DM_EINVAL, fmt ? "scope name of %d characters; at most %d" : "scope was given no name", n,
                      (int)sizeof name - 1);
        return g;
    }
    if (strlen(s->prefix) + (size_t)n + 1 >= DM_KEY_MAX) { /* at once: the prefixes of deep scopes are long */
        dm_graph_fail(core, DM_EINVAL,
                      "scope '%.64s...': its name has %zu bytes with the scopes around it; those of weights, which are "
                      "longer, have at most %d, which fit a checkpoint",
                      s->prefix, strlen(s->prefix) + (size_t)n + 1, DM_KEY_MAX);
        return g;
    }
    prefix = dm_sprintf(core->arena, "%s%s.", s->prefix, name);
    sub = prefix ? new_scope(core, g, prefix) : NULL;
    if (!sub)
        dm_graph_fail(core, DM_ENOMEM, "out of memory for the graph");
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
