/* Guidance that goes wrong: the prediction for the class as it is, but for what its parameter names. */
#define BEHAVIOURS(X) \
    X(check_silent) X(check_sums) X(at_silent) X(at_no_status) X(at_nan) X(at_sums) X(begin_silent) X(begin_predicts) \
    X(guide_silent) X(guide_no_status) X(unwritten) X(null_out) X(into_x0) X(into_guess) X(into_x) X(reads_out) \
    X(reads_none) X(reads_scratch) X(predicts) X(draws) X(tensor_in_guide) X(null_rms) X(nan_factor) X(null_like) \
    X(makes_nan) X(logs) X(crashes)
#include "wrong.h"

typedef struct { dm_tensor *kept; } state;

static dm_status check(dm_ctx *c)
{
    return wrong(c) == check_silent ? DM_EINVAL : wrong(c) == check_sums ? c->host->sum(c, NULL, NULL, 0) : DM_OK;
}

static dm_status at(dm_ctx *c, const dm_point *p, bool *on)
{
    dm_point q;

    *on = true;
    return wrong(c) == at_silent      ? DM_EIO
         : wrong(c) == at_no_status   ? (dm_status)42
         : wrong(c) == at_nan         ? c->host->point_at_t(c, p->t * NAN, &q)
         : wrong(c) == at_sums        ? c->host->sum(c, NULL, NULL, 0)
                                      : DM_OK;
}

static dm_status begin(dm_ctx *c, const dm_tensor *x)
{
    state *st = c->self;

    if (wrong(c) == begin_predicts)
        return c->host->predict(c, x, NULL, NULL);
    if (wrong(c) == logs)
        c->host->log(c, "hello from %s", "begin");
    if (!(st->kept = c->host->tensor_like(c, wrong(c) == null_like ? NULL : x)))
        return c->err->code;
    return wrong(c) == begin_silent ? DM_EINVAL : DM_OK;
}

/* One kernel that writes NaN: what sum would refuse. */
static dm_status make_nan(dm_ctx *c, dm_tensor *out)
{
    dm_kernel *k = c->host->kernel(c, "__kernel void k(__global float *x) { x[0] = NAN; }", "k", NULL);

    return k ? c->host->launch(c, k, &(dm_range){1, {1}, {0}}, DM_ARGS({DM_BUF, out, 0})) : c->err->code;
}

static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const dm_guess *class = &g->of[DM_OF_CLASS];
    const state *st = c->self;
    const dm_host *h = c->host;

    switch (wrong(c)) {
    case guide_silent: return DM_EDEVICE;
    case guide_no_status: return (dm_status)99;
    case unwritten: return DM_OK;
    case null_out: return h->sum(c, NULL, DM_SUM({1, class->out}));
    case into_x0: return h->sum(c, g->x0, DM_SUM({1, class->x0}));
    case into_guess: return h->sum(c, class->out, DM_SUM({2, class->out}));
    case into_x: return h->sum(c, (dm_tensor *)(uintptr_t)g->x, DM_SUM({2, g->x}));
    case reads_out: return h->sum(c, g->out, DM_SUM({1, g->out}));
    case reads_none: return h->sum(c, g->out, DM_SUM({1, g->of[DM_OF_NONE].out}));
    case reads_scratch: return h->sum(c, g->out, DM_SUM({1, st->kept}));
    case predicts: return h->predict(c, g->x, g->p, &(dm_pred){.x0 = g->out});
    case draws: return h->randn(c, g->out, 0);
    case tensor_in_guide: return h->tensor_like(c, g->x) ? DM_OK : c->err->code;
    case null_rms: return h->rms(c, g->x, NULL, NULL);
    case nan_factor: return h->sum(c, g->out, DM_SUM({NAN, class->out}));
    case makes_nan: return make_nan(c, g->out);
    case crashes: abort();
    default: return h->sum(c, g->out, DM_SUM({1, class->out}));
    }
}

static const dm_guidance guidance = {.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS), .writes = DM_GUIDES_OUT,
                                     .check = check, .at = at, .begin = begin, .guide = guide};
PLUGIN("wrong_guidance", .self_size = sizeof(state), .guidance = &guidance);
