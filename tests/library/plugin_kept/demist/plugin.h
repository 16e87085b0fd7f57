/* demist/plugin.h: the complete interface between demist and its plugins.
 *
 * A plugin is one .c file that includes only this header and libc headers, links
 * no library, and exports one symbol: the const table `dm_plugin_entry`, of
 * exactly one kind. The host reads name, docs and parameters from it before it
 * calls any of its functions.
 *
 * Compatibility: fields are only appended, never reordered or reused. A struct
 * that begins with its size may grow; test a later field with DM_HAS() before
 * reading it. A struct without a size never changes. Any other change raises
 * the major version.
 *
 * Threads: calls into one instance of a plugin (one `self`) never overlap, except
 * where dm_dataset says so. Two instances may run concurrently: no writable statics.
 *
 * Pointers: what the host passes to a callback is valid only during that call,
 * unless stated otherwise. What a plugin passes to the host is copied before the
 * call returns, except dm_op and dm_plugin, which must be static.
 */
#ifndef DEMIST_PLUGIN_H
#define DEMIST_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The host accepts plugins of the same major and of a minor up to its own; with major 0, exactly its own version. */
#define DM_ABI_OF(major, minor) ((uint32_t)(major) << 16 | (uint32_t)(minor))
#define DM_ABI DM_ABI_OF(0, 10)
#define DM_HAS(T, p, field) ((p)->size >= offsetof(T, field) + sizeof((p)->field))

#if defined(__GNUC__)
#define DM_EXPORT __attribute__((visibility("default")))
#define DM_PRINTF(f, a) __attribute__((format(printf, f, a)))
#else
#define DM_EXPORT
#define DM_PRINTF(f, a)
#endif

typedef struct dm_host dm_host;
typedef struct dm_graph dm_graph;
typedef struct dm_tensor dm_tensor; /* device array, f32, row-major; see dm_host.shape */
typedef struct dm_kernel dm_kernel; /* compiled kernel, cached by the host */
typedef int32_t dm_val;             /* a value of a graph; 0 or above if valid */
enum { DM_NONE = INT32_MIN };       /* an absent input; any other negative value has failed */

/* Dimensions, slowest first. The host sets dim[rank..8) to 1 and ignores it in a plugin's shape. Images are [N,C,H,W],
 * tokens [N,L,D], points [N,D]. */
typedef struct dm_shape { int32_t rank; int64_t dim[8]; } dm_shape;

/* ---- errors ------------------------------------------------------------ */

typedef enum dm_status {
    DM_OK = 0,
    DM_EINVAL = -1,    /* invalid value in YAML or argument                 */
    DM_ENOENT = -2,    /* file, plugin, kernel or key not found             */
    DM_EIO = -3,       /* read or write failed                              */
    DM_ENOMEM = -4,    /* host or device memory exhausted                   */
    DM_ENOSPC = -5,    /* disk full                                         */
    DM_EDEVICE = -6,   /* OpenCL or CLBlast call failed                     */
    DM_ECORRUPT = -7,  /* invalid or damaged file                           */
    DM_EDIVERGED = -8, /* a loss or weight is not finite                    */
    DM_EABI = -9,      /* plugin rejected                                   */
    DM_ECANCELLED = -10, /* stopped on request                              */
} dm_status;

typedef struct dm_err { dm_status code; char msg[1024]; } dm_err;

/* A callback's context. Valid only during that call. */
typedef struct dm_ctx {
    const dm_host *host; /* the host's services, never NULL                  */
    const void *cfg;     /* the plugin's config struct, filled and range-checked; paths are
                          * absolute, or "" if their default is ""          */
    void *self;          /* the plugin's state, self_size bytes, zeroed once, kept between
                          * calls until close(), never saved                */
    dm_err *err;         /* written only by dm_fail()                       */
} dm_ctx;

/* Sets the error and returns its code: return dm_fail(c, DM_EINVAL, "..."). A message that begins with the name of one
 * of the plugin's parameters ("width is 7; ...") is reported at that parameter's line and column. */
DM_PRINTF(3, 4) static inline dm_status
dm_fail(dm_ctx *c, dm_status code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(c->err->msg, sizeof c->err->msg, fmt, ap);
    va_end(ap);
    return c->err->code = code;
}

/* Like dm_fail, but appends the message as a line to those already set, to report several errors at once. */
DM_PRINTF(3, 4) static inline dm_status
dm_fail_also(dm_ctx *c, dm_status code, const char *fmt, ...)
{
    const size_t room = sizeof c->err->msg;
    size_t n = 0;
    va_list ap;
    while (c->err->code && n < room && c->err->msg[n])
        n++;
    if (n && n < room)
        c->err->msg[n++] = '\n';
    va_start(ap, fmt);
    if (n < room)
        vsnprintf(c->err->msg + n, room - n, fmt, ap);
    va_end(ap);
    return c->err->code = code;
}

/* ---- parameters: one row gives YAML key, check, help line and docs ------ */

typedef enum dm_type {
    DM_T_END, DM_T_INT, DM_T_REAL, DM_T_BOOL, DM_T_ENUM, DM_T_STRING, DM_T_PATH, DM_T_INTS, DM_T_REALS,
    DM_T_ENUMS
} dm_type;
typedef struct dm_ints { int32_t n; const int64_t *v; } dm_ints;
typedef struct dm_reals { int32_t n; const double *v; } dm_reals;

