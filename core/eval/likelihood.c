/* dm_eval_nll: bits a dimension of the test split. For each batch of images all steps of the chain are walked with one
 * plan: noise is added on the device, the network's output comes back, and the terms are made in double precision. */
#include "base/clock.h"
#include "base/sized.h"
#include "comm/share.h"
#include "eval/bound.h"
#include "eval/eval_data.h"
#include "eval/mean.h"
#include "device/kernels.h"
#include "device/ops.h"
#include "model/batch_fit.h"
#include "model/objective.h"
#include "model/sampling.h"
#include "session/session_ranks.h"
#include "session/session_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 };

typedef struct job {
    dm_session *s;
    const dm_nll_options *o;
    dm_nll *out;
    dm_eval_data *data;
    dm_sampling *chain;            /* the grid, and the variance of its steps */
    dm_forward *forward;
    dm_buf *clean, *noise;         /* f32[n,example] */
    dm_bound_step *steps;          /* as the grid goes, noisiest first */
    dm_share mine;                 /* the images that this rank measures */
    int64_t n, example, outputs;   /* images at once; elements of an image and of the output for one */
    float *x0, *x, *F;
    int32_t *labels;
    dm_condition_batch conditions;            /* of a batch */
    double *c_in, *c_noise;
    double *terms;                 /* of a batch: [n][steps + 1], as dm_nll.each has them */
    dm_sums *sums;                 /* over images, of each of the steps + 1 terms, all of them, those between */
} job;

/* ---- the chain ------------------------------------------------------------------------------ */

/* Adds to the message which other samplers have a likelihood. */
static dm_status name_others(job *j, dm_status rc, dm_err *err)
{
    const char *mine = j->s->experiment->section[DM_SEC_SAMPLER].plugin->name;
    const dm_found *list;
    const char *lead = "; one that has it: ";
    int n;

    if (!err || dm_registry_list(j->s->registry, &list, &n, NULL))
        return rc;
    for (int i = 0; i < n; i++)
        if (list[i].kind == DM_KIND_SAMPLER && list[i].plugin && list[i].plugin->sampler->log_var &&
            strcmp(list[i].name, mine)) {
            const size_t at = strlen(err->msg);

            snprintf(err->msg + at, sizeof err->msg - at, "%ssampler.use=%s", lead, list[i].name);
            lead = ", ";
        }
    return rc;
}

