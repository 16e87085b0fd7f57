/* Conditions of a batch; see condition_batch.h. */
#include "model/condition_batch.h"

#include "base/arena.h"
#include "device/tensor.h"
#include "graph/graph_shape.h"

#include <stdlib.h>
#include <string.h>

void dm_condition_inputs_none(dm_condition_inputs *t)
{
    for (int k = 0; k < DM_MAX_CONDITIONS; k++)
        t->input[k] = t->value[k] = t->given[k] = t->rows[k] = DM_NONE;
}

void dm_condition_inputs_add(dm_condition_inputs *t, const dm_conditions *c, dm_graph_core *g, int64_t n)
{
    dm_condition_inputs_none(t);
    for (int32_t k = 0; k < c->n; k++) {
        dm_shape s = {.rank = c->is[k].shape.rank + 1, .dim = {n}};

        for (int32_t i = 1; i < s.rank; i++)
            s.dim[i] = c->is[k].shape.dim[i - 1];
        t->input[k] = t->value[k] = dm_graph_input(g, c->is[k].name, &s, DM_DT_F32, false);
        if (c->is[k].kind == DM_CONDITION_IMAGE)
            t->value[k] = dm_graph_to_image(g, t->input[k]);
        if (c->drop[k] > 0)
            t->given[k] = dm_graph_input(g, c->is[k].name, &(dm_shape){1, {n}}, DM_DT_F32, false);
        if (c->is[k].kind == DM_CONDITION_SEQUENCE)
            t->rows[k] = dm_graph_input(g, c->is[k].name, &(dm_shape){2, {n, s.dim[1]}}, DM_DT_F32, false);
    }
}

void dm_condition_inputs_keep(const dm_condition_inputs *t, dm_val keep[DM_CONDITION_INPUTS_KEPT])
{
    memcpy(keep, t->input, sizeof t->input);
    memcpy(keep + DM_MAX_CONDITIONS, t->given, sizeof t->given);
    memcpy(keep + 2 * DM_MAX_CONDITIONS, t->rows, sizeof t->rows);
}

dm_status dm_condition_batch_init(dm_condition_batch *t, const dm_conditions *c, int64_t n, dm_err *err)
{
    *t = (dm_condition_batch){.conditions = c->n, .n = n};
    for (int32_t k = 0; k < c->n; k++) {
        t->size[k] = dm_shape_count(&c->is[k].shape);
        t->value[k] = dm_array(n, t->size[k], sizeof *t->value[k]);
        t->given[k] = calloc((size_t)n, sizeof *t->given[k]);
        t->length[k] = c->is[k].kind == DM_CONDITION_SEQUENCE ? c->is[k].shape.dim[0] : 0;
        t->rows[k] = dm_array(n, t->length[k], sizeof *t->rows[k]);
        if (!t->value[k] || !t->given[k] || !t->rows[k]) {
            dm_condition_batch_fini(t);
            return dm_error(err, DM_ENOMEM, "out of memory for condition '%s' of %lld examples", c->is[k].name,
                            (long long)n);
        }
        memset(t->value[k], 0, (size_t)(n * t->size[k]) * sizeof *t->value[k]);
    }
    return DM_OK;
}

void dm_condition_batch_fini(dm_condition_batch *t)
{
    for (int32_t k = 0; k < t->conditions; k++) {
        free(t->value[k]);
        free(t->given[k]);
        free(t->rows[k]);
    }
    *t = (dm_condition_batch){0};
}

void dm_condition_batch_set(dm_condition_batch *t, int32_t k, int64_t i, const float *value, int64_t rows)
{
    memcpy(t->value[k] + i * t->size[k], value, (size_t)t->size[k] * sizeof *value);
    t->given[k][i] = 1;
    for (int64_t j = 0; j < t->length[k]; j++)
        t->rows[k][i * t->length[k] + j] = j < rows;
}

void dm_condition_batch_null(dm_condition_batch *t, int32_t k, int64_t i)
{
    memset(t->value[k] + i * t->size[k], 0, (size_t)t->size[k] * sizeof *t->value[k]);
    t->given[k][i] = 0;
    memset(t->rows[k] + i * t->length[k], 0, (size_t)t->length[k] * sizeof *t->rows[k]);
}

void dm_condition_batch_take(dm_condition_batch *t, const dm_condition_batch *from, int64_t first, int64_t n)
{
    for (int32_t k = 0; k < t->conditions; k++) {
        memcpy(t->value[k], from->value[k] + first * t->size[k], (size_t)(n * t->size[k]) * sizeof *t->value[k]);
        memcpy(t->given[k], from->given[k] + first, (size_t)n * sizeof *t->given[k]);
        memcpy(t->rows[k], from->rows[k] + first * t->length[k],
               (size_t)(n * t->length[k]) * sizeof *t->rows[k]);
        for (int64_t i = n; i < t->n; i++)
            dm_condition_batch_null(t, k, i);
    }
}

dm_status dm_condition_batch_upload(const dm_condition_batch *t, const dm_condition_inputs *to, dm_plan *plan,
                                    dm_err *err)
{
    dm_status rc = DM_OK;

    for (int32_t k = 0; k < t->conditions && !rc; k++) {
        dm_buf *value = dm_plan_buffer(plan, to->input[k]);
        dm_buf *given = to->given[k] >= 0 ? dm_plan_buffer(plan, to->given[k]) : NULL;
        dm_buf *rows = to->rows[k] >= 0 ? dm_plan_buffer(plan, to->rows[k]) : NULL;

        if (value)
            rc = dm_buf_write(value, 0, (size_t)(t->n * t->size[k]) * sizeof *t->value[k], t->value[k], err);
        if (given && !rc)
            rc = dm_buf_write(given, 0, (size_t)t->n * sizeof *t->given[k], t->given[k], err);
        if (rows && !rc)
            rc = dm_buf_write(rows, 0, (size_t)(t->n * t->length[k]) * sizeof *t->rows[k], t->rows[k], err);
    }
    return rc;
}
