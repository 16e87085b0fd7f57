/* Matrix products by tiles in local memory, for ops that are made of such. */
#ifndef DEMIST_OPS_TILED_H
#define DEMIST_OPS_TILED_H

#include "device/impl.h"

/* A batch of y[m,n] = a[m,k] b[k,n] (b[n,k] if tb), f32, dense: a and y in one buffer, from elements a_at and y_at on.
 */
typedef struct dm_tiled { int64_t batch, m, n, k, a_at, y_at; bool tb; } dm_tiled;

/* Can the device run groups that large, with that much local memory? */
bool dm_tiled_able(const dm_device_info *dev);
dm_status dm_tiled_products(dm_emit *e, const dm_tiled *t, dm_buf *scratch, dm_buf *b);

#endif