static dm_status describe_steps(job *j, double limit, dm_err *err)
{
    const dm_walk *g = dm_sampling_walk(j->chain);
    dm_instance *obj = dm_net_objective(j->s->model);

    if (g->points[g->n].sigma > 0)
        return dm_error(err, DM_EINVAL, "the bound's last step goes to the data; grid.last must be data");
    if (!(j->steps = calloc((size_t)g->n, sizeof *j->steps)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d steps", (int)g->n);
    j->out->steps = g->n;
    for (int32_t i = 0; i < g->n; i++) {
        dm_bound_step *b = &j->steps[i];
        double k[2];
        dm_status rc;

        if ((rc = dm_objective_affine(obj, &g->points[i], &b->affine, err)) ||
            (rc = dm_noise_posterior(j->s->noise, &g->points[i], &g->points[i + 1], &b->q, err)))
            return rc;
        if ((rc = dm_sampling_log_var(j->chain, i, k, err)))
            return rc == DM_EINVAL ? name_others(j, rc, err) : rc;
        b->limit = limit;
        b->decodes = i + 1 == g->n;
        b->k0 = k[0];
        b->k1 = k[1];
        j->out->learned = k[1] != 0;
    }
    return DM_OK;
}

static dm_status open_chain(job *j, dm_err *err)
{
    dm_session *s = j->s;
    dm_experiment *e = s->experiment;
    const dm_sampling_setup setup = {.experiment = e,
                                     .noise = s->noise,
                                     .objective = dm_net_objective(s->model),
                                     .data = &s->data,
                                     .out_channels = dm_net_out_channels(s->model),
                                     .n = 1};
    const dm_plugin *grid = e->section[DM_SEC_GRID].plugin;
    double limit;
    bool dynamic;
    dm_status rc;

    if (j->o->steps > 1000000)
        return dm_error(err, DM_EINVAL, "%d steps of the chain; at most 1000000", (int)j->o->steps);
    if (j->o->steps < 0 || (!j->o->steps && !dm_noise_discrete(s->noise) && !(grid && grid->grid->steps)))
        return dm_error(err, DM_EINVAL, "a continuous schedule has no steps of its own; set the number of steps");
    if (j->o->steps || !grid || !grid->grid->steps) /* else the grid has its own count */
        e->sampler.steps = j->o->steps;
    if ((rc = dm_sampling_clip(&e->sampler, &s->data, &limit, &dynamic, err)))
        return rc;
    if (dynamic)
        return dm_error(err, DM_EINVAL,
                        "with sampler.clip: dynamic a step's mean depends on the whole image; use "
                        "sampler.clip=auto or off");
    if ((rc = dm_sampling_new(&setup, &j->chain, err)))
        return rc;
    snprintf(j->out->sampler, sizeof j->out->sampler, "%s", e->section[DM_SEC_SAMPLER].plugin->name);
    return describe_steps(j, limit, err);
}

/* ---- memory --------------------------------------------------------------------------------- */

/* Halves the batch until it fits; batches are as even as can be. */
static dm_status open_forward(job *j, dm_wset *weights, dm_err *err)
{
    const int64_t asked = j->s->experiment->sampler.batch, count = j->mine.n ? j->mine.n : 1;
    bool again = false;

    for (int64_t most = asked ? asked : BATCH;;) {
        const int64_t batches = (count + most - 1) / most;
        const size_t bytes = (size_t)((count + batches - 1) / batches * j->example) * sizeof(float);
        dm_err why = {0};
        dm_status rc;

        j->n = (count + batches - 1) / batches;
        if (!(rc = dm_buf_new(j->s->device, bytes, "images", &j->clean, &why)) &&
            !(rc = dm_buf_new(j->s->device, bytes, "noise", &j->noise, &why)) &&
            !(rc = dm_forward_new(j->s->model, weights, j->n, NULL, &j->forward, &why))) {
            const dm_shape shape = dm_forward_shape(j->forward);

            j->outputs = dm_shape_count(&shape) / j->n;
            return DM_OK;
        }
        dm_buf_free(j->clean);
        dm_buf_free(j->noise);
        j->clean = j->noise = NULL;
        if (asked || !dm_batch_fit(&most, &again, rc))
            return dm_error(err, rc, "%s", why.msg);
    }
}

static dm_status host_memory(job *j, dm_err *err)
{
    dm_nll *out = j->out;
    const size_t n = (size_t)j->n, columns = (size_t)out->steps + 1, count = (size_t)out->count;

    j->x0 = dm_array((int64_t)n, j->example, sizeof *j->x0);
    j->x = dm_array((int64_t)n, j->example, sizeof *j->x);
    j->F = dm_array((int64_t)n, j->outputs, sizeof *j->F);
    j->labels = calloc(n, sizeof *j->labels);
    j->c_in = calloc(n, sizeof *j->c_in);
    j->c_noise = calloc(n, sizeof *j->c_noise);
    j->terms = dm_array((int64_t)n, (int64_t)columns, sizeof *j->terms);
    j->sums = calloc(columns + 2, sizeof *j->sums);
    out->t = calloc(columns, sizeof *out->t);
    out->terms = calloc(columns, sizeof *out->terms);
    if (j->o->each && count < SIZE_MAX / columns / sizeof *out->each)
        out->each = dm_array((int64_t)count, (int64_t)columns, sizeof *out->each);
    return j->x0 && j->x && j->F && j->labels && j->c_in && j->c_noise && j->terms && j->sums && out->t && out->terms &&
                   (out->each || !j->o->each)
               ? dm_condition_batch_init(&j->conditions, dm_net_conditions(j->s->model), j->n, err)
               : dm_error(err, DM_ENOMEM, "out of memory for the terms of %lld images in %d steps",
                          (long long)out->count, (int)out->steps);
}

static void job_fini(job *j)
{
    dm_forward_free(j->forward);
    dm_buf_free(j->clean);
    dm_buf_free(j->noise);
    dm_sampling_free(j->chain);
    dm_eval_data_close(j->data);
    free(j->steps);
    free(j->x0);
    free(j->x);
    free(j->F);
    free(j->labels);
    dm_condition_batch_fini(&j->conditions);
    free(j->c_in);
    free(j->c_noise);
    free(j->terms);
    free(j->sums);
}

/* ---- the terms ------------------------------------------------------------------------------- */

/* x = alpha x0 + sigma noise at step i of the grid, of all images in the batch, and the network's output for it. The
 * noise depends on the seed, t and the image alone: the same in any batch, and for any number of steps that visits t.
 */
static dm_status run_network(job *j, int64_t first, int32_t i, dm_err *err)
{
    const dm_walk *g = dm_sampling_walk(j->chain);
    const dm_point *p = &g->points[i];
    dm_session *s = j->s;
    dm_buf *in = dm_forward_input(j->forward), *out = dm_forward_output(j->forward), *two[] = {j->clean, j->noise};
    const dm_randn r = {.seed = (uint64_t)s->experiment->run.seed,
                        .purpose = DM_PURPOSE_EVAL,
                        .first_index = (uint32_t)first,
                        .step = (uint32_t)(g->timesteps ? g->timesteps[i] + 1 : g->n - i)};
    dm_status rc;

    for (int64_t k = 0; k < j->n; k++) {
        j->c_in[k] = j->steps[i].affine.c_in;
        j->c_noise[k] = j->steps[i].affine.c_noise;
    }
    if ((rc = dm_launch_randn(s->device, j->noise, j->n, j->example, &r, err)) ||
        (rc = dm_launch_sum(s->device, in, (double[]){p->alpha, p->sigma}, two, 2, j->n * j->example, err)) ||
        (rc = dm_forward_level(j->forward, p, &j->steps[i].affine, err)) ||
        (rc = dm_forward_set_conditions(j->forward, &j->conditions, (uint64_t)first + 1, err)) ||
        (rc = dm_forward_run(j->forward, j->c_in, j->c_noise, s->data.classes ? j->labels : NULL, err)) ||
        (rc = dm_buf_read(in, 0, (size_t)(j->n * j->example) * sizeof *j->x, j->x, err)))
        return rc;
    return dm_buf_read(out, 0, (size_t)(j->n * j->outputs) * sizeof *j->F, j->F, err);
}

static dm_status one_step(job *j, int64_t first, int64_t there, int32_t i, dm_err *err)
{
    const int32_t columns = j->out->steps + 1, k = j->out->steps - 1 - i;
    dm_status rc;

    if ((rc = run_network(j, first, i, err)))
        return rc;
    for (int64_t m = 0; m < there; m++) {
        const double term = dm_bound_term(&j->steps[i], &j->s->data, j->x0 + m * j->example, j->x + m * j->example,
                                          j->F + m * j->outputs, j->example);

        if (!isfinite(term))
            return dm_error(err, DM_EDIVERGED,
                            "the bound's term of image %lld of the test split at t = %g is not finite: the "
                            "network's output is not, or its variance is out of range",
                            (long long)(first + m), dm_sampling_walk(j->chain)->points[i].t);
        j->terms[m * columns + k] = term;
    }
    return DM_OK;
}

static void count_batch(job *j, int64_t first, int64_t there)
{
    const int32_t steps = j->out->steps, columns = steps + 1;

    for (int64_t m = 0; m < there; m++) {
        double *row = j->terms + m * columns, rate = 0;

        row[steps] = dm_bound_prior(&dm_sampling_walk(j->chain)->points[0], j->x0 + m * j->example, j->example);
        for (int32_t k = 0; k < columns; k++)
            dm_sums_add(&j->sums[k], row[k]);
        for (int32_t k = 1; k < steps; k++)
            rate += row[k];
        dm_sums_add(&j->sums[columns], rate + row[0] + row[steps]);
        dm_sums_add(&j->sums[columns + 1], rate);
        if (j->out->each)
            memcpy(j->out->each + (first + m) * columns, row, (size_t)columns * sizeof *row);
    }
}

static dm_status one_batch(job *j, int64_t first, dm_err *err)
{
    const int64_t done = first - j->mine.first, left = j->mine.n - done, there = left < j->n ? left : j->n;
    const int32_t steps = j->out->steps;
    const dm_callbacks *cb = &j->s->callbacks;
    dm_status rc;

    memset(j->x0, 0, (size_t)(j->n * j->example) * sizeof *j->x0);
    if ((rc = dm_data_at(dm_eval_data_of(j->data), first, there, j->x0, j->labels, err)) ||
        (rc = dm_buf_write(j->clean, 0, (size_t)(j->n * j->example) * sizeof *j->x0, j->x0, err)))
        return rc;
    dm_net_derive(j->s->model, j->x0, dm_data_conditions(dm_eval_data_of(j->data)), there,
                  (uint64_t)j->s->experiment->run.seed, DM_STEP_OF_EVALUATION, (uint32_t)first, &j->conditions);
    for (int32_t i = 0; i < steps; i++) {
        if ((rc = one_step(j, first, there, i, err)))
            return rc;
        if (cb->progress)
            cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info),
                                                       .what = "bound",
                                                       .loss = NAN,
                                                       .step = done * steps + there * (i + 1),
                                                       .steps = j->mine.n * steps,
                                                       .per_step = 1.0 / steps});
        if (cb->cancelled && cb->cancelled(cb->user))
            return dm_error(err, DM_ECANCELLED, "stopped at step %d of %d of image %lld", (int)i + 1, (int)steps,
                            (long long)first);
    }
    count_batch(j, first, there);
    return DM_OK;
}

