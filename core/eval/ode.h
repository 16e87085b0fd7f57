/* The probability-flow ODE of a model (Song et al. 2021, section 4.3), and the density that it gives data. With
 * theta = atan(sigma / alpha), r = hypot(alpha, sigma) and z = x / r: dz/dtheta = cos(theta) eps - sin(theta) x0, which
 * is finite at alpha = 0 too. */
#ifndef DEMIST_CORE_ODE_H
#define DEMIST_CORE_ODE_H

#include "model/net.h"

typedef struct dm_ode dm_ode;

typedef struct dm_ode_setup {
    dm_net *net;
    dm_wset *weights;
    const dm_noise *noise;
    int64_t n;                     /* examples at once */
    int32_t probes;                /* vectors of Hutchinson's estimate of the divergence; 0 = exact */
    uint64_t seed;                 /* of these vectors */
} dm_ode_setup;

dm_status dm_ode_new(const dm_ode_setup *s, dm_ode **out, dm_err *err);
void dm_ode_free(dm_ode *o);

/* The conditions of the examples that follow (dm_forward_set_conditions). */
dm_status dm_ode_set_conditions(dm_ode *o, const dm_condition_batch *c, uint64_t serial, dm_err *err);

/* Called after each of the walk's steps; anything but DM_OK ends it. */
typedef dm_status (*dm_ode_step_fn)(void *user, int32_t done, dm_err *err);

/* For n examples y f64[n,example]: ln of the density of y = x / alpha at the walk's last point, which must have noise,
 * by Runge and Kutta's method of order 4 from there to its first. first: index of the first example, which its probes
 * depend on. labels may be NULL. DM_EDIVERGED names the example and the t. */
dm_status dm_ode_log_density(dm_ode *o, const dm_walk *w, int64_t first, const double *y, const int32_t *labels,
                             double *log_density, dm_ode_step_fn step, void *user, dm_err *err);
/* Runs of the network and its gradient so far. */
int64_t dm_ode_evaluations(const dm_ode *o);

#endif