typedef struct dm_param {
    dm_type type;
    const char *name;    /* YAML key = struct field name                    */
    uint32_t offset;     /* of the field in the config struct               */
    const char *def;     /* default, parsed like YAML; NULL = required      */
    double min, max;     /* inclusive; for a list, of each element          */
    const char *choices; /* enum only: "eps|x0|v", stored as an int32 index; of a list, as dm_ints */
    const char *unit;    /* "", "pixels", "steps", ...                      */
    const char *doc;     /* one sentence, lower case                        */
} dm_param;

/* Offset of S.f; a compile error if the field is not of type T (C11). */
#define DM_AT(S, f, T) (uint32_t)(offsetof(S, f) + 0 * sizeof(_Generic(((S *)0)->f, T: 1)))
#define DM_INT(S, f, def, lo, hi, unit, doc)   {DM_T_INT, #f, DM_AT(S, f, int64_t), def, lo, hi, 0, unit, doc}
#define DM_REAL(S, f, def, lo, hi, unit, doc)  {DM_T_REAL, #f, DM_AT(S, f, double), def, lo, hi, 0, unit, doc}
#define DM_BOOL(S, f, def, doc)                {DM_T_BOOL, #f, DM_AT(S, f, bool), def, 0, 1, 0, "", doc}
#define DM_ENUM(S, f, def, choices, doc)       {DM_T_ENUM, #f, DM_AT(S, f, int32_t), def, 0, 0, choices, "", doc}
#define DM_STRING(S, f, def, doc)              {DM_T_STRING, #f, DM_AT(S, f, const char *), def, 0, 0, 0, "", doc}
#define DM_PATH(S, f, def, doc)                {DM_T_PATH, #f, DM_AT(S, f, const char *), def, 0, 0, 0, "", doc}
#define DM_INTS(S, f, def, lo, hi, unit, doc)  {DM_T_INTS, #f, DM_AT(S, f, dm_ints), def, lo, hi, 0, unit, doc}
#define DM_REALS(S, f, def, lo, hi, unit, doc) {DM_T_REALS, #f, DM_AT(S, f, dm_reals), def, lo, hi, 0, unit, doc}
#define DM_ENUMS(S, f, def, choices, doc)      {DM_T_ENUMS, #f, DM_AT(S, f, dm_ints), def, 0, 0, choices, "", doc}
#define DM_END {DM_T_END, 0, 0, 0, 0, 0, 0, 0, 0}

/* ---- noise levels -------------------------------------------------------- */

/* A noise level: x = alpha x0 + sigma eps. */
typedef struct dm_point {
    double t;            /* in [0,T]; the levels of a discrete schedule are the integers 1..T */
    double alpha, sigma; /* variance preserving: alpha^2 + sigma^2 = 1; variance exploding: alpha = 1 */
    double log_snr;      /* 2 ln(alpha / sigma); +inf at the data (sigma = 0), -inf if alpha = 0 */
} dm_point;

/* The posterior q(x_to | x, x0) = N(c_x0 x0 + c_x x, var), for x at a noisier point (Ho et al. 2020, eq. 6 and 7). */
typedef struct dm_posterior {
    double c_x0, c_x;
    double log_beta;     /* ln of the forward step's variance, to -> at */
    double log_var;      /* ln var, finite; if var is 0 (`to` is the data), that of the adjacent
                            noisier step, in training 2 -> 1, or log_beta without one */
} dm_posterior;

/* ---- kind: schedule ------------------------------------------------------ */

/* A noise schedule. Exactly one of fill and at is set: fill if it is discrete, at
 * if it is continuous. T is from the experiment; continuous schedules have t in [0,T]. */
typedef struct dm_schedule {
    uint32_t size;
    /* Discrete, variance preserving: writes beta[i] in (0,1] of t = i + 1, for i in [0,T).
     * For fractional t the host interpolates the angle atan(sigma / alpha) linearly. */
    dm_status (*fill)(dm_ctx *c, int32_t T, double *beta);
    /* Continuous: writes alpha and sigma at any t in [0,T]; both at least 0, not both 0,
     * and alpha / sigma decreasing in t. t = 0 is the lowest noise level in training; if
     * sigma is not 0 there, the data are below it.                              */
    dm_status (*at)(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma);
} dm_schedule;

/* ---- kind: grid ---------------------------------------------------------- */

/* The range of a schedule. */
typedef struct dm_span {
    uint32_t size;
    int32_t T;           /* number of levels of a discrete schedule, 0 for a continuous one */
    dm_point most, least; /* the highest and the lowest noise level in training; the lowest is t = 1 for a discrete
                           * schedule, t = 0 for a continuous one (possibly the data) */
} dm_span;

/* The placement of the sampling steps. */
typedef struct dm_grid {
    uint32_t size;
    bool lists;          /* the points are given by the user: no warning about the first one */
    /* optional: overrides the number of steps. NULL: the sampler's `steps`. */
    dm_status (*steps)(dm_ctx *c, int32_t *n);
    /* Writes n + 1 points, noisiest first, as t or, if *log_snr is set to true, as log-SNR. The data are t = 0 (t < 0
     * if a continuous schedule has noise at 0) or a log-SNR of INFINITY. The host rejects points outside the schedule,
     * and noise levels that do not decrease. */
    dm_status (*fill)(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at);
} dm_grid;

