/* demist/demist.h: training, sampling and prediction from an application. The program `demist` makes
 * the same calls.
 *
 * Every call returns dm_status and writes why into *err; nothing is printed, no signal handler, locale,
 * environment or working directory is changed, and no state is global: calls from several threads may
 * run at once, each on devices of its own. Structs begin with their size: set it with sizeof.
 *
 *     dm_err err = {0};
 *     dm_images out = {.size = sizeof out};
 *     dm_sample_options o = {.size = sizeof o, .count = 16};
 *     if (dm_sample("runs/fashion-mnist", &o, &out, &err))
 *         fprintf(stderr, "%s\n", err.msg);
 *     ... out.x is f32[16,1,28,28] ...
 *     dm_images_free(&out);
 */
#ifndef DEMIST_DEMIST_H
#define DEMIST_DEMIST_H

#include <demist/plugin.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0" */
DM_EXPORT const char *dm_version(void);

typedef enum dm_log_level { DM_LOG_ERROR, DM_LOG_WARNING, DM_LOG_INFO, DM_LOG_DEBUG } dm_log_level;

typedef struct dm_progress_info {
    uint32_t size;
    const char *what;              /* "train", "sample" */
    int64_t step, steps;           /* done, in all; the first call of a command has those done before it */
    double per_step;               /* images of one step */
    double loss;                   /* NaN where there is none */
} dm_progress_info;

/* What a call tells its caller, and how it is stopped. Any member may be NULL. */
typedef struct dm_callbacks {
    uint32_t size;
    void *user;
    void (*log)(void *user, dm_log_level level, const char *line);
    void (*progress)(void *user, const dm_progress_info *p);
    /* Asked between steps, and before that between kernels that are built: true stops training (DM_ECANCELLED), with a
     * checkpoint where there is a step to save, and sampling at once. */
    bool (*cancelled)(void *user);
} dm_callbacks;

typedef struct dm_train_options {
    uint32_t size;
    const char *const *overrides;  /* "key.path=value" each */
    int32_t n_overrides;
    bool resume; /* go on from the newest checkpoint of the run folder; from the start if there is none */
    bool overwrite;                /* remove what an earlier run left */
    bool profile;                  /* log time, FLOP/s and GB/s of each kernel at the end */
    int32_t argc;                  /* kept in the run folder's env.json; may be 0 */
    const char *const *argv;
    dm_callbacks callbacks;
    bool data_changed;             /* go on although the data are not those it was trained on so far */
} dm_train_options;

/* Trains the experiment in a YAML file; its run folder is said in the log. DM_ECANCELLED: stopped on
 * request, a checkpoint is saved where there is a step to save. */
DM_EXPORT dm_status dm_train(const char *experiment, const dm_train_options *o, dm_err *err);

typedef struct dm_check_options {
    uint32_t size;
    const char *const *overrides;
    int32_t n_overrides;
    bool explain;                  /* also a line for each op: implementation, extents, work */
    dm_callbacks callbacks;
} dm_check_options;

/* Would it train and sample? Everything that training does before its first step; all faults go to the log at
 * DM_LOG_ERROR. When clean, text lines go to `line`: the resolved experiment, parameters, work and memory. */
DM_EXPORT dm_status dm_check(const char *experiment, const dm_check_options *o,
                             void (*line)(void *user, const char *text), void *user, dm_err *err);

typedef struct dm_sample_options {
    uint32_t size;
    const char *const *overrides;  /* another sampler, steps, seed, device, ... than in training */
    int32_t n_overrides;
    bool raw;                      /* the raw weights, not the first average */
    bool profile;
    int64_t count;                 /* images; 0 = 1, or as many as noise has */
    int64_t first_index;           /* of the first image: image i of a seed is the same whatever is drawn with it */
    const int32_t *labels;         /* count classes; NULL = all of class i mod classes where the model has classes */
    const float *noise;            /* f32[count,...]: x at the noisiest point; NULL = drawn from the seed */
    dm_shape noise_shape;          /* of noise */
    const float *z;                /* f32[draws,count,...]: taken in turn for each draw of fresh noise; NULL = drawn */
    int64_t draws;
    /* x after i of n steps, f32[n_images,...] of `example` elements each, for images first.. of this call;
     * i = 0 is the noise. May be NULL. */
    void *trace_user;
    void (*trace)(void *trace_user, int32_t i, int32_t n, int64_t first, int64_t n_images, int64_t count,
                  int64_t example, const float *x);
    /* What will be drawn, before any of it is; another status than DM_OK ends the call with it. May be NULL. */
    void *begin_user;
    dm_status (*begin)(void *begin_user, const dm_shape *shape, dm_err *err);
    dm_callbacks callbacks;
} dm_sample_options;

