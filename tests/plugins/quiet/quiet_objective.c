/* An objective that works, but for what the host cannot see. */
#define BEHAVIOURS(X) X(scalars_beyond) X(draws_beyond) X(other_sign) X(shows_data) X(mixes) X(nan_loss)
#include "wrong.h"

static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    if (p->alpha == 0)
        return dm_fail(c, DM_EINVAL, "no signal is left at t = %g", p->t);
    *a = (dm_affine){1 / p->alpha, (wrong(c) == other_sign ? 1 : -1) * p->sigma / p->alpha, 1, p->t - 1};
    return DM_OK;
}

static dm_status scalars(dm_ctx *c, const dm_point *at, const dm_point *before, double *out)
{
    (void)at, (void)before;
    out[0] = 1;
    if (wrong(c) == scalars_beyond)
        out[1] = 1;
    return DM_OK;
}

static dm_status draw(dm_ctx *c, int32_t n, const double *u, dm_point *at, double *importance)
{
    const int32_t end = wrong(c) == draws_beyond ? n + 1 : n;

    for (int32_t i = 0; i < end; i++) {
        const dm_status rc = c->host->point_at_t(c, 1 + u[i < n ? i : n - 1] * 19, &at[i]);

        importance[i] = 1;
        if (rc)
            return rc;
    }
    return DM_OK;
}

static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    const dm_val x = wrong(c) == shows_data ? b->x0 : b->xt;
    const dm_val F = g->network(g, b->weights, g->mul(g, x, b->c_in), b->c_noise, b->labels),
                 se = g->square(g, g->sub(g, F, b->noise));

    if (wrong(c) == nan_loss) /* its gradient is finite */
        return g->mean(g, g->log(g, g->scale(g, se, -1, 0)));
    if (wrong(c) == mixes)
        return g->mean(g, g->mul(g, se, g->mean_over(g, se, (int32_t[]){0}, 1)));
    return g->mul(g, g->mean(g, se), b->scalar[0]);
}

PLUGIN("quiet_objective", .objective = &(const dm_objective){.size = sizeof(dm_objective), .n_scalars = 1,
       .affine = affine, .scalars = scalars, .draw = draw, .loss = loss});
