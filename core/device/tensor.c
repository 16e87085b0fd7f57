/* What plugins know as dm_tensor. */
#include "device/tensor.h"

int64_t dm_shape_count(const dm_shape *s)
{
    int64_t n = 1;

    for (int32_t i = 0; i < s->rank; i++)
        n *= s->dim[i];
    return n;
}
