/* The data's facts in a checkpoint; see data_meta.h. */
#include "session/data_meta.h"

#include "device/tensor.h"

#include <errno.h>
#include <stdlib.h>

void dm_data_meta_write(const dm_data_info *data, dm_data_meta *t, dm_st_pair pairs[DM_DATA_PAIRS])
{
    size_t at = 0;

    for (int32_t i = 0; i < data->shape.rank; i++)
        at += (size_t)snprintf(t->shape + at, sizeof t->shape - at, "%s%lld", i ? "," : "",
                               (long long)data->shape.dim[i]);
    snprintf(t->classes, sizeof t->classes, "%d", (int)data->classes);
    snprintf(t->levels, sizeof t->levels, "%d", (int)data->levels);
    dm_number_write(data->low, t->low);
    dm_number_write(data->high, t->high);
    pairs[0] = (dm_st_pair){"data.shape", t->shape};
    pairs[1] = (dm_st_pair){"data.classes", t->classes};
    pairs[2] = (dm_st_pair){"data.levels", t->levels};
    pairs[3] = (dm_st_pair){"data.low", t->low};
    pairs[4] = (dm_st_pair){"data.high", t->high};
}

static bool read_int(const dm_st *f, const char *key, long max, int32_t *out)
{
    const char *s = dm_st_meta(f, key);
    char *end;
    long v;

    if (!s || !*s)
        return false;
    errno = 0;
    v = strtol(s, &end, 10);
    *out = (int32_t)v;
    return !errno && !*end && v >= 0 && v <= max;
}

dm_status dm_data_meta_read(const dm_st *f, dm_data_info *data, dm_err *err)
{
    const char *s = dm_st_meta(f, "data.shape"), *low = dm_st_meta(f, "data.low"), *high = dm_st_meta(f, "data.high");

    *data = (dm_data_info){.size = sizeof *data};
    if (!s || !low || !high || !read_int(f, "data.classes", 1 << 20, &data->classes) ||
        !read_int(f, "data.levels", 1 << 20, &data->levels) || dm_number_real(low, &data->low) ||
        dm_number_real(high, &data->high))
        return dm_error(err, DM_ECORRUPT,
                        "'%s' is not a checkpoint of a training run: it does not say what its data were",
                        dm_st_path(f));
    for (char *end; *s; s = end + (*end == ',')) {
        const long long v = strtoll(s, &end, 10);

        if (end == s || v < 1 || v > 1 << 24 || data->shape.rank == 4 || (*end && *end != ','))
            return dm_error(err, DM_ECORRUPT, "'%s': data.shape '%s' is not a shape", dm_st_path(f),
                            dm_st_meta(f, "data.shape"));
        data->shape.dim[data->shape.rank++] = v;
    }
    if (dm_shape_count(&data->shape) > INT32_MAX)
        return dm_error(err, DM_ECORRUPT, "'%s': an example of data.shape '%s' has more than %d values", dm_st_path(f),
                        dm_st_meta(f, "data.shape"), INT32_MAX);
    if (data->shape.rank != 1 && data->shape.rank != 3)
        return dm_error(err, DM_ECORRUPT, "'%s': data.shape '%s' is neither C,H,W nor D", dm_st_path(f),
                        dm_st_meta(f, "data.shape"));
    for (int32_t i = data->shape.rank; i < 8; i++)
        data->shape.dim[i] = 1;
    return DM_OK;
}
