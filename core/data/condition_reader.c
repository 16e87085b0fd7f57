/* Conditions that the data give; see condition_reader.h. */
#include "data/condition_reader.h"

#include "data/conditions.h"
#include "data/data_example.h"
#include "device/tensor.h"
#include "format/array_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const int64_t max_values = (int64_t)1 << 30; /* of one example */

/* A condition of the data set's own where values is NULL. */
typedef struct source { dm_array_file *values, *rows; } source;

struct dm_condition_reader {
    const dm_instance *data;
    int64_t size;
    int32_t n;
    dm_condition is[DM_MAX_CONDITIONS];
    source from[DM_MAX_CONDITIONS];
};

static bool good_name(const char *name)
{
    const size_t n = name ? strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") : 0;

    return n > 0 && n < 32 && !name[n] && strcmp(name, "class");
}

/* What is wrong with a condition that a data set has, or NULL. */
static const char *fault_of(const dm_data_info *info, int32_t k)
{
    const dm_condition *is = &info->conditions[k];
    int64_t n = 1;

    if (!good_name(is->name))
        return "its name must be 1 to 31 characters a-z, 0-9 and _, other than 'class'";
    for (int32_t i = 0; i < k; i++)
        if (!strcmp(info->conditions[i].name, is->name))
            return "another condition has its name";
    if (is->kind < DM_CONDITION_VECTOR || is->kind > DM_CONDITION_SEQUENCE ||
        is->shape.rank != dm_condition_rank(is->kind))
        return "its shape does not fit its kind: a vector has rank 1, a sequence 2, an image 3";
    for (int32_t i = 0; i < is->shape.rank; i++) {
        if (is->shape.dim[i] < 1 || is->shape.dim[i] > max_values / n)
            return "an extent of its shape is below 1, or it is too large";
        n *= is->shape.dim[i];
    }
    return NULL;
}

static dm_status add_own(dm_condition_reader *g, const dm_data_info *info, dm_err *err)
{
    const dm_dataset *set = g->data->plugin->dataset;

    if (info->n_conditions < 0 || info->n_conditions > DM_MAX_CONDITIONS ||
        (info->n_conditions && (!DM_HAS(dm_dataset, set, read_condition) || !set->read_condition)))
        return dm_error(err, DM_EABI, "plugin '%s': %d conditions without read_condition(), or more than %d",
                        g->data->plugin->name, (int)info->n_conditions, DM_MAX_CONDITIONS);
    for (int32_t k = 0; k < info->n_conditions; k++) {
        const char *fault = fault_of(info, k);

        if (fault)
            return dm_error(err, DM_EABI, "plugin '%s': condition %d: %s", g->data->plugin->name, (int)k, fault);
        g->is[g->n++] = info->conditions[k];
        for (int32_t i = g->is[k].shape.rank; i < 8; i++)
            g->is[k].shape.dim[i] = 1;
    }
    return DM_OK;
}

static dm_status check_file(const dm_condition_reader *g, const char *key, const char *file, const dm_shape *s,
                            int32_t rank, int64_t count, dm_err *err)
{
    if (g->n == DM_MAX_CONDITIONS)
        return dm_error(err, DM_EINVAL, "condition.%s exceeds the %d conditions that an experiment can have",
                        key, DM_MAX_CONDITIONS);
    for (int32_t i = 0; i < g->n; i++)
        if (!strcmp(g->is[i].name, key))
            return dm_error(err, DM_EINVAL, "condition.%s: data set '%s' already has a condition of that name", key,
                            g->data->plugin->name);
    if (s->rank != rank)
        return dm_error(err, DM_EINVAL, "condition.%s: '%s' has rank %d; it must be %s", key, file, (int)s->rank,
                        rank == 2 ? "2, [N,D]" : "3, [N,L,D]");
    if (s->dim[0] != count)
        return dm_error(err, DM_EINVAL, "condition.%s: '%s' has %lld rows; the data have %lld examples", key, file,
                        (long long)s->dim[0], (long long)count);
    if (s->dim[1] < 1 || s->dim[2] < 1 || s->dim[1] > max_values / s->dim[2])
        return dm_error(err, DM_EINVAL, "condition.%s: '%s' has no values, or too many", key, file);
    return DM_OK;
}

/* The numbers of rows of a sequence, if the file has them. */
static dm_status open_rows(source *from, const char *file, int64_t count, dm_err *err)
{
    dm_err none = {0};
    dm_shape s;

    if (dm_array_file_open(file, "rows", &from->rows, &none))
        return none.code == DM_ENOENT ? DM_OK : dm_error(err, none.code, "%s", none.msg);
    s = dm_array_file_shape(from->rows);
    if (s.rank != 1 || s.dim[0] != count)
        return dm_error(err, DM_EINVAL, "condition.sequence: '%s': rows must have one number for each of %lld examples",
                        file, (long long)count);
    return DM_OK;
}

