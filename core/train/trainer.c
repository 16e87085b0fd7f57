/* Training steps on one device; see trainer.h. */
#include "train/trainer.h"

#include "base/clock.h"
#include "device/kernels.h"
#include "train/coupling.h"
#include "train/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dm_trainer {
    dm_session *session;
    const dm_set_train *set;
    dm_train_state state;
    dm_buf *grads, *loss_sum, *zeros;
    dm_optimizer *optimizer;
    dm_grad_step *grad;
    int64_t batch, micro;
    dm_point *at;
    double *u, *importance, *weight;
    /* With noise levels drawn by losses: of the last step, its numbers in (0,1), their weights, its losses. */
    double *drawn, *drawn_weight;
    dm_buf *losses;
    float *seen;
    bool unseen;                   /* losses are there that state.importance has not seen */
    float *x0, *padded_noise;      /* a micro-batch, padded */
    dm_coupling *coupling;         /* NULL: noise is drawn on the device */
    const float *noise;            /* of the step at work, f32[batch,...] */
    int32_t *labels, *told;
    dm_told conditions;            /* of a micro-batch */
    int64_t example;               /* elements of one example */
    int64_t since;                 /* steps since the numbers were last read */
    dm_buf *sum_before;            /* loss_sum before the step at work, where that has several micro-batches */
    int64_t ahead, most_ahead;     /* micro-batches the device was given and may not have done; how many may be */
    double ahead_since;
};

/* Halves the micro-batch until a plan fits. */
static dm_status fit(dm_trainer *t, int64_t micro, dm_err *err)
{
    const bool fixed = micro > 0;
    int64_t last = 0;              /* the smallest that did not fit */
    dm_err why = {0};
    dm_status rc;

    for (t->micro = fixed && micro < t->batch ? micro : t->batch;; t->micro = (t->micro + 1) / 2) {
        dm_net_expect(t->session->model, (double)t->set->steps * ceil((double)t->batch / (double)t->micro));
        rc = dm_grad_step_new(t->session->model, t->state.model, t->grads, t->loss_sum, t->micro, t->micro == t->batch,
                              &t->grad, &why);
        dm_net_expect(t->session->model, 0);
        if (!rc) {
            if (last)
                dm_session_log(t->session, DM_LOG_INFO, "micro-batches of %lld, as %lld do not fit: %s",
                               (long long)t->micro, (long long)last, why.msg);
            return DM_OK;
        }
        if (rc != DM_ENOMEM || fixed || t->micro == 1)
            return dm_error(err, rc, "%s%s", why.msg,
                            rc == DM_ENOMEM && fixed ? " (train.micro_batch is fixed; a smaller one may fit)" : "");
        last = t->micro;
    }
}

static dm_status host_memory(dm_trainer *t, dm_err *err)
{
    const size_t n = (size_t)t->micro;

    t->at = calloc(n, sizeof *t->at);
    t->u = calloc(n, sizeof *t->u);
    t->importance = calloc(n, sizeof *t->importance);
    t->weight = calloc(n, sizeof *t->weight);
    t->x0 = calloc(n * (size_t)t->example, sizeof *t->x0);
    t->padded_noise = calloc(n * (size_t)t->example, sizeof *t->padded_noise);
    t->labels = calloc(n, sizeof *t->labels);
    t->told = calloc(n, sizeof *t->told);
    if (!t->at || !t->u || !t->importance || !t->weight || !t->x0 || !t->padded_noise || !t->labels || !t->told)
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)t->micro);
    return dm_told_init(&t->conditions, dm_net_conditions(t->session->model), t->micro, err);
}

