/* Shapes as stored and as seen, and the ops that only move between them: for the graph's own files. */
#ifndef DEMIST_CORE_GRAPH_SHAPE_H
#define DEMIST_CORE_GRAPH_SHAPE_H

#include "graph/graph.h"

/* Stored position of logical axis l, and the reverse. */
int dm_stored_axis(bool image, int l);
int dm_logical_axis(bool image, int s);
/* Of d[from..to). */
int64_t dm_product(const int64_t *d, int from, int to);
bool dm_same_shape(const dm_shape *a, const dm_shape *b);

dm_val dm_graph_reshape(dm_graph_core *g, dm_val x, const dm_shape *s);
dm_val dm_graph_permute(dm_graph_core *g, dm_val x, const int32_t *axes);
/* x's elements in another order as stored: y's stored axis i is x's axes[i]. */
dm_val dm_graph_stored_permute(dm_graph_core *g, dm_val x, const dm_shape *s, bool image, const int32_t *axes,
                               int32_t rank);
/* a and b (or DM_NONE), each repeated to shape s. */
dm_val dm_graph_elementwise(dm_graph_core *g, dm_op_kind kind, dm_val a, dm_val b, const dm_shape *s);
/* x reduced to this shape and storage, whose broadcast it is: by DM_OP_REDUCE (sums) or DM_OP_REDUCE_MAX. */
dm_val dm_graph_reduce_to(dm_graph_core *g, dm_op_kind kind, dm_val x, const dm_shape *s, bool image);
/* k times the sum over the middle of [outer,red,inner]. */
dm_val dm_graph_reduce(dm_graph_core *g, dm_val x, int64_t outer, int64_t red, int64_t inner, double k,
                       const dm_shape *s, bool image);

#endif
