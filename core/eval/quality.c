/* dm_eval_quality: samples, test images and noise against the training data, by the features of a trained network. */
#include "eval/quality.h"

#include "base/clock.h"
#include "session/examine.h"
#include "sample/sample_job.h"
#include "sample/told_by_data.h"
#include "eval/eval_data.h"
#include "eval/extractor.h"
#include "device/ops.h"
#include "base/philox.h"
#include "text/plain_text.h"
#include "base/sized.h"
#include "device/tensor.h"
#include "data/fingerprint.h"
#include "data/shuffle.h"
#include "session/data_meta.h"
#include "session/session_ranks.h"
#include "session/session_read.h"
#include "session/session_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 128, DEFAULT_COUNT = 10000, MOST_SUBSETS = 1000000, MOST_NEIGHBOURS = 1000 };

typedef struct job {
    const dm_quality_options *o;
    const dm_callbacks *callbacks; /* of sessions beside the model's, whose ranks are theirs too */
    dm_callbacks quiet;
    dm_quality *out;
    dm_session model, net, given;  /* net: of the features; given: of images as a data set */
    bool has_net, has_given;
    dm_eval_data *train, *test, *images;
    dm_wset *weights;
    dm_extractor *extractor;
    dm_lapack *lapack;
    dm_metric_host host;
    int64_t example, count;        /* elements of an image; samples */
    float *x;                      /* the samples, or one batch of others */
    float *train_features;
    bool asks;                     /* samples are asked to be of a class */
    int32_t *asked, *found;        /* which, and which a classifier takes them for; NULL where not known */
    dm_labelled real;              /* of all test images, by class */
    int32_t *real_label;
    char *key;                     /* of what is kept */
    const dm_quality_kept *kept;   /* the caller's, where it fits */
    dm_quality_reference reference;
} job;

static bool cancelled(void *user)
{
    const job *j = user;
    const dm_callbacks *cb = &j->model.callbacks;

    return cb->cancelled && cb->cancelled(cb->user);
}

static void progress(const job *j, const char *what, int64_t step, int64_t steps, double per_step)
{
    const dm_callbacks *cb = &j->model.callbacks;

    if (cb->progress)
        cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info), .what = what, .step = step,
                                                   .steps = steps, .per_step = per_step, .loss = NAN});
}

/* ---- where images come from ------------------------------------------------------------ */

/* Image i of a set, into x. */
typedef dm_status image_fn(job *j, int64_t i, float *x, dm_err *err);

/* A permutation each: which images are taken has no meaning, and their order neither. */
enum { ORDER_TRAIN, ORDER_TEST };

static dm_status permuted(const job *j, dm_eval_data *from, uint64_t order, int64_t i, float *x, dm_err *err)
{
    dm_data *d = dm_eval_data_of(from);

    return dm_data_at(d, dm_shuffle((uint64_t)j->model.experiment->run.seed, order, i, dm_data_get_info(d)->count), 1,
                      x, NULL, err);
}

static dm_status train_image(job *j, int64_t i, float *x, dm_err *err)
{
    return permuted(j, j->train, ORDER_TRAIN, i, x, err);
}

static dm_status test_image(job *j, int64_t i, float *x, dm_err *err)
{
    return permuted(j, j->test, ORDER_TEST, i, x, err);
}

static dm_status labelled_test_image(job *j, int64_t i, float *x, dm_err *err)
{
    return dm_data_at(dm_eval_data_of(j->test), i, 1, x, &j->real_label[i], err);
}

static dm_status sampled_image(job *j, int64_t i, float *x, dm_err *err)
{
    (void)err;
    memcpy(x, j->x + i * j->example, (size_t)j->example * sizeof *x);
    return DM_OK;
}

static dm_status given_image(job *j, int64_t i, float *x, dm_err *err)
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
static dm_status noise_image(job *j, int64_t i, float *x, dm_err *err)
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

/* ---- features ---------------------------------------------------------------------------- */

/* A set of images: where they come from, how many; how messages, the bar and the caller's features name it, NULL = not
 * for the caller. */
typedef struct image_set {
    image_fn *image;
    int64_t count;
    const char *what, *bar, *name;
    int32_t *label;                /* [count], filled by image(); may be NULL */
    int32_t *found;                /* the same by the classifier */
} image_set;

