/* dm_eval_ode_nll: bits a dimension of the test split by the probability-flow ODE. */
#include "base/clock.h"
#include "base/philox.h"
#include "base/sized.h"
#include "comm/share.h"
#include "device/ops.h"
#include "eval/eval_data.h"
#include "eval/mean.h"
#include "eval/ode.h"
#include "model/batch_fit.h"
#include "session/session_ranks.h"
#include "session/session_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Examples at once; dimensions up to which the divergence is exact unless probes are asked for. */
enum { BATCH = 64, FEW = 64 };

typedef struct job {
    dm_session *s;
    const dm_ode_nll_options *o;
    dm_ode_nll *out;
    dm_eval_data *data;
    dm_walk walk;
    dm_ode *ode;
    dm_share mine;                 /* the examples that this rank measures */
    int64_t n, example, first;     /* examples at once, elements of one, the first of the batch at work */
    float *x0;
    double *y, *log_density;
    int32_t *labels;
    dm_condition_batch conditions;            /* of a batch */
    dm_sums bits;                  /* a dimension */
} job;

/* The walk ends where there is still noise, without which there is no density: a last step to the data goes to the
 * schedule's lowest noise level instead, or is left out where that has none. */
static dm_status open_walk(job *j, dm_err *err)
{
    const dm_experiment *e = j->s->experiment;
    const dm_noise *noise = j->s->noise;
    dm_walk *w = &j->walk;
    dm_point least, *last;
    dm_status rc;

    if (j->o->steps < 0 || j->o->steps > 1000000)
        return dm_error(err, DM_EINVAL, "%d steps; it must be 1 to 1000000", (int)j->o->steps);
    if ((rc = j->o->steps ? dm_noise_walk(noise, j->o->steps, &e->section[DM_SEC_GRID], w, err)
                          : dm_noise_walk_of(noise, e, w, err)))
        return rc;
    last = &w->points[w->n];
    dm_noise_at(noise, dm_noise_discrete(noise) ? 1 : 0, &least);
    if (last->sigma <= 0 && least.sigma > 0 && (w->n < 1 || least.log_snr > last[-1].log_snr))
        *last = least;
    while (w->n > 0 && (w->points[w->n].sigma <= 0 || w->points[w->n].log_snr <= w->points[w->n - 1].log_snr))
        w->n--;
    if (w->n < 1)
        return dm_error(err, DM_EINVAL, "the grid has no step between two noise levels; use more steps");
    j->out->steps = w->n;
    j->out->least = w->points[w->n].sigma / w->points[w->n].alpha;
    return DM_OK;
}

static dm_status open_data(job *j, dm_err *err)
{
    dm_status rc;

    if (j->o->probes < 0 || j->o->probes > 1000000)
        return dm_error(err, DM_EINVAL, "%d probes; it must be 1 to 1000000", (int)j->o->probes);
    j->out->levels = dm_data_step(&j->s->data) > 0 ? j->s->data.levels : 0;
    j->out->probes = j->o->probes ? j->o->probes : j->example > FEW;
    if ((rc = dm_eval_data_open_test(j->s, j->o->count, &j->data, &j->out->count, err)))
        return rc;
    j->mine = dm_share_of(j->out->count, 0, j->s->comm->rank, j->s->comm->size);
    return DM_OK;
}

/* Halves the batch until it fits; batches are as even as can be. */
static dm_status open_ode(job *j, dm_wset *weights, dm_err *err)
{
    const int64_t asked = j->s->experiment->sampler.batch, count = j->mine.n ? j->mine.n : 1;
    dm_ode_setup setup = {.net = j->s->model, .weights = weights, .noise = j->s->noise, .probes = j->out->probes,
                          .seed = (uint64_t)j->s->experiment->run.seed};
    bool again = false;

    for (int64_t most = asked ? asked : BATCH;;) {
        const int64_t batches = (count + most - 1) / most;
        dm_err why = {0};
        dm_status rc;

        setup.n = j->n = (count + batches - 1) / batches;
        if (!(rc = dm_ode_new(&setup, &j->ode, &why)))
            return DM_OK;
        if (asked || !dm_batch_fit(&most, &again, rc))
            return dm_error(err, rc, "%s", why.msg);
    }
}