/* ---- kind: guidance ------------------------------------------------------- */

/* The predictions that guidance combines: the model's for the requested class (or its only one, without classes), the
 * model's for the null class, and that of another model, guidance.guide. */
typedef enum dm_of { DM_OF_CLASS, DM_OF_NONE, DM_OF_GUIDE, DM_OF_COUNT } dm_of;
#define DM_USES(of) (UINT32_C(1) << (of))

/* One prediction at a point, unclipped, in read-only tensors of x's shape: x0, eps, and the network's output, which for
 * DM_OF_GUIDE has the parameterization of that model. */
typedef struct dm_guess { dm_tensor *x0, *eps, *out; } dm_guess;

typedef struct dm_guided {
    uint32_t size;
    int32_t n;             /* elements of `of`: the host's DM_OF_COUNT */
    const dm_point *p;
    const dm_tensor *x;
    const dm_guess *of;    /* indexed by dm_of; unused ones have no tensors */
    dm_tensor *x0, *eps, *out; /* outputs, no aliases: those that dm_guidance.writes selects */
} dm_guided;

enum {
    DM_GUIDES_OUT,         /* out; the host computes x0 and eps from it */
    DM_GUIDES_X0,          /* x0; the host computes eps from x and x0 */
    DM_GUIDES_X0_AND_EPS   /* both; x = alpha x0 + sigma eps need not hold */
};

/* Combines several predictions into one at each evaluation by a sampler. Clipping and masks are applied afterwards.
 * Predictions with the same weights share one batch. */
typedef struct dm_guidance {
    uint32_t size, uses, writes; /* uses: DM_USES(...) | ..., with DM_OF_CLASS; writes: DM_GUIDES_... */
    /* optional: rejects invalid settings; no device yet.                          */
    dm_status (*check)(dm_ctx *c);
    /* optional: sets *on, true on entry, to false if this point is not guided: the prediction for the class is then
     * used as it is, and the others are not computed.                             */
    dm_status (*at)(dm_ctx *c, const dm_point *p, bool *on);
    /* optional: called before the first prediction, and again after a jump in time or a change of x's shape. As in
     * dm_sampler.begin, tensors from tensor_like are no longer valid: discard all history. */
    dm_status (*begin)(dm_ctx *c, const dm_tensor *x);
    /* Writes the guided prediction. Optional if uses is DM_OF_CLASS only: no guidance. */
    dm_status (*guide)(dm_ctx *c, const dm_guided *g);
} dm_guidance;

/* ---- kind: sampler ------------------------------------------------------- */

/* The outputs of predict(): tensors of x's shape, distinct from x and from each
 * other; NULL = not wanted. x0 is guided, clipped or thresholded, and masked as the
 * experiment sets. x = alpha x0 + sigma eps holds, unless the experiment keeps eps
 * from before the clipping (as diffusers' DDIM does) or guidance writes both. */
typedef struct dm_pred {
    dm_tensor *x0, *eps;
    dm_tensor *log_var;   /* learned ln variance of p(x_to | x), per element; an error without one */
    const dm_point *to;   /* only for log_var                                */
} dm_pred;

typedef struct dm_step {
    uint32_t size;
    int32_t i, n;         /* this step, number of steps; sampling may start at any i */
    const dm_point *grid; /* n + 1 points, monotone; step i goes from i to i + 1. Noisiest first, the last may be
                           * the data; for inversion lowest noise first, with sigma > 0 everywhere */
    dm_tensor *x;         /* f32[N,C,H,W] or f32[N,D], updated in place; the host may change
                           * its values between steps (masks). NULL in check() */
    bool learned_variance; /* the model has one, for dm_pred.log_var         */
    const dm_point *at;   /* where x is: grid[i], or what an adaptive sampler wrote to *next in the step before */
    dm_point *next;       /* adaptive samplers write here where x is after the step; NULL for others */
} dm_step;

typedef struct dm_sampler {
    uint32_t size;
    bool inverts;         /* step() also supports grids from data to noise; else inversion is an error */
    /* optional: rejects settings that are invalid on this grid; no device yet. */
    dm_status (*check)(dm_ctx *c, const dm_step *s);
    /* optional: called before the first step, and again after a jump in time or a change of x's
     * shape. Scratch of the last begin() is no longer valid: allocate it again, discard all history. */
    dm_status (*begin)(dm_ctx *c, const dm_step *s);
    /* Makes step i. May call predict at any point with sigma > 0, any number of times.
     * May keep predictions between steps, but not x.                           */
    dm_status (*step)(dm_ctx *c, const dm_step *s);
    /* optional, for likelihoods; no device. If step i is a Gaussian p(x_to | x) whose mean is the posterior's at the
     * predicted x0: writes its ln variance, or NAN if it is the learned one. A step to sigma = 0 has one too, that of
     * the decoder. NULL, or an error: the steps are not of this form. */
    dm_status (*log_var)(dm_ctx *c, const dm_step *s, double *log_var);
    /* The sampler chooses its own points: of the grid it takes the two ends, and each step goes from *at to a point of
     * the schedule with less noise, *next, until that is grid[n]. It is an error if n steps do not reach it. */
    bool adaptive;
} dm_sampler;

