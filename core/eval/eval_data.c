/* The data of an evaluation; see eval_data.h. */
#include "eval/eval_data.h"

#include <stdlib.h>
#include <string.h>

struct dm_eval_data { dm_services services; dm_data *data; };

dm_data *dm_eval_data_of(const dm_eval_data *d) { return d->data; }

dm_shape_shown dm_shape_show(const dm_shape *s)
{
    dm_shape_shown shown = {""};
    size_t at = 0;

    for (int32_t i = 0; i < s->rank && at < sizeof shown.text; i++)
        at += (size_t)snprintf(shown.text + at, sizeof shown.text - at, "%s%lld", i ? " x " : "", (long long)s->dim[i]);
    return shown;
}

static void log_line(void *user, const char *line) { dm_session_log(user, DM_LOG_INFO, "%s", line); }

dm_status dm_eval_data_open(dm_session *s, const char *split, dm_eval_data **out, dm_err *err)
{
    dm_eval_data *d = calloc(1, sizeof *d);
    const dm_shape *want = &s->data.shape, *have;
    dm_status rc;

    if (!d)
        return dm_error(err, DM_ENOMEM, "out of memory for data");
    dm_services_init(&d->services);
    d->services.log = log_line;
    d->services.log_user = s;
    if (!(rc = dm_data_open(s->experiment, split, &d->services, &d->data, err))) {
        have = &dm_data_get_info(d->data)->shape;
        if (have->rank != want->rank || memcmp(have->dim, want->dim, (size_t)want->rank * sizeof want->dim[0]))
            rc = dm_error(err, DM_EINVAL, "the data's examples are %s, those of the model %s", dm_shape_show(have).text,
                          dm_shape_show(want).text);
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
    return dm_error(err, DM_EINVAL, "the data's labels are of %d classes, those of the model of %d", (int)have,
                    (int)want);
}

void dm_eval_data_close(dm_eval_data *d)
{
    if (!d)
        return;
    dm_data_close(d->data);
    free(d);
}
