/* A scope: what a `const dm_graph *` of plugins points into. */
#ifndef DEMIST_CORE_GRAPH_SCOPE_H
#define DEMIST_CORE_GRAPH_SCOPE_H

#include "graph/graph.h"

typedef struct dm_graph_scope { dm_graph api; dm_graph_core *core; const char *prefix; } dm_graph_scope;

static inline const dm_graph_scope *dm_graph_scope_of(const dm_graph *g)
{
    return (const dm_graph_scope *)(const void *)g;
}

#endif