/* ---- conditions ------------------------------------------------------------ */

/* What a network may be told of an example besides its noise level: its class, a vector, an image, a sequence. */
typedef enum dm_condition_kind {
    DM_CONDITION_CLASS,    /* an integer in 0..classes-1                        */
    DM_CONDITION_VECTOR,   /* f32[D]                                            */
    DM_CONDITION_IMAGE,    /* f32[C,H,W], whose H and W need not be the data's  */
    DM_CONDITION_SEQUENCE  /* f32[L,D], of which an example may have fewer rows */
} dm_condition_kind;
#define DM_TAKES(kind) (UINT32_C(1) << (kind))
enum { DM_MAX_CONDITIONS = 8 }; /* of an experiment, its class included */

typedef struct dm_condition {
    const char *name;      /* [a-z0-9_]+; that of the class is "class"          */
    dm_condition_kind kind;
    int32_t classes;       /* of a class; else 0                                */
    dm_shape shape;        /* of one example; rank 0 for a class; for a sequence, the longest */
} dm_condition;

/* A condition of a batch. Training replaces some by null (train.drop_condition), and guidance all: the class by the
 * number `classes`, others by zeros. */
typedef struct dm_condition_in {
    dm_condition is;
    dm_val value;          /* i32[N], f32[N,D], f32[N,C,H,W] or f32[N,L,D]      */
    dm_val given;          /* f32[N], 1, or 0 if null; DM_NONE if it is never null, and for a class */
    dm_val rows;           /* of a sequence, f32[N,L]: 1 for each of its rows, 0 behind them; else DM_NONE */
} dm_condition_in;

/* ---- kind: network ------------------------------------------------------- */

typedef struct dm_net_in {
    uint32_t size;
    dm_val x;              /* f32[N,C,H,W] or f32[N,D], multiplied by c_in      */
    dm_val noise;          /* f32[N], the objective's c_noise, or DM_NONE       */
    dm_val labels;         /* i32[N], 0..classes-1, or `classes` for the null class, which
                              the host inserts for guidance; f32[N,width] if labels are
                              vectors; DM_NONE without labels                   */
    int32_t classes, out_channels;
    double noise_most;     /* largest `noise` of this schedule and objective; 0 without diffusion */
    /* f32[N] each, DM_NONE without diffusion: each example's point, the c_in that x was multiplied by, and the meaning
     * of the output, F = of_x0 x0 + of_eps eps. */
    dm_val alpha, sigma, log_snr, c_in, of_x0, of_eps;
    bool null_class;       /* labels include the null class: reject it if the network does not support it */
    int32_t n_conditions;  /* all that the network is told, labels that are classes among them */
    const dm_condition_in *conditions;
} dm_net_in;

/* Describes the layers. The host infers shapes, initializes weights, plans,
 * differentiates, runs and checkpoints. */
typedef struct dm_network {
    uint32_t size;
    /* Returns f32[N,out_channels,H,W] or f32[N,out_channels], or fails with
     * `return dm_fail(...)`. Called for each batch size and resolution; must
     * declare the same weights each time.                                      */
    dm_val (*build)(dm_ctx *c, const dm_graph *g, const dm_net_in *in);
    /* optional: the kinds of conditions that it can read, DM_TAKES(DM_CONDITION_CLASS) | ...; 0: classes. The host
     * rejects experiments with others, and with one that build() does not read, unless it is a class.           */
    uint32_t takes;
} dm_network;

/* ---- kind: dataset ------------------------------------------------------- */

typedef struct dm_data_info {
    uint32_t size;
    int64_t count;
    dm_shape shape;        /* of one example: [C,H,W] or [D]                    */
    int32_t classes;       /* 0 = no labels                                     */
    int32_t levels;        /* number of evenly spaced values in low..high, 256 for 8-bit pixels; 0 = continuous */
    double low, high;      /* range of the values from read(), both 0 without a fixed one; an objective
                              gets the range after the host's scaling, -1 and 1 for pixels */
    bool replaces;         /* if read() fails with DM_ECORRUPT, the host uses the next example instead */
    bool survey;           /* set by the host: open() skips files that cannot be read instead of failing, logs
                              each, and counts them in unreadable */
    int64_t unreadable;
    /* What read_condition() tells of each example besides its class: vectors, images and sequences, each with a name of
     * its own, which must stay valid until close().                            */
    int32_t n_conditions;
    dm_condition conditions[DM_MAX_CONDITIONS];
} dm_data_info;

