/* What an application holds of a trained model: a session with its weights, and what its calls set up. */
#ifndef DEMIST_CORE_MODEL_HANDLE_H
#define DEMIST_CORE_MODEL_HANDLE_H

#include "base/sized.h"
#include "sample/sample_job.h"

struct dm_model {
    dm_session s;
    dm_comm *comm;   /* the ranks that work together */
    bool profile;
    char *run;       /* as given */
    dm_arena *arena; /* the overrides that it was opened with */
    dm_wset *weights;
    dm_forwards *forwards;
    dm_image_sampler *sampler; /* of the last call that sampled */
    dm_experiment *other;      /* by the sampler of the last call with overrides; NULL = there was none */
    char *other_key;           /* these overrides, a line each */
    char *experiment;          /* as it was opened, as text */
};

/* What holds for one call: its callbacks, its sampler and its seed. */
typedef struct dm_model_call {
    dm_callbacks callbacks;
    dm_experiment *experiment;
    int64_t seed;
} dm_model_call;

/* Of a call whose model is NULL: DM_EINVAL. */
static inline dm_status dm_model_missing(dm_err *err)
{
    return dm_error(err, DM_EINVAL, "the model is NULL; dm_model_open makes one");
}

/* seed and callbacks may be NULL. Whatever comes back, dm_model_call_end follows. */
dm_status dm_model_call_begin(dm_model *m, const char *const *overrides, int n, const int64_t *seed,
                              const dm_callbacks *callbacks, dm_model_call *call, dm_err *err);
void dm_model_call_end(dm_model *m, const dm_model_call *call);

/* Can images be drawn from it? */
dm_status dm_model_check_sampled(const dm_model *m, dm_err *err);
/* How they were, to out->about. DM_ENOMEM. */
dm_status dm_model_describe(const dm_model *m, dm_images *out, dm_err *err);

/* Classes are 0..classes - 1, and one more stands for none. */
dm_status dm_model_check_labels(const dm_model *m, const int32_t *labels, int64_t n, dm_err *err);

#endif
