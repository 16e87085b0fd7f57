/* demist/demist.h: training, sampling, prediction and evaluation from an application. The program `demist`
 * makes the same calls.
 *
 * Calls return dm_status and write the reason of a failure to *err. The library prints nothing, changes no signal
 * handler, locale, environment or working directory, and has no global state. Several threads may make calls at the
 * same time, each on its own dm_model or dm_training.
 *
 *     dm_err err = {DM_OK, ""};
 *     dm_model *model;
 *     dm_images out = {.size = sizeof out};
 *     dm_sample_options o = {.size = sizeof o, .count = 16};
 *     if (dm_model_open("runs/fashion-mnist", NULL, &model, &err))
 *         ... err.msg says why ...
 *     if (!dm_model_sample(model, &o, &out, &err))
 *         ... out.x is f32[16,1,28,28] ...
 *     dm_images_free(&out);
 *     dm_model_close(model);
 *
 * Structs begin with their size: set it to sizeof. The library reads and writes nothing beyond it, so an application
 * keeps working with a newer library; a size of 0 is DM_EINVAL. If the application is newer than the library, fields
 * that the library does not know must be zero, else the call returns DM_EINVAL. Options that are all zero, or NULL,
 * mean the defaults. Structs grow only at their end; a struct without a size never changes.
 */
#ifndef DEMIST_DEMIST_H
#define DEMIST_DEMIST_H

#include <demist/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of the library, such as "0.1.0"; static. */
DM_EXPORT const char *dm_version(void);

/* ---- log, progress and cancellation ------------------------------------------------------- */

typedef enum dm_log_level { DM_LOG_ERROR, DM_LOG_WARNING, DM_LOG_INFO, DM_LOG_DEBUG } dm_log_level;

typedef struct dm_progress_info {
    uint32_t size;
    const char *what;              /* "train", "sample" */
    int64_t step, steps;           /* done, total; the first report counts steps done before the call */
    double per_step;               /* images per step */
    double loss;                   /* NaN if there is none */
    int64_t percent;               /* 1: steps are hundredths of the work, where a sampler chooses its own; else 0 */
} dm_progress_info;

/* Callbacks for log lines, progress and cancellation. Any member may be NULL. The struct is copied; what it points
 * to must stay valid as long as the handle that was opened with it. */
typedef struct dm_callbacks {
    uint32_t size;
    void *user;
    void (*log)(void *user, dm_log_level level, const char *line);
    void (*progress)(void *user, const dm_progress_info *p);
    /* Polled between steps and, before the first, between kernel builds. true stops training with DM_ECANCELLED, after
     * saving a checkpoint if a step has been done, and stops sampling at once. */
    bool (*cancelled)(void *user);
    const char *override_name;     /* what messages call override N: "NAME N"; NULL = "override" */
} dm_callbacks;

/* ---- a trained model -------------------------------------------------------------------------- */

/* A trained model on a device, opened from a run folder (its newest valid checkpoint), a checkpoint, or a folder in
 * diffusers' layout. Calls on one model must not overlap. It caches what a call sets up: the next call with the same
 * shape starts at once. */
typedef struct dm_model dm_model;

typedef struct dm_model_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* "key.path=value" each, of the experiment: sampler, steps, seed, ... */
    const char *device;            /* "auto", "0:0", or part of a name; NULL = the experiment's */
    const char *precision;         /* "fp32", "bf16" or "fp16"; NULL = the experiment's */
    bool raw;                      /* the raw weights instead of the first EMA */
    bool profile;                  /* log time, FLOP/s and GB/s of each kernel after each call */
    const dm_callbacks *callbacks; /* for this call, and for later calls without callbacks of their own */
    /* Not 0: the ranks of this process's MPI job work together (docs/distributed.md). All of them make the same calls
     * with the same options, and files are written by rank 0 alone. Without a job it changes nothing. */
    int64_t ranks;
} dm_model_options;

DM_EXPORT dm_status dm_model_open(const char *run, const dm_model_options *o, dm_model **out, dm_err *err);
DM_EXPORT void dm_model_close(dm_model *m);

