/* The cost model's numbers of an experiment; see scaling_measure.h. */
#include "train/scaling_measure.h"

#include <math.h>
#include <stdlib.h>

#include "session/session_read.h"
#include "train/estimate.h"

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
    out->checkpoint = dm_estimate_room(s, dm_net_layout(s->model)).checkpoint;
    out->model.batch = s->experiment->train.batch;
    out->model.micro = dm_trainer_micro_batch(t);
    out->model.gradients = (int64_t)(dm_net_layout(s->model)->trained *
                                     (s->experiment->train.reduce_precision == DM_REDUCE_BF16 ? 2 : sizeof(float)));
    out->model.moments =
        s->experiment->train.shard_optimizer ? (int64_t)(dm_net_layout(s->model)->trained * 2 * sizeof(float)) : 0;
    out->model.activations = (int64_t)p.arena_bytes;
    out->model.state = (int64_t)(peak - p.arena_bytes);
    out->flops = p.flops / (double)out->model.micro;
    rc = timed ? dm_estimate_step(s, t, &step, err) : DM_OK;
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