typedef struct dm_dataset {
    uint32_t size;
    /* Called once; split is "train" or "test", DM_ENOENT if the data have no such split.
     * info is zeroed except size and survey. Validate the files here.                          */
    dm_status (*open)(dm_ctx *c, const char *split, dm_data_info *info);
    /* Reads example index, in [0,count), to x, f32 of its shape, and its label, in
     * [0,classes), unless label is NULL (as without classes). Called from several
     * threads concurrently, each with its own ctx and err; self is shared and read-only. */
    dm_status (*read)(dm_ctx *c, int64_t index, float *x, int32_t *label);
    /* optional, for images of different sizes: the shape of one of them, each dimension at most that in info. The host
     * resizes, or reports an error, and selects the channels. Called like read(). */
    dm_status (*shape)(dm_ctx *c, int64_t index, dm_shape *shape);
    /* optional: the name of an example for messages, such as its file; valid until close(). Called like read(). */
    const char *(*name)(dm_ctx *c, int64_t index);
    /* optional: the name of a class in [0,classes); valid until close(). Called like read(). */
    const char *(*class_name)(dm_ctx *c, int32_t label);
    /* Needed with info->n_conditions: condition k of example index to x, zeroed, f32 of its shape. Of a sequence, *rows
     * is how many of its rows are there, from the first on; all on entry. The host mirrors images where it mirrors the
     * example (data.flip). Called like read(). */
    dm_status (*read_condition)(dm_ctx *c, int64_t index, int32_t k, float *x, int64_t *rows);
} dm_dataset;

/* ---- kind: objective ----------------------------------------------------- */

/* The parameterization: x0 = c_skip x + c_out F(c_in x, c_noise), with F the network's
 * output (Karras et al. 2022, eq. 7). eps, x0, v, EDM and flow have this form; the host
 * derives eps and v. F is the first C output channels, C those of the data.    */
typedef struct dm_affine { double c_skip, c_out, c_in, c_noise; } dm_affine;

typedef struct dm_batch {
    uint32_t size;
    dm_val x0;             /* f32[N,...], the data                              */
    dm_val labels;         /* i32[N], from the data, or DM_NONE; g->network replaces a share
                              of them by the null class (train.drop_condition)  */
    /* From here to c_noise, all are DM_NONE without affine().                   */
    dm_val noise, xt;      /* f32[N,...]: standard normal; alpha x0 + sigma noise */
    dm_val c_skip, c_out, c_in, c_noise; /* f32[N] each: affine() at each example's point */
    const dm_val *scalar;  /* f32[N] each, in the order of scalars()            */
    int32_t weights;       /* the weight set that is trained, for g->network    */
} dm_batch;

typedef struct dm_objective {
    uint32_t size;
    int32_t n_scalars;     /* values per example from scalars(), 0..64          */
    /* optional: called first, once per run, also when only sampling (data is then what
     * the run folder recorded). T: number of levels of a discrete schedule, 0 with a
     * continuous one or none. *out_channels is data->shape.dim[0] on entry. Reject
     * invalid settings here.                                                   */
    dm_status (*open)(dm_ctx *c, const dm_data_info *data, int32_t T, int32_t *out_channels);
    /* NULL: no diffusion, hence no schedule, noise, draw or log_var.           */
    dm_status (*affine)(dm_ctx *c, const dm_point *p, dm_affine *a);
    /* optional: the log-variance of p(x_to | x_at) is k[0] + k[1] V, where V is the
     * second C output channels (Nichol & Dhariwal 2021, eq. 15). NULL, or fewer than
     * 2C channels: the variance is not learned.                                */
    dm_status (*log_var)(dm_ctx *c, const dm_point *at, const dm_point *to, double k[2]);
    /* Writes out[0..n_scalars), zeroed on entry, of one example at its drawn point.
     * before: the point at t - 1, NULL with a continuous schedule. Both are NULL
     * without affine().                                                        */
    dm_status (*scalars)(dm_ctx *c, const dm_point *at, const dm_point *before, double *out);
    /* Returns the loss per example, f32[N], or fails with `return dm_fail(...)`. The
     * host weights by importance and averages. Called once per plan, not per step. */
    dm_val (*loss)(dm_ctx *c, const dm_graph *g, const dm_batch *b);
    /* optional: maps u, uniform in (0,1), of n examples to points (dm_host.point_at_*)
     * and importance weights (1 on entry). NULL: uniform over 1..T, or over [0,T] of a
     * continuous schedule. The host does the stratification of u and the importance
     * sampling by past losses.                                                  */
    dm_status (*draw)(dm_ctx *c, int32_t n, const double *u, dm_point *at, double *importance);
} dm_objective;

/* ---- the one exported symbol ------------------------------------------- */

/* For a parameter that was added later: the value, written like a default, that reproduces the behaviour without it.
 * Runs whose stored experiment lacks the key get this value instead of the default. */
typedef struct dm_earlier { const char *name, *value; } dm_earlier;

typedef struct dm_plugin {
    uint32_t abi, size;     /* DM_ABI, sizeof(dm_plugin); read before the rest */
    const char *name;       /* as in YAML's `use: cosine`, [a-z0-9_]+       */
    const char *version, *license;
    const char *doc;        /* one sentence, then the paper                 */
    const dm_param *params; /* ends with DM_END; NULL = none                */
    uint32_t cfg_size, self_size; /* bytes; 0 = none: cfg or self is NULL    */
    void (*close)(dm_ctx *c);    /* optional; called once, also after a failed open; must not free self or tensors */
    const dm_schedule *schedule; /* exactly one of the seven kinds is set   */
    const dm_sampler *sampler;
    const dm_network *network;
    const dm_objective *objective;
    const dm_dataset *dataset;
    const dm_earlier *earlier; /* optional; ends with a NULL name             */
    const dm_grid *grid;
    const dm_guidance *guidance;
} dm_plugin;

