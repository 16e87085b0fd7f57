/* What a call of dm_eval_quality asks and tells its caller; see job.h. */
#include "quality/job.h"

#include <math.h>

bool dm_quality_cancelled(const dm_quality_job *j)
{
    const dm_callbacks *cb = &j->model.callbacks;

    return cb->cancelled && cb->cancelled(cb->user);
}

void dm_quality_progress(const dm_quality_job *j, const char *what, int64_t step, int64_t steps, double per_step)
{
    const dm_callbacks *cb = &j->model.callbacks;

    if (cb->progress)
        cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info), .what = what, .step = step,
                                                   .steps = steps, .per_step = per_step, .loss = NAN});
}

/* With n images a covariance has rank n - 1 at most. */
void dm_quality_warn_of_rank(const dm_quality_job *j, int64_t n, const char *what)
{
    if (n <= j->out->features)
        dm_session_log(&j->model, DM_LOG_WARNING,
                       "%lld %s for %lld features: their covariance has rank %lld at most instead of %lld, so the "
                       "Frechet distance depends mostly on their number; use more than %lld", (long long)n, what,
                       (long long)j->out->features, (long long)n - 1, (long long)j->out->features,
                       (long long)j->out->features);
}
