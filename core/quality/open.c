/* What quality has to work with: the network of the features, data, images that were given, rows for classes. */
#include "quality/job.h"

#include "data/fingerprint.h"
#include "device/tensor.h"
#include "session/data_meta.h"
#include "session/session_read.h"
#include "session/session_source.h"

#include <string.h>

enum { DEFAULT_COUNT = 10000 };

/* Does the features' network, if it is a classifier, know the wanted classes? */
static bool knows_classes(const dm_quality_job *j)
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

static dm_status open_net(dm_quality_job *j, dm_err *err)
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
        (rc = dm_extractor_new(&j->net, j->weights, j->o->layer, DM_QUALITY_BATCH, knows_classes(j), &j->extractor,
                               err)))
        return rc;
    j->out->features = dm_extractor_features(j->extractor);
    j->out->features_step = dm_session_step(&j->net);
    snprintf(j->out->layer, sizeof j->out->layer, "%s", dm_extractor_layer(j->extractor));
    return dm_wset_hash(j->weights, j->out->hash, err);
}

/* The images that were given, told by data.* overrides of the run's own experiment. */
static dm_status open_images(dm_quality_job *j, const char *run, dm_err *err)
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

static dm_status check_images(dm_quality_job *j, const char *run, dm_err *err)
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
            return dm_error(err, DM_EINVAL, "cannot measure %lld images; only %lld are given", (long long)j->o->count,
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
static dm_status check_classes(dm_quality_job *j, dm_err *err)
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
static dm_status open_classes(dm_quality_job *j, dm_err *err)
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

dm_status dm_quality_open(dm_quality_job *j, const char *run, dm_err *err)
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
