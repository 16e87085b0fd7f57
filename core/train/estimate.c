/* Time and disk space of a training run; see estimate.h. */
#include "train/estimate.h"

#include "base/clock.h"
#include "data/data.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

static const double long_enough = 0.25; /* seconds */
enum { MOST = 1 << 12 };

/* n further steps; what is enqueued is waited for. */
static dm_status make_steps(dm_session *s, dm_trainer *t, int64_t n, float *x0, int32_t *labels, dm_err *err)
{
    const int64_t batch = s->experiment->train.batch;
    int64_t bad;
    dm_status rc = DM_OK;

    for (int64_t i = 0; i < n && !rc; i++)
        if (!(rc = dm_data_batch(s->examples, (uint64_t)(dm_trainer_state(t)->step * batch), batch, x0, labels, err)))
            rc = dm_trainer_step(t, x0, labels, err);
    return rc ? rc : dm_trainer_check(t, &bad, err);
}

static dm_status measure(dm_session *s, dm_trainer *t, float *x0, int32_t *labels, dm_step_time *out, dm_err *err)
{
    double seconds = 0;
    dm_status rc;

    if ((rc = dm_data_prefetch(s->examples, 0, s->experiment->train.batch, s->experiment->train.batch, err)) ||
        (rc = make_steps(s, t, 1, x0, labels, err)))
        return rc;
    for (int64_t n = 1; seconds < long_enough && n <= MOST; n *= 2) {
        const double began = dm_seconds();

        if (n > 1 && dm_trainer_state(t)->step + n > s->experiment->train.steps) /* no learning rate is meant there */
            break;
        if ((rc = make_steps(s, t, n, x0, labels, err)))
            return rc;
        seconds = dm_seconds() - began;
        *out = (dm_step_time){seconds / (double)n, n};
    }
    return DM_OK;
}

dm_status dm_estimate_step(dm_session *s, dm_trainer *t, dm_step_time *out, dm_err *err)
{
    const int64_t batch = s->experiment->train.batch;
    float *x0 = dm_array(dm_shape_count(&s->data.shape), batch, sizeof *x0);
    int32_t *labels = dm_array(batch, 1, sizeof *labels);
    const dm_status rc = x0 && labels
                             ? measure(s, t, x0, s->data.classes ? labels : NULL, out, err)
                             : dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld examples", (long long)batch);

    free(labels);
    free(x0);
    return rc;
}

/* ---- disk ------------------------------------------------------------------------------------ */

/* Counts of a run may be any: what does not fit is the largest number. */
static int64_t whole(double x) { return x < 9e18 ? (int64_t)x : INT64_MAX; }

/* Free bytes where the folder is, or will be made. */
static int64_t free_bytes(const char *dir)
{
    char above[4096], *slash; /* no name that the system takes is longer */
    struct statvfs v;
    int64_t n = -1;

    snprintf(above, sizeof above, "%s", dir);
    while (n < 0) {
        if (!statvfs(*above ? above : "/", &v))
            n = whole((double)v.f_bavail * (double)v.f_frsize);
        else if (!(slash = strrchr(above, '/')))
            break;
        else
            *slash = 0;
    }
    return n;
}

/* The grids of samples at most: three bytes a pixel, in the folder and in TensorBoard's events. */
static double of_samples(const dm_session *s)
{
    const dm_set_train *t = &s->experiment->train;
    const int64_t *d = s->data.shape.dim;
    const double pixels = s->data.shape.rank == 3 ? (double)(d[1] + 2) * (double)(d[2] + 2) * (double)t->sample_count
                                                  : 512.0 * 512.0;

    return t->sample_every ? 2 * (double)(t->steps / t->sample_every + 1) * (3 * pixels + 1000) : 0;
}

dm_run_disk dm_estimate_disk(const dm_session *s, const dm_layout *l)
{
    enum { LINE = 150, EVENTS = 4 * 60, METADATA = 1 << 14 };
    const dm_set_train *t = &s->experiment->train;
    const double sets = 3 + (double)t->ema.n, /* weights, averages, and the optimizer's two moments */
        one = sizeof(float) * sets * (double)l->parameters + METADATA + 100 * sets * l->n,
                 lines = (double)(t->steps / t->log_every + 1) +
                         (t->validate_every ? (double)(t->steps / t->validate_every) : 0);
    const int64_t saved = t->save_every ? t->steps / t->save_every + (t->steps % t->save_every > 0) : 1;
    dm_run_disk r;

    r.checkpoint = whole(one);
    r.checkpoints = (saved < t->keep ? saved : t->keep + 1) + (t->validate_every > 0);
    r.all = whole(one * (double)r.checkpoints + lines * (LINE + EVENTS) + of_samples(s));
    r.available = s->experiment->output ? free_bytes(s->experiment->output) : -1;
    return r;
}
