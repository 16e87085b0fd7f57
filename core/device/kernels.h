/* Device work that is no op of a graph: the optimizer, and what samplers and predictions need. Implemented in
 * backends/ops/optim/ and backends/ops/sampling/. */
#ifndef DEMIST_CORE_KERNELS_H
#define DEMIST_CORE_KERNELS_H

#include "device/device.h"

/* ---- optimizer ------------------------------------------------------------------- */

typedef struct dm_optimizer dm_optimizer;

/* Flat arrays of count floats, padding included; the averages may be fewer than four. Each may be in several
 * allocations, w, g and the averages in the same. */
typedef struct dm_optimizer_arrays {
    dm_buf *w, *g, *m, *v, *ema[4];
    dm_buf *loss;                  /* f32[1], a sum of losses; NULL: none */
    size_t count;
    int n_ema;
    bool keeps_g;
    /* part: of w and the averages [from, from + own) alone are updated, and m and v are of these. */
    bool part;
    size_t from, own;
} dm_optimizer_arrays;

/* Records: the global norm of g (two stages, fixed order), clip factor and check that it is finite, AdamW
 * (Loshchilov & Hutter 2019; decoupled decay lr wd w first, corrected moments, eps outside the root) with each average
 * ema := rate ema + (1 - rate) w in one pass over the arrays, and, unless keeps_g, g := 0 for the next step. Once a
 * norm or a loss was not finite, this and all later runs change nothing but g, until dm_optimizer_reset. */
dm_status dm_optimizer_new(dm_device *d, const dm_optimizer_arrays *a, dm_optimizer **out, dm_err *err);
void dm_optimizer_free(dm_optimizer *o);

/* What changes from step to step; step counts from 0, clip 0 = no limit; loss: a sum of losses that the host has, in
 * place of the array, else 0. Waits for nothing, allocates nothing. */
typedef struct dm_optimizer_step {
    int64_t step;
    double lr, beta1, beta2, eps, weight_decay, clip, ema[4];
    float loss;
} dm_optimizer_step;
dm_status dm_optimizer_run(dm_optimizer *o, const dm_optimizer_step *s, dm_err *err);

/* norm: of the last step's gradient before clipping; bad_step: the first whose norm or loss was not
 * finite, -1 if none. Waits. */
typedef struct dm_optimizer_numbers { double norm; int64_t bad_step; } dm_optimizer_numbers;
dm_status dm_optimizer_read(dm_optimizer *o, dm_optimizer_numbers *n, dm_err *err);
dm_status dm_optimizer_reset(dm_optimizer *o, dm_err *err);

/* ---- sampling: all launched now, in order ------------------------------------------- */

/* out := sum of k[i] x[i], 1 to 8 terms, out may be one of them; terms with k = 0 are not read. */
dm_status dm_launch_sum(dm_device *d, dm_buf *out, const double *k, dm_buf *const *x, int n, int64_t count,
                        dm_err *err);
/* x := m x + (1 - m) (alpha x0 + sigma z), all of count elements: what a mask m leaves is the noised x0. */
typedef struct dm_keep { dm_buf *x, *m, *x0, *z; double alpha, sigma; int64_t count; } dm_keep;
dm_status dm_launch_keep(dm_device *d, const dm_keep *k, dm_err *err);
/* Unit Gaussians into out f32[n,per_example] in N,C,H,W order, counters as in ops.h. */
typedef struct dm_randn { uint64_t seed; uint32_t purpose, node, step, draw, first_index; } dm_randn;
dm_status dm_launch_randn(dm_device *d, dm_buf *out, int64_t n, int64_t per_example, const dm_randn *r, dm_err *err);

/* The model's output F f32[n,out_channels,...] (the first C channels; `inner` = C times pixels elements of each
 * example's outer*inner) to predictions, all f32[n,inner]; NULL where not wanted:
 *   x0 = c_skip x + c_out F, held within [-limit, limit] if limit > 0
 *   eps = (x - alpha x0) / sigma, from x0 as held, or as predicted if eps_first
 *   log_var = k0 + k1 V, V the second C channels. */
typedef struct dm_predict_args {
    dm_buf *x, *F, *x0, *eps, *log_var;
    int64_t n, inner, stride;      /* stride: elements of F of one example */
    double c_skip, c_out, alpha, sigma, limit, k0, k1;
    bool eps_first;
} dm_predict_args;
dm_status dm_launch_predict(dm_device *d, const dm_predict_args *a, dm_err *err);
/* sums[i] = the sum over example i of (w x)^2, of x f32[n,inner], w NULL = 1; in a fixed order. */
dm_status dm_launch_square_sums(dm_device *d, dm_buf *x, dm_buf *w, dm_buf *sums, int64_t n, int64_t inner,
                                dm_err *err);
/* Dynamic thresholding (Saharia et al. 2022, section 2.3) of x0 f32[n,inner] in place: s = the ratio quantile of |x0|
 * of each example, held within [1, max]; x0 := clip(x0, -s, s) / s. Linear interpolation between ranks. */
dm_status dm_launch_threshold(dm_device *d, dm_buf *x0, int64_t n, int64_t inner, double ratio, double max,
                              dm_err *err);

#endif
