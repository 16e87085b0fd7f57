/* dm_training_step and what an application calls between steps; see running.h. */
#include "train_run/running.h"
#include "train/spread.h"

#include "base/clock.h"
#include "base/sized.h"
#include "data/data.h"
#include "train/training.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What this rank is given of a step's batch. */
static dm_status read_batch(dm_training *r, int64_t step, dm_err *err)
{
    const dm_share mine = dm_trainer_given(r->trainer);

    return dm_data_batch(r->s.examples, (uint64_t)(step * r->s.experiment->train.batch + mine.first), mine.n, r->x0,
                         r->s.data.classes ? r->labels : NULL, err);
}

/* What is not finite in this rank's share of a step. */
typedef struct cause { int32_t found; char what[256], host[64]; } cause;

/* That of the first rank that has one, as *c; its number. */
static int find_cause(dm_training *r, int64_t step, cause *c)
{
    cause *all = calloc((size_t)r->comm->size, sizeof *all);
    dm_err ignored = {0};
    int rank = 0;

    memset(c, 0, sizeof *c);
    snprintf(c->host, sizeof c->host, "%s", r->comm->host);
    c->found = !read_batch(r, step, &ignored) &&
               dm_trainer_find_nonfinite(r->trainer, step, r->x0, r->labels, c->what, sizeof c->what, &ignored);
    /* Where one has no memory, none is asked: the others do not wait for it. */
    if (!dm_comm_agree(r->comm, all ? DM_OK : DM_ENOMEM, NULL, &ignored) &&
        !r->comm->calls->all_gather(r->comm, c, sizeof *c, all, &ignored)) {
        while (rank < r->comm->size - 1 && !all[rank].found)
            rank++;
        *c = all[rank];
    }
    free(all);
    return rank;
}

/* Of all ranks together. */
static dm_status diverged(dm_training *r, int64_t bad, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    char where[128] = "", kept[96] = "there is no checkpoint yet";
    dm_err ignored = {0};
    int64_t *steps = NULL;
    cause c;
    int n = 0, rank;

    if (!dm_checkpoint_list(r->dir, &steps, &n, &ignored) && n)
        snprintf(kept, sizeof kept, "the checkpoint of step %lld is whole", (long long)steps[0]);
    free(steps);
    rank = find_cause(r, bad, &c);
    if (r->comm->size > 1 && c.found)
        snprintf(where, sizeof where, "on rank %d (%s) ", rank, c.host);
    return dm_error(err, DM_EDIVERGED,
                    "training diverged at step %lld: %s%s%s; %s. "
                    "%s a lower train.lr (now %g), a longer train.warmup or train.clip may help",
                    (long long)bad + 1, where,
                    c.found ? "the first tensor that is not finite is the "
                          : "the norm of the gradient or the sum of the losses is not finite, though each tensor is",
                    c.found ? c.what : "", kept,
                    bad ? "If the data are sound," : "Data of a large range are likely at the first step; else", t->lr);
}

/* Into the run folder; rate and the like are r's. */
static dm_status put_numbers(dm_training *r, int64_t step, const dm_train_numbers *n, dm_err *err)
{
    const dm_field f[] = {{"loss", n->loss},
                          {"lr", dm_train_lr(&r->s.experiment->train, step - 1)},
                          {"grad_norm", n->grad_norm},
                          {"images_per_s", r->rate},
                          {"reduce_seconds", n->reduce_seconds},
                          {"reduce_hidden", n->reduce_hidden}};
    const int count = r->comm->size > 1 ? 6 : 4;
    const dm_status rc = dm_run_log_put(r->numbers, step, f, count, err);

    return rc ? rc : dm_tb_scalars(r->events, step, dm_wall_seconds(), f, count, err);
}

static dm_status log_numbers(dm_training *r, dm_err *err)
{
    const dm_set_train *t = &r->s.experiment->train;
    const int64_t step = dm_trainer_state(r->trainer)->step;
    dm_train_numbers n;
    dm_status rc;

    if ((rc = dm_trainer_numbers(r->trainer, &n, err)))
        return rc;
    /* n.steps may be of an earlier life. */
    r->rate = (double)((step - r->since_step) * t->batch) / (dm_seconds() - r->since);
    r->since = dm_seconds();
    r->since_step = step;
    r->loss = n.loss;
    r->grad_norm = n.grad_norm;
    return dm_running_first(r) ? put_numbers(r, step, &n, err) : DM_OK;
}