typedef struct dm_model_properties {
    uint32_t size;
    int32_t classes;               /* number of classes; 0 = no class labels */
    dm_shape shape;                /* of one example: [C,H,W] or [D] */
    int64_t label_width;           /* elements of a label if labels are vectors, else 0 */
    int64_t step;                  /* of the checkpoint */
    int64_t parameters;
    bool diffuses;                 /* a diffusion model, which can be sampled; false for a classifier */
    bool pixels;                   /* the training data are pixels */
    double low, high;              /* range of the data as the network sees it */
    /* Strings are valid until the model is closed. schedule and sampler are NULL if the experiment has none. */
    const char *name, *network, *objective, *schedule, *sampler;
    const char *device, *precision;
    const char *experiment;        /* the resolved experiment, as YAML */
    const char *latents;           /* the folder of the VAE that decodes the samples to pixels; NULL without one */
    const char *class_names;       /* separated by '/'; NULL if unknown */
    int32_t takes_class;           /* 1 if the network is class-conditional, else 0 */
    int32_t takes_none; /* 1 if it was trained with train.drop_condition, so it has a null class and can be guided */
    /* What it is conditioned on besides the class; valid until the model is closed. */
    const dm_condition *conditions;
    int64_t n_conditions;
    int64_t examples;              /* that it was trained on, as its checkpoint says; 0 = not known */
} dm_model_properties;

DM_EXPORT dm_status dm_model_info(const dm_model *m, dm_model_properties *out, dm_err *err);

/* x after step i of n; i = 0 is the initial noise. x: f32[n_images,...], `example` elements per image, for the images
 * [first, first + n_images) of the call's count. Valid during the callback. */
typedef struct dm_trace_info {
    uint32_t size;
    int32_t i, n;
    int64_t first, n_images, count, example;
    const float *x;
    double log_snr;                /* where x is: 2 ln(alpha / sigma), +-infinity at the ends */
} dm_trace_info;

/* A condition other than the class: x f32[shape], [N,...], of each image; with N = 1, of all. x = NULL: none, which a
 * model can take that was trained with train.drop_condition. */
typedef struct dm_condition_value { const char *name; const float *x; dm_shape shape; } dm_condition_value;

typedef struct dm_sample_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* for this call: "sampler.steps=20", "grid.use=karras" */
    const int64_t *seed;           /* NULL = the experiment's */
    int64_t count;                 /* number of images; 0 = as many as noise has, else 1 */
    int64_t first_index;           /* index of the first image; image i of a seed does not depend on the others */
    const int32_t *labels;         /* i32[count], classes; NULL = image i has class i mod classes */
    const float *noise;            /* f32[noise_shape], x at the first point; NULL = drawn from the seed */
    dm_shape noise_shape;
    const float *z;                /* f32[draws,count,...], used in turn as the steps' noise; NULL = drawn */
    int64_t draws;
    void (*trace)(void *trace_user, const dm_trace_info *t); /* called after each step; may be NULL */
    void *trace_user;
    const dm_callbacks *callbacks; /* NULL = those given to dm_model_open */
    /* Alternative to labels: n_classes classes, each the name of a class, its number or "none"; or "all" alone. count
     * images are drawn of each, one class after another. */
    const char *const *classes;
    int64_t n_classes;
    /* All that the model takes besides the class, in any order. If count is 0, as many images as a condition has. */
    const dm_condition_value *conditions;
    int64_t n_conditions;
    /* Editing: f32[start_shape], in the range of samples, N of them or one for all; noised to the grid's point nearest
     * to `strength` T, where sampling begins (Meng et al. 2022). Strength 0 returns them, 1 begins from pure noise. */
    const float *start;
    dm_shape start_shape;
    double strength;
    const float *mask;             /* f32[N,1,H,W] or [1,1,H,W], 1 where `start` is drawn anew, 0 where it is kept */
    dm_shape mask_shape;
    /* With a mask: each jump_length steps are taken `resamplings` times, with the noise of their beginning added before
     * each but the first (Lugmayr et al. 2022). 0 and 0: once. For samplers that take the grid's steps.        */
    int64_t jump_length, resamplings;
} dm_sample_options;

typedef struct dm_images {
    uint32_t size;
    int32_t steps;                 /* sampler steps; of an adaptive sampler those of the batch with the most */
    dm_shape shape;                /* [N,C,H,W] or [N,D] */
    float *x;                      /* pixels in [-1,1]; free with dm_images_free */
    bool pixels;                   /* the training data are pixels */
    int64_t evaluations;           /* network evaluations, each of a whole batch */
    double seconds;
    char about[512];               /* "demist 0.1.0 sampler=ddim steps=50 seed=1 checkpoint=3000" */
} dm_images;

