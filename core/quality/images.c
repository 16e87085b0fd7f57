/* Where the images come from that quality measures; see job.h. */
#include "quality/job.h"

#include "base/philox.h"
#include "data/shuffle.h"

#include <math.h>
#include <string.h>

/* A permutation each: which images are taken has no meaning, and their order neither. */
enum { ORDER_TRAIN, ORDER_TEST };

static dm_status permuted(const dm_quality_job *j, dm_eval_data *from, uint64_t order, int64_t i, float *x, dm_err *err)
{
    dm_data *d = dm_eval_data_of(from);

    return dm_data_at(d, dm_shuffle((uint64_t)j->model.experiment->run.seed, order, i, dm_data_get_info(d)->count), 1,
                      x, NULL, err);
}

dm_status dm_image_train(dm_quality_job *j, int64_t i, float *x, dm_err *err)
{
    return permuted(j, j->train, ORDER_TRAIN, i, x, err);
}

dm_status dm_image_test(dm_quality_job *j, int64_t i, float *x, dm_err *err)
{
    return permuted(j, j->test, ORDER_TEST, i, x, err);
}

dm_status dm_image_test_labelled(dm_quality_job *j, int64_t i, float *x, dm_err *err)
{
    return dm_data_at(dm_eval_data_of(j->test), i, 1, x, &j->real_label[i], err);
}

dm_status dm_image_sampled(dm_quality_job *j, int64_t i, float *x, dm_err *err)
{
    (void)err;
    memcpy(x, j->x + i * j->example, (size_t)j->example * sizeof *x);
    return DM_OK;
}

dm_status dm_image_given(dm_quality_job *j, int64_t i, float *x, dm_err *err)
{
    const float *from = j->o->images ? j->o->images + i * j->example : x;
    const dm_status rc = j->o->images ? DM_OK : dm_data_at(dm_eval_data_of(j->images), i, 1, x, NULL, err);

    for (int64_t k = 0; k < j->example && !rc; k++) {
        if (!isfinite(from[k]))
            return dm_error(err, DM_EINVAL, "image %lld of those given is %s at element %lld", (long long)i,
                            isnan(from[k]) ? "NaN" : "infinite", (long long)k);
        x[k] = from[k];
    }
    return rc;
}

/* Unit Gaussians, held within the range that the data has. */
dm_status dm_image_noise(dm_quality_job *j, int64_t i, float *x, dm_err *err)
{
    const dm_data_info *d = &j->model.data;
    const uint64_t seed = (uint64_t)j->model.experiment->run.seed;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    (void)err;
    for (int64_t k = 0; k < j->example; k += 2) {
        const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_EVAL << 24, 0, (uint32_t)k, (uint32_t)i};
        uint32_t r[4];

        dm_philox(key, ctr, r);
        for (int64_t e = k; e < k + 2 && e < j->example; e++) {
            const double radius = sqrt(-2 * log(dm_uniform(r[0]))), angle = 6.283185307179586 * dm_uniform(r[1]);
            const double z = radius * (e == k ? cos(angle) : sin(angle));

            x[e] = (float)(d->levels ? fmin(fmax(z, d->low), d->high) : z);
        }
    }
    return DM_OK;
}
