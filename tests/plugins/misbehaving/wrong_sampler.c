/* A sampler that goes wrong: DDIM's step, but for what its parameter names. */
#define BEHAVIOURS(X)                                                                                               \
    X(check_silent)                                                                                                 \
    X(check_predicts) X(begin_silent) X(begin_randn) X(step_silent) X(step_no_status) X(no_prediction)              \
        X(reads_scratch) X(predicts_scratch) X(kernel_reads_scratch) X(nan_factor) X(no_terms) X(nine_terms)        \
            X(null_term) X(null_out) X(onto_x) X(one_for_both) X(null_point) X(null_want) X(no_noise)               \
                X(no_variance) X(draw_16) X(null_randn) X(tensor_in_step) X(null_like) X(null_kernel)         \
                    X(null_buffer) X(huge) X(logs)
#include "wrong.h"

typedef struct { dm_tensor *x0, *eps; } state;

static dm_status check(dm_ctx *c, const dm_step *s)
{
    return wrong(c) == check_silent ? DM_EINVAL
         : wrong(c) == check_predicts ? c->host->predict(c, s->x, s->grid, &(dm_pred){NULL, NULL, NULL, NULL}) : DM_OK;
}

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    if (!(st->x0 = c->host->tensor_like(c, wrong(c) == null_like ? NULL : s->x)) ||
        !(st->eps = c->host->tensor_like(c, s->x)))
        return c->err->code;
    if (wrong(c) == logs)
        c->host->log(c, "hello from %s", "begin");
    return wrong(c) == begin_silent ? DM_EINVAL : wrong(c) == begin_randn ? c->host->randn(c, st->x0, 0) : DM_OK;
}

static dm_status misstep(dm_ctx *c, const dm_step *s, const dm_point *at)
{
    const dm_host *h = c->host;
    const state *st = c->self;
    dm_term terms[9];
    dm_kernel *k;

    for (int i = 0; i < 9; i++)
        terms[i] = (dm_term){1, s->x};
    switch (wrong(c)) {
    case step_silent: return DM_EINVAL;
    case step_no_status: return (dm_status)7;
    case nan_factor: return h->sum(c, s->x, DM_SUM({NAN, s->x}));
    case no_terms: return h->sum(c, s->x, NULL, 2);
    case nine_terms: return h->sum(c, s->x, terms, 9);
    case null_term: return h->sum(c, s->x, DM_SUM({1, NULL}));
    case null_out: return h->sum(c, NULL, DM_SUM({1, s->x}));
    case onto_x: return h->predict(c, s->x, at, &(dm_pred){s->x, NULL, NULL, NULL});
    case one_for_both: return h->predict(c, s->x, at, &(dm_pred){st->x0, st->x0, NULL, NULL});
    case null_point: return h->predict(c, s->x, NULL, &(dm_pred){st->x0, NULL, NULL, NULL});
    case null_want: return h->predict(c, s->x, at, NULL);
    case no_noise: return h->predict(c, s->x, &(dm_point){0, 1, 0, INFINITY}, &(dm_pred){st->x0, NULL, NULL, NULL});
    case no_variance: return h->predict(c, s->x, at, &(dm_pred){st->x0, NULL, st->eps, at + 1});
    case draw_16: return h->randn(c, st->x0, 16);
    case null_randn: return h->randn(c, NULL, 0);
    case tensor_in_step: return h->tensor_like(c, s->x) ? DM_OK : c->err->code;
    case null_kernel: return h->kernel(c, "__kernel void k() {}", NULL, NULL) ? DM_OK : c->err->code;
    case predicts_scratch: return h->predict(c, st->eps, at, &(dm_pred){st->x0, NULL, NULL, NULL});
    case kernel_reads_scratch:
        k = h->kernel(c, "__kernel void k(__global float *x, __global const float *y) { x[0] = y[0]; }", "k", NULL);
        return k ? h->launch(c, k, &(dm_range){1, {1}, {0}}, DM_ARGS({DM_BUF, s->x, 0}, {DM_BUF, st->eps, 0}))
                 : c->err->code;
    case null_buffer:
        k = h->kernel(c, "__kernel void k(__global float *x) { x[0] = 0; }", "k", NULL);
        return k ? h->launch(c, k, &(dm_range){1, {1}, {0}}, DM_ARGS({DM_BUF, NULL, 0})) : c->err->code;
    default: return DM_OK;
    }
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    const state *st = c->self;
    const double k = wrong(c) == huge ? 1e30 : 1;
    dm_status rc = misstep(c, s, at);

    if (!rc && wrong(c) != no_prediction)
        rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = wrong(c) == reads_scratch ? NULL : st->eps});
    return rc || wrong(c) == no_prediction
               ? rc
               : c->host->sum(c, s->x, DM_SUM({k * to->alpha, st->x0}, {k * to->sigma + (k > 1 ? k : 0), st->eps}));
}

static const dm_sampler sampler = {.size = sizeof(dm_sampler), .check = check, .begin = begin, .step = step};
PLUGIN("wrong_sampler", .self_size = sizeof(state), .sampler = &sampler);
