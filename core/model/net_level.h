/* The noise level of each example as a network may read it beside c_noise: dm_net_in's rows. */
#ifndef DEMIST_CORE_NET_LEVEL_H
#define DEMIST_CORE_NET_LEVEL_H

#include "graph/graph.h"

enum {
    DM_LEVEL_ALPHA, DM_LEVEL_SIGMA, DM_LEVEL_LOG_SNR, DM_LEVEL_C_IN, DM_LEVEL_OF_X0, DM_LEVEL_OF_EPS, DM_LEVELS
};

/* f32[N] each of a graph; DM_NONE where nothing diffuses. */
typedef struct dm_net_level { dm_val row[DM_LEVELS]; } dm_net_level;

void dm_net_level_none(dm_net_level *l);
/* New inputs of a graph for n examples. */
void dm_net_level_inputs(dm_net_level *l, dm_graph_core *g, int64_t n);
/* What the rows have at this point. */
void dm_net_level_values(const dm_point *p, const dm_affine *a, double v[DM_LEVELS]);
/* Does any node of the graph read one? */
bool dm_net_level_read(const dm_net_level *l, const dm_graph_core *g);

#endif
