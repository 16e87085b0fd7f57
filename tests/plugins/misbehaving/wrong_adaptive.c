/* A sampler that chooses its own points and goes wrong: a third of the rest of the log-SNR at a time, but for what its
 * parameter names. */
#define BEHAVIOURS(X)                                                                                               \
    X(goes_back) X(stays) X(unwritten) X(beyond) X(slow) X(null_rms) X(small_rms) X(rms_of_scratch) X(rms_in_begin) \
        X(small_span) X(logs)
#include "wrong.h"

typedef struct { dm_tensor *x0, *eps; } state;

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;
    dm_rms rms = {.size = sizeof rms};

    if (wrong(c) == logs)
        c->host->log(c, "hello from %s", "begin");
    if (!(st->x0 = c->host->tensor_like(c, s->x)) || !(st->eps = c->host->tensor_like(c, s->x)))
        return c->err->code;
    return wrong(c) == rms_in_begin ? c->host->rms(c, s->x, NULL, &rms) : DM_OK;
}

static dm_status misstep(dm_ctx *c, const dm_step *s)
{
    const state *st = c->self;
    dm_rms rms = {.size = sizeof rms};
    dm_span span = {.size = 8};

    switch (wrong(c)) {
    case null_rms: return c->host->rms(c, s->x, NULL, NULL);
    case small_rms: rms.size = 4; return c->host->rms(c, s->x, NULL, &rms);
    case rms_of_scratch: return c->host->rms(c, st->x0, NULL, &rms);
    case small_span: return c->host->span(c, &span);
    default: return DM_OK;
    }
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const state *st = c->self;
    const dm_point *end = &s->grid[s->n];
    dm_point to = *end;
    dm_span span = {.size = sizeof span};
    dm_status rc;

    if ((rc = misstep(c, s)) || (rc = c->host->span(c, &span)) ||
        (rc = c->host->predict(c, s->x, s->at, &(dm_pred){.x0 = st->x0, .eps = st->eps})))
        return rc;
    if (span.least.log_snr - s->at->log_snr > 1 || wrong(c) == slow)
        rc = c->host->point_at_log_snr(c, s->at->log_snr + (span.least.log_snr - s->at->log_snr) / 3, &to);
    if (wrong(c) == goes_back)
        to = span.most;
    if (wrong(c) == stays)
        to = *s->at;
    if (wrong(c) == beyond)
        to.alpha = -1;
    if (wrong(c) != unwritten)
        *s->next = to;
    return rc ? rc : c->host->sum(c, s->x, DM_SUM({to.alpha, st->x0}, {to.sigma, st->eps}));
}

static const dm_sampler sampler = {.size = sizeof(dm_sampler), .begin = begin, .step = step, .adaptive = true};
PLUGIN("wrong_adaptive", .self_size = sizeof(state), .sampler = &sampler);