/* Of this rank's part of the set. */
static dm_status own_features(job *j, const image_set *set, float *batch, float *to, dm_err *err)
{
    const dm_share mine = dm_share_of(set->count, 0, j->model.comm->rank, j->model.comm->size);
    const int64_t d = dm_extractor_features(j->extractor), end = mine.first + mine.n;
    dm_status rc = DM_OK;

    for (int64_t first = mine.first; first < end && !rc; first += BATCH) {
        const int64_t n = end - first < BATCH ? end - first : BATCH;

        for (int64_t i = 0; i < n && !rc; i++)
            rc = set->image(j, first + i, batch + i * j->example, err);
        if (!rc)
            rc = dm_extractor_run(j->extractor, batch, n, to + first * d, set->found ? set->found + first : NULL, err);
        if (!rc)
            progress(j, set->bar, first + n - mine.first, mine.n, 1);
        if (!rc && cancelled(j))
            rc = dm_error(err, DM_ECANCELLED, "stopped after %lld of %lld features %s",
                          (long long)(first + n - mine.first), (long long)mine.n, set->what);
    }
    return rc;
}

static dm_status features(job *j, const image_set *set, dm_features *out, dm_err *err)
{
    const int64_t count = set->count, d = dm_extractor_features(j->extractor);
    dm_comm *c = j->model.comm;
    float *batch = dm_array(BATCH, j->example, sizeof *batch), *to = dm_array(count, d, sizeof *to);
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

static void compared(void *user, int parts)
{
    const job *j = user;

    progress(j, "compare", parts, DM_QUALITY_PARTS, (double)j->count / DM_QUALITY_PARTS);
}

static dm_status compare_classes(job *j, const dm_features *samples, dm_err *err)
{
    const dm_labelled set = {*samples, j->asked};
    const int64_t n = j->out->classes;
    dm_status rc = DM_OK;

    for (int64_t k = 0; k < n && !rc; k++) {
        rc = dm_quality_compare_class(&j->reference, &set, &j->real, (int32_t)k, &j->out->by_class[k].row, err);
        progress(j, "classes", k + 1, n, (double)j->count / (double)n);
    }
    return rc;
}

static dm_status measure(job *j, const image_set *set, dm_quality_row *row, dm_err *err)
{
    dm_features f;
    dm_status rc;

    if ((rc = features(j, set, &f, err)))
        return rc;
    compared(j, 0);
    rc = dm_quality_compare(&j->reference, &f, row, compared, j, err);
    if (!rc && j->o->by_class && set->image == sampled_image)
        rc = compare_classes(j, &f, err);
    free((float *)(uintptr_t)f.x);
    return rc;
}

/* ---- what is there to work with ------------------------------------------------------------ */

/* Does the features' network, if it is a classifier, know the classes that are asked for? */
static bool knows_classes(const job *j)
{
    const char *names = dm_st_meta(j->net.checkpoint, DM_CLASS_NAMES),
               *asked = dm_st_meta(j->model.checkpoint, DM_CLASS_NAMES);
    const int32_t have = j->net.data.classes, want = j->model.data.classes;
    char what[256];

    if (!j->asks || dm_net_diffuses(j->net.model) || !have)
        return false;
    if (have != want)
        dm_session_log(&j->model, DM_LOG_WARNING, "no class share: '%s' tells %d classes apart, this model has %d",
                       j->o->features, (int)have, (int)want);
    else if (dm_fingerprint_renumbered(asked ? asked : "", names ? names : "", what, sizeof what))
        dm_session_log(&j->model, DM_LOG_WARNING, "no class share: this model's classes are not numbered as those of "
                       "'%s': %s there", j->o->features, what);
    else
        return true;
    return false;
}

static dm_status open_net(job *j, dm_err *err)
{
    char device[300];
    const char *const override = device;
    dm_status rc;

    snprintf(device, sizeof device, "device=%s", j->model.experiment->run.device);
    if ((rc = dm_session_read_run(&j->net, j->o->features, &override, 1, j->callbacks, err)))
        return rc;
    j->has_net = true;
    j->net.comm = j->model.comm;
    if (j->net.data.shape.rank != j->model.data.shape.rank ||
        memcmp(j->net.data.shape.dim, j->model.data.shape.dim, (size_t)j->model.data.shape.rank * sizeof(int64_t)))
        return dm_error(err, DM_EINVAL, "'%s' gives features of images of %s; those of this run are %s", j->o->features,
                        dm_shape_show(&j->net.data.shape).text, dm_shape_show(&j->model.data.shape).text);
    if ((rc = dm_session_open(&j->net, false, err)) || (rc = dm_session_weights(&j->net, false, &j->weights, err)) ||
        (rc = dm_extractor_new(&j->net, j->weights, j->o->layer, BATCH, knows_classes(j), &j->extractor, err)))
        return rc;
    j->out->features = dm_extractor_features(j->extractor);
    j->out->features_step = dm_session_step(&j->net);
    snprintf(j->out->layer, sizeof j->out->layer, "%s", dm_extractor_layer(j->extractor));
    return dm_wset_hash(j->weights, j->out->hash, err);
}

/* The images that were given, told by data.* overrides of the run's own experiment. */
static dm_status open_images(job *j, const char *run, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_session_read_run(&j->given, run, j->o->data, j->o->n_data, j->callbacks, err)))
        return rc;
    j->has_given = true;
    j->given.comm = j->model.comm;
    if (!(rc = dm_eval_data_open(&j->given, "train", &j->images, err)))
        j->count = dm_data_get_info(dm_eval_data_of(j->images))->count;
    return rc;
}

