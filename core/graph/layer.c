/* What layers with weights share; see layer.h. */
#include "graph/layer.h"

#include <math.h>

dm_val dm_layer_part(const dm_graph *g, const char *name, const char *suffix, const dm_shape *s, uint32_t flags,
                   int64_t fan_in)
{
    const bool zero = flags & DM_ZERO_INIT;

    return dm_graph_weight_value(dm_graph_of(g), dm_graph_key(g, name, suffix), s,
                                 zero ? DM_INIT_CONSTANT : DM_INIT_UNIFORM, zero ? 0 : 1 / sqrt((double)fan_in));
}

bool dm_layer_takes(dm_graph_core *c, const char *layer, const char *name, bool named, dm_dtype type, dm_val x)
{
    char what[320];

    if (!name && named)
        dm_graph_fail(c, DM_EINVAL, "%s: its name is NULL; weights need one", layer);
    snprintf(what, sizeof what, name ? "%s '%.256s'" : "%s", layer, name);
    return dm_graph_has(c, what, type, &x, 1);
}
