/* What plugins know as dm_tensor: f32, row-major, N,C,H,W. */
#ifndef DEMIST_CORE_TENSOR_H
#define DEMIST_CORE_TENSOR_H

#include "device/device.h"

struct dm_tensor {
    dm_shape shape;
    dm_buf *buf;
    bool unwritten; /* a sampler's scratch that has no values yet */
};

int64_t dm_shape_count(const dm_shape *s); /* elements; rank 0 has 1 */
/* "1 x 28 x 28" */
typedef struct dm_shape_shown { char text[128]; } dm_shape_shown;
dm_shape_shown dm_shape_show(const dm_shape *s);
/* DM_EINVAL unless an array of this shape, of `each` bytes an element, has a rank from 1 to 8, extents above 0, and no
 * more bytes than an address can tell. */
dm_status dm_check_array(const char *what, const dm_shape *s, size_t each, dm_err *err);

#endif
