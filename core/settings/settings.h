/* What an experiment may say outside of its plugins: one struct a section, one parameter row a
 * key (settings.c), parsed, checked and documented by the same engine as the plugins' own. */
#ifndef DEMIST_CORE_SETTINGS_H
#define DEMIST_CORE_SETTINGS_H

#include <demist/plugin.h>

typedef struct dm_set_run {
    const char *name;
    int64_t seed;
    const char *device;
    const char *output;            /* absolute; as read, "" = runs/<name> */
    const char *plugin_path;       /* absolute folders separated by ':' */
    int32_t precision;             /* DM_PRECISION_* */
    int32_t matmul_precision;      /* DM_PRODUCTS_* */
    bool deterministic;
    int32_t tune;                  /* dm_tune (choices.h) */
    bool allow_nan;                /* weights that are read may be NaN or infinite */
} dm_set_run;
enum { DM_PRECISION_FP32, DM_PRECISION_BF16, DM_PRECISION_FP16 };
enum { DM_PRODUCTS_HIGH, DM_PRODUCTS_HIGHEST };

typedef struct dm_set_data {
    dm_ints size;                  /* [] as the data is; [s] or [h, w]: resized to */
    int32_t crop;                  /* DM_CROP_*, to the target's aspect before resizing */
    bool flip;                     /* mirror half of the training images */
    int64_t channels;              /* 0 as the data has */
    int64_t limit;                 /* use the first n examples; 0 = all */
    int64_t workers;               /* threads that read ahead */
} dm_set_data;
enum { DM_CROP_NONE, DM_CROP_CENTER, DM_CROP_RANDOM };

typedef struct dm_set_condition {
    dm_ints derive;                /* DM_DERIVE_*, of each example's own x */
    int64_t factor;                /* of downscale */
    double hole, noise;            /* of mask, of noised */
    const char *vector, *test_vector, *sequence, *test_sequence; /* files, "" = none */
} dm_set_condition;
enum { DM_DERIVE_DOWNSCALE, DM_DERIVE_MASK, DM_DERIVE_GREY, DM_DERIVE_NOISED };

typedef struct dm_set_schedule { int64_t timesteps; bool zero_terminal_snr; } dm_set_schedule;

typedef struct dm_set_objective { int32_t draw, coupling; } dm_set_objective;
enum { DM_DRAW_UNIFORM, DM_DRAW_STRATIFIED, DM_DRAW_IMPORTANCE };
enum { DM_COUPLING_INDEPENDENT, DM_COUPLING_IMMISCIBLE, DM_COUPLING_OT };
enum { DM_COUPLING_MOST = 16384 }; /* examples of a batch: their distances, 8 bytes a pair, are 2 GiB */

typedef struct dm_set_sampler {
    int64_t steps;                 /* 0 = all T of the schedule */
    const char *clip;              /* auto | off | number | dynamic */
    double dynamic_ratio, dynamic_max;
    bool clip_eps;                 /* eps follows the clipped x0 */
    int64_t batch;                 /* images at once; 0 = what fits, at most 64 */
} dm_set_sampler;

typedef struct dm_set_guidance { const char *guide; } dm_set_guidance; /* a run or checkpoint; "" = none */

typedef struct dm_set_train {
    int64_t steps, batch, micro_batch; /* micro_batch 0 = what fits */
    bool recompute;
    double lr, beta1, beta2, eps, weight_decay, clip; /* clip 0 = off */
    int64_t warmup;                /* steps from 0 to lr */
    int32_t decay;                 /* DM_DECAY_* after warm-up */
    double min_lr;
    dm_reals ema;                  /* rates; the first is sampled from; [] = none */
    bool ema_warmup;               /* rate min(ema, (1 + s) / (10 + s)) */
    int64_t log_every, save_every, keep, sample_every, sample_count;
    int64_t validate_every, validate_count; /* 0 = never; images of the test split, 0 = all */
    int32_t reduce_precision;      /* DM_REDUCE_* */
    bool shard_optimizer;          /* each rank has a part of the moments */
    dm_reals shares;               /* of the batch, one for each rank; [] = by speed, one number = even */
    dm_reals drop_condition;       /* share of examples whose conditions are null: of all together, or of each, in
                                    * their order */
    const char *from;              /* weights to start from: a run, checkpoint or folder; "" = fresh */
} dm_set_train;
enum { DM_DECAY_CONSTANT, DM_DECAY_LINEAR, DM_DECAY_COSINE };
enum { DM_REDUCE_FP32, DM_REDUCE_BF16 };
enum { DM_MAX_EMA = 4 };

/* The sections in the order that a resolved file has them. */
typedef enum dm_section_id {
    DM_SEC_RUN, DM_SEC_DATA, DM_SEC_CONDITION, DM_SEC_SCHEDULE, DM_SEC_NETWORK, DM_SEC_OBJECTIVE, DM_SEC_SAMPLER,
    DM_SEC_GRID, DM_SEC_GUIDANCE, DM_SEC_TRAIN,
    DM_SEC_COUNT
} dm_section_id;

typedef struct dm_settings_table {
    const char *name;              /* YAML key of the section; "" = top level */
    const dm_param *rows;
    uint32_t size;                 /* of the struct */
    bool plugin;                   /* has `use` */
    const char *doc;
    bool sampling;                 /* decides samples alone: training, and what it made, stay what they are */
} dm_settings_table;
extern const dm_settings_table dm_settings[DM_SEC_COUNT];

/* Whether "section", "section.key" or "section.key=value" is of a section that decides samples alone. */
bool dm_settings_of_sampling(const char *key);

#endif
