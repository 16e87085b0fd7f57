/* A sampler of first order that works but for what the host cannot see. */
#define BEHAVIOURS(X) X(coefficient) X(keeps_history) X(mixes) X(noisier) X(stops_short) X(one_way) X(divides)
#include "wrong.h"

typedef struct { dm_tensor *x0, *eps, *kept; bool have; int calls; } state;

static dm_status begin(dm_ctx *c, const dm_step *s)
{
    state *st = c->self;

    if (!(st->x0 = c->host->tensor_like(c, s->x)) || !(st->eps = c->host->tensor_like(c, s->x)) ||
        !(st->kept = c->host->tensor_like(c, s->x)))
        return c->err->code;
    return DM_OK;
}

static const char source[] =
    "kernel void first(global float *x, int n, int each) { const int i = get_global_id(0);\n"
    "  if (i >= each && i < n) x[i] += 0.01f * x[i % each]; }\n";

static dm_status mix(dm_ctx *c, dm_tensor *x)
{
    const dm_shape s = c->host->shape(x);
    dm_kernel *k = c->host->kernel(c, source, "first", NULL);
    const double n = (double)(s.dim[0] * s.dim[1]);

    return k ? c->host->launch(c, k, &(dm_range){1, {(size_t)n}, {0}},
                               DM_ARGS({DM_BUF, x, 0}, {DM_I32, NULL, n}, {DM_I32, NULL, (double)s.dim[1]}))
             : c->err->code;
}

static dm_status step(dm_ctx *c, const dm_step *s)
{
    const dm_point *at = &s->grid[s->i], *to = at + 1;
    state *st = c->self;
    const double left = to->sigma > 0 || wrong(c) != stops_short ? to->sigma : 0.05;
    const double more = wrong(c) == coefficient ? 1.02 : wrong(c) == keeps_history ? 1 + 1e-3 * st->calls++ : 1;
    dm_status rc = c->host->predict(c, s->x, at, &(dm_pred){.x0 = st->x0, .eps = st->eps});

    if (rc || (rc = c->host->sum(c, s->x, DM_SUM({to->alpha, st->x0}, {more * left, st->eps}))))
        return rc;
    if (wrong(c) == one_way && to->log_snr < at->log_snr) /* as if it went to the data */
        return c->host->sum(c, s->x, DM_SUM({1, s->x}, {0.05, st->eps}));
    if (wrong(c) == divides && at->alpha == 0)
        return c->host->sum(c, s->x, DM_SUM({to->alpha / at->alpha, s->x}));
    if (wrong(c) == mixes)
        return mix(c, s->x);
    if (wrong(c) != noisier || to->sigma <= 0)
        return DM_OK;
    if ((rc = c->host->randn(c, st->kept, 0)))
        return rc;
    return c->host->sum(c, s->x, DM_SUM({1, s->x}, {0.2 * to->sigma, st->kept}));
}

PLUGIN("quiet_sampler", .self_size = sizeof(state),
       .sampler = &(const dm_sampler){.size = sizeof(dm_sampler), .inverts = true, .begin = begin, .step = step});
