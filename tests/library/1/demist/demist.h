/* demist/demist.h: training, sampling, prediction and evaluation from an application. The program `demist`
 * makes the same calls.
 *
 * Every call returns dm_status and writes why into *err; nothing is printed, no signal handler, locale,
 * environment or working directory is changed, and no state is global: calls from several threads may
 * run at once, each on a dm_model or dm_training of its own.
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
 * Structs begin with their size: set it with sizeof. What lies beyond it is neither read nor written, so that an
 * application goes on working with a newer library; 0 is refused. A newer application than the library may set
 * nothing that the library does not know: DM_EINVAL unless the rest is zero. Options that are all zero are the
 * defaults, and so is NULL in their place. Structs grow at their end alone; one without a size never changes.
 */
#ifndef DEMIST_DEMIST_H
#define DEMIST_DEMIST_H

#include <demist/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0" */
DM_EXPORT const char *dm_version(void);

/* ---- what a call tells its caller --------------------------------------------------------- */

typedef enum dm_log_level { DM_LOG_ERROR, DM_LOG_WARNING, DM_LOG_INFO, DM_LOG_DEBUG } dm_log_level;

typedef struct dm_progress_info {
    uint32_t size;
    const char *what;              /* "train", "sample" */
    int64_t step, steps;           /* done, in all; the first call of a command has those done before it */
    double per_step;               /* images of one step */
    double loss;                   /* NaN where there is none */
} dm_progress_info;

/* What a call tells its caller, and how it is stopped. Any member may be NULL. Copied before the call returns; user
 * must live as long as what was opened with it. */
typedef struct dm_callbacks {
    uint32_t size;
    void *user;
    void (*log)(void *user, dm_log_level level, const char *line);
    void (*progress)(void *user, const dm_progress_info *p);
    /* Asked between steps, and before that between kernels that are built: true stops training (DM_ECANCELLED), with a
     * checkpoint where there is a step to save, and sampling at once. */
    bool (*cancelled)(void *user);
} dm_callbacks;

/* ---- a trained model -------------------------------------------------------------------------- */

/* A run folder's newest whole checkpoint, a checkpoint, or a folder in diffusers' layout, on a device. Its calls may
 * not overlap. What a call sets up, it keeps: the next of the same shape begins at once. */
typedef struct dm_model dm_model;

typedef struct dm_model_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* "key.path=value" each: another sampler, steps, seed, ... than in training */
    const char *device;            /* "auto", "0:0", part of a name; NULL = as the experiment says */
    const char *precision;         /* "fp32", "bf16", "fp16"; NULL = as the experiment says */
    bool raw;                      /* the raw weights, not the first average */
    bool profile;                  /* log time, FLOP/s and GB/s of each kernel after each call */
    const dm_callbacks *callbacks; /* of this call and, unless they have their own, of those that follow */
} dm_model_options;

DM_EXPORT dm_status dm_model_open(const char *run, const dm_model_options *o, dm_model **out, dm_err *err);
DM_EXPORT void dm_model_close(dm_model *m);

typedef struct dm_model_properties {
    uint32_t size;
    int32_t classes;               /* of its labels; 0 = it has none */
    dm_shape shape;                /* of an example: C,H,W or D */
    int64_t label_width;           /* its labels are vectors of so many elements; 0 = they are not */
    int64_t step;                  /* of the checkpoint */
    int64_t parameters;
    bool diffuses;                 /* it can be sampled; a classifier cannot */
    bool pixels;                   /* the data were pixels */
    double low, high;              /* range of the data, as the network sees them */
    /* Valid until the model is closed. schedule and sampler are NULL where the experiment has none. */
    const char *name, *network, *objective, *schedule, *sampler;
    const char *device, *precision;
    const char *experiment;        /* resolved, as YAML */
} dm_model_properties;

DM_EXPORT dm_status dm_model_info(const dm_model *m, dm_model_properties *out, dm_err *err);

/* x after step i of n, i = 0 being the noise: f32[n_images,...] of `example` elements each, for images first.. of the
 * call's count. */
typedef struct dm_trace_info {
    uint32_t size;
    int32_t i, n;
    int64_t first, n_images, count, example;
    const float *x;
} dm_trace_info;

