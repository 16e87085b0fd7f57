/* Training steps on one device, or on one a rank; see trainer.h. */
#include "train/trainer_parts.h"

#include "base/clock.h"
#include "data/data.h"
#include "train/shard.h"
#include "train/spread.h"
#include "train/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

dm_train_state *dm_trainer_state(dm_trainer *t) { return &t->state; }
dm_share dm_trainer_share(const dm_trainer *t) { return t->share; }
dm_share dm_trainer_given(const dm_trainer *t) { return t->given; }
int64_t dm_trainer_micro_batch(const dm_trainer *t) { return t->micro; }
dm_plan *dm_trainer_plan(dm_trainer *t) { return dm_grad_step_plan(t->grad); }

double dm_trainer_coupling(const dm_trainer *t) { return t->coupling_seconds; }
void dm_trainer_uncouple(dm_trainer *t) { dm_coupling_skip(t->coupling); }

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
    if ((rc = dm_trainer_check(t, &bad, err)))
        return rc;
    /* Those of all ranks came with the gradients. */
    if (t->reducer)
        memcpy(t->seen, dm_reducer_numbers(t->reducer) + 1, (size_t)t->batch * sizeof *t->seen);
    else if ((rc = dm_buf_read(t->losses, 0, (size_t)t->batch * sizeof *t->seen, t->seen, err)))
        return rc;
    for (int64_t i = 0; i < t->batch; i++)
        dm_importance_see(t->state.importance, t->drawn[i], t->seen[i]);
    dm_importance_update(t->state.importance);
    t->unseen = false;
    return DM_OK;
}

typedef struct wait { const dm_callbacks *callbacks; double began; } wait;

/* Whether a stop is wanted, once it has taken longer than one waits. */
static bool gives_up(void *user)
{
    static const double most = 2; /* seconds */
    const wait *w = user;

    return dm_seconds() - w->began > most && w->callbacks->cancelled && w->callbacks->cancelled(w->callbacks->user);
}

/* The noise of the whole batch of the step at work. */
static dm_status couple(dm_trainer *t, const float *x0, dm_err *err)
{
    wait w = {&t->session->callbacks, dm_seconds()};
    const dm_assignment_stop stop = {gives_up, &w};

    return t->coupling ? dm_coupling_noise(t->coupling, t->state.step, x0, &stop, &t->noise, err) : DM_OK;
}

/* Their conditions as the network reads them: training drops a share. */
static void tell(dm_trainer *t, int64_t first, int64_t n, dm_grad_batch *b)
{
    const dm_net *net = t->session->model;
    const dm_conditions *c = dm_net_conditions(net);
    const int64_t step = t->state.step;
    const float *given;

    if (b->labels && dm_net_drops_labels(net)) {
        for (int64_t i = 0; i < t->micro; i++)
            t->labels_read[i] = dm_train_drops(b->seed, c->drop_class, step, first + i, 0) ? t->session->data.classes
                                                                                   : b->labels[i];
        b->labels_read = t->labels_read;
    }
    if (!c->n)
        return;
    given = t->session->examples ? dm_data_conditions(t->session->examples) : NULL;
    dm_net_derive(net, b->x0, given ? given + (first - t->given.first) * dm_conditions_given(c) : NULL, n, b->seed,
                  (uint32_t)step, (uint32_t)first, &t->conditions);
    for (int32_t k = 0; k < c->n; k++)
        for (int64_t i = 0; i < t->micro; i++)
            if (i >= n || dm_train_drops(b->seed, c->drop[k], step, first + i, c->together ? 0 : k + 1))
                dm_condition_batch_null(&t->conditions, k, i);
    b->conditions = &t->conditions;
}

/* Examples [first, first + n) of a step's batch, of which x0 and labels are what this rank is given. */
static dm_status micro_batch(dm_trainer *t, int64_t first, int64_t n, const float *x0, const int32_t *labels,
                             const dm_plan_watch *watch, dm_err *err)
{
    const dm_experiment *e = t->session->experiment;
    const bool diffusion = dm_net_diffuses(t->session->model);
    const int64_t at = first - t->given.first;
    dm_grad_batch b = {.x0 = x0 + at * t->example, .labels = labels ? labels + at : NULL, .weight = t->weight,
                       .seed = (uint64_t)e->run.seed, .step = (uint32_t)t->state.step, .first_index = (uint32_t)first,
                       .noise = t->coupling ? t->noise + first * t->example : NULL, .watch = watch};
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

    return (dm_seconds() - began) / (double)done * (double)(t->share.n - done) > most && cb->cancelled &&
           cb->cancelled(cb->user);
}

dm_status dm_trainer_abandon(dm_trainer *t, dm_err *err)
{
    dm_status rc;

    if (t->reducer)
        dm_reducer_drop(t->reducer);
    if ((rc = dm_buf_zero(t->grads, 0, dm_buf_bytes(t->grads), err)))
        return rc;
    return dm_buf_copy(t->sum_before, 0, t->loss_sum, 0, sizeof(float), err);
}

