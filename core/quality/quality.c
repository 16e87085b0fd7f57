/* dm_eval_quality: samples, test images and noise against the training data, by the features of a trained network. */
#include "quality/job.h"

#include "base/sized.h"
#include "session/session_ranks.h"
#include "session/session_read.h"

#include <math.h>
#include <stdlib.h>

enum { MOST_SUBSETS = 1000000, MOST_NEIGHBOURS = 1000 };

static bool cancelled(void *user) { return dm_quality_cancelled(user); }

static void compared(void *user, int parts)
{
    const dm_quality_job *j = user;

    dm_quality_progress(j, "compare", parts, DM_QUALITY_PARTS, (double)j->count / DM_QUALITY_PARTS);
}

static dm_status compare_classes(dm_quality_job *j, const dm_features *samples, dm_err *err)
{
    const dm_labelled set = {*samples, j->asked};
    const int64_t n = j->out->classes;
    dm_status rc = DM_OK;

    for (int64_t k = 0; k < n && !rc; k++) {
        rc = dm_quality_compare_class(&j->reference, &set, &j->real, (int32_t)k, &j->out->by_class[k].row, err);
        dm_quality_progress(j, "classes", k + 1, n, (double)j->count / (double)n);
    }
    return rc;
}

static dm_status measure(dm_quality_job *j, const dm_image_set *set, dm_quality_row *row, dm_err *err)
{
    dm_features f;
    dm_status rc;

    if ((rc = dm_quality_features(j, set, &f, err)))
        return rc;
    compared(j, 0);
    rc = dm_quality_compare(&j->reference, &f, row, compared, j, err);
    if (!rc && j->o->by_class && set->image == dm_image_sampled)
        rc = compare_classes(j, &f, err);
    free((float *)(uintptr_t)f.x);
    return rc;
}

/* Before sampling, that what is missing is known. */
static dm_status measure_real(dm_quality_job *j, dm_err *err)
{
    const dm_image_set real = {dm_image_test_labelled, dm_data_get_info(dm_eval_data_of(j->test))->count,
                            "of the test images", "test images", NULL, j->real_label, NULL};
    dm_features f;
    const dm_status rc = dm_quality_features(j, &real, &f, err);

    if (!rc)
        j->real = (dm_labelled){f, j->real_label};
    return rc;
}

static dm_status measure_all(dm_quality_job *j, dm_err *err)
{
    const dm_image_set train = {dm_image_train, j->out->train, "of the training images", "train images", "train", NULL,
                                NULL},
                    samples = {dm_image_sampled, j->count, "of the samples", "samples", "samples", NULL, j->found},
                    given = {dm_image_given, j->count, "of the given images", "given images", "images", NULL, NULL},
                    noise = {dm_image_noise, j->count, "of noise", "noise", "noise", NULL, NULL};
    dm_quality_reference *r = &j->reference;
    dm_quality *out = j->out;
    dm_status rc;

    *r = (dm_quality_reference){.host = &j->host, .subsets = out->subsets, .neighbours = out->neighbours,
                                .seed = (uint64_t)j->model.experiment->run.seed,
                                .size = j->o->subset_size ? j->o->subset_size : 1000};
    if ((rc = dm_quality_find_kept(j, err)))
        return rc;
    if (j->kept)
        r->features = (dm_features){.n = train.count, .d = out->features, .x = j->kept->train, .what = train.what};
    else if ((rc = dm_quality_features(j, &train, &r->features, err)))
        return rc;
    j->train_features = j->kept ? NULL : (float *)(uintptr_t)r->features.x;
    if ((rc = dm_quality_reference_init(r, err)) ||
        (rc = measure(j, j->o->images || j->o->data ? &given : &samples, &out->samples, err)))
        return rc;
    if (out->classes)
        dm_quality_shares(j->asked, j->found, j->count, out);
    if (j->kept) {
        out->floor = j->kept->floor;
        out->ceiling = j->kept->ceiling;
        return DM_OK;
    }
    if (j->test) {
        const int64_t there = dm_data_get_info(dm_eval_data_of(j->test))->count;
        const dm_image_set test = {dm_image_test, there < j->count ? there : j->count, "of the test images",
                                   "test images", "test", NULL, NULL};

        if ((rc = measure(j, &test, &out->floor, err)))
            return rc;
    }
    if ((rc = measure(j, &noise, &out->ceiling, err)))
        return rc;
    return dm_quality_keep(j, err);
}

