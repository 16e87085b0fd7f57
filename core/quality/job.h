/* One call of dm_eval_quality, and the steps that it takes in turn. */
#ifndef DEMIST_CORE_QUALITY_JOB_H
#define DEMIST_CORE_QUALITY_JOB_H

#include "eval/eval_data.h"
#include "quality/extractor.h"
#include "quality/quality.h"

/* What a caller keeps; key: of what it was made. */
struct dm_quality_kept { char *key; float *train; dm_quality_row floor, ceiling; };

typedef struct dm_quality_job {
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
} dm_quality_job;

bool dm_quality_cancelled(const dm_quality_job *j);
void dm_quality_progress(const dm_quality_job *j, const char *what, int64_t step, int64_t steps, double per_step);
/* Where n images are too few for the covariance of that many features. */
void dm_quality_warn_of_rank(const dm_quality_job *j, int64_t n, const char *what);

/* Opens data and networks and checks what is asked of them; what it opens, the job's end closes. */
dm_status dm_quality_open(dm_quality_job *j, const char *run, dm_err *err);
/* Draws the samples, all ranks a part each. */
dm_status dm_quality_sample(dm_quality_job *j, dm_err *err);

/* Image i of a set, into x. */
typedef dm_status dm_image_fn(dm_quality_job *j, int64_t i, float *x, dm_err *err);
dm_image_fn dm_image_train, dm_image_test, dm_image_test_labelled, dm_image_sampled, dm_image_given, dm_image_noise;

/* A set of images: where they come from, how many; how messages, the bar and the caller's features name it, NULL = not
 * for the caller. */
typedef struct dm_image_set {
    dm_image_fn *image;
    int64_t count;
    const char *what, *bar, *name;
    int32_t *label;                /* [count], filled by image(); may be NULL */
    int32_t *found;                /* the same by the classifier */
} dm_image_set;

/* How many images the extractor takes at once. */
enum { DM_QUALITY_BATCH = 128 };
/* On all ranks alike; out->x is the caller's to free. */
dm_status dm_quality_features(dm_quality_job *j, const dm_image_set *set, dm_features *out, dm_err *err);

/* Finds what the caller keeps, and gives it what this job has made to keep. */
dm_status dm_quality_find_kept(dm_quality_job *j, dm_err *err);
dm_status dm_quality_keep(dm_quality_job *j, dm_err *err);

#endif
