/* What plugins know as dm_tensor. */
#include "device/tensor.h"

#include <stdio.h>

int64_t dm_shape_count(const dm_shape *s)
{
    int64_t n = 1;

    for (int32_t i = 0; i < s->rank; i++)
        if (__builtin_mul_overflow(n, s->dim[i], &n))
            return INT64_MAX; /* no array has as many */
    return n;
}

dm_shape_shown dm_shape_show(const dm_shape *s)
{
    dm_shape_shown shown = {""};
    size_t at = 0;

    for (int32_t i = 0; i < s->rank && at < sizeof shown.text; i++)
        at += (size_t)snprintf(shown.text + at, sizeof shown.text - at, "%s%lld", i ? " x " : "", (long long)s->dim[i]);
    return shown;
}

dm_status dm_check_array(const char *what, const dm_shape *s, size_t each, dm_err *err)
{
    int64_t room = PTRDIFF_MAX / (int64_t)each;

    if (s->rank < 1 || s->rank > 8)
        return dm_error(err, DM_EINVAL, "%s has rank %d; 1 to 8 are allowed", what, (int)s->rank);
    for (int32_t i = 0; i < s->rank; i++) {
        if (s->dim[i] < 1)
            return dm_error(err, DM_EINVAL, "extent %d of %s is %lld; at least 1", (int)i, what, (long long)s->dim[i]);
        if (s->dim[i] > room)
            return dm_error(err, DM_EINVAL, "%s has more elements than memory can hold: extent %d is %lld", what,
                            (int)i, (long long)s->dim[i]);
        room /= s->dim[i];
    }
    return DM_OK;
}