static dm_status check_images(job *j, const char *run, dm_err *err)
{
    const dm_shape want =
        dm_net_batch_shape(&j->model.data.shape, j->o->images_shape.dim[0], j->model.data.shape.dim[0]);
    dm_status rc;

    if (j->o->images) {
        if (j->o->images_shape.rank != want.rank ||
            memcmp(j->o->images_shape.dim, want.dim, (size_t)want.rank * sizeof want.dim[0]))
            return dm_error(err, DM_EINVAL, "the given images are %s; those of this run are N x %s",
                            dm_shape_show(&j->o->images_shape).text, dm_shape_show(&j->model.data.shape).text);
        j->count = want.dim[0];
    } else if (j->o->data && (rc = open_images(j, run, err))) {
        return dm_error_prefix(err, "the given images: ");
    }
    if ((j->o->images || j->o->data) && j->o->count) {
        if (j->o->count > j->count)
            return dm_error(err, DM_EINVAL, "%lld images are asked for; %lld are given", (long long)j->o->count,
                            (long long)j->count);
        j->count = j->o->count;
    }
    if (!j->o->images && !j->o->data) {
        if (!j->model.noise || !j->model.experiment->section[DM_SEC_OBJECTIVE].plugin->objective->affine)
            return dm_error(err, DM_EINVAL, "'%s' is not a diffusion model; there is nothing to sample", run);
        j->count = j->o->count ? j->o->count : DEFAULT_COUNT;
    }
    return DM_OK;
}

/* Samples of a model that is told the class are asked to be of one each. */
static dm_status check_classes(job *j, dm_err *err)
{
    const bool given = j->o->images || j->o->data;
    dm_status rc;

    if (!given && (rc = dm_session_open(&j->model, false, err)))
        return rc;
    j->asks = !given && j->model.data.classes && dm_net_reads_labels(j->model.model);
    if (!j->o->by_class || j->asks)
        return DM_OK;
    return dm_error(err, DM_EINVAL, "quality by class: %s",
                    given                   ? "given images were not asked to be of a class"
                    : j->model.data.classes ? "the network of this model reads no classes (network.class_embed: table "
                                              "trains one that does)"
                                            : "this model was trained on data without classes");
}

/* Rows for what is said of each class, and the labels of the test images. */
static dm_status open_classes(job *j, dm_err *err)
{
    const bool shares = dm_extractor_classifies(j->extractor);
    const int64_t there = j->test ? dm_data_get_info(dm_eval_data_of(j->test))->count : 0;
    dm_status rc;

    if (!j->o->by_class && !shares)
        return DM_OK;
    if (j->o->by_class && !dm_data_get_info(dm_eval_data_of(j->test))->classes)
        return dm_error(err, DM_EINVAL, "quality by class: the test images have no labels");
    if ((j->o->by_class && (rc = dm_eval_data_labels(&j->model, j->test, err))) ||
        (rc = dm_quality_classes_new(dm_eval_data_of(j->train), j->model.data.classes, &j->out->by_class, err)))
        return rc;
    j->out->classes = j->model.data.classes;
    if ((j->o->by_class && !(j->real_label = dm_array(there, 1, sizeof *j->real_label))) ||
        (shares && !(j->found = dm_array(j->count, 1, sizeof *j->found))))
        return dm_error(err, DM_ENOMEM, "out of memory for the classes of %lld images", (long long)j->count);
    return DM_OK;
}