typedef struct dm_sample_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* for this call, of the sampler alone: "sampler.steps=20", "sampler.use=ddpm" */
    const int64_t *seed;           /* for this call; NULL = the experiment's */
    int64_t count;                 /* images; 0 = 1, or as many as noise has */
    int64_t first_index;           /* of the first image: image i of a seed is the same whatever is drawn with it */
    const int32_t *labels;         /* count classes; NULL = all of class i mod classes where the model has classes */
    const float *noise;            /* f32[noise_shape]: x at the noisiest point; NULL = drawn from the seed */
    dm_shape noise_shape;
    const float *z;                /* f32[draws,count,...]: taken in turn for each draw of fresh noise; NULL = drawn */
    int64_t draws;
    void (*trace)(void *trace_user, const dm_trace_info *t); /* after each step; may be NULL */
    void *trace_user;
    const dm_callbacks *callbacks; /* of this call; NULL = those that the model was opened with */
} dm_sample_options;

typedef struct dm_images {
    uint32_t size;
    int32_t steps;                 /* of the sampler */
    dm_shape shape;                /* N,C,H,W or N,D */
    float *x;                      /* pixels in [-1,1]; free with dm_images_free */
    bool pixels;                   /* the data were pixels */
    int64_t evaluations;           /* of the network, each for a whole batch */
    double seconds;
    char about[512];               /* "demist 0.1.0 sampler=ddim steps=50 seed=1 checkpoint=3000" */
} dm_images;

DM_EXPORT dm_status dm_model_sample(dm_model *m, const dm_sample_options *o, dm_images *out, dm_err *err);
DM_EXPORT void dm_images_free(dm_images *im);

typedef struct dm_predict_options {
    uint32_t size;
    dm_shape shape;                /* of x: N,C,H,W or N,D; N, H and W need not be the training's */
    const float *x;
    const double *t;               /* f64[N]: what the network is told, 0-based steps for the published objectives */
    const int32_t *labels;         /* NULL where the model has no classes */
    const float *vectors;          /* f32[N,vector_width], labels of a model whose labels are vectors; else NULL */
    int64_t vector_width;
    const dm_callbacks *callbacks; /* as in dm_sample_options */
} dm_predict_options;

/* The network alone: out = network(x, t, labels), f32[N,out_channels,...]. */
DM_EXPORT dm_status dm_model_predict(dm_model *m, const dm_predict_options *o, dm_images *out, dm_err *err);

/* ---- training ----------------------------------------------------------------------------------- */

/* A training run at work, with its run folder. Its calls may not overlap. */
typedef struct dm_training dm_training;

typedef struct dm_train_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* "key.path=value" each */
    bool resume; /* go on from the newest checkpoint of the run folder; from the start if there is none */
    bool overwrite;                /* remove what an earlier run left */
    bool profile;                  /* log time, FLOP/s and GB/s of each kernel at the end */
    bool data_changed;             /* go on although the data are not those it was trained on so far */
    int32_t argc;                  /* kept in the run folder's env.json; may be 0 */
    const char *const *argv;
    const dm_callbacks *callbacks;
} dm_train_options;

/* All that comes before the first step of the experiment in a YAML file: its run folder is there and locked. */
DM_EXPORT dm_status dm_training_open(const char *experiment, const dm_train_options *o, dm_training **out,
                                     dm_err *err);
/* One optimizer step on the next batch; every train.log_every steps, and after the last, its numbers are logged. After
 * the last step of train.steps, DM_EINVAL. DM_EDIVERGED names the first tensor that is not finite. */
DM_EXPORT dm_status dm_training_step(dm_training *t, dm_err *err);
/* The loss on held-out data (train.validate_count of it), logged; where it is the least so far, the weights are kept
 * as the run's best checkpoint. loss may be NULL. DM_ENOENT where the data have no test split. */
DM_EXPORT dm_status dm_training_validate(dm_training *t, double *loss, dm_err *err);
/* A checkpoint of the last step, from which dm_train_options.resume goes on bit for bit. */
DM_EXPORT dm_status dm_training_save(dm_training *t, dm_err *err);

typedef struct dm_training_state {
    uint32_t size;
    int64_t step, steps;           /* done, in all */
    int64_t batch, micro_batch;    /* examples of a step, and at once */
    int64_t parameters;
    int64_t saved;                 /* the step of the last checkpoint of this run; -1 = there is none */
    double learning_rate;          /* of the last step */
    double loss, grad_norm, images_per_s; /* as last logged: means over train.log_every steps; NaN before */
    double best_loss;              /* the least held-out loss; NaN before */
    const char *output;            /* the run folder; valid until the training is closed */
} dm_training_state;