/* This declaration exports it; define it as `const dm_plugin dm_plugin_entry = {...};`, also in C++. */
DM_EXPORT extern const dm_plugin dm_plugin_entry;

/* ---- the host's services ------------------------------------------------- */

typedef struct dm_term { double k; const dm_tensor *x; } dm_term;
/* Root mean squares of a tensor [N,...]: of each example, valid until the next call; the largest of these; of all. */
typedef struct dm_rms { uint32_t size; int32_t n; const double *each; double most, all; } dm_rms;
typedef struct dm_range { int32_t dim; size_t global[3], local[3]; } dm_range; /* local 0: the host chooses */
typedef enum dm_arg_kind { DM_BUF, DM_F32, DM_I32, DM_LOCAL } dm_arg_kind; /* DM_LOCAL: v bytes */
typedef struct dm_arg { dm_arg_kind kind; dm_tensor *t; double v; } dm_arg;
/* An array and its length, as two arguments. C only; in C++, define the array. */
#define DM_ARGS(...) (const dm_arg[]){__VA_ARGS__}, (int32_t)(sizeof((const dm_arg[]){__VA_ARGS__}) / sizeof(dm_arg))
#define DM_SUM(...) (const dm_term[]){__VA_ARGS__}, (int32_t)(sizeof((const dm_term[]){__VA_ARGS__}) / sizeof(dm_term))

/* The last line of each comment lists the callbacks in which a function may be called; elsewhere it is an error.
 *   [any]       every callback, on the thread of the callback
 *   [begin] [step]           dm_sampler
 *   [guide]     dm_guidance.guide; its begin may call the same as dm_sampler.begin
 *   [forward] [backward]     dm_op
 *   [schedule]  if the experiment has one: a sampler's check, begin, step and log_var; a guidance's begin, guide
 *               and at; a network's build; an objective's open, affine, log_var, scalars, loss and draw
 * The functions of dm_graph: [build] [loss], on the graph that was passed to the callback. */
struct dm_host {
    uint32_t abi, size;
    /* Writes a line to the run's log, prefixed with the plugin's name.
     * [any] */
    void (*log)(dm_ctx *c, const char *fmt, ...) DM_PRINTF(2, 3);
    /* Allocates scratch of the shape of `like`, valid until the next begin() or close(). Its values are undefined until
     * predict, randn, sum or a kernel writes them; predict and sum fail if they read it before. NULL: err is set.
     * [begin] */
    dm_tensor *(*tensor_like)(dm_ctx *c, const dm_tensor *like);
    /* The shape of t; rank 0 for NULL.
     * [any] */
    dm_shape (*shape)(const dm_tensor *t);
    /* out := sum of k x over 1 to 8 terms, in one fused kernel; out may be one of the x. Terms with k = 0 are not read.
     * [begin] [step] [guide] */
    dm_status (*sum)(dm_ctx *c, dm_tensor *out, const dm_term *terms, int32_t n);
    /* Standard normal noise number `draw`, 0..15; different in each call of step(), also after a jump back.
     * [step] */
    dm_status (*randn)(dm_ctx *c, dm_tensor *t, int32_t draw);
    /* Evaluates the model at x and p, which need not be on the grid; sigma > 0. Counted as one evaluation.
     * [step] */
    dm_status (*predict)(dm_ctx *c, const dm_tensor *x, const dm_point *p, const dm_pred *want);
    /* The schedule at any t or log-SNR; outside its range, the nearest end, so use the returned values.
     * [schedule] */
    dm_status (*point_at_t)(dm_ctx *c, double t, dm_point *p);
    dm_status (*point_at_log_snr)(dm_ctx *c, double log_snr, dm_point *p);
    dm_status (*posterior)(dm_ctx *c, const dm_point *at, const dm_point *to, dm_posterior *q);
    /* The quantile function of the standard normal distribution, u in (0,1).
     * [any] */
    double (*normal_quantile)(double u);
    /* Builds a kernel from OpenCL C source with build options (NULL = none); cached, so
     * call it wherever the kernel is used. NULL: err is set.
     * [begin] [step] [guide] [forward] [backward] */
    dm_kernel *(*kernel)(dm_ctx *c, const char *source, const char *name, const char *options);
    /* Launches a kernel, in order with all other calls. In a dm_op the launch is recorded with
     * its scalar arguments, which are fixed for the life of the plan. No buffer may be NULL.
     * [begin] [step] [guide] [forward] [backward] */
    dm_status (*launch)(dm_ctx *c, dm_kernel *k, const dm_range *r, const dm_arg *args, int32_t nargs);
    /* The root mean squares of weight t, or of t if weight is NULL; set out->size. Waits for the device. All are 0 in a
     * walk that the host makes to count evaluations and noise, without computing anything.
     * [step] [guide] */
    dm_status (*rms)(dm_ctx *c, const dm_tensor *t, const dm_tensor *weight, dm_rms *out);
    /* The schedule's number of levels and its ends; set s->size.
     * [schedule] */
    dm_status (*span)(dm_ctx *c, dm_span *s);
};

/* A custom op; static const. Its functions are called once per plan to record launches,
 * which are replayed in every step: values that change between steps must be tensors.
 * Inputs are f32, or i32 for labels and indices; outputs are f32. All are row-major,
 * contiguous, owned by the host, and keep their address. Every element of an output must
 * be written. For scratch, declare an additional output. */