/* Of all ranks. */
static dm_status add_up(job *j, dm_err *err)
{
    const size_t columns = (size_t)j->out->steps + 1;
    const dm_status rc = dm_share_add(j->s->comm, &j->sums->x, 2 * (columns + 2), err);

    return rc || !j->out->each
               ? rc
               : dm_share_collect(j->s->comm, j->out->each, columns * sizeof *j->out->each, j->out->count, err);
}

static void finish(job *j)
{
    const dm_walk *g = dm_sampling_walk(j->chain);
    dm_nll *out = j->out;

    for (int32_t k = 0; k < out->steps; k++) {
        out->t[k] = g->points[out->steps - 1 - k].t;
        out->terms[k] = dm_mean_of(&j->sums[k], out->count);
    }
    out->decoder = out->terms[0];
    out->prior = dm_mean_of(&j->sums[out->steps], out->count);
    out->total = dm_mean_of(&j->sums[out->steps + 1], out->count);
    out->rate = dm_mean_of(&j->sums[out->steps + 2], out->count);
}

/* ---- all of it --------------------------------------------------------------------------------- */

static dm_status open_images(job *j, dm_err *err)
{
    const dm_data_info *d = &j->s->data;
    dm_status rc;

    j->out->levels = dm_data_step(d) > 0 ? d->levels : 0;
    if ((rc = dm_eval_data_open_test(j->s, j->o->count, &j->data, &j->out->count, err)))
        return rc;
    j->mine = dm_share_of(j->out->count, 0, j->s->comm->rank, j->s->comm->size);
    return DM_OK;
}

