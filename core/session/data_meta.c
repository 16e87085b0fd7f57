/* The data's facts in a checkpoint; see data_meta.h. */
#include "session/data_meta.h"

#include "data/conditions.h"
#include "device/tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char condition_prefix[] = "data.condition.";

/* "data.condition.NAME": its place among the conditions, its kind and its shape, "0 vector 64". */
static void write_condition(const dm_condition *is, int32_t k, char *key, size_t n_key, char *text, size_t n)
{
    int at = snprintf(text, n, "%d %s", (int)k, dm_condition_kind_name(is->kind));

    snprintf(key, n_key, "%s%s", condition_prefix, is->name);
    for (int32_t i = 0; i < is->shape.rank; i++)
        at += snprintf(text + at, n - (size_t)at, " %lld", (long long)is->shape.dim[i]);
}

int dm_data_meta_write(const dm_data_info *data, dm_data_meta *t, dm_st_pair pairs[DM_DATA_PAIRS])
{
    enum { FIRST = 5 };
    size_t at = 0;

    for (int32_t k = 0; k < data->n_conditions; k++) {
        write_condition(&data->conditions[k], k, t->condition_key[k], sizeof t->condition_key[k], t->condition[k],
                        sizeof t->condition[k]);
        pairs[FIRST + k] = (dm_st_pair){t->condition_key[k], t->condition[k]};
    }

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
    return FIRST + data->n_conditions;
}

/* What write_condition wrote. */
static bool parse_condition(const char *text, dm_condition *is, int32_t *k)
{
    char kind[16];
    int at, place;

    if (sscanf(text, "%d %15s%n", &place, kind, &at) != 2 || place < 0 || place >= DM_MAX_CONDITIONS)
        return false;
    for (int i = DM_CONDITION_VECTOR; i <= DM_CONDITION_SEQUENCE; i++)
        if (!strcmp(kind, dm_condition_kind_name((dm_condition_kind)i)))
            is->kind = (dm_condition_kind)i;
    if (is->kind == DM_CONDITION_CLASS)
        return false;
    for (const char *p = text + at; *p;) {
        char *end;
        const long long v = strtoll(p, &end, 10);

        if (end == p || v < 1 || v > 1 << 24 || is->shape.rank == 3)
            return false;
        is->shape.dim[is->shape.rank++] = v;
        p = end;
    }
    for (int32_t i = is->shape.rank; i < 8; i++)
        is->shape.dim[i] = 1;
    *k = place;
    return is->shape.rank == dm_condition_rank(is->kind) && dm_shape_count(&is->shape) <= INT32_MAX;
}

static dm_status read_conditions(const dm_st *f, dm_data_info *data, dm_err *err)
{
    const size_t n = sizeof condition_prefix - 1;
    const char *key, *value;

    for (int64_t i = 0; dm_st_meta_at(f, i, &key, &value); i++) {
        dm_condition is = {.name = key + n};
        int32_t k;

        if (strncmp(key, condition_prefix, n))
            continue;
        if (!key[n] || strlen(key) >= 63 || !parse_condition(value, &is, &k) || data->conditions[k].name)
            return dm_error(err, DM_ECORRUPT, "'%s': %.64s '%.64s' is not a condition", dm_st_path(f), key, value);
        data->conditions[k] = is;
        data->n_conditions++;
    }
    for (int32_t k = 0; k < data->n_conditions; k++)
        if (!data->conditions[k].name)
            return dm_error(err, DM_ECORRUPT, "'%s': its conditions have no condition %d", dm_st_path(f), (int)k);
    return DM_OK;
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
    return read_conditions(f, data, err);
}