typedef struct dm_op {
    uint32_t size;
    const char *name;
    int32_t n_in, n_out;     /* 1..8 each                                       */
    /* Shapes out[0..n_out) from in[0..n_in); fails if the kernels do not support them. */
    dm_status (*shape)(dm_ctx *c, const dm_shape *in, dm_shape *out);
    dm_status (*forward)(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out);
    /* optional; without it, no input may need a gradient (use stop_gradient). Adds the gradient with respect to in[i]
     * to din[i], NULL if not needed; dout[i] is NULL if out[i] is unused. in and out have the values of the forward
     * pass.                                                                    */
    dm_status (*backward)(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out, dm_tensor *const *dout,
                          dm_tensor *const *din);
} dm_op;

/* Square convolution, the same in both axes. PyTorch's padding=p is {p, p}, TensorFlow's SAME at stride 2 is {0, 1}. */
typedef struct dm_conv { int32_t k, stride, pad[2]; } dm_conv;

/* Flags of a layer. The default is a bias, and the host's initialization. */
enum { DM_NO_BIAS = 1, DM_ZERO_INIT = 2 /* initialize weight and bias to 0 */ };

/* Layers and ops. A name becomes "<scopes>.<name>.weight" and ".bias" in checkpoints and
 * must be unique. An op that fails, or gets a failed value, returns a failed value; the
 * graph keeps the first error, so only the result of build() or loss() needs a check.
 * Results do not depend on the order of calls (C does not define that of arguments): the
 * random numbers of a weight's initialization depend on its key, those of dropout on its
 * position in the graph, counted from the result. Axes count from 0 (N). add and mul
 * broadcast: dimensions are equal or 1, aligned at the FIRST axis, missing ones are 1:
 * [N] and [N,C] broadcast to [N,C,H,W], [1,L,D] to [N,L,D]. */
struct dm_graph {
    uint32_t size;
    /* The shape of x; rank 0 and all 1 if x has failed. */
    dm_shape (*shape)(const dm_graph *g, dm_val x);
    /* The same graph, with this prefix for names; never NULL, valid as long as g. */
    const dm_graph *(*scope)(const dm_graph *g, const char *fmt, ...) DM_PRINTF(2, 3);

    /* weights and constants */
    dm_val (*weight)(const dm_graph *g, const char *name, const dm_shape *s, double initial); /* key: name, no suffix */
    dm_val (*constant)(const dm_graph *g, const float *v, const dm_shape *s); /* not saved */
    dm_val (*embedding)(const dm_graph *g, const char *name, dm_val i, int64_t rows,
                        int64_t dim); /* i32[N] -> [N,dim] */
    dm_val (*conv)(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k,
                   uint32_t flags);                                                                /* [N,C,H,W] */
    dm_val (*linear)(const dm_graph *g, const char *name, dm_val x, int64_t nout, uint32_t flags); /* last axis */
    /* name NULL: no weight and no bias. */
    dm_val (*group_norm)(const dm_graph *g, const char *name, dm_val x, int64_t groups, double eps); /* axis 1 */
    dm_val (*layer_norm)(const dm_graph *g, const char *name, dm_val x, double eps); /* last axis */

    /* without weights */
    /* softmax(q k' / sqrt(D / heads)) v; q [N,L,D], k and v [N,M,D]; heads are slices of D */
    dm_val (*attention)(const dm_graph *g, dm_val q, dm_val k, dm_val v, int64_t heads);
    dm_val (*silu)(const dm_graph *g, dm_val x);
    dm_val (*gelu)(const dm_graph *g, dm_val x);              /* tanh form */
    dm_val (*dropout)(const dm_graph *g, dm_val x, double p); /* only in training */
    dm_val (*add)(const dm_graph *g, dm_val a, dm_val b);
    dm_val (*mul)(const dm_graph *g, dm_val a, dm_val b);
    dm_val (*scale)(const dm_graph *g, dm_val a, double k, double b); /* k a + b */
    dm_val (*concat)(const dm_graph *g, dm_val a, dm_val b, int32_t axis);
    dm_val (*slice)(const dm_graph *g, dm_val x, int32_t axis, int64_t first, int64_t count);
    dm_val (*reshape)(const dm_graph *g, dm_val x, const dm_shape *s);
    dm_val (*permute)(const dm_graph *g, dm_val x, const int32_t *axes); /* axes[rank]; axis i is x's axes[i] */
    dm_val (*upsample)(const dm_graph *g, dm_val x, int32_t factor); /* nearest */
    dm_val (*avg_pool)(const dm_graph *g, dm_val x, int32_t k);      /* k x k, stride k */
    /* [N] -> [N,dim]: sin and cos of t 10000^(-i / (dim/2 - freq_shift)); sin first, or cos first if flip_sin_to_cos */
    dm_val (*time_embed)(const dm_graph *g, dm_val t, int64_t dim, double freq_shift, bool flip_sin_to_cos);
    dm_val (*mean)(const dm_graph *g, dm_val x); /* over all axes but N: [N] */
    dm_val (*stop_gradient)(const dm_graph *g, dm_val x);

