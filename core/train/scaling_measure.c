/* The cost model's numbers of an experiment; see scaling_measure.h. */
#include "train/scaling_measure.h"

#include <math.h>
#include <stdlib.h>

#include "session/session_read.h"
#include "train/estimate.h"

typedef struct bucket { double left; size_t floats; } bucket;

/* In the order in which they are complete. */
static int in_order(const void *a, const void *b)
{
    const double x = ((const bucket *)a)->left, y = ((const bucket *)b)->left;

    return (x < y) - (x > y);
}

/* When each part of the gradients is there, by the buckets that training sums. */
static dm_status find_left(const dm_plan *p, size_t floats, double left[DM_SCALING_PARTS], dm_err *err)
{
    const size_t each = DM_SCALING_MESSAGE / sizeof(float), n = (floats + each - 1) / each;
    int32_t *after = calloc(n + 1, sizeof *after);
    bucket *b = calloc(n + 1, sizeof *b);
    size_t at = 0, end;
    dm_status rc = after && b ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the plan's %zu buckets", n);

    if (!rc)
        dm_plan_last_writes(p, each, after, n);
    for (size_t i = 0; i < n && !rc; i++)
        b[i] = (bucket){dm_plan_left(p, after[i]), i + 1 < n ? each : floats - i * each};
    if (!rc && n) {
        qsort(b, n, sizeof *b, in_order);
        end = b[0].floats;
        for (int i = 0; i < DM_SCALING_PARTS; i++) {
            while (at + 1 < n && (double)end < ((double)i + 1) / DM_SCALING_PARTS * (double)floats)
                end += b[++at].floats;
            left[i] = b[at].left;
        }
    }
    free(after);
    free(b);
    return rc;
}

static dm_status look(dm_session *s, bool timed, dm_scaling_facts *out, double *seconds, dm_err *err)
{
    const dm_device_info *d = dm_device_get_info(s->device);
    dm_trainer *t;
    dm_step_time step = {0};
    dm_plan_stats p;
    uint64_t now, peak;
    dm_status rc;

    if ((rc = dm_trainer_new(s, s->experiment->train.micro_batch, &t, err)))
        return rc;
    p = dm_plan_get_info(dm_trainer_plan(t));
    dm_device_memory(s->device, &now, &peak);
    snprintf(out->device, sizeof out->device, "%d:%d '%s'", d->platform, d->device, d->name);
    out->parameters = dm_net_layout(s->model)->parameters;
    out->steps = s->experiment->train.steps;
    out->checkpoint = dm_estimate_disk(s, dm_net_layout(s->model)).checkpoint;
    out->model.batch = s->experiment->train.batch;
    out->model.micro = dm_trainer_micro_batch(t);
    out->model.gradients = (int64_t)(dm_net_layout(s->model)->trained *
                                     (s->experiment->train.reduce_precision == DM_REDUCE_BF16 ? 2 : sizeof(float)));
    out->model.moments =
        s->experiment->train.shard_optimizer ? (int64_t)(dm_net_layout(s->model)->trained * 2 * sizeof(float)) : 0;
    out->model.activations = (int64_t)p.arena_bytes;
    out->model.state = (int64_t)(peak - p.arena_bytes);
    out->flops = p.flops / (double)out->model.micro;
    rc = find_left(dm_trainer_plan(t), dm_net_layout(s->model)->trained, out->model.left, err);
    if (!rc && timed)
        rc = dm_estimate_step(s, t, &step, err);
    *seconds = step.seconds;
    dm_trainer_free(t);
    return rc;
}

/* The experiment with `more`, an override, or NULL. */
static dm_status measure(const char *experiment, const char *const *overrides, int n, const char *more, bool timed,
                         const dm_callbacks *cb, dm_scaling_facts *out, double *seconds, dm_err *err)
{
    const char **all = calloc((size_t)n + 1, sizeof *all);
    dm_session s;
    dm_status rc;

    if (!all)
        return dm_error(err, DM_ENOMEM, "out of memory for overrides");
    for (int i = 0; i < n; i++)
        all[i] = overrides[i];
    all[n] = more;
    if (!(rc = dm_session_read(&s, experiment, all, n + (more != NULL), DM_NEED_ALL, cb, err))) {
        if (!(rc = dm_session_open(&s, false, err)))
            rc = look(&s, timed, out, seconds, err);
        dm_session_fini(&s);
    }
    free(all);
    return rc;
}

dm_status dm_scaling_measure(const char *experiment, const char *const *overrides, int n, double speed,
                             const dm_callbacks *cb, dm_scaling_facts *out, dm_err *err)
{
    double whole, one;
    dm_scaling_facts of_one;
    dm_status rc;

    *out = (dm_scaling_facts){0};
    if ((rc = measure(experiment, overrides, n, NULL, speed <= 0, cb, out, &whole, err)))
        return rc;
    if (speed > 0) {
        out->model.per_example = out->flops / speed;
        return DM_OK;
    }
    out->measured[0] = out->model.batch;
    out->model.per_example = whole / (double)out->model.batch;
    if (out->model.batch == 1)
        return DM_OK;
    if ((rc = measure(experiment, overrides, n, "train.batch=1", true, cb, &of_one, &one, err)))
        return rc;
    out->measured[1] = 1;
    /* A device that does a batch at once takes no longer for it than for one: then all is the step's own. */
    out->model.per_example = fmax(0, (whole - one) / (double)(out->model.batch - 1));
    out->model.per_step = fmax(0, one - out->model.per_example);
    return DM_OK;
}
