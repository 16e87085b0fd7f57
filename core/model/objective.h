/* An objective's numbers, checked: what its callbacks say of points and examples is finite before anybody uses it. */
#ifndef DEMIST_CORE_OBJECTIVE_H
#define DEMIST_CORE_OBJECTIVE_H

#include "noise/noise.h"
#include "plugin/instance.h"

/* What the network's output means at a point. DM_EINVAL names the coefficient that is not finite, or was not written.
 */
dm_status dm_objective_affine(dm_instance *objective, const dm_point *p, dm_affine *a, dm_err *err);
/* The same at all levels of a discrete schedule, along a continuous one; *noise_most is the largest c_noise. */
dm_status dm_objective_check(dm_instance *objective, const dm_noise *noise, double *noise_most, dm_err *err);
dm_status dm_objective_log_var(dm_instance *objective, const dm_point *at, const dm_point *to, double k[2],
                               dm_err *err);
/* Of one example; the points are NULL without a schedule, `before` with a continuous one. */
dm_status dm_objective_scalars(dm_instance *objective, const dm_point *at, const dm_point *before, double *out,
                               dm_err *err);

#endif