DM_EXPORT dm_status dm_training_info(const dm_training *t, dm_training_state *out, dm_err *err);
/* The rest of the steps, with held-out losses, samples and checkpoints as the experiment says. DM_ECANCELLED: stopped
 * on request, a checkpoint is saved where there is a step to save. */
DM_EXPORT dm_status dm_training_run(dm_training *t, dm_err *err);
/* Saves nothing. */
DM_EXPORT void dm_training_close(dm_training *t);

/* Opens, runs, closes. */
DM_EXPORT dm_status dm_train(const char *experiment, const dm_train_options *o, dm_err *err);

typedef struct dm_check_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;
    bool explain;                  /* also a line for each op: implementation, extents, work */
    /* When clean: the resolved experiment, parameters, work and memory, line by line. May be NULL. */
    void (*line)(void *line_user, const char *text);
    void *line_user;
    const dm_callbacks *callbacks;
} dm_check_options;

/* Would it train and sample? Everything that training does before its first step; all faults go to the log at
 * DM_LOG_ERROR. */
DM_EXPORT dm_status dm_check(const char *experiment, const dm_check_options *o, dm_err *err);

/* ---- evaluation ----------------------------------------------------------------------------------- */

typedef struct dm_accuracy_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;
    bool raw;                      /* the raw weights, not the first average */
    const dm_callbacks *callbacks;
} dm_accuracy_options;

typedef struct dm_accuracy {
    uint32_t size;
    int64_t step;                  /* of the checkpoint */
    int64_t count, correct;        /* images of the test split */
    double accuracy, error;        /* correct / count, and its standard error */
    double loss;                   /* mean of -ln of the label's probability */
} dm_accuracy;

/* How often a run whose network gives one output a class is right on its data's test split. */
DM_EXPORT dm_status dm_eval_accuracy(const char *run, const dm_accuracy_options *o, dm_accuracy *out, dm_err *err);

/* What of it concerns the data alone, so that many models or samplers cost it once. */
typedef struct dm_quality_kept dm_quality_kept;
DM_EXPORT void dm_quality_kept_free(dm_quality_kept *k);

/* A set's features: "train", "samples" or "images", "test", "noise"; x f32[shape], [n,features]. */
typedef struct dm_features_info {
    uint32_t size;
    const char *set;
    dm_shape shape;
    const float *x;
} dm_features_info;

typedef struct dm_quality_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* another sampler, steps, seed, data, device, ... than in training */
    bool raw;                      /* sample with the raw weights, not their first average */
    const char *features;          /* run folder or checkpoint whose network gives the features */
    const char *layer;             /* the layer of it whose input is taken; NULL = the last */
    int64_t count;                 /* samples; 0 = 10000. Of given images: the first so many, 0 = all */
    /* These instead of samples: f32[n,...] in the scale of samples, or a data set, told by overrides
     * ("data.use=NAME", "data.file=..."), of which the train split is taken. At most one of both. */
    const float *images;
    dm_shape images_shape;
    const char *const *data;
    int32_t n_data;
    int32_t neighbours;            /* 0 = 3 */
    int64_t subsets, subset_size;  /* 0 = 100 subsets of 1000 */
    /* Each set's features as they come; another status than DM_OK ends the call with it. May be NULL. */
    dm_status (*features_done)(void *features_user, const dm_features_info *f, dm_err *err);
    void *features_user;
    /* Where the training images' features, floor and ceiling are kept from call to call, NULL at first; used again
     * where data, features, seed and count are the same, else made anew. May be NULL. */
    dm_quality_kept **kept;
    const dm_callbacks *callbacks;
} dm_quality_options;

/* One set of images against the training split. */
typedef struct dm_quality_row {
    int64_t count;                 /* images of the set; 0 = there is none */
    double frechet, frechet_means; /* the whole distance, and the part of it that the means make */
    double kid, kid_error, kid_deviation; /* mean over subsets, its standard error, standard deviation of a subset's */
    int64_t kid_size;              /* of a subset */
    double precision, recall;
} dm_quality_row;

typedef struct dm_quality {
    uint32_t size;
    int32_t neighbours;
    int64_t step, features_step;   /* of the checkpoint, and of that of the features' network */
    int64_t train, features;       /* images of the training split; features of each */
    int64_t subsets;
    dm_quality_row samples;
    dm_quality_row floor;          /* test images, as many as there are samples: as near as new real images come */
    dm_quality_row ceiling;        /* Gaussian noise held in the data's range */
    double seconds;                /* that sampling took */
    char layer[160], hash[72];     /* of the features' network; SHA-256 of its weights (docs/evaluation.md) */
    char about[512];               /* of the samples, as in dm_images; "" with given images */
} dm_quality;