/* What the micro-batch, or all that this rank had, adds to the numbers beside the gradients. */
static dm_status read_numbers(dm_trainer *t, int64_t first, int64_t n, dm_err *err)
{
    float *numbers = dm_reducer_numbers(t->reducer);
    dm_status rc;

    memset(numbers + 1, 0, t->state.importance ? (size_t)t->batch * sizeof *numbers : 0);
    if ((rc = dm_buf_read(t->loss_sum, 0, sizeof *numbers, numbers, err)) ||
        (rc = dm_buf_zero(t->loss_sum, 0, sizeof *numbers, err)))
        return rc;
    return t->state.importance ? dm_buf_read(t->losses, (size_t)first * sizeof *numbers, (size_t)n * sizeof *numbers,
                                             numbers + 1 + first, err)
                               : DM_OK;
}

/* Into the sum over micro-batches. */
static dm_status put_aside(dm_trainer *t, int64_t first, int64_t n, dm_err *err)
{
    dm_status rc;

    if ((rc = read_numbers(t, first, n, err)) || (rc = dm_reducer_add(t->reducer, err)) ||
        dm_grad_step_writes(t->grad))
        return rc;
    return dm_buf_zero(t->grads, 0, dm_buf_bytes(t->grads), err);
}

/* Examples of a rank's last micro-batch. */
static int64_t last_of(const dm_trainer *t) { return (t->share.n - 1) % t->micro + 1; }

/* The gradients of all ranks, and what came with them. */
static dm_status reduce(dm_trainer *t, dm_err *err)
{
    const int64_t n = dm_reducer_fixed(t->reducer) ? last_of(t) : t->share.n, end = t->share.first + t->share.n;
    dm_reduce_time spent;
    double began;
    dm_status rc;

    if ((rc = dm_reducer_run(t->reducer, &spent, err)) || (rc = read_numbers(t, end - n, n, err)))
        return rc;
    began = dm_seconds();
    if ((rc = dm_reducer_run_numbers(t->reducer, err)))
        return rc;
    t->reduce.sum += spent.sum + dm_seconds() - began;
    t->reduce.hidden += spent.hidden;
    t->reduced++;
    t->sum += dm_reducer_numbers(t->reducer)[0];
    t->ahead = 0; /* the device was waited for */
    t->ahead_since = dm_seconds();
    return DM_OK;
}

dm_status dm_trainer_gradients(dm_trainer *t, const float *x0, const int32_t *labels, dm_err *err)
{
    const int64_t end = t->share.first + t->share.n;
    const bool fixed = t->reducer && dm_reducer_fixed(t->reducer);
    const double began = dm_seconds();
    dm_status rc;

    if (t->state.importance) {
        if ((rc = dm_trainer_drain(t, err)))
            return rc;
        draw_by_losses(t);
    }
    if ((t->micro < t->share.n || t->reducer) &&
        (rc = dm_buf_copy(t->loss_sum, 0, t->sum_before, 0, sizeof(float), err)))
        return rc;
    if ((rc = couple(t, x0, err)))
        return rc;
    for (int64_t first = t->share.first; first < end; first += t->micro) {
        const int64_t n = end - first < t->micro ? end - first : t->micro;
        const bool watched = t->reducer && first + n == end;
        const dm_plan_watch *watch = NULL;

        if (first > t->share.first && stops(t, began, first - t->share.first))
            return (rc = dm_trainer_abandon(t, err))
                       ? rc
                       : dm_error(err, DM_ECANCELLED, "stopped within step %lld", (long long)t->state.step + 1);
        if ((watched && (rc = dm_reducer_watch(t->reducer, &watch, err))) ||
            (rc = micro_batch(t, first, n, x0, labels, watch, err)) ||
            (!watched && ((fixed && (rc = put_aside(t, first, n, err))) || (rc = keep_up(t, err)))))
            return rc;
    }
    if (!t->balance.left)
        return DM_OK;
    rc = dm_device_finish(t->session->device, err); /* what is measured is this rank's work alone */
    t->balance.spent += dm_seconds() - began;
    return rc;
}