typedef struct dm_images {
    uint32_t size;
    dm_shape shape;                /* N,C,H,W or N,D */
    float *x;                      /* pixels in [-1,1]; free with dm_images_free */
    bool pixels;                   /* the data were pixels */
    int32_t steps;                 /* of the sampler */
    int64_t evaluations;           /* of the network, each for a whole batch */
    double seconds;
    char about[512];               /* "demist 0.1.0 sampler=ddim steps=50 seed=1 checkpoint=3000" */
} dm_images;

/* Samples from a run folder or a checkpoint. */
DM_EXPORT dm_status dm_sample(const char *run, const dm_sample_options *o, dm_images *out, dm_err *err);
DM_EXPORT void dm_images_free(dm_images *im);

typedef struct dm_predict_options {
    uint32_t size;
    const char *const *overrides;
    int32_t n_overrides;
    bool raw;
    bool profile;
    dm_shape shape;                /* of x: N,C,H,W or N,D; N, H and W need not be the training's */
    const float *x;
    const double *t;               /* f64[N]: what the network is told, 0-based steps for the published objectives */
    const int32_t *labels;         /* NULL where the model has no classes */
    dm_callbacks callbacks;
    const float *vectors;          /* f32[N,vector_width], labels of a model whose labels are vectors; else NULL */
    int64_t vector_width;
} dm_predict_options;

/* The network alone: out = network(x, t, labels), f32[N,out_channels,...]. */
DM_EXPORT dm_status dm_predict(const char *run, const dm_predict_options *o, dm_images *out, dm_err *err);

