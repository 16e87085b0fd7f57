/* The noise process of a run: a schedule plugin's betas or curve as points {t, alpha, sigma,
 * log_snr} in double precision, its inverse, the posterior, and the grids that samplers walk. */
#ifndef DEMIST_CORE_NOISE_H
#define DEMIST_CORE_NOISE_H

#include "experiment/experiment.h"

#include <math.h>

typedef struct dm_noise dm_noise;

/* From the experiment's schedule section; tables for all T are made here. */
dm_status dm_noise_new(const dm_experiment *e, dm_noise **out, dm_err *err);
void dm_noise_free(dm_noise *n);
bool dm_noise_discrete(const dm_noise *n);
int32_t dm_noise_T(const dm_noise *n);

/* Formulas: t in 1..T (i = t - 1 in files); t = 0 is the data. Discrete only: */
double dm_noise_beta(const dm_noise *n, int32_t t);
double dm_noise_alpha_bar(const dm_noise *n, int32_t t);
double dm_noise_posterior_variance(const dm_noise *n, int32_t t); /* 0 at t = 1 */

/* Any t in [0,T], between whole t in the angle; beyond the ends, the end. */
void dm_noise_at(const dm_noise *n, double t, dm_point *p);
void dm_noise_at_log_snr(const dm_noise *n, double log_snr, dm_point *p);
/* The standard deviation of x where sampling begins at p: 1 where the process preserves variance, else sigma. */
static inline double dm_noise_start(const dm_point *p)
{
    return fabs(p->alpha * p->alpha + p->sigma * p->sigma - 1) < 1e-6 ? 1 : p->sigma;
}
/* The highest and the lowest level, and T of a discrete one. */
void dm_noise_span(const dm_noise *n, dm_span *s);
dm_status dm_noise_posterior(const dm_noise *n, const dm_point *at, const dm_point *to, dm_posterior *q, dm_err *err);

/* The points of a sampling run: n + 1, noisiest first, the last mostly the data. timesteps: n of them, 0-based, NULL
 * where they are not all whole ones of a discrete schedule. steps 0: T of them. grid: its section. */
typedef struct dm_walk { int32_t n; dm_point *points; int32_t *timesteps; } dm_walk;
dm_status dm_noise_walk(const dm_noise *n, int64_t steps, const dm_section *grid, dm_walk *walk, dm_err *err);
/* The one that an experiment asks for, for a sampler that chooses its own steps with as many as there can be: it takes
 * the ends alone. */
dm_status dm_noise_walk_of(const dm_noise *n, const dm_experiment *e, dm_walk *walk, dm_err *err);
/* Only what follows the point nearest to t, at least one step. */
void dm_walk_begin_at(dm_walk *g, double t);
/* The other way: from the least noise above 0 to the most. DM_EINVAL where that is no step. */
dm_status dm_walk_reverse(dm_walk *g, dm_err *err);
void dm_walk_fini(dm_walk *g);

#endif