/* Data that cannot be read end the training, not what it has learned: steps since the last checkpoint are saved. */
static dm_status data_failed(dm_training *r, const dm_err *why, dm_err *err)
{
    const int64_t step = dm_trainer_state(r->trainer)->step;
    char note[64] = "";
    dm_err ignored = {0};
    const dm_status rc = dm_trainer_collect(r->trainer, &ignored);

    if (!rc && dm_running_first(r) && step > r->saved && !dm_running_save(r, NULL, &ignored))
        snprintf(note, sizeof note, "; a checkpoint of step %lld is saved", (long long)step);
    dm_trainer_collected(r->trainer);
    return dm_error(err, why->code, "%.900s%s", why->msg, note);
}

/* Weights of ranks that drift apart are found before they are saved, and now and then. */
static dm_status check_ranks(dm_training *r, dm_err *err)
{
    enum { EVERY = 100 };
    const dm_set_train *t = &r->s.experiment->train;
    const dm_train_state *state = dm_trainer_state(r->trainer);

    if (r->comm->size == 1 || (state->step % EVERY && !dm_running_due(t->save_every, state->step, t->steps)))
        return DM_OK;
    return dm_comm_agree(r->comm, dm_spread_check(r->comm, state, err), NULL, err);
}

/* rc, on which all ranks agree; where it is that the training diverged, at which step and how is found out. */
static dm_status look_for_divergence(dm_training *r, dm_status rc, dm_err *err)
{
    int64_t bad;
    dm_status got;

    if (rc != DM_EDIVERGED)
        return rc;
    got = dm_trainer_check(r->trainer, &bad, err);
    if (got && got != DM_EDIVERGED)
        bad = -1;
    /* Unlike devices may see it at different steps: rank 0's is looked at. */
    if (r->comm->calls->broadcast(r->comm, &bad, sizeof bad, 0, err) || bad < 0)
        return rc;
    return diverged(r, bad, err);
}

static void say_parts(const dm_training *r)
{
    enum { SHOWN = 16 };
    char text[SHOWN * 12] = "";

    for (int k = 0; k < r->comm->size && k < SHOWN; k++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", k ? ", " : "",
                 (long long)dm_trainer_part(r->trainer, k));
    dm_session_log(&r->s, DM_LOG_INFO, "from step %lld on, by measured speed, ranks have %s%s examples of each batch",
                   (long long)dm_trainer_state(r->trainer)->step + 1, text, r->comm->size > SHOWN ? ", ..." : "");
}

/* Shares that change with the ranks' speeds; other examples are read ahead then. */
static dm_status balance(dm_training *r, dm_err *err)
{
    bool changed;
    const dm_status rc = dm_trainer_balance(r->trainer, &changed, err);

    if (rc || !changed)
        return rc;
    say_parts(r);
    r->s.keeps_on = false; /* as before the first step */
    return DM_OK;
}

/* Every rank its share, then all together. */
static dm_status take_step(dm_training *r, dm_err *err)
{
    enum { STOP = 1, DATA = 2 };
    uint32_t flags = dm_running_cancelled(r) ? STOP : 0;
    int32_t *labels = r->s.data.classes ? r->labels : NULL;
    dm_err why = {0};
    dm_status rc = read_batch(r, dm_trainer_state(r->trainer)->step, &why);

    if (rc)
        flags |= DATA;
    else
        rc = dm_trainer_gradients(r->trainer, r->x0, labels, &why);
    rc = dm_comm_agree(r->comm, rc, &flags, &why);
    r->stop = flags & STOP;
    if (rc && flags & DATA)
        return data_failed(r, &why, err);
    if (rc == DM_ECANCELLED && (r->comm->size == 1 || !dm_trainer_abandon(r->trainer, err)))
        return dm_error(err, rc, "%s", why.msg);
    if (!rc && (rc = dm_trainer_update(r->trainer, &why)) == DM_OK)
        return check_ranks(r, err);
    if (rc != DM_EDIVERGED)
        return dm_error(err, rc, "%s", why.msg);
    return look_for_divergence(r, rc, err);
}

/* Before the first step: the clock of images_per_s begins, and batches are read ahead. */
static dm_status begin(dm_training *r, dm_err *err)
{
    const int64_t batch = r->s.experiment->train.batch, step = dm_trainer_state(r->trainer)->step;
    const dm_share mine = dm_trainer_given(r->trainer);
    dm_status rc = dm_data_prefetch(r->s.examples, (uint64_t)(step * batch + mine.first), mine.n, batch, err);

    if ((rc = dm_comm_agree(r->comm, rc, NULL, err)))
        return rc;
    r->since = dm_seconds();
    r->since_step = dm_trainer_state(r->trainer)->step;
    r->s.keeps_on = true;
    return DM_OK;
}