static dm_status add_file(dm_condition_reader *g, const char *key, const char *file, dm_condition_kind kind,
                          int64_t count, dm_err *err)
{
    source *from = &g->from[g->n < DM_MAX_CONDITIONS ? g->n : 0];
    dm_array_file *values;
    dm_shape s;
    dm_status rc;

    if (!*file)
        return DM_OK;
    if ((rc = dm_array_file_open(file, NULL, &values, err)))
        return rc;
    s = dm_array_file_shape(values);
    if ((rc = check_file(g, key, file, &s, 1 + dm_condition_rank(kind), count, err))) {
        dm_array_file_close(values);
        return rc;
    }
    from->values = values;
    g->is[g->n++] = (dm_condition){key, kind, 0, {s.rank - 1, {s.dim[1], s.dim[2], 1, 1, 1, 1, 1, 1}}};
    return kind == DM_CONDITION_SEQUENCE ? open_rows(from, file, count, err) : DM_OK;
}

/* The test split's file, where the training split has one. */
static dm_status of_split(const char *key, const char *train, const char *test, bool training, const char **file,
                          dm_err *err)
{
    const bool used = train && *train;

    *file = training ? train : test;
    *file = used && *file ? *file : "";
    if (!training && used && !**file)
        return dm_error(err, DM_ENOENT, "no test split: condition.test_%s is empty", key);
    return DM_OK;
}

static dm_status open_all(dm_condition_reader *g, const dm_set_condition *set, bool train, const dm_data_info *info,
                          dm_err *err)
{
    const char *vector, *sequence;
    dm_status rc;

    if ((rc = of_split("vector", set->vector, set->test_vector, train, &vector, err)) ||
        (rc = of_split("sequence", set->sequence, set->test_sequence, train, &sequence, err)) ||
        (rc = add_own(g, info, err)) ||
        (rc = add_file(g, "vector", vector, DM_CONDITION_VECTOR, info->count, err)) ||
        (rc = add_file(g, "sequence", sequence, DM_CONDITION_SEQUENCE, info->count, err)))
        return rc;
    for (int32_t k = 0; k < g->n; k++)
        g->size += dm_condition_size(&g->is[k]);
    return DM_OK;
}

dm_status dm_condition_reader_open(const dm_set_condition *set, const dm_instance *data, bool train, dm_data_info *info,
                        dm_condition_reader **out, dm_err *err)
{
    dm_condition_reader *g = calloc(1, sizeof *g);
    dm_status rc;

    if (!g)
        return dm_error(err, DM_ENOMEM, "out of memory for conditions");
    g->data = data;
    if ((rc = open_all(g, set, train, info, err))) {
        dm_condition_reader_close(g);
        return rc;
    }
    info->n_conditions = g->n;
    memcpy(info->conditions, g->is, sizeof info->conditions);
    *out = g;
    return DM_OK;
}

void dm_condition_reader_close(dm_condition_reader *g)
{
    if (!g)
        return;
    for (int32_t k = 0; k < DM_MAX_CONDITIONS; k++) {
        dm_array_file_close(g->from[k].values);
        dm_array_file_close(g->from[k].rows);
    }
    free(g);
}

int64_t dm_condition_reader_size(const dm_condition_reader *g) { return g->size; }

static dm_status read_own(const dm_condition_reader *g, int64_t index, int32_t k, float *to, int64_t *rows, dm_err *err)
{
    dm_err why = {DM_OK, ""};
    dm_ctx c = dm_instance_ctx(g->data, &why);

    return DM_CALL_WITH(g->data, DM_CB_READ_CONDITION, &why, err,
                        g->data->plugin->dataset->read_condition(&c, index, k, to, rows));
}

static dm_status read_file(const source *from, int64_t index, int64_t n, float *to, int64_t *rows, dm_err *err)
{
    float there = (float)*rows;
    dm_status rc;

    if ((rc = dm_array_file_read(from->values, index * n, n, to, err)) ||
        (from->rows && (rc = dm_array_file_read(from->rows, index, 1, &there, err))))
        return rc;
    *rows = there >= 0 && there < 1e9f ? (int64_t)there : -1;
    return DM_OK;
}

dm_status dm_condition_reader_read(const dm_condition_reader *g, int64_t index, bool mirrored, float *to, dm_err *err)
{
    dm_status rc;

    for (int32_t k = 0; k < g->n; k++) {
        const dm_condition *is = &g->is[k];
        const bool sequence = is->kind == DM_CONDITION_SEQUENCE;
        const int64_t n = dm_shape_count(&is->shape), width = sequence ? is->shape.dim[1] : n;
        int64_t rows = n / width;

        memset(to, 0, (size_t)n * sizeof *to);
        if ((rc = g->from[k].values ? read_file(&g->from[k], index, n, to, &rows, err)
                                    : read_own(g, index, k, to, &rows, err)))
            return rc;
        if (rows < 0 || rows > n / width)
            return dm_error(err, DM_ECORRUPT, "condition '%s' of example %lld must have 0 to %lld rows", is->name,
                            (long long)index, (long long)(n / width));
        memset(to + rows * width, 0, (size_t)(n - rows * width) * sizeof *to);
        for (int64_t i = 0; i < n; i++)
            if (!isfinite(to[i]))
                return dm_error(err, DM_ECORRUPT, "condition '%s' of example %lld: value %lld is not finite", is->name,
                                (long long)index, (long long)i);
        if (mirrored && is->kind == DM_CONDITION_IMAGE)
            dm_example_mirror(to, is->shape.dim[0] * is->shape.dim[1], is->shape.dim[2]);
        if (sequence)
            to[n] = (float)rows;
        to += dm_condition_size(is);
    }
    return DM_OK;
}