static dm_status make_state(dm_trainer *t, dm_err *err)
{
    dm_device *d = t->session->device;
    const dm_layout *l = dm_net_layout(t->session->model);
    const size_t bytes = l->total * sizeof(float);
    dm_status rc;

    t->state.layout = l;
    t->state.n_ema = t->set->ema.n;
    if ((rc = dm_wset_new(d, l, &t->state.model, err)) || (rc = dm_buf_new(d, bytes, "gradients", &t->grads, err)) ||
        (rc = dm_buf_new(d, bytes, "first moments", &t->state.m, err)) ||
        (rc = dm_buf_new(d, bytes, "second moments", &t->state.v, err)) ||
        (rc = dm_buf_new(d, sizeof(float), "loss", &t->loss_sum, err)) ||
        (rc = dm_buf_new(d, sizeof(float), "loss", &t->sum_before, err)) ||
        (rc = dm_buf_zero(t->grads, 0, bytes, err)) || (rc = dm_buf_zero(t->state.m, 0, bytes, err)) ||
        (rc = dm_buf_zero(t->state.v, 0, bytes, err)) || (rc = dm_buf_zero(t->loss_sum, 0, sizeof(float), err)))
        return rc;
    for (int i = 0; i < t->state.n_ema; i++) {
        t->state.ema_rate[i] = t->set->ema.v[i];
        if ((rc = dm_wset_new(d, l, &t->state.ema[i], err)))
            return rc;
    }
    return DM_OK;
}

/* The raw weights and every average begin with the same values. */
static dm_status initialise(dm_trainer *t, dm_err *err)
{
    const dm_layout *l = t->state.layout;
    const size_t bytes = l->total * sizeof(float);
    float *host = malloc(bytes ? bytes : 1);
    dm_status rc;

    if (!host)
        return dm_error(err, DM_ENOMEM, "out of memory for %lld weights", (long long)l->parameters);
    dm_layout_init_values(l, (uint64_t)t->session->experiment->run.seed, host);
    rc = dm_buf_write(dm_wset_flat(t->state.model), 0, bytes, host, err);
    for (int i = 0; i < t->state.n_ema && !rc; i++)
        rc = dm_buf_write(dm_wset_flat(t->state.ema[i]), 0, bytes, host, err);
    free(host);
    return rc;
}

static dm_status make_optimizer(dm_trainer *t, dm_err *err)
{
    dm_optimizer_arrays a = {.w = dm_wset_flat(t->state.model),
                             .g = t->grads,
                             .m = t->state.m,
                             .v = t->state.v,
                             .count = t->state.layout->trained,
                             .n_ema = t->state.n_ema,
                             .keeps_g = dm_grad_step_writes(t->grad)};

    for (int i = 0; i < t->state.n_ema; i++)
        a.ema[i] = dm_wset_flat(t->state.ema[i]);
    return dm_optimizer_new(t->session->device, &a, &t->optimizer, err);
}

static dm_status make_importance(dm_trainer *t, dm_err *err)
{
    const size_t n = (size_t)t->batch;
    dm_status rc;

    if (t->session->experiment->objective.draw != DM_DRAW_IMPORTANCE)
        return DM_OK;
    if (!dm_net_diffuses(t->session->model))
        return dm_error(err, DM_EINVAL, "objective.draw is importance; objective '%s' draws no noise levels",
                        dm_net_objective(t->session->model)->plugin->name);
    t->drawn = calloc(n, sizeof *t->drawn);
    t->drawn_weight = calloc(n, sizeof *t->drawn_weight);
    t->seen = calloc(n, sizeof *t->seen);
    if (!t->drawn || !t->drawn_weight || !t->seen)
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)t->batch);
    if ((rc = dm_buf_new(t->session->device, n * sizeof *t->seen, "losses", &t->losses, err)))
        return rc;
    return dm_importance_new(dm_net_draw_parts(t->session->model), &t->state.importance, err);
}

static dm_status make_coupling(dm_trainer *t, dm_err *err)
{
    const dm_experiment *e = t->session->experiment;

    return dm_net_couples(t->session->model) ? dm_coupling_new(e->objective.coupling, t->batch, t->example,
                                                               (uint64_t)e->run.seed, &t->coupling, err)
                                             : DM_OK;
}

dm_status dm_trainer_new(dm_session *s, int64_t micro, dm_trainer **out, dm_err *err)
{
    dm_trainer *t = calloc(1, sizeof *t);
    dm_status rc;

    if (!t)
        return dm_error(err, DM_ENOMEM, "out of memory for training");
    t->session = s;
    t->set = &s->experiment->train;
    t->batch = t->set->batch;
    t->example = 1;
    for (int32_t i = 0; i < s->data.shape.rank; i++)
        t->example *= s->data.shape.dim[i];
    if ((rc = make_state(t, err)) || (rc = initialise(t, err)) || (rc = make_importance(t, err)) ||
        (rc = make_coupling(t, err)) || (rc = fit(t, micro, err)) || (rc = make_optimizer(t, err)) ||
        (rc = host_memory(t, err))) {
        dm_trainer_free(t);
        return rc;
    }
    *out = t;
    return DM_OK;
}