static dm_status host_memory(job *j, dm_err *err)
{
    j->x0 = dm_array(j->n, j->example, sizeof *j->x0);
    j->y = dm_array(j->n, j->example, sizeof *j->y);
    j->log_density = calloc((size_t)j->n, sizeof *j->log_density);
    j->labels = calloc((size_t)j->n, sizeof *j->labels);
    if (j->o->each)
        j->out->each = calloc((size_t)j->out->count, sizeof *j->out->each);
    return j->x0 && j->y && j->log_density && j->labels && (j->out->each || !j->o->each)
               ? dm_condition_batch_init(&j->conditions, dm_net_conditions(j->s->model), j->n, err)
               : dm_error(err, DM_ENOMEM, "out of memory for %lld examples", (long long)j->out->count);
}

static void job_fini(job *j)
{
    dm_ode_free(j->ode);
    dm_walk_fini(&j->walk);
    dm_eval_data_close(j->data);
    free(j->x0);
    free(j->y);
    free(j->log_density);
    free(j->labels);
    dm_condition_batch_fini(&j->conditions);
}

/* Values of a few levels become continuous: each with noise that is uniform over its level. */
static void dequantise(job *j)
{
    const double width = dm_data_step(&j->s->data);
    const uint64_t seed = (uint64_t)j->s->experiment->run.seed;
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    for (int64_t i = 0; i < j->n; i++)
        for (int64_t k = 0; k < j->example; k += 4) {
            const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_EVAL << 24 | 1, 0, (uint32_t)(k / 4),
                                     (uint32_t)(j->first + i)};
            uint32_t bits[4];

            dm_philox(key, ctr, bits);
            for (int64_t m = k; m < k + 4 && m < j->example; m++)
                j->y[i * j->example + m] += width * (dm_uniform(bits[m - k]) - 0.5);
        }
}

static dm_status after_step(void *user, int32_t done, dm_err *err)
{
    const job *j = user;
    const dm_callbacks *cb = &j->s->callbacks;
    const int64_t done_before = j->first - j->mine.first, left = j->mine.n - done_before,
                  there = left < j->n ? left : j->n;

    if (cb->progress)
        cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info),
                                                   .what = "density",
                                                   .loss = NAN,
                                                   .step = done_before * j->walk.n + there * done,
                                                   .steps = j->mine.n * j->walk.n,
                                                   .per_step = 1.0 / j->walk.n});
    if (cb->cancelled && cb->cancelled(cb->user))
        return dm_error(err, DM_ECANCELLED, "stopped at step %d of %d of example %lld", (int)done, (int)j->walk.n,
                        (long long)j->first);
    return DM_OK;
}

static dm_status one_batch(job *j, dm_err *err)
{
    const int64_t left = j->mine.first + j->mine.n - j->first, there = left < j->n ? left : j->n;
    const dm_data_info *d = &j->s->data;
    dm_status rc;

    memset(j->x0, 0, (size_t)(j->n * j->example) * sizeof *j->x0);
    if ((rc = dm_data_at(dm_eval_data_of(j->data), j->first, there, j->x0, j->labels, err)))
        return rc;
    dm_net_derive(j->s->model, j->x0, dm_data_conditions(dm_eval_data_of(j->data)), there,
                  (uint64_t)j->s->experiment->run.seed, DM_STEP_OF_EVALUATION, (uint32_t)j->first, &j->conditions);
    if ((rc = dm_ode_set_conditions(j->ode, &j->conditions, (uint64_t)j->first + 1, err)))
        return rc;
    for (int64_t i = 0; i < j->n * j->example; i++)
        j->y[i] = (double)j->x0[i];
    if (j->out->levels)
        dequantise(j);
    if ((rc = dm_ode_log_density(j->ode, &j->walk, j->first, j->y, d->classes ? j->labels : NULL, j->log_density,
                                 after_step, j, err)))
        return rc;
    for (int64_t i = 0; i < there; i++) {
        double bits = -j->log_density[i] / (double)j->example / log(2);

        if (j->out->levels)
            bits -= log2(dm_data_step(d));
        dm_sums_add(&j->bits, bits);
        if (j->out->each)
            j->out->each[j->first + i] = bits;
    }
    return DM_OK;
}

