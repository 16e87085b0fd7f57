/* What plugins may ask of the noise process; see noise_services.h. */
#include "noise/noise_services.h"

#include <math.h>

static dm_status point_at_t(dm_ctx *c, double t, dm_point *p)
{
    if (isnan(t))
        return dm_fail(c, DM_EINVAL, "point_at_t was given a t that is not a number");
    dm_noise_at(dm_services_of(c)->noise, t, p);
    return DM_OK;
}

static dm_status point_at_log_snr(dm_ctx *c, double log_snr, dm_point *p)
{
    if (isnan(log_snr))
        return dm_fail(c, DM_EINVAL, "point_at_log_snr was given a log-SNR that is not a number");
    dm_noise_at_log_snr(dm_services_of(c)->noise, log_snr, p);
    return DM_OK;
}

static dm_status posterior(dm_ctx *c, const dm_point *at, const dm_point *to, dm_posterior *q)
{
    if (!at || !to)
        return dm_fail(c, DM_EINVAL, "posterior was given NULL for a point");
    return dm_noise_posterior(dm_services_of(c)->noise, at, to, q, c->err);
}

static dm_status span(dm_ctx *c, dm_span *s)
{
    if (s->size != sizeof *s)
        return dm_fail(c, DM_EINVAL, "span was given a size of %u; set it with sizeof", (unsigned)s->size);
    dm_noise_span(dm_services_of(c)->noise, s);
    return DM_OK;
}

void dm_noise_serve(const dm_noise *noise, dm_services *s)
{
    s->noise = noise;
    if (!noise)
        return;
    s->work.point_at_t = point_at_t;
    s->work.point_at_log_snr = point_at_log_snr;
    s->work.posterior = posterior;
    s->work.span = span;
}