/* How near a model's samples are to the data that it was trained on. */
DM_EXPORT dm_status dm_eval_quality(const char *run, const dm_quality_options *o, dm_quality *out, dm_err *err);

typedef struct dm_nll_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* another sampler, data, device, ... than in training */
    bool raw;                      /* the raw weights, not the first average */
    bool each;                     /* keep the terms of each image */
    int32_t steps;                 /* of the chain, spaced as the sampler says; 0 = all T */
    int64_t count;                 /* the first so many images of the test split; 0 = all */
    const dm_callbacks *callbacks;
} dm_nll_options;

/* A mean over images with its standard error. */
typedef struct dm_mean { double mean, error; } dm_mean;

typedef struct dm_nll {
    uint32_t size;
    int32_t steps;                 /* of the chain */
    int64_t step, count;           /* of the checkpoint; images */
    dm_mean total, prior, rate, decoder; /* the bound; L_T; all L_{t-1}; L_0: total = prior + rate + decoder */
    double *t;                     /* [steps], rising: where step k begins; it goes to t[k - 1], step 0 to the data */
    dm_mean *terms;                /* [steps]: L_0, then L_{t-1} of t[k] */
    double *each; /* f64[count,steps + 1]: the terms of each image, then its L_T; NULL unless asked for */
    bool learned;                  /* the steps' variance is the network's */
    double seconds;
    char sampler[64];              /* whose steps they are */
} dm_nll;

/* Bits a dimension of a run's test split: the variational bound, each term apart (docs/evaluation.md). DM_EDIVERGED
 * names the image and the t whose term is not finite. */
DM_EXPORT dm_status dm_eval_nll(const char *run, const dm_nll_options *o, dm_nll *out, dm_err *err);
DM_EXPORT void dm_nll_free(dm_nll *n);

typedef struct dm_loss_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;
    bool raw;                      /* the raw weights, not the first average */
    bool all;                      /* the raw weights and each average */
    int64_t count;                 /* the first so many examples of the test split; 0 = all */
    const dm_callbacks *callbacks;
} dm_loss_options;

enum { DM_LOSS_BANDS = 4, DM_LOSS_ROWS = 5 };
/* A set of weights: "raw", "ema.0", ...; the average's rate; the objective's loss, and that of each band of noise. */
typedef struct dm_loss_row { char name[16]; double rate; dm_mean loss, band[DM_LOSS_BANDS]; } dm_loss_row;
typedef struct dm_loss {
    uint32_t size;
    int32_t bands, rows;           /* 1 band where nothing diffuses */
    int64_t step, count;           /* of the checkpoint; examples */
    double from[DM_LOSS_BANDS + 1]; /* the t where each band begins, the least noise first, and where the last ends */
    dm_loss_row row[DM_LOSS_ROWS];
} dm_loss;

/* The loss on held-out data, a run's test split, with noise that is the same in each call (docs/evaluation.md). */
DM_EXPORT dm_status dm_eval_loss(const char *run, const dm_loss_options *o, dm_loss *out, dm_err *err);

/* ---- models of other programs ------------------------------------------------------------------------ */

typedef struct dm_export_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* another sampler than in training, ... */
    bool raw;                      /* the raw weights, not the first average */
    bool overwrite;                /* the folder may be there */
    const dm_callbacks *callbacks;
} dm_export_options;

/* Writes a model into a folder in the format `to`, "diffusers" so far. DM_EINVAL says what it cannot express. */
DM_EXPORT dm_status dm_export(const char *run, const char *to, const char *dir, const dm_export_options *o,
                              dm_err *err);

typedef struct dm_convert_options {
    uint32_t size;
    int32_t n_overrides;
    const char *const *overrides;  /* what the tensors do not tell: network.heads=N, schedule.use=NAME, ... */
    int64_t height, width;         /* of its images; 0: it cannot be sampled */
    bool by_part;                  /* queries, keys and values each by themselves; false: head by head */
    bool overwrite;                /* the file may be there */
    const dm_callbacks *callbacks;
} dm_convert_options;

/* Reads a UNet of improved-diffusion or guided-diffusion from safetensors and writes it as a checkpoint. DM_ECORRUPT
 * where a tensor is missing, too many or of another shape; each is in the log. */
DM_EXPORT dm_status dm_convert(const char *from, const char *to, const dm_convert_options *o, dm_err *err);

#ifdef __cplusplus
}
#endif
#endif