typedef struct dm_accuracy_options {
    uint32_t size;
    const char *const *overrides;
    int32_t n_overrides;
    bool raw;                      /* the raw weights, not the first average */
    dm_callbacks callbacks;
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

typedef struct dm_quality_options {
    uint32_t size;
    const char *const *overrides;  /* another sampler, steps, seed, data, device, ... than in training */
    int32_t n_overrides;
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
    /* 0 = 100 subsets of 1000, 3 neighbours */
    int64_t subsets, subset_size;
    int32_t neighbours;
    /* Each set's features as they come, f32[n,features]: "train", "samples" or "images", "test", "noise". May be NULL.
     */
    void *features_user;
    dm_status (*features_done)(void *features_user, const char *set, const dm_shape *shape, const float *x,
                               dm_err *err);
    dm_callbacks callbacks;
    /* Where the training images' features, floor and ceiling are kept from call to call, NULL at first; used again
     * where data, features, seed and count are the same, else made anew. May be NULL. */
    dm_quality_kept **kept;
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
    int64_t step, features_step;   /* of the checkpoint, and of that of the features' network */
    int64_t train, features;       /* images of the training split; features of each */
    char layer[160], hash[65];     /* of the features' network; SHA-256 of its weights (docs/evaluation.md) */
    int64_t subsets;
    int32_t neighbours;
    dm_quality_row samples;
    dm_quality_row floor;          /* test images, as many as there are samples: as near as new real images come */
    dm_quality_row ceiling;        /* Gaussian noise held in the data's range */
    char about[512];               /* of the samples, as in dm_images; "" with given images */
    double seconds;                /* that sampling took */
} dm_quality;

/* How near a model's samples are to the data that it was trained on. */
DM_EXPORT dm_status dm_eval_quality(const char *run, const dm_quality_options *o, dm_quality *out, dm_err *err);

typedef struct dm_nll_options {
    uint32_t size;
    const char *const *overrides;  /* another sampler, data, device, ... than in training */
    int32_t n_overrides;
    bool raw;                      /* the raw weights, not the first average */
    int64_t count;                 /* the first so many images of the test split; 0 = all */
    int32_t steps;                 /* of the chain, spaced as the sampler says; 0 = all T */
    bool each;                     /* keep the terms of each image */
    dm_callbacks callbacks;
} dm_nll_options;

/* A mean over images with its standard error. */
typedef struct dm_mean { double mean, error; } dm_mean;

typedef struct dm_nll {
    uint32_t size;
    int64_t step, count;           /* of the checkpoint; images */
    int32_t steps;                 /* of the chain */
    bool learned;                  /* the steps' variance is the network's */
    char sampler[64];              /* whose steps they are */
    dm_mean total, prior, rate, decoder; /* the bound; L_T; all L_{t-1}; L_0: total = prior + rate + decoder */
    double *t;                     /* [steps], rising: where step k begins; it goes to t[k - 1], step 0 to the data */
    dm_mean *terms;                /* [steps]: L_0, then L_{t-1} of t[k] */
    double *each; /* f64[count,steps + 1]: the terms of each image, then its L_T; NULL unless asked for */
    double seconds;
} dm_nll;

/* Bits a dimension of a run's test split: the variational bound, each term apart (docs/evaluation.md). DM_EDIVERGED
 * names the image and the t whose term is not finite. */
DM_EXPORT dm_status dm_eval_nll(const char *run, const dm_nll_options *o, dm_nll *out, dm_err *err);
DM_EXPORT void dm_nll_free(dm_nll *n);

typedef struct dm_loss_options {
    uint32_t size;
    const char *const *overrides;
    int32_t n_overrides;
    bool raw;                      /* the raw weights, not the first average */
    bool all;                      /* the raw weights and each average */
    int64_t count;                 /* the first so many examples of the test split; 0 = all */
    dm_callbacks callbacks;
} dm_loss_options;

enum { DM_LOSS_BANDS = 4, DM_LOSS_ROWS = 5 };
/* A set of weights: "raw", "ema.0", ...; the average's rate; the objective's loss, and that of each band of noise. */
typedef struct dm_loss_row { char name[16]; double rate; dm_mean loss, band[DM_LOSS_BANDS]; } dm_loss_row;
typedef struct dm_loss {
    uint32_t size;
    int64_t step, count;           /* of the checkpoint; examples */
    int32_t bands, rows;           /* 1 band where nothing diffuses */
    double from[DM_LOSS_BANDS + 1]; /* the t where each band begins, the least noise first, and where the last ends */
    dm_loss_row row[DM_LOSS_ROWS];
} dm_loss;

/* The loss on held-out data, a run's test split, with noise that is the same in each call (docs/evaluation.md). */
DM_EXPORT dm_status dm_eval_loss(const char *run, const dm_loss_options *o, dm_loss *out, dm_err *err);

typedef struct dm_export_options {
    uint32_t size;
    const char *const *overrides;  /* another sampler than in training, ... */
    int32_t n_overrides;
    bool raw;                      /* the raw weights, not the first average */
    bool overwrite;                /* the folder may be there */
    dm_callbacks callbacks;
} dm_export_options;

/* Writes a model into a folder in the format `to`, "diffusers" so far. DM_EINVAL says what it cannot express. */
DM_EXPORT dm_status dm_export(const char *run, const char *to, const char *dir, const dm_export_options *o,
                              dm_err *err);

typedef struct dm_convert_options {
    uint32_t size;
    const char *const *overrides;  /* what the tensors do not tell: network.heads=N, schedule.use=NAME, ... */
    int32_t n_overrides;
    int64_t height, width;         /* of its images; 0: it cannot be sampled */
    bool by_part;                  /* queries, keys and values each by themselves; false: head by head */
    bool overwrite;                /* the file may be there */
    dm_callbacks callbacks;
} dm_convert_options;

/* Reads a UNet of improved-diffusion or guided-diffusion from safetensors and writes it as a checkpoint. DM_ECORRUPT
 * where a tensor is missing, too many or of another shape; each is in the log. */
DM_EXPORT dm_status dm_convert(const char *from, const char *to, const dm_convert_options *o, dm_err *err);

#ifdef __cplusplus
}
#endif
#endif