static dm_status open_all(job *j, const char *run, dm_err *err)
{
    dm_err none = {0};
    dm_status rc;

    j->out->step = dm_session_step(&j->model);
    j->example = dm_shape_count(&j->model.data.shape);
    if ((rc = check_images(j, run, err)) || (rc = check_classes(j, err)) || (rc = dm_lapack_open(&j->lapack, err)) ||
        (rc = dm_eval_data_open(&j->model, "train", &j->train, err)))
        return rc;
    if ((rc = dm_eval_data_open(&j->model, "test", &j->test, &none)) && rc != DM_ENOENT)
        return dm_error(err, rc, "%s", none.msg);
    if (rc && j->o->by_class)
        return dm_error(err, DM_EINVAL, "quality by class compares with the test images of each class: %s", none.msg);
    if (rc)
        dm_session_log(&j->model, DM_LOG_WARNING, "no floor: %s", none.msg);
    j->out->train = dm_data_get_info(dm_eval_data_of(j->train))->count;
    return (rc = open_net(j, err)) ? rc : open_classes(j, err);
}

/* With n images a covariance has rank n - 1 at most. */
static void warn_of_rank(const job *j, int64_t n, const char *what)
{
    if (n <= j->out->features)
        dm_session_log(&j->model, DM_LOG_WARNING,
                       "%lld %s for %lld features: their covariance has rank %lld at most instead of %lld, so the "
                       "Frechet distance depends mostly on their number; use more than %lld", (long long)n, what,
                       (long long)j->out->features, (long long)n - 1, (long long)j->out->features,
                       (long long)j->out->features);
}

/* ---- samples --------------------------------------------------------------------------------- */

/* The conditions of the test images, without a test split of the training images. */
static dm_status tell(const job *j, dm_sample_job *d, dm_told_by_data *of, dm_err *err)
{
    const dm_eval_data *from = j->test ? j->test : j->train;
    const dm_status rc = dm_told_by_data_new(&j->model, dm_eval_data_of(from), j->count, of, err);

    d->conditions = of->told.conditions ? &of->told : NULL;
    if (!rc && !dm_data_get_info(dm_eval_data_of(from))->classes) { /* these have none to tell */
        free(of->labels);
        of->labels = NULL;
    }
    return !rc && of->labels && j->asks ? dm_eval_data_labels(&j->model, from, err) : rc;
}

/* The class that each sample is asked to be of: that of the image that gives its conditions, or each in turn. */
static dm_status ask(job *j, dm_sample_job *d, const dm_told_by_data *of, dm_err *err)
{
    if (!(j->asked = dm_array(j->count, 1, sizeof *j->asked)))
        return dm_error(err, DM_ENOMEM, "out of memory for the classes of %lld images", (long long)j->count);
    for (int64_t i = 0; i < j->count; i++)
        j->asked[i] = of->labels ? of->labels[i] : (int32_t)(i % j->model.data.classes);
    d->labels = j->asked;
    return DM_OK;
}

/* Enough samples and test images of each class, of which the fewest are warned of. */
static dm_status check_each(job *j, dm_err *err)
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
        warn_of_rank(j, fewest[0], "samples of a class");
        warn_of_rank(j, fewest[1], "test images of a class");
    }
    free(counts);
    return rc;
}

static dm_status prepare_samples(job *j, dm_wset **weights, dm_sample_job *d, dm_told_by_data *of, dm_err *err)
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

static void describe_samples(job *j, int32_t steps)
{
    const dm_experiment *e = j->model.experiment;

    snprintf(j->out->about, sizeof j->out->about, "demist %s name=%s sampler=%s steps=%d seed=%lld checkpoint=%lld%s",
             dm_version(), e->run.name, e->section[DM_SEC_SAMPLER].plugin->name, (int)steps, (long long)e->run.seed,
             (long long)j->out->step, j->o->raw ? " raw" : "");
    dm_plain_text(j->out->about);
}

static dm_status sample(job *j, dm_err *err)
{
    dm_sample_job d = {.count = j->count, .progress = true, .comm = j->model.comm};
    dm_told_by_data of = {0};
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
    dm_told_by_data_fini(&of);
    return rc;
}

/* What the caller keeps, if it is of the same data, features and counts; a caller that wants all features gets them,
 * and ranks do not ask each other what each of them keeps. */
