/* The probability-flow ODE; see ode.h. */
#include "eval/ode.h"

#include "base/philox.h"
#include "model/objective.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dm_ode {
    dm_ode_setup setup;
    dm_forward *forward;
    int64_t n, example, outputs;   /* examples at once; elements of an example and of the output for one */
    int64_t evaluations;
    float *x, *F, *vector, *product;
    double *c_in, *c_noise;
    double *z, *at, *slope, *sum;  /* f64[n,example]: the state, where the field is asked for, its value, RK4's sum */
    double *log_p, *divergence, *divergence_sum; /* f64[n] */
};

int64_t dm_ode_evaluations(const dm_ode *o) { return o->evaluations; }

dm_status dm_ode_new(const dm_ode_setup *setup, dm_ode **out, dm_err *err)
{
    dm_ode *o = calloc(1, sizeof *o);
    dm_shape shape;
    dm_status rc;

    if (!o)
        return dm_error(err, DM_ENOMEM, "out of memory for the probability-flow ODE");
    o->setup = *setup;
    o->n = setup->n;
    o->example = dm_shape_count(&dm_net_data(setup->net)->shape);
    if ((rc = dm_forward_new_product(setup->net, setup->weights, o->n, &o->forward, err))) {
        dm_ode_free(o);
        return rc;
    }
    shape = dm_forward_shape(o->forward);
    o->outputs = dm_shape_count(&shape) / o->n;
    o->x = dm_array(o->n, o->example, sizeof *o->x);
    o->F = dm_array(o->n, o->outputs, sizeof *o->F);
    o->vector = dm_array(o->n, o->example, sizeof *o->vector);
    o->product = dm_array(o->n, o->example, sizeof *o->product);
    o->z = dm_array(o->n, o->example, sizeof *o->z);
    o->at = dm_array(o->n, o->example, sizeof *o->at);
    o->slope = dm_array(o->n, o->example, sizeof *o->slope);
    o->sum = dm_array(o->n, o->example, sizeof *o->sum);
    o->c_in = calloc((size_t)o->n, sizeof *o->c_in);
    o->c_noise = calloc((size_t)o->n, sizeof *o->c_noise);
    o->log_p = calloc((size_t)o->n, sizeof *o->log_p);
    o->divergence = calloc((size_t)o->n, sizeof *o->divergence);
    o->divergence_sum = calloc((size_t)o->n, sizeof *o->divergence_sum);
    if (!o->x || !o->F || !o->vector || !o->product || !o->z || !o->at || !o->slope || !o->sum || !o->c_in ||
        !o->c_noise || !o->log_p || !o->divergence || !o->divergence_sum) {
        dm_ode_free(o);
        return dm_error(err, DM_ENOMEM, "out of memory for the probability-flow ODE of %lld examples",
                        (long long)setup->n);
    }
    *out = o;
    return DM_OK;
}

dm_status dm_ode_set_conditions(dm_ode *o, const dm_condition_batch *c, uint64_t serial, dm_err *err)
{
    return dm_forward_set_conditions(o->forward, c, serial, err);
}

void dm_ode_free(dm_ode *o)
{
    if (!o)
        return;
    dm_forward_free(o->forward);
    free(o->x);
    free(o->F);
    free(o->vector);
    free(o->product);
    free(o->z);
    free(o->at);
    free(o->slope);
    free(o->sum);
    free(o->c_in);
    free(o->c_noise);
    free(o->log_p);
    free(o->divergence);
    free(o->divergence_sum);
    free(o);
}

/* ---- the field ------------------------------------------------------------------------------- */

/* Signs of equal probability, the same for an example in any batch and along its whole path. */
static void probe(dm_ode *o, int32_t which, int64_t first)
{
    const uint32_t key[2] = {(uint32_t)o->setup.seed, (uint32_t)(o->setup.seed >> 32)};

    for (int64_t i = 0; i < o->n; i++)
        for (int64_t d = 0; d < o->example; d += 4) {
            const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_EVAL << 24 | 2, (uint32_t)which, (uint32_t)(d / 4),
                                     (uint32_t)(first + i)};
            uint32_t bits[4];

            dm_philox(key, ctr, bits);
            for (int64_t k = 0; k < 4 && d + k < o->example; k++)
                o->vector[i * o->example + d + k] = bits[k] >> 31 ? 1 : -1;
        }
}

static void unit(dm_ode *o, int64_t d)
{
    memset(o->vector, 0, (size_t)(o->n * o->example) * sizeof *o->vector);
    for (int64_t i = 0; i < o->n; i++)
        o->vector[i * o->example + d] = 1;
}

/* F, and in o->divergence the trace of dF/dx or its estimate, at x. */
static dm_status trace(dm_ode *o, int64_t first, const int32_t *labels, dm_err *err)
{
    const size_t bytes = (size_t)(o->n * o->example) * sizeof(float);
    const int32_t runs = o->setup.probes ? o->setup.probes : (int32_t)o->example;
    dm_status rc;

    memset(o->divergence, 0, (size_t)o->n * sizeof *o->divergence);
    for (int32_t k = 0; k < runs; k++) {
        if (o->setup.probes)
            probe(o, k, first);
        else
            unit(o, k);
        if ((rc = dm_buf_write(dm_forward_vector(o->forward), 0, bytes, o->vector, err)) ||
            (rc = dm_forward_run(o->forward, o->c_in, o->c_noise, labels, err)) ||
            (rc = dm_buf_read(dm_forward_product(o->forward), 0, bytes, o->product, err)))
            return rc;
        o->evaluations++;
        for (int64_t i = 0; i < o->n; i++) {
            double sum = 0;

            for (int64_t d = i * o->example; d < (i + 1) * o->example; d++)
                sum += (double)o->product[d] * (double)o->vector[d];
            o->divergence[i] += o->setup.probes ? sum / o->setup.probes : sum;
        }
    }
    return dm_buf_read(dm_forward_output(o->forward), 0, (size_t)(o->n * o->outputs) * sizeof *o->F, o->F, err);
}