dm_status dm_trainer_update(dm_trainer *t, dm_err *err)
{
    const dm_set_train *s = t->set;
    dm_optimizer_step o = {.step = t->state.step,
                           .lr = dm_train_lr(s, t->state.step),
                           .beta1 = s->beta1,
                           .beta2 = s->beta2,
                           .eps = s->eps,
                           .weight_decay = s->weight_decay,
                           .clip = s->clip};
    dm_status rc;

    if (t->reducer && (rc = reduce(t, err)))
        return rc;
    o.loss = t->reducer ? t->sum : 0;
    for (int i = 0; i < t->state.n_ema; i++)
        o.ema[i] = dm_train_ema_rate(s, i, t->state.step);
    if ((rc = dm_optimizer_run(t->optimizer, &o, err)))
        return rc;
    dm_wset_touch(t->state.model);
    for (int i = 0; i < t->state.n_ema; i++)
        dm_wset_touch(t->state.ema[i]);
    if (t->state.unit && (rc = dm_shard_gather(t->comm, &t->state, t->state.model, err)))
        return rc;
    /* The others' may differ in their last bits. */
    if (t->unlike && !t->state.unit && (rc = dm_spread_weights(t->comm, t->state.model, err)))
        return rc;
    t->unseen = t->state.importance != NULL;
    t->state.step++;
    t->since++;
    return DM_OK;
}

dm_status dm_trainer_balance(dm_trainer *t, bool *changed, dm_err *err)
{
    dm_balance *b = &t->balance;
    dm_balance_rank mine = {.plan = t->fit_seconds};
    bool over;
    dm_err ignored = {0};
    int64_t bad;
    dm_status rc;

    *changed = false;
    if (t->comm->size == 1 || t->set->shares.n || t->session->experiment->run.deterministic)
        return DM_OK;
    if (!b->at)
        dm_balance_begin(b, t->state.step);
    if ((rc = dm_balance_step(b, t->comm, t->state.step, &over, err)) || !over)
        return rc;
    mine.each = b->spent / (double)b->steps / (double)t->share.n;
    mine.sound = !dm_trainer_check(t, &bad, &ignored);
    rc = dm_balance_decide(b, t->comm, &mine, t->batch, t->set->micro_batch, t->set->steps - t->state.step, t->parts,
                           changed, err);
    if (rc || !*changed)
        return rc;
    t->weighted = true;
    dm_balance_begin(b, t->state.step);
    return dm_trainer_reshare(t, err);
}

int64_t dm_trainer_part(const dm_trainer *t, int rank) { return t->parts[rank]; }

dm_status dm_trainer_align(dm_trainer *t, dm_err *err)
{
    if (t->state.unit && t->state.n_ema)
        return dm_shard_gather(t->comm, &t->state, t->state.ema[0], err);
    return t->unlike && t->state.n_ema ? dm_spread_weights(t->comm, t->state.ema[0], err) : DM_OK;
}

dm_status dm_trainer_collect(dm_trainer *t, dm_err *err)
{
    return t->state.unit ? dm_shard_collect(t->comm, &t->state, err) : DM_OK;
}

void dm_trainer_collected(dm_trainer *t) { dm_shard_forget(&t->state); }

dm_status dm_trainer_step(dm_trainer *t, const float *x0, const int32_t *labels, dm_err *err)
{
    const dm_status rc = dm_trainer_gradients(t, x0, labels, err);

    return rc ? rc : dm_trainer_update(t, err);
}

dm_status dm_trainer_get_sums(dm_trainer *t, float *loss_sum, int64_t *steps, dm_err *err)
{
    *steps = t->since;
    if (t->reducer) {
        *loss_sum = t->sum;
        return DM_OK;
    }
    return dm_buf_read(t->loss_sum, 0, sizeof *loss_sum, loss_sum, err);
}

dm_status dm_trainer_set_sums(dm_trainer *t, float loss_sum, int64_t steps, dm_err *err)
{
    t->since = steps;
    if (t->reducer) {
        t->sum = loss_sum;
        return DM_OK;
    }
    return dm_buf_write(t->loss_sum, 0, sizeof loss_sum, &loss_sum, err);
}

dm_status dm_trainer_check(dm_trainer *t, int64_t *bad_step, dm_err *err)
{
    dm_optimizer_numbers o;
    const dm_status rc = dm_optimizer_read(t->optimizer, &o, err);

    *bad_step = rc ? -1 : o.bad_step;
    if (rc || o.bad_step < 0)
        return rc;
    return dm_error(err, DM_EDIVERGED, "training diverged at step %lld: its loss or its gradient is not finite",
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
    for (int64_t first = t->share.first; first < t->share.first + t->share.n && !found; first += t->micro) {
        const int64_t left = t->share.first + t->share.n - first;

        /* What the step adds to, the sum of losses and the gradients, is its result and not its cause: it is cleared
         * after the run that writes the inputs, before the run that looks at each node. */
        if (micro_batch(t, first, left < t->micro ? left : t->micro, x0, labels, NULL, err) ||
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
    n->reduce_seconds = t->reduced ? t->reduce.sum / (double)t->reduced : 0;
    n->reduce_hidden = t->reduced ? t->reduce.hidden / (double)t->reduced : 0;
    t->reduce = (dm_reduce_time){0, 0};
    t->reduced = 0;
    return dm_trainer_set_sums(t, 0, 0, err);
}