    /* losses */
    dm_val (*cross_entropy)(const dm_graph *g, dm_val logits, dm_val labels); /* [N,K], i32[N] -> [N], nats */
    /* KL(N(mean1, e^log_var1) || N(mean2, e^log_var2)) per element, nats */
    dm_val (*gaussian_kl)(const dm_graph *g, dm_val mean1, dm_val log_var1, dm_val mean2, dm_val log_var2);
    /* -ln of the probability of x's bin under N(mean, e^log_var), nats; `levels` bins centred on -1..1, the
     * outer two open; the probability is at least 1e-12 (Ho et al. 2020, eq. 13) */
    dm_val (*discretized_nll)(const dm_graph *g, dm_val x, dm_val mean, dm_val log_var, int32_t levels);

    /* Applies the experiment's network, with the weight set `weights`; noise and labels may be DM_NONE. */
    dm_val (*network)(const dm_graph *g, int32_t weights, dm_val x, dm_val noise, dm_val labels);
    /* Applies op to in[0..n_in), writes out[0..n_out); all have failed unless it returns DM_OK. */
    dm_status (*custom)(const dm_graph *g, const dm_op *op, const dm_val *in, dm_val *out);

    /* element-wise */
    dm_val (*exp)(const dm_graph *g, dm_val x);
    dm_val (*log)(const dm_graph *g, dm_val x);   /* natural */
    dm_val (*sqrt)(const dm_graph *g, dm_val x);
    dm_val (*rsqrt)(const dm_graph *g, dm_val x); /* 1 / sqrt(x) */
    dm_val (*sigmoid)(const dm_graph *g, dm_val x);
    dm_val (*tanh)(const dm_graph *g, dm_val x);
    dm_val (*sin)(const dm_graph *g, dm_val x);
    dm_val (*cos)(const dm_graph *g, dm_val x);
    dm_val (*square)(const dm_graph *g, dm_val x);
    dm_val (*abs)(const dm_graph *g, dm_val x);   /* gradient 0 at 0 */
    dm_val (*relu)(const dm_graph *g, dm_val x);  /* gradient 0 at 0 */
    dm_val (*clamp)(const dm_graph *g, dm_val x, double lo, double hi); /* gradient 1 at both ends, 0 beyond */
    /* element-wise, broadcast like add and mul */
    dm_val (*sub)(const dm_graph *g, dm_val a, dm_val b);
    dm_val (*div)(const dm_graph *g, dm_val a, dm_val b);
    dm_val (*maximum)(const dm_graph *g, dm_val a, dm_val b); /* equal elements get half the gradient each */
    dm_val (*minimum)(const dm_graph *g, dm_val a, dm_val b);
    /* reductions over n axes, which are kept with size 1: [N,C,H,W] over {2, 3} gives [N,C,1,1] */
    dm_val (*sum_over)(const dm_graph *g, dm_val x, const int32_t *axes, int32_t n);
    dm_val (*mean_over)(const dm_graph *g, dm_val x, const int32_t *axes, int32_t n);
    dm_val (*max_over)(const dm_graph *g, dm_val x, const int32_t *axes, int32_t n); /* ties share the gradient */
    dm_val (*softmax)(const dm_graph *g, dm_val x, int32_t axis);
    /* op(a) op(b) over the last two axes, where op transposes or not: [...,m,k] times [...,k,n] with equal leading
     * axes, or times a single [k,n]; the result is [...,m,n] */
    dm_val (*matmul)(const dm_graph *g, dm_val a, dm_val b, bool transpose_a, bool transpose_b);
    /* x / sqrt(mean of x^2 + eps) over the last axis, times a weight initialized to 1; name NULL: no weight */
    dm_val (*rms_norm)(const dm_graph *g, const char *name, dm_val x, double eps);
    dm_val (*indices)(const dm_graph *g, const int32_t *v, int64_t n); /* i32[n], a constant; for gather, embedding */
    /* The elements i[0], i[1], ... of x along an axis, zeros for an index out of range; i: i32[n], indices or labels */
    dm_val (*gather)(const dm_graph *g, dm_val x, int32_t axis, dm_val i);
    /* Rotary position embedding (Su et al. 2021) of q or k [N,L,D], heads as in attention, d = D / heads: rotates
     * elements j and j + d/2 of each head by angles[l,j], f32[L,d/2], a constant; DM_NONE: l 10000^(-2 j / d) */
    dm_val (*rope)(const dm_graph *g, dm_val x, dm_val angles, int64_t heads);
    /* [N,C,H,W] -> [N,C,h,w], bilinear like PyTorch's align_corners=False */
    dm_val (*resize)(const dm_graph *g, dm_val x, int64_t h, int64_t w);
    /* Like conv, with channels and outputs in `groups` equal groups, each convolved separately; weight
     * [cout,C/groups,k,k] */
    dm_val (*conv_grouped)(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, int64_t groups,
                           uint32_t flags);
    /* Transposed convolution to (H - 1) stride + k - pad[0] - pad[1] rows, and columns likewise; weight [C,cout,k,k].
     * PyTorch's padding=p, output_padding=o is {p, p - o} */
    dm_val (*conv_transposed)(const dm_graph *g, const char *name, dm_val x, int64_t cout, dm_conv k, uint32_t flags);
};

#ifdef __cplusplus
}
#endif
#endif
