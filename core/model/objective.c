/* An objective's numbers; see objective.h. */
#include "model/objective.h"

#include <math.h>

/* The first of n numbers that is not finite; n if all are. What a plugin must write is filled with NAN before. */
static int not_finite(const double *v, int n)
{
    int i = 0;

    while (i < n && isfinite(v[i]))
        i++;
    return i;
}

dm_status dm_objective_affine(dm_instance *o, const dm_point *p, dm_affine *a, dm_err *err)
{
    static const char *const names[] = {"c_skip", "c_out", "c_in", "c_noise"};
    dm_status rc;
    int bad;

    *a = (dm_affine){NAN, NAN, NAN, NAN};
    if ((rc = DM_CALL(o, DM_CB_AFFINE, err, o->plugin->objective->affine(&o->ctx, p, a))))
        return rc;
    if ((bad = not_finite((double[]){a->c_skip, a->c_out, a->c_in, a->c_noise}, 4)) < 4)
        return dm_error(err, DM_EINVAL,
                        "objective '%s': affine() gives %s = %g at t = %g (alpha %g, sigma %g); it must be finite",
                        o->plugin->name, names[bad],
                        (double[]){a->c_skip, a->c_out, a->c_in, a->c_noise}[bad], p->t, p->alpha, p->sigma);
    return DM_OK;
}

dm_status dm_objective_check(dm_instance *o, const dm_noise *noise, double *noise_most, dm_err *err)
{
    const int32_t T = dm_noise_T(noise), parts = dm_noise_discrete(noise) ? T : 256;

    bool means = false;

    *noise_most = -INFINITY;
    for (int32_t i = parts; i >= 0; i--) { /* the noisiest is where one fails most often */
        dm_point p;
        dm_affine a;
        dm_status rc;

        dm_noise_at(noise, (double)T * i / parts, &p);
        if (!(p.sigma > 0)) /* the data itself: nothing is predicted there */
            continue;
        if ((rc = dm_objective_affine(o, &p, &a, err)))
            return rc;
        *noise_most = fmax(*noise_most, a.c_noise);
        means |= a.c_out != 0;
    }
    return means ? DM_OK
                 : dm_error(err, DM_EINVAL,
                            "objective '%s': affine() gives c_out = 0 at every level, so the network's output means "
                            "nothing",
                            o->plugin->name);
}

dm_status dm_objective_log_var(dm_instance *o, const dm_point *at, const dm_point *to, double k[2], dm_err *err)
{
    dm_status rc;

    k[0] = k[1] = NAN;
    if ((rc = DM_CALL(o, DM_CB_LOG_VAR, err, o->plugin->objective->log_var(&o->ctx, at, to, k))))
        return rc;
    return not_finite(k, 2) == 2 ? DM_OK
                                 : dm_error(err, DM_EINVAL,
                                            "objective '%s': log_var() gives {%g, %g} from t = %g to %g; both must be "
                                            "finite",
                                            o->plugin->name, k[0], k[1], at->t, to->t);
}

dm_status dm_objective_scalars(dm_instance *o, const dm_point *at, const dm_point *before, double *out, dm_err *err)
{
    const int n = o->plugin->objective->n_scalars;
    dm_status rc;
    int bad;

    for (int i = 0; i < n; i++)
        out[i] = 0;
    if (!n)
        return DM_OK;
    if ((rc = DM_CALL(o, DM_CB_SCALARS, err, o->plugin->objective->scalars(&o->ctx, at, before, out))))
        return rc;
    if ((bad = not_finite(out, n)) < n)
        return dm_error(err, DM_EINVAL, "objective '%s': scalars() gives %g as scalar %d at t = %g; it must be finite",
                        o->plugin->name, out[bad], bad, at ? at->t : 0);
    return DM_OK;
}
