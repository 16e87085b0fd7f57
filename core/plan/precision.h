/* Which values of a graph are stored in 16 bits. */
#ifndef DEMIST_CORE_PRECISION_H
#define DEMIST_CORE_PRECISION_H

#include "graph/graph.h"

/* Which values of a described and fused graph are stored as `type`, bf16 or f16: images and sequences between
 * convolutions, linear layers, norms and attention; not results[n], not what comes before the first or after the last
 * of them, no vectors. Comes before the gradient, whose values are stored as what they are gradients of. */
void dm_graph_choose_16bit(dm_graph_core *g, dm_dtype type, const dm_val *results, int n);
/* Puts casts where an op reads or writes another type than a value has, or no implementation of this device does the
 * 16-bit one; after the gradient. */
void dm_graph_insert_casts(dm_graph_core *g, const struct dm_device_info *dev);
/* Does the device multiply bf16 itself? Else casts to f32 and back save memory, not time. */
bool dm_multiplies_bf16(const struct dm_device_info *dev);

#endif