static dm_status find_kept(job *j, dm_err *err)
{
    if (!j->o->kept || j->o->features_done || j->model.comm->size > 1)
        return DM_OK;
    if (!(j->key = dm_quality_key(j->model.experiment, j->out, j->count, j->reference.size)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (*j->o->kept && !strcmp((*j->o->kept)->key, j->key))
        j->kept = *j->o->kept;
    return DM_OK;
}

static dm_status keep(job *j, dm_err *err)
{
    dm_quality_kept *k;

    if (!j->key)
        return DM_OK;
    if (!(k = malloc(sizeof *k)))
        return dm_error(err, DM_ENOMEM, "out of memory");
    *k = (dm_quality_kept){j->key, j->train_features, j->out->floor, j->out->ceiling};
    j->key = NULL;
    j->train_features = NULL;
    dm_quality_kept_free(*j->o->kept);
    *j->o->kept = k;
    return DM_OK;
}

/* Before sampling, that what is missing is known. */
static dm_status measure_real(job *j, dm_err *err)
{
    const image_set real = {labelled_test_image, dm_data_get_info(dm_eval_data_of(j->test))->count,
                            "of the test images", "test images", NULL, j->real_label, NULL};
    dm_features f;
    const dm_status rc = features(j, &real, &f, err);

    if (!rc)
        j->real = (dm_labelled){f, j->real_label};
    return rc;
}

static dm_status measure_all(job *j, dm_err *err)
{
    const image_set train = {train_image, j->out->train, "of the training images", "train images", "train", NULL, NULL},
                    samples = {sampled_image, j->count, "of the samples", "samples", "samples", NULL, j->found},
                    given = {given_image, j->count, "of the given images", "given images", "images", NULL, NULL},
                    noise = {noise_image, j->count, "of noise", "noise", "noise", NULL, NULL};
    dm_quality_reference *r = &j->reference;
    dm_quality *out = j->out;
    dm_status rc;

    *r = (dm_quality_reference){.host = &j->host, .subsets = out->subsets, .neighbours = out->neighbours,
                                .seed = (uint64_t)j->model.experiment->run.seed,
                                .size = j->o->subset_size ? j->o->subset_size : 1000};
    if ((rc = find_kept(j, err)))
        return rc;
    if (j->kept)
        r->features = (dm_features){.n = train.count, .d = out->features, .x = j->kept->train, .what = train.what};
    else if ((rc = features(j, &train, &r->features, err)))
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
        const image_set test = {test_image, there < j->count ? there : j->count, "of the test images", "test images",
                                "test", NULL, NULL};

        if ((rc = measure(j, &test, &out->floor, err)))
            return rc;
    }
    if ((rc = measure(j, &noise, &out->ceiling, err)))
        return rc;
    return keep(j, err);
}

static void job_fini(job *j)
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

/* Counts that no memory holds, before there is any. */
static dm_status check_counts(const dm_quality_options *o, dm_err *err)
{
    if (o->count < 0)
        return dm_error(err, DM_EINVAL, "%lld images are asked for; 0 means the usual number", (long long)o->count);
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
    job j = {.o = &o, .out = &q};
    char asked[512];
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_quality, out, size, err)) || (rc = DM_SIZED_READ(dm_quality_options, &o, options, err)))
        return rc;
    if (!o.features)
        return dm_error(err, DM_EINVAL, "quality needs a network for its features; none is given");
    if (o.by_class && !DM_HAS(dm_quality, out, by_class))
        return dm_error(err, DM_EINVAL, "quality by class is asked for, and the result has no room for it");
    q.subsets = o.subsets ? o.subsets : 100;
    q.neighbours = o.neighbours ? o.neighbours : 3;
    if ((rc = check_counts(&o, err)) || (rc = dm_session_quiet(o.callbacks, &j.quiet, err)))
        return rc;
    print_asked(&o, &q, asked, sizeof asked);
    if ((rc = dm_session_join(&j.model, o.ranks, run, o.overrides, o.n_overrides, o.callbacks, asked, err)))
        return rc;
    j.callbacks = j.model.comm->rank ? &j.quiet : o.callbacks;
    if (!(rc = dm_comm_agree(j.model.comm, open_all(&j, run, err), NULL, err))) {
        j.host = (dm_metric_host){.lapack = j.lapack, .cancelled = cancelled, .user = &j, .comm = j.model.comm};
        warn_of_rank(&j, j.count, o.images || o.data ? "images" : "samples");
        warn_of_rank(&j, q.train, "training images");
        rc = o.by_class ? measure_real(&j, err) : DM_OK;
        if (!rc && !o.images && !o.data)
            rc = sample(&j, err);
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
