/* The data of an evaluation; see eval_data.h. */
#include "eval/eval_data.h"

#include "data/conditions.h"
#include "data/fingerprint.h"
#include "session/data_meta.h"

#include <stdlib.h>
#include <string.h>

struct dm_eval_data { dm_services services; dm_data *data; };

dm_data *dm_eval_data_of(const dm_eval_data *d) { return d->data; }

static bool chose_data(const dm_session *s)
{
    for (int i = 0; i < s->n_overrides; i++)
        if (!strncmp(s->overrides[i], "data.", 5) || !strncmp(s->overrides[i], "data=", 5))
            return true;
    return false;
}

/* Data that are others than in training, though nobody asked for others; and labels that mean something else. */
static dm_status compare(const dm_session *s, const char *split, dm_data *data, dm_err *err)
{
    const char *before = s->checkpoint ? dm_st_meta(s->checkpoint, strcmp(split, "train") ? DM_TEST_FINGERPRINT
                                                                                          : DM_DATA_FINGERPRINT)
                                       : NULL,
               *classes = before ? dm_st_meta(s->checkpoint, DM_CLASS_NAMES) : NULL;
    dm_fingerprint now;
    char what[256];
    dm_status rc;

    if (!before || !*before)
        return DM_OK;
    if (!(rc = dm_fingerprint_make(data, &now, err))) {
        if (dm_fingerprint_renumbered(now.classes, classes ? classes : "", what, sizeof what))
            dm_session_log(s, DM_LOG_WARNING, "the data's classes are not numbered as in training: %s", what);
        else if (!chose_data(s) && !dm_fingerprint_same(&now, before, strcmp(split, "train") ? now.classes : classes,
                                                        what, sizeof what))
            dm_session_log(s, DM_LOG_WARNING, "the data's %s split differs from that of training: %s", split, what);
    }
    dm_fingerprint_fini(&now);
    return rc;
}

static bool same_conditions(const dm_data_info *a, const dm_data_info *b)
{
    bool same = a->n_conditions == b->n_conditions;

    for (int32_t k = 0; k < a->n_conditions && same; k++)
        same = dm_condition_same(&a->conditions[k], &b->conditions[k]);
    return same;
}

dm_status dm_eval_data_open(dm_session *s, const char *split, dm_eval_data **out, dm_err *err)
{
    dm_eval_data *d = calloc(1, sizeof *d);
    const dm_shape *want = &s->data.shape, *have;
    dm_status rc;

    if (!d)
        return dm_error(err, DM_ENOMEM, "out of memory for data");
    dm_services_init(&d->services, &s->experiment->plugin_log);
    if (!(rc = dm_data_open(s->experiment, split, &d->services, &d->data, err))) {
        have = &dm_data_get_info(d->data)->shape;
        if (have->rank != want->rank || memcmp(have->dim, want->dim, (size_t)want->rank * sizeof want->dim[0]))
            rc = dm_error(err, DM_EINVAL, "the data's examples are %s, those of the model %s", dm_shape_show(have).text,
                          dm_shape_show(want).text);
        else if (!same_conditions(dm_data_get_info(d->data), &s->data))
            rc = dm_error(err, DM_EINVAL, "the data's conditions, or their shapes, differ from those that the model "
                                          "was trained with (section condition)");
        else
            rc = compare(s, split, d->data, err);
    }
    if (rc)
        dm_eval_data_close(d);
    else
        *out = d;
    return rc;
}

dm_status dm_eval_data_labels(const dm_session *s, const dm_eval_data *d, dm_err *err)
{
    const int32_t have = dm_data_get_info(d->data)->classes, want = s->data.classes;

    if (!want || (have > 0 && have <= want))
        return DM_OK;
    return dm_error(err, DM_EINVAL, "the data have %d classes, the model has %d", (int)have,
                    (int)want);
}

dm_status dm_eval_data_open_test(dm_session *s, int64_t asked, dm_eval_data **out, int64_t *count, dm_err *err)
{
    int64_t there;
    dm_status rc;

    if ((rc = dm_eval_data_open(s, "test", out, err)) || (rc = dm_eval_data_labels(s, *out, err)))
        return rc;
    there = dm_data_get_info((*out)->data)->count;
    if (asked < 0 || asked > there)
        return dm_error(err, DM_EINVAL, "%lld examples were requested; the test split has %lld", (long long)asked,
                        (long long)there);
    *count = asked ? asked : there;
    return DM_OK;
}

void dm_eval_data_close(dm_eval_data *d)
{
    if (!d)
        return;
    dm_data_close(d->data);
    free(d);
}