/* This rank's images. */
static dm_status measure_mine(job *j, dm_wset **weights, dm_err *err)
{
    dm_status rc;

    if ((rc = open_images(j, err)) || (rc = dm_session_open(j->s, false, err)) || (rc = open_chain(j, err)) ||
        (rc = dm_session_weights(j->s, j->o->raw, weights, err)) || (rc = open_forward(j, *weights, err)) ||
        (rc = host_memory(j, err)))
        return rc;
    for (int64_t first = j->mine.first; first < j->mine.first + j->mine.n && !rc; first += j->n)
        rc = one_batch(j, first, err);
    return rc;
}

static dm_status measure(job *j, const char *run, dm_err *err)
{
    const dm_session *s = j->s;
    const double began = dm_seconds();
    dm_wset *weights = NULL;
    dm_status rc;

    if (!s->noise || !s->experiment->section[DM_SEC_OBJECTIVE].plugin->objective->affine)
        return dm_error(err, DM_EINVAL, "'%s' is not a diffusion model; it has no bound", run);
    if (!(rc = dm_comm_agree(s->comm, measure_mine(j, &weights, err), NULL, err)) && !(rc = add_up(j, err)))
        finish(j);
    j->out->seconds = dm_seconds() - began;
    dm_wset_free(weights);
    return rc;
}

dm_status dm_eval_nll(const char *run, const dm_nll_options *options, dm_nll *out, dm_err *err)
{
    dm_nll_options o;
    dm_nll n = {.size = sizeof n};
    dm_session s;
    job j = {.s = &s, .o = &o, .out = &n};
    char asked[128];
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_nll, out, each, err)) || (rc = DM_SIZED_READ(dm_nll_options, &o, options, err)))
        return rc;
    snprintf(asked, sizeof asked, "count: %lld\nsteps: %d\nraw: %d\neach: %d\n", (long long)o.count, (int)o.steps,
             o.raw, o.each);
    if ((rc = dm_session_join(&s, o.ranks, run, o.overrides, o.n_overrides, o.callbacks, asked, err)))
        return rc;
    n.step = dm_session_step(&s);
    j.example = dm_shape_count(&s.data.shape);
    rc = measure(&j, run, err);
    job_fini(&j);
    dm_session_leave(&s);
    if (rc)
        dm_nll_free(&n);
    else
        DM_SIZED_WRITE(dm_nll, out, &n);
    return rc;
}

void dm_nll_free(dm_nll *n)
{
    if (!n || !DM_HAS(dm_nll, n, each))
        return;
    free(n->t);
    free(n->terms);
    free(n->each);
    n->t = n->each = NULL;
    n->terms = NULL;
}
