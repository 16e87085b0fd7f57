/* The loss on held-out data; see validation.h. */
#include "eval/validation.h"
#include "base/clock.h"
#include "comm/share.h"
#include "eval/mean.h"
#include "model/batch_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps of random numbers that no training reaches. */
static const uint32_t first_step = 0xffffffffu;

struct dm_validation {
    dm_session *s;
    dm_eval_data *data;
    dm_grad_step *step;
    int64_t count, n, example;     /* images; at once; elements of one */
    int32_t bands;
    float *x0, *loss;
    int32_t *labels;
    dm_condition_batch conditions;
    dm_point *at;
    double *u, *importance, *weight;
    dm_share mine;                 /* the images that this rank measures */
    double *losses;                /* of each image in each band: [count,bands] */
};

int64_t dm_validation_count(const dm_validation *v) { return v->count; }

/* Halves the batch until it fits. */
static dm_status open_step(dm_validation *v, dm_wset *weights, int64_t batch, dm_err *err)
{
    const int64_t most = v->mine.n ? v->mine.n : 1;
    bool again = false;

    for (v->n = most < batch ? most : batch;;) {
        dm_err why = {0};
        const dm_status rc = dm_grad_step_new(v->s->model, weights, NULL, NULL, v->n, false, &v->step, &why);

        if (!rc)
            return DM_OK;
        if (!dm_batch_fit(&v->n, &again, rc))
            return dm_error(err, rc, "%s", why.msg);
    }
}

static dm_status host_memory(dm_validation *v, dm_err *err)
{
    const size_t n = (size_t)v->n;

    v->x0 = dm_array((int64_t)n, v->example, sizeof *v->x0);
    v->loss = calloc(n, sizeof *v->loss);
    v->labels = calloc(n, sizeof *v->labels);
    v->at = calloc(n, sizeof *v->at);
    v->u = calloc(n, sizeof *v->u);
    v->importance = calloc(n, sizeof *v->importance);
    v->weight = calloc(n, sizeof *v->weight);
    v->losses = dm_array(v->count, v->bands, sizeof *v->losses);
    if (!v->x0 || !v->loss || !v->labels || !v->at || !v->u || !v->importance || !v->weight || !v->losses)
        return dm_error(err, DM_ENOMEM, "out of memory for held-out data");
    return dm_condition_batch_init(&v->conditions, dm_net_conditions(v->s->model), v->n, err);
}

dm_status dm_validation_new(dm_session *s, dm_wset *weights, int64_t count, int64_t batch, dm_validation **out,
                            dm_err *err)
{
    dm_validation *v = calloc(1, sizeof *v);
    dm_status rc;

    if (!v)
        return dm_error(err, DM_ENOMEM, "out of memory for held-out data");
    v->s = s;
    v->example = dm_shape_count(&s->data.shape);
    v->bands = dm_net_diffuses(s->model) ? DM_LOSS_BANDS : 1;
    if (!(rc = dm_eval_data_open(s, "test", &v->data, err)) && !(rc = dm_eval_data_labels(s, v->data, err))) {
        v->count = dm_data_get_info(dm_eval_data_of(v->data))->count;
        v->count = count && count < v->count ? count : v->count;
        v->mine = dm_share_of(v->count, 0, s->comm->rank, s->comm->size);
        if (!(rc = open_step(v, weights, batch, err)))
            rc = host_memory(v, err);
    }
    if (rc)
        dm_validation_free(v);
    else
        *out = v;
    return rc;
}

void dm_validation_free(dm_validation *v)
{
    if (!v)
        return;
    dm_grad_step_free(v->step);
    dm_eval_data_close(v->data);
    free(v->x0);
    free(v->loss);
    free(v->labels);
    dm_condition_batch_fini(&v->conditions);
    free(v->at);
    free(v->u);
    free(v->importance);
    free(v->weight);
    free(v->losses);
    free(v);
}

/* Where in its band image i lies: spread evenly by the golden ratio, whatever the order of images is. */
static double place(int64_t i) { return fmod(0.5 + 0.6180339887498949 * (double)i, 1); }

