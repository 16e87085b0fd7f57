/* What layers with weights share. Initial values follow the usual rule of uniform within 1 / sqrt(fan in), for the
 * weight and its bias alike. */
#ifndef DEMIST_CORE_LAYER_H
#define DEMIST_CORE_LAYER_H

#include "graph/graph.h"

/* "<name>.weight" or ".bias" of a layer. */
dm_val dm_layer_part(const dm_graph *g, const char *name, const char *suffix, const dm_shape *s, uint32_t flags,
                     int64_t fan_in);
/* What a layer is given: a name, unless it may do without, and one value; else the reason is recorded. */
bool dm_layer_takes(dm_graph_core *c, const char *layer, const char *name, bool named, dm_dtype type, dm_val x);

#endif