DM_EXPORT dm_status dm_model_sample(dm_model *m, const dm_sample_options *o, dm_images *out, dm_err *err);
/* The noise that o->start comes from, f32[N,...], at the first point of the grid: sampling that begins with it as noise
 * gives nearly the same images. For samplers that go both ways (ddim with eta 0); strength and mask are not used. */
DM_EXPORT dm_status dm_model_invert(dm_model *m, const dm_sample_options *o, dm_images *out, dm_err *err);
DM_EXPORT void dm_images_free(dm_images *im);

typedef struct dm_upscale_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* as in dm_sample_options */
    const int64_t *seed;           /* NULL = the experiment's */
    const float *images;           /* f32[shape], in the range of samples */
    dm_shape shape;                /* [N,C,H,W]; H and W at least those of the model's condition `downscale` */
    int64_t overlap;               /* pixels of the small image that adjacent tiles share at least; 0 = half a tile */
    const char *class_name;        /* of a model with classes: which, by name or number */
    const dm_callbacks *callbacks; /* as in dm_sample_options */
} dm_upscale_options;

/* Images of any size enlarged by a super-resolution model (condition.derive: [downscale]): the network sees tiles that
 * overlap, and its outputs are averaged at each step (Bar-Tal et al. 2023). out is [N,C,factor H,factor W]. */
DM_EXPORT dm_status dm_model_upscale(dm_model *m, const dm_upscale_options *o, dm_images *out, dm_err *err);

typedef struct dm_predict_options {
    uint32_t size;
    dm_shape shape;                /* of x: [N,C,H,W] or [N,D]; N, H and W may differ from training */
    const float *x;
    const double *t;               /* f64[N], the network's time input: 0-based steps in simple, hybrid and vlb */
    const int32_t *labels;         /* i32[N]; NULL if the model has no classes */
    const float *vectors;          /* f32[N,vector_width] if the model's labels are vectors, else NULL */
    int64_t vector_width;
    const dm_callbacks *callbacks; /* as in dm_sample_options */
    const dm_condition_value *conditions; /* as in dm_sample_options */
    int64_t n_conditions;
} dm_predict_options;

/* Evaluates the network once: out = network(x, t, labels), f32[N,out_channels,...]. */
DM_EXPORT dm_status dm_model_predict(dm_model *m, const dm_predict_options *o, dm_images *out, dm_err *err);

/* ---- training ----------------------------------------------------------------------------------- */

/* A training run and its run folder. Calls on one training must not overlap. */
typedef struct dm_training dm_training;

typedef struct dm_train_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* "key.path=value" each */
    bool resume; /* continue from the newest checkpoint of the run folder, or start if there is none */
    bool overwrite; /* remove the files of an earlier run, once the new one can begin; excludes resume, data_changed */
    bool profile;                  /* log time, FLOP/s and GB/s of each kernel at the end */
    bool data_changed;             /* resume even though the data differ from those it was trained on */
    int32_t argc;                  /* the command line for the run folder's env.json; may be 0 */
    const char *const *argv;
    const dm_callbacks *callbacks;
    int64_t ranks;                 /* as dm_model_options.ranks */
} dm_train_options;

/* Prepares a training run from a YAML experiment, up to its first step: creates and locks the run folder. */
DM_EXPORT dm_status dm_training_open(const char *experiment, const dm_train_options *o, dm_training **out,
                                     dm_err *err);
/* Makes one optimizer step on the next batch, and logs its figures every train.log_every steps and after the last.
 * DM_EINVAL if all train.steps are done. DM_EDIVERGED names the first tensor that is not finite. DM_ECANCELLED if
 * callbacks.cancelled returns true within a step that takes seconds; the state is that before the step. */
DM_EXPORT dm_status dm_training_step(dm_training *t, dm_err *err);
/* Computes and logs the held-out loss on train.validate_count examples. If it is the lowest so far, the weights become
 * the run's best checkpoint. loss may be NULL. DM_ENOENT if the data have no test split. */
DM_EXPORT dm_status dm_training_validate(dm_training *t, double *loss, dm_err *err);
/* Saves a checkpoint of the last step; dm_train_options.resume continues from it bit for bit. */
DM_EXPORT dm_status dm_training_save(dm_training *t, dm_err *err);

