/* Making a trainer: its memory, its plans, its first weights; see trainer.h. */
#include "train/trainer_parts.h"

#include <math.h>
#include <stdlib.h>

#include "base/clock.h"
#include "model/batch_fit.h"
#include "train/shard.h"
#include "train/spread.h"

/* Halves the micro-batch until a plan fits. */
static dm_status fit(dm_trainer *t, int64_t micro, dm_err *err)
{
    const bool fixed = micro > 0;
    const int64_t most = t->weighted ? t->share.n : dm_share_most(t->batch, micro, t->comm->size);
    const double began = dm_seconds();
    int64_t last = 0;              /* the smallest that did not fit */
    bool again = false;
    dm_err why = {0};
    dm_status rc;

    for (t->micro = fixed && micro < most ? micro : most;;) {
        dm_net_expect(t->session->model, (double)t->set->steps * ceil((double)most / (double)t->micro));
        rc = dm_grad_step_new(t->session->model, t->state.model, t->grads, t->loss_sum, t->micro, t->micro == most,
                              &t->grad, &why);
        dm_net_expect(t->session->model, 0);
        if (!rc) {
            if (last > t->micro)
                dm_session_log(t->session, DM_LOG_INFO, "micro-batches of %lld, as %lld do not fit: %s",
                               (long long)t->micro, (long long)last, why.msg);
            t->fit_seconds = dm_seconds() - began;
            return DM_OK;
        }
        last = t->micro;
        if (fixed || !dm_batch_fit(&t->micro, &again, rc))
            return dm_error(err, rc, "%s%s", why.msg,
                            rc == DM_ENOMEM && fixed ? " (train.micro_batch is fixed; a smaller one may fit)" : "");
    }
}

static bool deterministic(const dm_trainer *t) { return t->session->experiment->run.deterministic; }