static void job_fini(dm_quality_job *j)
{
    dm_quality_reference_fini(&j->reference);
    free(j->train_features);
    free(j->key);
    free(j->x);
    free(j->asked);
    free(j->found);
    free(j->real_label);
    free((float *)(uintptr_t)j->real.features.x);
    dm_extractor_free(j->extractor);
    dm_wset_free(j->weights);
    dm_eval_data_close(j->train);
    dm_eval_data_close(j->test);
    dm_eval_data_close(j->images);
    dm_lapack_close(j->lapack);
    if (j->has_net)
        dm_session_fini(&j->net);
    if (j->has_given)
        dm_session_fini(&j->given);
    dm_session_leave(&j->model);
}

/* Counts that no memory holds, before there is any; lists that are not there. */
static dm_status check_counts(const dm_quality_options *o, dm_err *err)
{
    dm_status rc;

    if (o->count < 0)
        return dm_error(err, DM_EINVAL, "cannot measure %lld images; give a positive number, or 0 for the default",
                        (long long)o->count);
    if (o->count > UINT32_MAX) /* noise is told apart by an image's index in 32 bits */
        return dm_error(err, DM_EINVAL, "cannot measure %lld images; at most %lld", (long long)o->count,
                        (long long)UINT32_MAX);
    if ((rc = dm_session_check_overrides(o->data, o->n_data, err)))
        return dm_error_prefix(err, "data: ");
    if (o->images && o->data)
        return dm_error(err, DM_EINVAL, "both images and data are given; one of them says what to evaluate");
    if (o->subsets < 0 || o->subsets > MOST_SUBSETS || o->subset_size < 0 || o->subset_size > MOST_SUBSETS)
        return dm_error(err, DM_EINVAL, "%lld subsets of %lld images; at most %d of either", (long long)o->subsets,
                        (long long)o->subset_size, (int)MOST_SUBSETS);
    if (o->neighbours < 0 || o->neighbours > MOST_NEIGHBOURS)
        return dm_error(err, DM_EINVAL, "%d neighbours; at most %d", (int)o->neighbours, (int)MOST_NEIGHBOURS);
    return o->images ? dm_check_array("the array of given images", &o->images_shape, sizeof *o->images, err) : DM_OK;
}

/* What ranks must be asked alike. */
static void print_asked(const dm_quality_options *o, const dm_quality *q, char *to, size_t size)
{
    snprintf(to, size, "features: %.200s\nlayer: %.100s\ncount: %lld\nraw: %d\ngiven images: %s\nKID: %lld of %lld\n"
             "neighbours: %d\nby class: %lld\n", o->features, o->layer ? o->layer : "the last", (long long)o->count,
             o->raw, o->images ? "an array" : o->data ? "data" : "none", (long long)q->subsets,
             (long long)o->subset_size, (int)q->neighbours, (long long)o->by_class);
}

dm_status dm_eval_quality(const char *run, const dm_quality_options *options, dm_quality *out, dm_err *err)
{
    dm_quality_options o;
    dm_quality q = {.size = sizeof q, .class_share = NAN, .class_share_error = NAN};
    dm_quality_job j = {.o = &o, .out = &q};
    char asked[512];
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_quality, out, size, err)) || (rc = DM_SIZED_READ(dm_quality_options, &o, options, err)))
        return rc;
    if (!o.features)
        return dm_error(err, DM_EINVAL, "quality needs a network for its features; none is given");
    if (o.by_class && !DM_HAS(dm_quality, out, by_class))
        return dm_error(err, DM_EINVAL, "dm_quality is too small for by_class; set its size with sizeof");
    q.subsets = o.subsets ? o.subsets : 100;
    q.neighbours = o.neighbours ? o.neighbours : 3;
    if ((rc = check_counts(&o, err)) || (rc = dm_session_quiet(o.callbacks, &j.quiet, err)))
        return rc;
    print_asked(&o, &q, asked, sizeof asked);
    if ((rc = dm_session_join(&j.model, o.ranks, run, o.overrides, o.n_overrides, o.callbacks, asked, err)))
        return rc;
    j.callbacks = j.model.comm->rank ? &j.quiet : o.callbacks;
    if (!(rc = dm_comm_agree(j.model.comm, dm_quality_open(&j, run, err), NULL, err))) {
        j.host = (dm_metric_host){.lapack = j.lapack, .cancelled = cancelled, .user = &j, .comm = j.model.comm};
        dm_quality_warn_of_rank(&j, j.count, o.images || o.data ? "images" : "samples");
        dm_quality_warn_of_rank(&j, q.train, "training images");
        rc = o.by_class ? measure_real(&j, err) : DM_OK;
        if (!rc && !o.images && !o.data)
            rc = dm_quality_sample(&j, err);
        if (!rc)
            rc = measure_all(&j, err);
    }
    job_fini(&j);
    if (!rc)
        DM_SIZED_WRITE(dm_quality, out, &q);
    if (rc || !DM_HAS(dm_quality, out, by_class))
        dm_quality_free(&q);
    return rc;
}