typedef struct dm_training_state {
    uint32_t size;
    int64_t step, steps;           /* done, total */
    int64_t batch, micro_batch;    /* examples per step, and per micro-batch */
    int64_t parameters;
    int64_t saved;                 /* step of the run's last checkpoint; -1 = none */
    double learning_rate;          /* of the last step */
    double loss, grad_norm, images_per_s; /* last logged: means over train.log_every steps; NaN before */
    double best_loss;              /* lowest held-out loss so far; NaN before the first */
    const char *output;            /* the run folder; valid until the training is closed */
} dm_training_state;

DM_EXPORT dm_status dm_training_info(const dm_training *t, dm_training_state *out, dm_err *err);
/* Runs the remaining steps, with the held-out losses, samples and checkpoints that the experiment sets. DM_ECANCELLED
 * if callbacks.cancelled stopped it; a checkpoint is saved if a step has been done. The last step is saved if it is
 * not yet, also if dm_training_step made it. */
DM_EXPORT dm_status dm_training_run(dm_training *t, dm_err *err);
/* Frees the training without saving. t may be NULL. */
DM_EXPORT void dm_training_close(dm_training *t);

/* dm_training_open, dm_training_run and dm_training_close. */
DM_EXPORT dm_status dm_train(const char *experiment, const dm_train_options *o, dm_err *err);

typedef struct dm_check_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;
    bool explain;                  /* also a line per op: implementation, dimensions, FLOPs */
    /* Without errors: receives the resolved experiment, parameters, FLOPs and memory, line by line. May be NULL. */
    void (*line)(void *line_user, const char *text);
    void *line_user;
    const dm_callbacks *callbacks;
    int64_t data; /* 1: first read every example once and log each that cannot be read (DM_ECORRUPT) */
} dm_check_options;

/* Checks everything that training does before its first step. Logs all errors at DM_LOG_ERROR, not only the first.
 * experiment may also be a run folder, whose experiment is checked, or a checkpoint or a folder in diffusers' layout,
 * which is checked as a model, without data. */
DM_EXPORT dm_status dm_check(const char *experiment, const dm_check_options *o, dm_err *err);

/* ---- evaluation ----------------------------------------------------------------------------------- */

typedef struct dm_accuracy_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;
    bool raw;                      /* the raw weights instead of the first EMA */
    const dm_callbacks *callbacks;
    int64_t ranks;                 /* as dm_model_options.ranks */
} dm_accuracy_options;

typedef struct dm_accuracy {
    uint32_t size;
    int64_t step;                  /* of the checkpoint */
    int64_t count, correct;        /* images of the test split */
    double accuracy, error;        /* correct / count, and its standard error */
    double loss;                   /* mean cross-entropy, nats */
} dm_accuracy;

/* Accuracy of a classifier (one output per class) on the test split of its data. DM_EINVAL for other networks. */
DM_EXPORT dm_status dm_eval_accuracy(const char *run, const dm_accuracy_options *o, dm_accuracy *out, dm_err *err);

/* Cached results that depend only on the data, shared by the evaluations of several models or samplers. */
typedef struct dm_quality_kept dm_quality_kept;
DM_EXPORT void dm_quality_kept_free(dm_quality_kept *k);

/* The features of one set: "train", "samples" or "images", "test", "noise". x: f32[n,features]. */
typedef struct dm_features_info {
    uint32_t size;
    const char *set;
    dm_shape shape;
    const float *x;
} dm_features_info;

typedef struct dm_quality_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* of the experiment: sampler, steps, seed, data, device, ... */
    bool raw;                      /* sample with the raw weights instead of the first EMA */
    const char *features;          /* run folder or checkpoint of the network for the features */
    const char *layer;             /* the features are the input of this layer; NULL = the last */
    int64_t count;                 /* number of samples, 0 = 10000; of given images, the first count, 0 = all */
    /* Evaluated instead of samples, at most one of: images, f32[n,...] in the range of samples; data, overrides that
     * give a data set ("data.use=NAME", "data.file=..."), whose train split is used. */
    const float *images;
    dm_shape images_shape;
    const char *const *data;
    int32_t n_data;
    int32_t neighbours;            /* k of precision and recall; 0 = 3 */
    int64_t subsets, subset_size;  /* of KID; 0 = 100 subsets of 1000 */
    /* Called with each set's features; a status other than DM_OK ends the call and is returned. May be NULL. */
    dm_status (*features_done)(void *features_user, const dm_features_info *f, dm_err *err);
    void *features_user;
    /* Cache of the training images' features, floor and ceiling across calls; *kept is NULL at first. Reused if data,
     * features, seed and count are the same, else recomputed. Free with dm_quality_kept_free. May be NULL. */
    dm_quality_kept **kept;
    const dm_callbacks *callbacks;
    int64_t ranks;                 /* as dm_model_options.ranks */
    int64_t by_class;              /* 1: also compare the samples of each class with the test images of that class */
} dm_quality_options;