dm_status dm_training_step(dm_training *r, dm_err *err)
{
    const dm_set_train *t;
    const dm_train_state *state;
    dm_status rc;

    if (!r)
        return dm_running_no_training(err);
    t = &r->s.experiment->train;
    state = dm_trainer_state(r->trainer);
    if (state->step >= t->steps)
        return dm_error(err, DM_EINVAL, "all %lld steps of train.steps are already done; set a larger train.steps "
                                        "to continue",
                        (long long)t->steps);
    if ((rc = balance(r, err)) || (!r->s.keeps_on && (rc = begin(r, err))) || (rc = take_step(r, err)))
        return rc;
    if (!dm_running_due(t->log_every, state->step, t->steps))
        return DM_OK;
    return look_for_divergence(r, dm_comm_agree(r->comm, log_numbers(r, err), NULL, err), err);
}

static dm_status make_validation(dm_training *r, dm_err *err)
{
    const dm_train_state *state = dm_trainer_state(r->trainer);
    double best = INFINITY;
    dm_status rc;

    if ((rc = dm_running_know_held_out(r, err)) ||
        (dm_running_first(r) && r->resumed && !r->other_held_out &&
         (rc = dm_best_loss(dm_run_folder(r->folder), &best, err))))
        return rc;
    r->best = isfinite(best) ? best : NAN;
    return dm_validation_new(&r->s, state->n_ema ? state->ema[0] : state->model, r->s.experiment->train.validate_count,
                             dm_trainer_micro_batch(r->trainer), &r->validation, err);
}

dm_status dm_running_open_validation(dm_training *r, dm_err *err)
{
    const dm_status rc = dm_comm_agree(r->comm, make_validation(r, err), NULL, err);

    return rc ? rc : r->comm->calls->broadcast(r->comm, &r->best, sizeof r->best, 0, err);
}

static dm_status save_best(dm_training *r, const double *loss, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_trainer_collect(r->trainer, err)))
        return rc;
    rc = dm_running_first(r) ? dm_running_save(r, loss, err) : DM_OK;
    dm_trainer_collected(r->trainer);
    return dm_comm_agree(r->comm, rc, NULL, err);
}

/* The held-out loss; where it is the least so far, what made it is kept. The clock of images_per_s stands still. */
dm_status dm_running_validate(dm_training *r, double *loss, dm_err *err)
{
    const double began = dm_seconds();
    const int64_t at = dm_trainer_state(r->trainer)->step;
    uint32_t best = 0;
    dm_err why = {0};
    dm_status rc;

    if ((rc = dm_trainer_align(r->trainer, err)))
        return rc;
    rc = dm_train_validate(r->validation, r->numbers, r->events, at, dm_wall_seconds(), loss, &why);
    if (rc == DM_EDIVERGED) { /* of what the weights are so far */
        dm_session_log(&r->s, DM_LOG_WARNING, "no held-out loss of step %lld: %s", (long long)at, why.msg);
        *loss = NAN;
        rc = DM_OK;
    } else if (rc) {
        dm_error(err, rc, "%s", why.msg);
    } else if (!(*loss >= r->best)) {
        r->best = *loss;
        best = 1;
    }
    if (!(rc = dm_comm_agree(r->comm, rc, &best, err)) && best)
        rc = save_best(r, loss, err);
    r->since += dm_seconds() - began;
    return rc;
}

dm_status dm_training_validate(dm_training *r, double *loss, dm_err *err)
{
    double own;
    dm_status rc;

    if (!r)
        return dm_running_no_training(err);
    if (!r->validation && (rc = dm_running_open_validation(r, err)))
        return rc;
    return dm_running_validate(r, loss ? loss : &own, err);
}

dm_status dm_training_save(dm_training *r, dm_err *err)
{
    if (!r)
        return dm_running_no_training(err);
    if (dm_trainer_state(r->trainer)->step < 1)
        return dm_error(err, DM_EINVAL, "there is no step to save yet");
    return dm_running_save_all(r, err);
}

dm_status dm_training_info(const dm_training *r, dm_training_state *out, dm_err *err)
{
    dm_training_state s = {.size = sizeof s};
    const dm_set_train *t;
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_training_state, out, size, err)))
        return rc;
    if (!r)
        return dm_running_no_training(err);
    t = &r->s.experiment->train;
    s.step = dm_trainer_state(r->trainer)->step;
    s.steps = t->steps;
    s.batch = t->batch;
    s.micro_batch = dm_trainer_micro_batch(r->trainer);
    s.parameters = dm_net_layout(r->s.model)->parameters;
    s.saved = r->saved ? r->saved : -1;
    s.learning_rate = dm_train_lr(t, s.step ? s.step - 1 : 0);
    s.loss = r->loss;
    s.grad_norm = r->grad_norm;
    s.images_per_s = r->rate;
    s.best_loss = r->best;
    s.output = r->dir;
    DM_SIZED_WRITE(dm_training_state, out, &s);
    return DM_OK;
}
