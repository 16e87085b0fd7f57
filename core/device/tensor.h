/* What plugins know as dm_tensor: f32, row-major, N,C,H,W. */
#ifndef DEMIST_CORE_TENSOR_H
#define DEMIST_CORE_TENSOR_H

#include "device/device.h"

struct dm_tensor { dm_shape shape; dm_buf *buf; };

int64_t dm_shape_count(const dm_shape *s); /* elements; rank 0 has 1 */

#endif