/* One set of images compared with the training split (docs/evaluation.md). */
typedef struct dm_quality_row {
    int64_t count;                 /* images in the set; 0 = no such set */
    double frechet, frechet_means; /* the distance, and the part of it due to the means */
    double kid, kid_error, kid_deviation; /* mean over subsets, its standard error, their deviation */
    int64_t kid_size;              /* images per subset */
    double precision, recall;
} dm_quality_row;

/* The samples of one class. */
typedef struct dm_quality_class {
    const char *name;              /* "" if the data do not name it */
    int64_t count;                 /* samples that were asked to be of it */
    double class_share;            /* of these, those that the classifier takes for it; NaN without a classifier */
    int64_t test;                  /* test images of it; 0 unless options.by_class */
    dm_quality_row row;            /* against these test images; row.count is 0 unless options.by_class */
} dm_quality_class;

typedef struct dm_quality {
    uint32_t size;
    int32_t neighbours;
    int64_t step, features_step;   /* of the checkpoint, and of the features' checkpoint */
    int64_t train, features;       /* images of the training split; features per image */
    int64_t subsets;
    dm_quality_row samples;
    dm_quality_row floor;          /* as many test images as samples: what real images reach */
    dm_quality_row ceiling;        /* Gaussian noise clipped to the range of the data */
    double seconds;                /* spent on sampling */
    char layer[160], hash[72];     /* of the network for the features; SHA-256 of its weights */
    char about[512];               /* as in dm_images; "" for given images */
    /* For a class-conditional model, if the network for the features is a classifier of the same classes: the share of
     * samples that it assigns to the requested class, and its standard error; else NaN. */
    double class_share, class_share_error;
    int64_t classes;
    dm_quality_class *by_class;    /* [classes]; NULL without class_share and options.by_class */
} dm_quality;

/* Frechet distance, KID, precision and recall of a model's samples, against its training data. */
DM_EXPORT dm_status dm_eval_quality(const char *run, const dm_quality_options *o, dm_quality *out, dm_err *err);
DM_EXPORT void dm_quality_free(dm_quality *q);

typedef struct dm_nll_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* of the experiment: sampler, data, device, ... */
    bool raw;                      /* the raw weights, not the first average */
    bool each;                     /* also return the terms of each image */
    int32_t steps;                 /* of the chain, placed as the sampler's; 0 = all T */
    int64_t count;                 /* the first count images of the test split; 0 = all */
    const dm_callbacks *callbacks;
    int64_t ranks;                 /* as dm_model_options.ranks */
} dm_nll_options;

/* A mean over images, and its standard error. */
typedef struct dm_mean { double mean, error; } dm_mean;

typedef struct dm_nll {
    uint32_t size;
    int32_t steps;                 /* of the chain */
    int64_t step, count;           /* of the checkpoint; number of images */
    dm_mean total, prior, rate, decoder; /* total = prior (L_T) + rate (sum of L_{t-1}) + decoder (L_0) */
    double *t;                     /* [steps], increasing: step k goes from t[k] to t[k - 1], step 0 to the data */
    dm_mean *terms;                /* [steps]: L_0, then L_{t-1} of each t[k] */
    double *each; /* f64[count,steps + 1]: terms and then L_T of each image; NULL unless options.each */
    bool learned;                  /* the variance of the steps is learned */
    double seconds;
    char sampler[64];              /* the sampler whose steps they are */
    int64_t levels;                /* of the data; 0 = continuous: L_0 and total are of a density */
} dm_nll;

/* The variational bound of a run's test split in bits per dimension, term by term (Ho et al. 2020, eq. 5;
 * docs/evaluation.md). DM_EDIVERGED names the image and the t whose term is not finite. */
DM_EXPORT dm_status dm_eval_nll(const char *run, const dm_nll_options *o, dm_nll *out, dm_err *err);
DM_EXPORT void dm_nll_free(dm_nll *n);

