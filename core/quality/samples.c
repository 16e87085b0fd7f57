/* The samples that quality measures, told what the test images are; see job.h. */
#include "quality/job.h"

#include "base/clock.h"
#include "sample/sample_job.h"
#include "sample/example_conditions.h"
#include "session/examine.h"
#include "session/session_source.h"
#include "text/plain_text.h"

#include <stdlib.h>

/* The conditions of the test images, without a test split of the training images. */
static dm_status tell(const dm_quality_job *j, dm_sample_job *d, dm_example_conditions *of, dm_err *err)
{
    const dm_eval_data *from = j->test ? j->test : j->train;
    const dm_status rc = dm_example_conditions_new(&j->model, dm_eval_data_of(from), j->count, of, err);

    d->conditions = of->conditions.conditions ? &of->conditions : NULL;
    if (!rc && !dm_data_get_info(dm_eval_data_of(from))->classes) { /* these have none to tell */
        free(of->labels);
        of->labels = NULL;
    }
    return !rc && of->labels && j->asks ? dm_eval_data_labels(&j->model, from, err) : rc;
}

/* The class that each sample is asked to be of: that of the image that gives its conditions, or each in turn. */
static dm_status ask(dm_quality_job *j, dm_sample_job *d, const dm_example_conditions *of, dm_err *err)
{
    if (!(j->asked = dm_array(j->count, 1, sizeof *j->asked)))
        return dm_error(err, DM_ENOMEM, "out of memory for the classes of %lld images", (long long)j->count);
    for (int64_t i = 0; i < j->count; i++)
        j->asked[i] = of->labels ? of->labels[i] : (int32_t)(i % j->model.data.classes);
    d->labels = j->asked;
    return DM_OK;
}

/* Enough samples and test images of each class, of which the fewest are warned of. */
static dm_status check_each(dm_quality_job *j, dm_err *err)
{
    const int64_t classes = j->out->classes, least = dm_quality_least(j->out->neighbours);
    int64_t *counts = dm_array(classes, 2, sizeof *counts), fewest[2] = {INT64_MAX, INT64_MAX};
    static const char *const what[] = {"samples", "test images"};
    dm_status rc = DM_OK;

    if (!counts)
        return dm_error(err, DM_ENOMEM, "out of memory for %lld classes", (long long)classes);
    dm_quality_tally(j->asked, j->count, classes, counts);
    dm_quality_tally(j->real_label, j->real.features.n, classes, counts + classes);
    for (int s = 1; s >= 0; s--)
        for (int64_t k = 0; k < classes && !rc; k++) {
            const int64_t n = counts[s * classes + k];

            fewest[s] = n < fewest[s] ? n : fewest[s];
            if (n < least)
                rc = dm_error(err, DM_EINVAL, "quality by class needs %lld %s of each class at least; of class "
                              "%lld%s%.60s there are %lld", (long long)least, what[s], (long long)k,
                              *j->out->by_class[k].name ? ", " : "", j->out->by_class[k].name, (long long)n);
        }
    for (int64_t k = 0; k < classes && !rc; k++)
        j->out->by_class[k].test = counts[classes + k];
    if (!rc) {
        dm_quality_warn_of_rank(j, fewest[0], "samples of a class");
        dm_quality_warn_of_rank(j, fewest[1], "test images of a class");
    }
    free(counts);
    return rc;
}

static dm_status prepare_samples(dm_quality_job *j, dm_wset **weights, dm_sample_job *d, dm_example_conditions *of,
                                 dm_err *err)
{
    dm_status rc;

    if (!(j->x = dm_array(j->count, j->example, sizeof *j->x)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)j->count);
    if ((rc = dm_session_warn_of_sampling(&j->model, j->model.model, err)) ||
        (rc = dm_session_weights(&j->model, j->o->raw, weights, err)) || (rc = tell(j, d, of, err)) ||
        (j->asks && (rc = ask(j, d, of, err))))
        return rc;
    return j->o->by_class ? check_each(j, err) : DM_OK;
}

static void describe_samples(dm_quality_job *j, int32_t steps)
{
    const dm_experiment *e = j->model.experiment;

    snprintf(j->out->about, sizeof j->out->about, "demist %s name=%s sampler=%s steps=%d seed=%lld checkpoint=%lld%s",
             dm_version(), e->run.name, e->section[DM_SEC_SAMPLER].plugin->name, (int)steps, (long long)e->run.seed,
             (long long)j->out->step, j->o->raw ? " raw" : "");
    dm_plain_text(j->out->about);
}

dm_status dm_quality_sample(dm_quality_job *j, dm_err *err)
{
    dm_sample_job d = {.count = j->count, .progress = true, .comm = j->model.comm};
    dm_example_conditions of = {0};
    dm_wset *weights = NULL;
    double began;
    int32_t steps = 0;
    dm_status rc = dm_comm_agree(j->model.comm, prepare_samples(j, &weights, &d, &of, err), NULL, err);

    began = dm_seconds();
    if (!rc && !(rc = dm_draw_images(&j->model, weights, &d, j->x, &steps, NULL, err))) {
        j->out->seconds = dm_seconds() - began;
        describe_samples(j, steps);
    }
    dm_wset_free(weights);
    dm_example_conditions_fini(&of);
    return rc;
}