void dm_trainer_free(dm_trainer *t)
{
    if (!t)
        return;
    dm_grad_step_free(t->grad);
    dm_optimizer_free(t->optimizer);
    for (int i = 0; i < t->state.n_ema; i++)
        dm_wset_free(t->state.ema[i]);
    dm_wset_free(t->state.model);
    dm_buf_free(t->grads);
    dm_buf_free(t->state.m);
    dm_buf_free(t->state.v);
    dm_buf_free(t->loss_sum);
    dm_buf_free(t->sum_before);
    dm_buf_free(t->losses);
    dm_importance_free(t->state.importance);
    free(t->drawn);
    free(t->drawn_weight);
    free(t->seen);
    free(t->at);
    free(t->u);
    free(t->importance);
    free(t->weight);
    dm_coupling_free(t->coupling);
    free(t->x0);
    free(t->padded_noise);
    free(t->labels);
    dm_told_fini(&t->conditions);
    free(t->told);
    free(t);
}

dm_train_state *dm_trainer_state(dm_trainer *t) { return &t->state; }
int64_t dm_trainer_micro_batch(const dm_trainer *t) { return t->micro; }
dm_plan *dm_trainer_plan(dm_trainer *t) { return dm_grad_step_plan(t->grad); }

/* The number in (0,1) from which example i of this step draws its noise level. */
static double number_of(const dm_trainer *t, int64_t i)
{
    const dm_experiment *e = t->session->experiment;

    return t->state.importance ? t->drawn[i]
                               : dm_train_uniform((uint64_t)e->run.seed, e->objective.draw, t->state.step, i, t->batch);
}

/* Of the whole batch, so that they do not depend on how it is cut. */
static void draw_by_losses(dm_trainer *t)
{
    const dm_experiment *e = t->session->experiment;

    for (int64_t i = 0; i < t->batch; i++)
        dm_importance_draw(t->state.importance,
                           dm_train_uniform((uint64_t)e->run.seed, DM_DRAW_UNIFORM, t->state.step, i, t->batch),
                           &t->drawn[i], &t->drawn_weight[i]);
}

dm_status dm_trainer_drain(dm_trainer *t, dm_err *err)
{
    int64_t bad;
    dm_status rc;

    if (!t->unseen)
        return DM_OK;
    if ((rc = dm_trainer_check(t, &bad, err)) ||
        (rc = dm_buf_read(t->losses, 0, (size_t)t->batch * sizeof *t->seen, t->seen, err)))
        return rc;
    for (int64_t i = 0; i < t->batch; i++)
        dm_importance_see(t->state.importance, t->drawn[i], t->seen[i]);
    dm_importance_update(t->state.importance);
    t->unseen = false;
    return DM_OK;
}

/* The noise of the whole batch of the step at work. */
static dm_status couple(dm_trainer *t, const float *x0, dm_err *err)
{
    return t->coupling ? dm_coupling_noise(t->coupling, t->state.step, x0, &t->noise, err) : DM_OK;
}

/* What the network is told of them, of which training leaves a share out. */
static void tell(dm_trainer *t, int64_t first, int64_t n, dm_grad_batch *b)
{
    const dm_net *net = t->session->model;
    const dm_conditions *c = dm_net_conditions(net);
    const int64_t step = t->state.step;

    if (b->labels && dm_net_drops_labels(net)) {
        for (int64_t i = 0; i < t->micro; i++)
            t->told[i] = dm_train_drops(b->seed, c->drop_class, step, first + i, 0) ? t->session->data.classes
                                                                                   : b->labels[i];
        b->told = t->told;
    }
    if (!c->n)
        return;
    dm_net_derive(net, b->x0, n, b->seed, (uint32_t)step, (uint32_t)first, &t->conditions);
    for (int32_t k = 0; k < c->n; k++)
        for (int64_t i = 0; i < t->micro; i++)
            if (i >= n || dm_train_drops(b->seed, c->drop[k], step, first + i, c->together ? 0 : k + 1))
                dm_told_null(&t->conditions, k, i);
    b->conditions = &t->conditions;
}

