/* What experiments and samplers ask of predictions, checked; see sampling.h. */
#include "model/sampling.h"

#include "text/number.h"

#include <float.h>
#include <math.h>
#include <string.h>

dm_status dm_sampling_clip(const dm_set_sampler *set, const dm_data_info *data, double *limit, bool *dynamic,
                           dm_err *err)
{
    *limit = 0;
    *dynamic = !strcmp(set->clip, "dynamic");
    if (*dynamic || !strcmp(set->clip, "off"))
        return DM_OK;
    if (!strcmp(set->clip, "auto")) {
        *limit = data && data->levels > 0 ? fmax(fabs(data->low), fabs(data->high)) : 0;
        return DM_OK;
    }
    if (dm_number_real(set->clip, limit) != DM_NUMBER_OK || !(*limit >= FLT_MIN))
        return dm_error(err, DM_EINVAL, "sampler.clip is '%s'; it must be auto, off, dynamic or a number above 0",
                        set->clip);
    return DM_OK;
}

dm_status dm_sampling_check_wanted(const dm_tensor *x, const dm_point *p, const dm_pred *want, dm_err *err)
{
    const dm_tensor *t[4] = {x};

    if (!p || !want)
        return dm_error(err, DM_EINVAL, "predict was given NULL for %s", p ? "its result" : "its point");
    t[1] = want->x0, t[2] = want->eps, t[3] = want->log_var;
    if (!(p->sigma > 0) || !isfinite(p->sigma) || !(p->alpha >= 0) || !isfinite(p->alpha))
        return dm_error(err, DM_EINVAL,
                        "a prediction needs noise, sigma above 0, and alpha of 0 or above; they are %g and %g",
                        p->sigma, p->alpha);
    for (int i = 0; i < 4; i++) {
        if (t[i] ? !t[i]->buf : i == 0)
            return dm_error(err, DM_EINVAL, "predict was given no tensor: NULL, or one from before the last begin()");
        if (i == 0 && x->unwritten)
            return dm_error(err, DM_EINVAL, "predict reads a tensor that was never written");
        for (int k = 0; k < i; k++)
            if (t[i] && t[i] == t[k])
                return dm_error(err, DM_EINVAL,
                                "predict must write to tensors distinct from x and from each other");
    }
    return DM_OK;
}