/* The micro-batch that fits on every rank; of unlike shares where the order of sums depends on it. */
static dm_status fit_all(dm_trainer *t, int64_t micro, dm_err *err)
{
    dm_comm *c = t->comm;
    int64_t *all, least;
    dm_status rc;

    if ((rc = dm_comm_agree(c, fit(t, micro, err), NULL, err)) || c->size == 1 || (t->weighted && !deterministic(t)))
        return rc;
    if (!(all = calloc((size_t)c->size, sizeof *all)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);
    rc = c->calls->all_gather(c, &t->micro, sizeof t->micro, all, err);
    least = all[0];
    for (int k = 1; k < c->size; k++)
        least = all[k] < least ? all[k] : least;
    free(all);
    if (!rc && least < t->micro) {
        dm_grad_step_free(t->grad);
        t->grad = NULL;
        rc = fit(t, least, err);
    }
    return rc;
}

/* This rank's share, by the parts of all. */
static void take_share(dm_trainer *t)
{
    t->share = (dm_share){0, t->parts[t->comm->rank]};
    for (int k = 0; k < t->comm->rank; k++)
        t->share.first += t->parts[k];
    t->given = t->share;
    if (dm_net_couples(t->session->model)) /* noise is given to the examples of the whole batch */
        t->given = (dm_share){0, t->batch};
}

/* How the batch is shared, and with whom. micro: as it was asked for, 0 = any. */
static dm_status share(dm_trainer *t, int64_t micro, dm_err *err)
{
    const dm_reals *shares = &t->set->shares;
    const dm_comm *c = t->comm;

    if (c->size > t->batch)
        return dm_error(err, DM_EINVAL,
                        "%d ranks are more than train.batch = %lld has examples; start fewer, or set a larger batch",
                        c->size, (long long)t->batch);
    if (c->size > 1 && shares->n > 1 && shares->n != c->size)
        return dm_error(err, DM_EINVAL,
                        "train.shares has %d numbers, and there are %d ranks; give one for each, or [1] for even "
                        "shares",
                        (int)shares->n, c->size);
    if (!(t->parts = calloc((size_t)c->size, sizeof *t->parts)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);
    t->weighted = c->size > 1 && shares->n > 1;
    if (t->weighted)
        dm_share_weighted(t->batch, micro, shares->v, c->size, t->parts);
    for (int k = 0; k < c->size && !t->weighted; k++)
        t->parts[k] = dm_share_of(t->batch, micro, k, c->size).n;
    take_share(t);
    return DM_OK;
}

static int64_t micros_of(const void *user, int rank)
{
    const dm_trainer *t = user;

    return (t->parts[rank] + t->micro - 1) / t->micro;
}

static dm_status make_reducer(dm_trainer *t, dm_err *err)
{
    const bool fixed = deterministic(t);
    const dm_reducer_setup s = {.comm = t->comm,
                                .grads = t->grads,
                                .count = t->state.layout->trained,
                                .numbers = 1 + (t->state.importance ? (size_t)t->batch : 0),
                                .fixed = fixed,
                                .bf16 = t->set->reduce_precision == DM_REDUCE_BF16,
                                .micros = micros_of,
                                .user = t};
    dm_status rc;

    if (t->comm->size == 1 && !(fixed && t->comm->launched))
        return DM_OK;
    rc = dm_reducer_new(&s, &t->reducer, err);
    if ((rc = dm_comm_agree(t->comm, rc, NULL, err)) ||
        (rc = dm_reducer_follow(t->reducer, dm_grad_step_plan(t->grad), err)))
        return rc;
    return dm_spread_unlike(t->comm, t->session->device, &t->unlike, err);
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
    t->labels_read = calloc(n, sizeof *t->labels_read);
    if (!t->at || !t->u || !t->importance || !t->weight || !t->x0 || !t->padded_noise || !t->labels || !t->labels_read)
        return dm_error(err, DM_ENOMEM, "out of memory for a batch of %lld", (long long)t->micro);
    return dm_condition_batch_init(&t->conditions, dm_net_conditions(t->session->model), t->micro, err);
}

/* What is summed and sent is one array: the same places on all ranks, whatever their devices. */
static dm_status lay_out(dm_session *s, dm_err *err)
{
    const dm_device_info *d = dm_device_get_info(s->device);
    struct { uint64_t align, most; } mine = {d->align, d->max_alloc}, *all;
    dm_comm *c = s->comm;
    dm_status rc;

    if (c->size == 1)
        return DM_OK;
    all = calloc((size_t)c->size, sizeof *all);
    rc = all ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);
    if (!(rc = dm_comm_agree(c, rc, NULL, err)))
        rc = c->calls->all_gather(c, &mine, sizeof mine, all, err);
    for (int k = 0; k < c->size && !rc; k++) {
        mine.align = all[k].align > mine.align ? all[k].align : mine.align;
        mine.most = all[k].most < mine.most ? all[k].most : mine.most;
    }
    free(all);
    return rc ? rc : dm_net_lay_out(s->model, (size_t)mine.align, mine.most, err);
}

static dm_status make_state(dm_trainer *t, dm_err *err)
{
    dm_device *d = t->session->device;
    const dm_layout *l = dm_net_layout(t->session->model);
    const size_t bytes = l->total * sizeof(float), each = l->each * sizeof(float);
    size_t moments = bytes;
    dm_status rc;

    t->state.layout = l;
    if (t->set->shard_optimizer && t->comm->size > 1) {
        dm_shard_take(t->comm, &t->state);
        moments = (t->state.own ? t->state.own : 1) * sizeof(float);
    }
    t->state.n_ema = t->set->ema.n;
    if ((rc = dm_wset_new(d, l, &t->state.model, err)) || (rc = dm_layout_buf(d, l, "gradients", &t->grads, err)) ||
        (rc = dm_buf_new_split(d, moments, each, "first moments", &t->state.m, err)) ||
        (rc = dm_buf_new_split(d, moments, each, "second moments", &t->state.v, err)) ||
        (rc = dm_buf_new(d, sizeof(float), "loss", &t->loss_sum, err)) ||
        (rc = dm_buf_new(d, sizeof(float), "loss", &t->sum_before, err)) ||
        (rc = dm_buf_zero(t->grads, 0, bytes, err)) || (rc = dm_buf_zero(t->state.m, 0, moments, err)) ||
        (rc = dm_buf_zero(t->state.v, 0, moments, err)) || (rc = dm_buf_zero(t->loss_sum, 0, sizeof(float), err)))
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
                             .loss = t->loss_sum,
                             .count = t->state.layout->trained,
                             .n_ema = t->state.n_ema,
                             .keeps_g = dm_grad_step_writes(t->grad),
                             .part = t->state.unit > 0,
                             .from = t->state.first,
                             .own = t->state.own};

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
    static const double slow = 2; /* seconds */
    const dm_experiment *e = t->session->experiment;
    dm_status rc;

    if (!dm_net_couples(t->session->model))
        return DM_OK;
    if ((rc = dm_coupling_new(e->objective.coupling, t->batch, t->example, (uint64_t)e->run.seed, &t->coupling, err)) ||
        (rc = dm_coupling_time(t->coupling, &t->coupling_seconds, err)))
        return rc;
    if (t->coupling_seconds > slow)
        dm_session_log(t->session, DM_LOG_WARNING,
                       "the exact assignment of objective.coupling=%s takes about %.2g s of each step with "
                       "train.batch=%lld, on the host (estimated from a part of it; it grows as batch^3); a batch of "
                       "half the size takes an eighth of that",
                       e->objective.coupling == DM_COUPLING_OT ? "ot" : "immiscible", t->coupling_seconds,
                       (long long)t->batch);
    return DM_OK;
}