/* Examples [first, first + n) of a step's batch. */
static dm_status micro_batch(dm_trainer *t, int64_t first, int64_t n, const float *x0, const int32_t *labels,
                             dm_err *err)
{
    const dm_experiment *e = t->session->experiment;
    const bool diffusion = dm_net_diffuses(t->session->model);
    dm_grad_batch b = {.x0 = x0 + first * t->example, .labels = labels ? labels + first : NULL, .weight = t->weight,
                       .seed = (uint64_t)e->run.seed, .step = (uint32_t)t->state.step, .first_index = (uint32_t)first,
                       .noise = t->coupling ? t->noise + first * t->example : NULL};
    dm_status rc;

    for (int64_t i = 0; i < t->micro; i++) {
        /* Padding repeats the last example's time with no weight. */
        t->u[i] = number_of(t, first + (i < n ? i : n - 1));
        t->importance[i] = 1;
    }
    if (diffusion) {
        if ((rc = dm_net_draw(t->session->model, (int32_t)t->micro, t->u, t->at, t->importance, err)))
            return rc;
        b.at = t->at;
    }
    for (int64_t i = 0; i < t->micro; i++)
        t->weight[i] =
            i >= n ? 0 : t->importance[i] * (t->state.importance ? t->drawn_weight[first + i] : 1) / (double)t->batch;
    if (n < t->micro) {
        memset(t->x0, 0, (size_t)(t->micro * t->example) * sizeof *t->x0);
        memcpy(t->x0, b.x0, (size_t)(n * t->example) * sizeof *t->x0);
        b.x0 = t->x0;
        if (b.noise) {
            memcpy(t->padded_noise, b.noise, (size_t)(n * t->example) * sizeof *t->padded_noise);
            b.noise = t->padded_noise;
        }
        if (b.labels) {
            memset(t->labels, 0, (size_t)t->micro * sizeof *t->labels);
            memcpy(t->labels, b.labels, (size_t)n * sizeof *t->labels);
            b.labels = t->labels;
        }
    }
    tell(t, first, n, &b);
    if ((rc = dm_grad_step_run(t->grad, &b, err)) || !t->state.importance)
        return rc;
    return dm_buf_copy(dm_grad_step_loss(t->grad), 0, t->losses, (size_t)first * sizeof(float),
                       (size_t)n * sizeof(float), err);
}

/* Waits for the device every half a second of work: what is told of speed and of time left is of steps that are done,
 * and a stop does not wait for hours of work in the queue. */
static dm_status keep_up(dm_trainer *t, dm_err *err)
{
    static const double most = 0.5; /* seconds */
    double each;
    dm_status rc;

    if (++t->ahead < t->most_ahead)
        return DM_OK;
    if ((rc = dm_device_finish(t->session->device, err)))
        return rc;
    each = (dm_seconds() - t->ahead_since) / (double)t->ahead;
    t->most_ahead = each * 256 < most ? 256 : each < most ? (int64_t)(most / each) : 1;
    t->ahead = 0;
    t->ahead_since = dm_seconds();
    return DM_OK;
}

/* Whether a stop is wanted, and what is left of the step after `done` examples would take longer than one waits. */
static bool stops(const dm_trainer *t, double began, int64_t done)
{
    static const double most = 2; /* seconds */
    const dm_callbacks *cb = &t->session->callbacks;

    return (dm_seconds() - began) / (double)done * (double)(t->batch - done) > most && cb->cancelled &&
           cb->cancelled(cb->user);
}

/* As before the step. */
static dm_status abandon(dm_trainer *t, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_buf_zero(t->grads, 0, dm_buf_bytes(t->grads), err)) ||
        (rc = dm_buf_copy(t->sum_before, 0, t->loss_sum, 0, sizeof(float), err)))
        return rc;
    return dm_error(err, DM_ECANCELLED, "stopped within step %lld", (long long)t->state.step + 1);
}

