/* midpoint: second order by a prediction half way in log-SNR (the explicit midpoint rule on the probability flow). */
#include <demist/plugin.h>

typedef struct { dm_tensor *x0, *eps, *half; } state;

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    if (!(st->x0 = c->host->tensor_like(c, s->x)) || !(st->eps = c->host->tensor_like(c, s->x)) ||
        !(st->half = c->host->tensor_like(c, s->x)))
        return c->err->code;
    return DM_OK;
}

/* out = alpha x0 + sigma eps at `to`, with the model asked at x and `at`. */
static dm_status move(dm_ctx *c, const dm_tensor *x, const dm_point *at, const dm_point *to, dm_tensor *out)
{
    const state *st = c->self;
    const dm_status rc = c->host->predict(c, x, at, &(dm_pred){.x0 = st->x0, .eps = st->eps});

    return rc ? rc : c->host->sum(c, out, DM_SUM({to->alpha, st->x0}, {to->sigma, st->eps}));
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const state *st = c->self;
    dm_point middle;
    double shrink;
    dm_status rc;

    if (to->sigma <= 0) /* the last step, to the data: no log-SNR half way */
        return move(c, s->x, at, to, s->x);
    if ((rc = c->host->point_at_log_snr(c, (at->log_snr + to->log_snr) / 2, &middle)) ||
        (rc = move(c, s->x, at, &middle, st->half)) ||
        (rc = c->host->predict(c, st->half, &middle, &(dm_pred){.x0 = st->x0})))
        return rc;
    /* x moves along its noise, towards the x0 seen from the middle. */
    shrink = to->sigma / at->sigma;
    return c->host->sum(c, s->x, DM_SUM({shrink, s->x}, {to->alpha - at->alpha * shrink, st->x0}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "midpoint", .version = "1", .license = "Apache-2.0",
    .doc = "second order by a prediction half way",
    .self_size = sizeof(state),
    .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .begin = begin, .step = step},
};