/* Of all ranks. */
static dm_status add_up(job *j, dm_err *err)
{
    double sums[] = {j->bits.x, j->bits.xx, (double)dm_ode_evaluations(j->ode)};
    dm_status rc;

    if ((rc = dm_share_add(j->s->comm, sums, sizeof sums / sizeof sums[0], err)))
        return rc;
    j->out->total = dm_mean_of(&(dm_sums){sums[0], sums[1]}, j->out->count);
    j->out->evaluations = (int64_t)sums[2];
    return j->out->each ? dm_share_collect(j->s->comm, j->out->each, sizeof *j->out->each, j->out->count, err) : DM_OK;
}

/* This rank's examples. */
static dm_status measure_mine(job *j, dm_wset **weights, dm_err *err)
{
    dm_status rc;

    if ((rc = open_data(j, err)) || (rc = open_walk(j, err)) || (rc = dm_session_open(j->s, false, err)) ||
        (rc = dm_session_weights(j->s, j->o->raw, weights, err)) || (rc = open_ode(j, *weights, err)) ||
        (rc = host_memory(j, err)))
        return rc;
    for (j->first = j->mine.first; j->first < j->mine.first + j->mine.n && !rc; j->first += j->n)
        rc = one_batch(j, err);
    return rc;
}

static dm_status measure(job *j, const char *run, dm_err *err)
{
    const dm_session *s = j->s;
    const double began = dm_seconds();
    dm_wset *weights = NULL;
    dm_status rc;

    if (!s->noise || !s->experiment->section[DM_SEC_OBJECTIVE].plugin->objective->affine)
        return dm_error(err, DM_EINVAL, "'%s' is not a diffusion model; it has no probability-flow ODE", run);
    if (!(rc = dm_comm_agree(s->comm, measure_mine(j, &weights, err), NULL, err)))
        rc = add_up(j, err);
    j->out->seconds = dm_seconds() - began;
    dm_wset_free(weights);
    return rc;
}

dm_status dm_eval_ode_nll(const char *run, const dm_ode_nll_options *options, dm_ode_nll *out, dm_err *err)
{
    dm_ode_nll_options o;
    dm_ode_nll n = {.size = sizeof n};
    dm_session s;
    job j = {.s = &s, .o = &o, .out = &n};
    char asked[160];
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_ode_nll, out, each, err)) ||
        (rc = DM_SIZED_READ(dm_ode_nll_options, &o, options, err)))
        return rc;
    snprintf(asked, sizeof asked, "count: %lld\nsteps: %d\nprobes: %d\nraw: %d\neach: %d\n", (long long)o.count,
             (int)o.steps, (int)o.probes, o.raw, o.each);
    if ((rc = dm_session_join(&s, o.ranks, run, o.overrides, o.n_overrides, o.callbacks, asked, err)))
        return rc;
    n.step = dm_session_step(&s);
    j.example = dm_shape_count(&s.data.shape);
    rc = measure(&j, run, err);
    job_fini(&j);
    dm_session_leave(&s);
    if (rc)
        dm_ode_nll_free(&n);
    else
        DM_SIZED_WRITE(dm_ode_nll, out, &n);
    return rc;
}

void dm_ode_nll_free(dm_ode_nll *n)
{
    if (!n || !DM_HAS(dm_ode_nll, n, each))
        return;
    free(n->each);
    n->each = NULL;
}
