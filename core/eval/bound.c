/* The variational bound's terms; see bound.h. */
#include "eval/bound.h"

#include "data/data.h"
#include "noise/noise.h"

#include <math.h>

static const double ln2 = 0.69314718055994530942, root_half = 0.70710678118654752440,
                    half_ln_2pi = 0.91893853320467274178;

/* ln of the standard normal's mass beyond z. Where erfc would underflow, the asymptotic series: 7 digits at 30, and
 * more beyond, of a number above 450. */
static double log_tail(double z)
{
    const double q = 1 / (z * z);

    if (z < 30)
        return log(erfc(z * root_half) / 2);
    return -z * z / 2 - log(z) - half_ln_2pi + log1p(q * (-1 + q * (3 - q * 15)));
}

double dm_log_mass(double low, double high, double mean, double log_var)
{
    const double r = exp(-log_var / 2);
    double a = (low - mean) * r, b = (high - mean) * r, near;

    if (low == -INFINITY && high == INFINITY)
        return 0;
    if (low == -INFINITY)
        return log_tail(-b);
    if (high == INFINITY)
        return log_tail(a);
    if (a < 0 && b > 0)
        return log((erf(b * root_half) - erf(a * root_half)) / 2);
    if (b <= 0) { /* the other tail, mirrored */
        const double t = a;

        a = -b;
        b = -t;
    }
    if (b < 5) /* erfc is far from its end */
        return log((erfc(a * root_half) - erfc(b * root_half)) / 2);
    near = log_tail(a);
    return near + log(-expm1(log_tail(b) - near));
}

/* A bin is half a level wide to each side; the outermost two are open, so that all of them hold all of the mass. Of
 * continuous data it is the density. */
static double decode(double x0, double mean, double log_var, double half, const dm_data_info *d)
{
    if (half <= 0)
        return half_ln_2pi + log_var / 2 + (x0 - mean) * (x0 - mean) * exp(-log_var) / 2;
    return -dm_log_mass(x0 - half < d->low ? -INFINITY : x0 - half, x0 + half > d->high ? INFINITY : x0 + half, mean,
                        log_var);
}

static double predicted(const dm_bound_step *s, double x, double F)
{
    const double x0 = s->affine.c_skip * x + s->affine.c_out * F;

    return s->limit > 0 ? fmin(fmax(x0, -s->limit), s->limit) : x0;
}

double dm_bound_term(const dm_bound_step *s, const dm_data_info *data, const float *x0, const float *x, const float *F,
                     int64_t n)
{
    const double half = dm_data_step(data) / 2;
    const double c2 = s->q.c_x0 * s->q.c_x0, fixed_ratio = exp(s->q.log_var - s->k0), fixed_inverse = exp(-s->k0);
    const double inverse_q = exp(-s->q.log_var);
    double sum = 0, not_finite = 0;

    for (int64_t i = 0; i < n; i++) {
        const double guess = predicted(s, (double)x[i], (double)F[i]),
                     log_var = s->k1 != 0 ? s->k0 + s->k1 * (double)F[n + i] : s->k0;

        not_finite += (double)F[i] - (double)F[i]; /* holding x0 within a limit would hide it */
        if (s->decodes) {
            sum += decode((double)x0[i], s->q.c_x0 * guess + s->q.c_x * (double)x[i], log_var, half, data);
        } else {
            /* The ratio of the variances q / p; both means have the same part of x. */
            const double ratio = s->k1 != 0 ? exp(s->q.log_var - log_var) : fixed_ratio;
            const double inverse = s->k1 != 0 ? ratio * inverse_q : fixed_inverse, error = (double)x0[i] - guess;

            sum += 0.5 * (log_var - s->q.log_var + ratio - 1 + c2 * error * error * inverse);
        }
    }
    return (sum + not_finite) / (double)n / ln2;
}

double dm_bound_prior(const dm_point *last, const float *x0, int64_t n)
{
    const double var = last->sigma * last->sigma, start = dm_noise_start(last), prior = start * start;
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += 0.5 *
               (log(prior / var) + var / prior - 1 + last->alpha * last->alpha / prior * (double)x0[i] * (double)x0[i]);
    return sum / (double)n / ln2;
}