/* o->slope = dz/dtheta at o->at and p, and o->divergence that of it. As x = alpha x0 + sigma eps:
 * dz/dtheta = (cos z - x0) / sin. */
static dm_status field(dm_ode *o, const dm_point *p, int64_t first, const int32_t *labels, dm_err *err)
{
    const double r = hypot(p->alpha, p->sigma), c = p->alpha / r, s = p->sigma / r;
    dm_affine a;
    dm_status rc;

    if ((rc = dm_objective_affine(dm_net_objective(o->setup.net), p, &a, err)))
        return rc;
    for (int64_t i = 0; i < o->n; i++) {
        o->c_in[i] = a.c_in;
        o->c_noise[i] = a.c_noise;
    }
    for (int64_t i = 0; i < o->n * o->example; i++)
        o->x[i] = (float)(r * o->at[i]);
    if ((rc = dm_buf_write(dm_forward_input(o->forward), 0, (size_t)(o->n * o->example) * sizeof *o->x, o->x, err)) ||
        (rc = dm_forward_level(o->forward, p, &a, err)) || (rc = trace(o, first, labels, err)))
        return rc;
    for (int64_t i = 0; i < o->n; i++) {
        for (int64_t d = 0; d < o->example; d++)
            o->slope[i * o->example + d] = (c - a.c_skip * r) / s * o->at[i * o->example + d] -
                                           a.c_out / s * (double)o->F[i * o->outputs + d];
        o->divergence[i] = (double)o->example * (c - a.c_skip * r) / s - a.c_out / s * r * o->divergence[i];
        if (!isfinite(o->divergence[i]))
            return dm_error(err, DM_EDIVERGED,
                            "the divergence of example %lld of the test split at t = %g is not finite",
                            (long long)(first + i), p->t);
    }
    return DM_OK;
}

/* ---- along the walk ---------------------------------------------------------------------------- */

static double angle(const dm_point *p) { return atan2(p->sigma, p->alpha); }

/* One step of Runge and Kutta's classical method, from a to b. */
static dm_status advance(dm_ode *o, const dm_point *a, const dm_point *b, int64_t first, const int32_t *labels,
                         dm_err *err)
{
    static const double weight[4] = {1, 2, 2, 1}, ahead[4] = {0.5, 0.5, 1, 0};
    const double h = angle(b) - angle(a), middle = angle(a) + h / 2;
    const int64_t count = o->n * o->example;
    const dm_point *at[4] = {a, NULL, NULL, b};
    dm_point m;
    dm_status rc;

    dm_noise_at_log_snr(o->setup.noise, -2 * log(tan(middle)), &m);
    at[1] = at[2] = &m;
    memcpy(o->at, o->z, (size_t)count * sizeof *o->at);
    memset(o->sum, 0, (size_t)count * sizeof *o->sum);
    memset(o->divergence_sum, 0, (size_t)o->n * sizeof *o->divergence_sum);
    for (int k = 0; k < 4; k++) {
        if ((rc = field(o, at[k], first, labels, err)))
            return rc;
        for (int64_t i = 0; i < count; i++) {
            o->sum[i] += weight[k] * o->slope[i];
            o->at[i] = o->z[i] + h * ahead[k] * o->slope[i];
        }
        for (int64_t i = 0; i < o->n; i++)
            o->divergence_sum[i] += weight[k] * o->divergence[i];
    }
    for (int64_t i = 0; i < count; i++)
        o->z[i] += h / 6 * o->sum[i];
    for (int64_t i = 0; i < o->n; i++)
        o->log_p[i] += h / 6 * o->divergence_sum[i];
    return DM_OK;
}

/* ln of the density of z where sampling begins. */
static double log_prior(const dm_point *p, const double *z, int64_t n)
{
    static const double ln_2pi = 1.83787706640934548356;
    const double power = p->alpha * p->alpha + p->sigma * p->sigma;
    const double start = dm_noise_start(p), var = start * start / power;
    double sum = 0;

    for (int64_t d = 0; d < n; d++)
        sum -= (z[d] * z[d] / var + log(var) + ln_2pi) / 2;
    return sum;
}

dm_status dm_ode_log_density(dm_ode *o, const dm_walk *w, int64_t first, const double *y, const int32_t *labels,
                             double *log_density, dm_ode_step_fn step, void *user, dm_err *err)
{
    const dm_point *end = &w->points[w->n];
    const double scale = end->alpha / hypot(end->alpha, end->sigma); /* z = scale y */
    dm_status rc;

    memset(o->log_p, 0, (size_t)o->n * sizeof *o->log_p);
    for (int64_t i = 0; i < o->n * o->example; i++)
        o->z[i] = scale * y[i];
    for (int32_t i = w->n; i-- > 0;)
        if ((rc = advance(o, &w->points[i + 1], &w->points[i], first, labels, err)) ||
            (step && (rc = step(user, w->n - i, err))))
            return rc;
    for (int64_t i = 0; i < o->n; i++)
        log_density[i] = o->log_p[i] + log_prior(&w->points[0], o->z + i * o->example, o->example) +
                         (double)o->example * log(scale);
    return DM_OK;
}