dm_status dm_trainer_step(dm_trainer *t, const float *x0, const int32_t *labels, dm_err *err)
{
    const dm_set_train *s = t->set;
    dm_optimizer_step o = {.step = t->state.step,
                           .lr = dm_train_lr(s, t->state.step),
                           .beta1 = s->beta1,
                           .beta2 = s->beta2,
                           .eps = s->eps,
                           .weight_decay = s->weight_decay,
                           .clip = s->clip};
    const double began = dm_seconds();
    dm_status rc;

    if (t->state.importance) {
        if ((rc = dm_trainer_drain(t, err)))
            return rc;
        draw_by_losses(t);
    }
    if ((rc = couple(t, x0, err)))
        return rc;
    if (t->micro < t->batch && (rc = dm_buf_copy(t->loss_sum, 0, t->sum_before, 0, sizeof(float), err)))
        return rc;
    for (int64_t first = 0; first < t->batch; first += t->micro) {
        if (first && stops(t, began, first))
            return abandon(t, err);
        if ((rc = micro_batch(t, first, t->batch - first < t->micro ? t->batch - first : t->micro, x0, labels, err)) ||
            (rc = keep_up(t, err)))
            return rc;
    }
    for (int i = 0; i < t->state.n_ema; i++)
        o.ema[i] = dm_train_ema_rate(s, i, t->state.step);
    if ((rc = dm_optimizer_run(t->optimizer, &o, err)))
        return rc;
    dm_wset_touch(t->state.model);
    for (int i = 0; i < t->state.n_ema; i++)
        dm_wset_touch(t->state.ema[i]);
    t->unseen = t->state.importance != NULL;
    t->state.step++;
    t->since++;
    return DM_OK;
}

dm_status dm_trainer_get_sums(dm_trainer *t, float *loss_sum, int64_t *steps, dm_err *err)
{
    *steps = t->since;
    return dm_buf_read(t->loss_sum, 0, sizeof *loss_sum, loss_sum, err);
}

dm_status dm_trainer_set_sums(dm_trainer *t, float loss_sum, int64_t steps, dm_err *err)
{
    t->since = steps;
    return dm_buf_write(t->loss_sum, 0, sizeof loss_sum, &loss_sum, err);
}

dm_status dm_trainer_check(dm_trainer *t, int64_t *bad_step, dm_err *err)
{
    dm_optimizer_numbers o;
    const dm_status rc = dm_optimizer_read(t->optimizer, &o, err);

    *bad_step = rc ? -1 : o.bad_step;
    if (rc || o.bad_step < 0)
        return rc;
    return dm_error(err, DM_EDIVERGED, "training diverged at step %lld: its gradient is not finite",
                    (long long)o.bad_step + 1);
}

/* By the numbers that were drawn last, if by losses: none is drawn after a step that diverged. */
bool dm_trainer_find_nonfinite(dm_trainer *t, int64_t step, const float *x0, const int32_t *labels, char *what,
                               size_t size, dm_err *err)
{
    const int64_t now = t->state.step;
    bool found = false;

    t->state.step = step;
    if (couple(t, x0, err)) {
        t->state.step = now;
        return false;
    }
    for (int64_t first = 0; first < t->batch && !found; first += t->micro) {
        /* What the step adds to, the sum of losses and the gradients, is its result and not its cause: it is cleared
         * after the run that writes the inputs, before the run that looks at each node. */
        if (micro_batch(t, first, t->batch - first < t->micro ? t->batch - first : t->micro, x0, labels, err) ||
            dm_buf_zero(t->loss_sum, 0, sizeof(float), err) || dm_buf_zero(t->grads, 0, dm_buf_bytes(t->grads), err))
            break;
        found = dm_plan_find_nonfinite(dm_grad_step_plan(t->grad), what, size, err);
    }
    t->state.step = now;
    return found;
}

dm_status dm_trainer_numbers(dm_trainer *t, dm_train_numbers *n, dm_err *err)
{
    dm_optimizer_numbers o;
    int64_t bad;
    float sum;
    dm_status rc;

    if ((rc = dm_trainer_check(t, &bad, err)) || (rc = dm_trainer_get_sums(t, &sum, &n->steps, err)) ||
        (rc = dm_optimizer_read(t->optimizer, &o, err)))
        return rc;
    n->loss = t->since ? (double)sum / (double)t->since : NAN;
    n->grad_norm = o.norm;
    return dm_trainer_set_sums(t, 0, 0, err);
}
