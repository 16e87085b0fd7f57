/* An objective that goes wrong: eps, but for what its parameter names. */
#define BEHAVIOURS(X)                                                                                                  \
    X(open_silent)                                                                                                     \
    X(open_predicts) X(no_channels) X(affine_silent) X(affine_unwritten) X(nan_c_skip) X(infinite_c_noise) X(late_nan) \
        X(vanishing) X(nan_scalar) X(scalars_silent) X(absent_scalar) X(no_gradient) X(stopped) X(no_mean) X(no_value) \
            X(loss_silent) X(garbage) X(swapped) X(draw_silent) X(draw_unwritten) X(draw_outside) X(draw_negative)     \
                X(logs) X(launches) X(aborts) X(nan_loss)
#include "wrong.h"

static dm_status open_(dm_ctx *c, const dm_data_info *data, int32_t T, int32_t *out_channels)
{
    (void)data, (void)T;
    if (wrong(c) == no_channels)
        *out_channels = 0;
    if (wrong(c) == logs)
        c->host->log(c, "hello from %s", "open");
    return wrong(c) == open_silent     ? DM_EINVAL
           : wrong(c) == open_predicts ? c->host->predict(c, NULL, NULL, NULL)
                                       : DM_OK;
}

static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    if (wrong(c) == aborts)
        abort();
    if (wrong(c) == affine_silent)
        return DM_EINVAL;
    if (wrong(c) == affine_unwritten)
        return DM_OK;
    *a = (dm_affine){1 / p->alpha, -p->sigma / p->alpha, 1, p->t - 1};
    if (wrong(c) == nan_c_skip || (wrong(c) == late_nan && p->t > 7 && p->t < 8.5))
        a->c_skip = NAN;
    if (wrong(c) == infinite_c_noise)
        a->c_noise = INFINITY;
    if (wrong(c) == vanishing)
        a->c_out = 0;
    return DM_OK;
}

static dm_status scalars(dm_ctx *c, const dm_point *at, const dm_point *before, double *out)
{
    (void)at, (void)before;
    out[0] = wrong(c) == nan_scalar ? NAN : 1;
    return wrong(c) == scalars_silent ? DM_EINVAL : DM_OK;
}

static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const dm_val F = wrong(c) == swapped ? g->network(g, b->weights, b->c_noise, b->xt, b->labels)
                                         : g->network(g, b->weights, b->xt, b->c_noise, b->labels);
    const dm_val e = g->add(g, F, g->scale(g, b->noise, -1, 0)), se = g->mul(g, e, e);

    switch (wrong(c)) {
    case absent_scalar: return g->mul(g, g->mean(g, se), b->scalar[5]);
    case no_gradient: return g->mean(g, b->x0);
    case stopped: return g->mean(g, g->stop_gradient(g, se));
    case no_mean: return se;
    case no_value: return DM_NONE;
    case loss_silent: return DM_EINVAL;
    case garbage: return 12345;
    case nan_loss: return g->mean(g, g->log(g, g->scale(g, se, -1, 0))); /* its gradient is finite */
    case logs: c->host->log(c, "hello from %s", "loss"); break;
    case launches:
        if (c->host->launch(c, NULL, NULL, NULL, 0))
            return c->err->code;
        break;
    default: break;
    }
    return g->mul(g, g->mean(g, se), b->scalar[0]);
}

static dm_status draw(dm_ctx *c, int32_t n, const double *u, dm_point *at, double *importance)
{
    for (int32_t i = 0; i < n && wrong(c) != draw_unwritten; i++)
        if (c->host->point_at_t(c, 1 + floor(u[i] * 19), &at[i]))
            return c->err->code;
    if (wrong(c) == draw_outside)
        at[0].t = 1e9;
    if (wrong(c) == draw_negative)
        importance[0] = -1;
    return wrong(c) == draw_silent ? DM_EINVAL : DM_OK;
}

static const dm_objective objective = {.size = sizeof(dm_objective), .n_scalars = 1, .open = open_, .affine = affine,
    .scalars = scalars, .loss = loss, .draw = draw};
PLUGIN("wrong_objective", .objective = &objective);
