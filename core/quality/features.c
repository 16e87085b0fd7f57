/* The features of a set of images, by all ranks; see job.h. */
#include "quality/job.h"

#include <stdlib.h>

/* Of this rank's part of the set. */
static dm_status own_features(dm_quality_job *j, const dm_image_set *set, float *batch, float *to, dm_err *err)
{
    const dm_share mine = dm_share_of(set->count, 0, j->model.comm->rank, j->model.comm->size);
    const int64_t d = dm_extractor_features(j->extractor), end = mine.first + mine.n;
    dm_status rc = DM_OK;

    for (int64_t first = mine.first; first < end && !rc; first += DM_QUALITY_BATCH) {
        const int64_t n = end - first < DM_QUALITY_BATCH ? end - first : DM_QUALITY_BATCH;

        for (int64_t i = 0; i < n && !rc; i++)
            rc = set->image(j, first + i, batch + i * j->example, err);
        if (!rc)
            rc = dm_extractor_run(j->extractor, batch, n, to + first * d, set->found ? set->found + first : NULL, err);
        if (!rc)
            dm_quality_progress(j, set->bar, first + n - mine.first, mine.n, 1);
        if (!rc && dm_quality_cancelled(j))
            rc = dm_error(err, DM_ECANCELLED, "stopped after %lld of %lld features %s",
                          (long long)(first + n - mine.first), (long long)mine.n, set->what);
    }
    return rc;
}

dm_status dm_quality_features(dm_quality_job *j, const dm_image_set *set, dm_features *out, dm_err *err)
{
    const int64_t count = set->count, d = dm_extractor_features(j->extractor);
    dm_comm *c = j->model.comm;
    float *batch = dm_array(DM_QUALITY_BATCH, j->example, sizeof *batch), *to = dm_array(count, d, sizeof *to);
    dm_status rc = batch && to ? own_features(j, set, batch, to, err)
                               : dm_error(err, DM_ENOMEM, "out of memory for %lld features of %lld images",
                                          (long long)d, (long long)count);

    free(batch);
    if (!(rc = dm_comm_agree(c, rc, NULL, err)))
        rc = dm_share_collect(c, to, (size_t)d * sizeof *to, count, err);
    if (!rc && set->label)
        rc = dm_share_collect(c, set->label, sizeof *set->label, count, err);
    if (!rc && set->found)
        rc = dm_share_collect(c, set->found, sizeof *set->found, count, err);
    *out = (dm_features){.n = count, .d = d, .x = to, .what = set->what};
    if (!rc && j->o->features_done && set->name)
        rc = j->o->features_done(j->o->features_user,
                                 &(dm_features_info){.size = sizeof(dm_features_info),
                                                     .set = set->name,
                                                     .shape = {2, {count, d, 1, 1, 1, 1, 1, 1}},
                                                     .x = to},
                                 err);
    if ((rc = dm_comm_agree(c, rc, NULL, err)))
        free(to);
    return rc;
}