typedef struct dm_ode_nll_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* of the experiment: grid, data, device, ... */
    bool raw;                      /* the raw weights instead of the first EMA */
    bool each;                     /* also return the result of each example */
    int32_t steps;                 /* Runge-Kutta steps, placed by the grid; 0 = sampler.steps */
    /* Vectors of Hutchinson's estimate of the divergence; 0 = the exact divergence up to 64 dimensions, else 1. */
    int32_t probes;
    int64_t count;                 /* the first count examples of the test split; 0 = all */
    const dm_callbacks *callbacks;
    int64_t ranks;                 /* as dm_model_options.ranks */
} dm_ode_nll_options;

typedef struct dm_ode_nll {
    uint32_t size;
    int32_t steps;
    int32_t probes;                /* 0: the divergence is exact */
    int32_t levels; /* of the data, dequantized by uniform noise; 0 = continuous: total is of a density */
    int64_t step, count;           /* of the checkpoint; number of examples */
    int64_t evaluations;           /* of the network and its gradient, a batch each */
    dm_mean total;                 /* bits per dimension */
    double least;                  /* sigma / alpha where the walk ends: the noise of the model's data */
    double *each;                  /* f64[count]; NULL unless options.each */
    double seconds;
} dm_ode_nll;

/* The likelihood of a run's test split by the probability-flow ODE (Song et al. 2021, section 4.3;
 * docs/evaluation.md), for a network that can be differentiated with respect to x. DM_EDIVERGED names the example. */
DM_EXPORT dm_status dm_eval_ode_nll(const char *run, const dm_ode_nll_options *o, dm_ode_nll *out, dm_err *err);
DM_EXPORT void dm_ode_nll_free(dm_ode_nll *n);

typedef struct dm_loss_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;
    bool raw;                      /* the raw weights instead of the first EMA */
    bool all;                      /* the raw weights and each EMA */
    int64_t count;                 /* the first count examples of the test split; 0 = all */
    const dm_callbacks *callbacks;
    int64_t ranks;                 /* as dm_model_options.ranks */
} dm_loss_options;

enum { DM_LOSS_BANDS = 4, DM_LOSS_ROWS = 5 };
/* A set of weights ("raw", "ema.0", ...), the EMA's rate, the objective's loss, and the loss in each noise band. */
typedef struct dm_loss_row { char name[16]; double rate; dm_mean loss, band[DM_LOSS_BANDS]; } dm_loss_row;
typedef struct dm_loss {
    uint32_t size;
    int32_t bands, rows;           /* bands is 1 for a classifier */
    int64_t step, count;           /* of the checkpoint; number of examples */
    double from[DM_LOSS_BANDS + 1]; /* t at the start of each band, lowest noise first, and at the end */
    dm_loss_row row[DM_LOSS_ROWS];
} dm_loss;

/* The loss on a run's test split, with the same noise in every call (docs/evaluation.md). */
DM_EXPORT dm_status dm_eval_loss(const char *run, const dm_loss_options *o, dm_loss *out, dm_err *err);

/* ---- other programs' models -------------------------------------------------------------------------- */

typedef struct dm_export_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* of the experiment: sampler, ... */
    bool raw;                      /* the raw weights instead of the first EMA */
    bool overwrite;                /* the folder may exist */
    const dm_callbacks *callbacks;
} dm_export_options;

/* Writes a model to the folder dir in the format `to`: "diffusers". DM_EINVAL if the format cannot express the model;
 * err says what. */
DM_EXPORT dm_status dm_export(const char *run, const char *to, const char *dir, const dm_export_options *o,
                              dm_err *err);

typedef struct dm_convert_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* what the tensors do not define: network.heads=N, schedule.use=NAME, ... */
    int64_t height, width;         /* of its images; 0 = it cannot be sampled */
    bool by_part;                  /* qkv order: all queries, keys, values; false = per head */
    bool overwrite;                /* the file may exist */
    const dm_callbacks *callbacks;
} dm_convert_options;

/* Converts a UNet of improved-diffusion or guided-diffusion from safetensors to a checkpoint. DM_ECORRUPT if a tensor
 * is missing, unexpected or has the wrong shape; each is logged. */
DM_EXPORT dm_status dm_convert(const char *from, const char *to, const dm_convert_options *o, dm_err *err);

#ifdef __cplusplus
}
#endif
#endif