static dm_status one_batch(dm_validation *v, int64_t first, int64_t there, int32_t band, dm_err *err)
{
    const bool diffuses = dm_net_diffuses(v->s->model);
    const dm_grad_batch b = {.x0 = v->x0,
                             .labels = v->s->data.classes ? v->labels : NULL,
                             .conditions = v->conditions.conditions ? &v->conditions : NULL,
                             .at = diffuses ? v->at : NULL,
                             .weight = v->weight,
                             .seed = (uint64_t)v->s->experiment->run.seed,
                             .step = first_step - (uint32_t)band,
                             .first_index = (uint32_t)first};
    dm_status rc;

    for (int64_t i = 0; i < v->n; i++)
        v->u[i] = (band + place(first + (i < there ? i : 0))) / v->bands;
    if ((diffuses && (rc = dm_net_draw(v->s->model, (int32_t)v->n, v->u, v->at, v->importance, err))) ||
        (rc = dm_grad_step_run(v->step, &b, err)) || (rc = dm_grad_step_losses(v->step, v->loss, err)))
        return rc;
    for (int64_t i = 0; i < there; i++)
        if (!isfinite(v->loss[i]))
            return dm_error(err, DM_EDIVERGED, "the loss of image %lld of the test split at t = %g is not finite",
                            (long long)(first + i), diffuses ? v->at[i].t : 0);
    return DM_OK;
}

/* The losses of this rank's images. */
static dm_status measure(dm_validation *v, double patience, dm_err *err)
{
    const int64_t end = v->mine.first + v->mine.n;
    const dm_callbacks *cb = &v->s->callbacks;
    const double began = dm_seconds();
    dm_status rc = DM_OK;

    for (int64_t first = v->mine.first; first < end; first += v->n) {
        const int64_t there = end - first < v->n ? end - first : v->n, done = first + there - v->mine.first;

        memset(v->x0, 0, (size_t)(v->n * v->example) * sizeof *v->x0);
        if ((rc = dm_data_at(dm_eval_data_of(v->data), first, there, v->x0, v->labels, err)))
            return rc;
        dm_net_derive(v->s->model, v->x0, dm_data_conditions(dm_eval_data_of(v->data)), there,
                      (uint64_t)v->s->experiment->run.seed, DM_STEP_OF_EVALUATION, (uint32_t)first, &v->conditions);
        for (int32_t k = 0; k < v->bands; k++) {
            if ((rc = one_batch(v, first, there, k, err)))
                return rc;
            for (int64_t i = 0; i < there; i++)
                v->losses[(first + i) * v->bands + k] =
                    (double)v->loss[i] * (dm_net_diffuses(v->s->model) ? v->importance[i] : 1);
        }
        if (cb->cancelled && cb->cancelled(cb->user) &&
            (dm_seconds() - began) / (double)done * (double)(v->mine.n - done) >= patience)
            return dm_error(err, DM_ECANCELLED, "stopped after %lld of %lld held-out images", (long long)done,
                            (long long)v->mine.n);
    }
    return DM_OK;
}

/* In the order of images, so that the sums are the same for any number of ranks. */
static void add_up(const dm_validation *v, dm_loss_row *out)
{
    dm_sums band[DM_LOSS_BANDS] = {{0}}, all = {0};

    for (int64_t i = 0; i < v->count; i++) {
        double mean = 0;

        for (int32_t k = 0; k < v->bands; k++) {
            dm_sums_add(&band[k], v->losses[i * v->bands + k]);
            mean += v->losses[i * v->bands + k] / v->bands;
        }
        dm_sums_add(&all, mean);
    }
    out->loss = dm_mean_of(&all, v->count);
    for (int32_t k = 0; k < v->bands; k++)
        out->band[k] = dm_mean_of(&band[k], v->count);
}

dm_status dm_validation_run(dm_validation *v, double patience, dm_loss_row *out, dm_err *err)
{
    dm_comm *c = v->s->comm;
    dm_status rc;

    if ((rc = dm_comm_agree(c, measure(v, patience, err), NULL, err)) ||
        (rc = dm_share_collect(c, v->losses, (size_t)v->bands * sizeof *v->losses, v->count, err)))
        return rc;
    add_up(v, out);
    return DM_OK;
}

int32_t dm_validation_bands(const dm_validation *v, double *from)
{
    for (int32_t k = 0; k <= v->bands && dm_net_diffuses(v->s->model); k++) {
        const double u = fmin(fmax((double)k / v->bands, 1e-9), 1 - 1e-9);
        dm_err ignored = {0};
        double importance;
        dm_point at = {.t = NAN};

        dm_net_draw(v->s->model, 1, &u, &at, &importance, &ignored);
        from[k] = at.t;
    }
    return v->bands;
}
