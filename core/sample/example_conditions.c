/* Conditions of real examples; see example_conditions.h. */
#include "sample/example_conditions.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

/* One example after the other; t1 is of one. */
static dm_status fill(const dm_session *s, dm_data *d, int64_t count, float *x, dm_condition_batch *t1,
                      dm_example_conditions *out, dm_err *err)
{
    const int64_t have = dm_data_get_info(d)->count;
    int32_t label = 0;
    dm_status rc = DM_OK;

    for (int64_t i = 0; i < count && !rc; i++) {
        if ((rc = dm_data_at(d, i % have, 1, x, &label, err)))
            return rc;
        dm_net_derive(s->model, x, dm_data_conditions(d), 1, (uint64_t)s->experiment->run.seed,
                      DM_STEP_OF_EVALUATION, (uint32_t)i, t1);
        for (int32_t k = 0; k < t1->conditions; k++) {
            int64_t rows = 0;

            while (rows < t1->length[k] && t1->rows[k][rows] > 0)
                rows++;
            dm_condition_batch_set(&out->conditions, k, i, t1->value[k], rows);
        }
        if (out->labels)
            out->labels[i] = label;
    }
    return rc;
}

dm_status dm_example_conditions_new(const dm_session *s, dm_data *d, int64_t count, dm_example_conditions *out,
                                    dm_err *err)
{
    const dm_conditions *c = dm_net_conditions(s->model);
    float *x;
    dm_condition_batch t1 = {0};
    dm_status rc;

    *out = (dm_example_conditions){0};
    if (!c->n)
        return DM_OK;
    x = dm_array(dm_shape_count(&s->data.shape), 1, sizeof *x);
    out->labels = s->data.classes ? dm_array(count, 1, sizeof *out->labels) : NULL;
    if (!x || (s->data.classes && !out->labels))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the conditions of %lld examples", (long long)count);
    else if (!(rc = dm_condition_batch_init(&t1, c, 1, err)) && !(rc = dm_condition_batch_init(&out->conditions, c,
                                                                                               count, err)))
        rc = fill(s, d, count, x, &t1, out, err);
    dm_condition_batch_fini(&t1);
    free(x);
    if (rc)
        dm_example_conditions_fini(out);
    return rc;
}

void dm_example_conditions_fini(dm_example_conditions *t)
{
    dm_condition_batch_fini(&t->conditions);
    free(t->labels);
    t->labels = NULL;
}