static void free_host_memory(dm_trainer *t)
{
    free(t->at);
    free(t->u);
    free(t->importance);
    free(t->weight);
    free(t->x0);
    free(t->padded_noise);
    free(t->labels);
    free(t->labels_read);
    dm_condition_batch_fini(&t->conditions);
    t->at = NULL;
    t->u = t->importance = t->weight = NULL;
    t->x0 = t->padded_noise = NULL;
    t->labels = t->labels_read = NULL;
}

/* What depends on the share. Nothing is in the gradients that the optimizer did not take. */
static dm_status make_for_share(dm_trainer *t, dm_err *err)
{
    const bool wrote = dm_grad_step_writes(t->grad);
    dm_status rc;

    take_share(t);
    free_host_memory(t);
    dm_grad_step_free(t->grad);
    t->grad = NULL;
    if ((rc = fit(t, t->set->micro_batch, err)) || (rc = dm_buf_zero(t->grads, 0, dm_buf_bytes(t->grads), err)))
        return rc;
    if (dm_grad_step_writes(t->grad) != wrote) {
        dm_optimizer_free(t->optimizer);
        t->optimizer = NULL;
        rc = make_optimizer(t, err);
    }
    return rc ? rc : host_memory(t, err);
}

dm_status dm_trainer_reshare(dm_trainer *t, dm_err *err)
{
    const dm_status rc = dm_comm_agree(t->comm, make_for_share(t, err), NULL, err);

    return rc ? rc : dm_reducer_follow(t->reducer, dm_grad_step_plan(t->grad), err);
}

dm_status dm_trainer_new(dm_session *s, int64_t micro, dm_trainer **out, dm_err *err)
{
    dm_trainer *t = calloc(1, sizeof *t);
    dm_status rc;

    if (!t)
        return dm_error(err, DM_ENOMEM, "out of memory for training");
    t->session = s;
    t->comm = s->comm;
    t->set = &s->experiment->train;
    t->batch = t->set->batch;
    t->example = 1;
    for (int32_t i = 0; i < s->data.shape.rank; i++)
        t->example *= s->data.shape.dim[i];
    if (!(rc = lay_out(s, err)) && !(rc = share(t, micro, err)) && !(rc = make_state(t, err)) &&
        !(rc = initialise(t, err)) && !(rc = make_importance(t, err)))
        rc = make_coupling(t, err);
    if ((rc = dm_comm_agree(s->comm, rc, NULL, err)) || (rc = fit_all(t, micro, err)))
        goto failed;
    if (!(rc = make_optimizer(t, err)))
        rc = host_memory(t, err);
    if ((rc = dm_comm_agree(s->comm, rc, NULL, err)) || (rc = make_reducer(t, err)))
        goto failed;
    *out = t;
    return DM_OK;
failed:
    dm_trainer_free(t);
    return rc;
}

void dm_trainer_free(dm_trainer *t)
{
    if (!t)
        return;
    dm_grad_step_free(t->grad);
    dm_optimizer_free(t->optimizer);
    dm_reducer_free(t->reducer);
    for (int i = 0; i < t->state.n_ema; i++)
        dm_wset_free(t->state.ema[i]);
    dm_wset_free(t->state.model);
    dm_buf_free(t->grads);
    dm_shard_forget(&t->state);
    dm_buf_free(t->state.m);
    dm_buf_free(t->state.v);
    dm_buf_free(t->loss_sum);
    dm_buf_free(t->sum_before);
    dm_buf_free(t->losses);
    dm_importance_free(t->state.importance);
    free(t->drawn);
    free(t->drawn_weight);
    free(t->seen);
    free_host_memory(t);
    dm_coupling_free(t->coupling);
    free(t->parts);
    free(t);
}

