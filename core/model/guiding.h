/* Guidance at work: one prediction made of several by a guidance plugin, inside predict (sampling.c). */
#ifndef DEMIST_CORE_GUIDING_H
#define DEMIST_CORE_GUIDING_H

#include "device/kernels.h"
#include "experiment/experiment.h"
#include "plugin/instance.h"

/* What a network said: F f32[n,channels,...] of x f32[n,...] at a point, which its objective takes for x0 = c_skip x +
 * c_out F; stride: elements of F of one example. */
typedef struct dm_said { dm_buf *x, *F; dm_point at; dm_affine is; int64_t stride; } dm_said;
/* All that `uses` names (DM_USES) of x at p, into said[], valid until the next call. */
typedef dm_status (*dm_guesses_fn)(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, uint32_t uses,
                                   dm_said said[DM_OF_COUNT], dm_err *err);

/* What there is to guide with. */
typedef struct dm_guiding_facts { int32_t classes, conditions; bool reads_classes, takes_none; } dm_guiding_facts;

/* Can the experiment's guidance, if it has any, work with this? The message is the section's. */
dm_status dm_guiding_check(const dm_experiment *e, const dm_guiding_facts *f, dm_err *err);
/* Does the experiment ask for more than the model's own prediction? */
bool dm_guiding_wanted(const dm_experiment *e);

typedef struct dm_guiding dm_guiding;
/* device may be NULL, for looking at it; shape: of x. */
dm_status dm_guiding_new(const dm_experiment *e, dm_services *services, dm_device *device, const dm_shape *shape,
                         dm_guiding **out, dm_err *err);
void dm_guiding_free(dm_guiding *g);
const dm_plugin *dm_guiding_plugin(const dm_guiding *g);
dm_status dm_guiding_begin(dm_guiding *g, const dm_tensor *x, dm_err *err);
/* Is anything guided at this point? */
dm_status dm_guiding_at(dm_guiding *g, const dm_point *p, bool *on, dm_err *err);
/* What a->F says is replaced by what is guided, for a launch of dm_launch_predict; *eps is set where eps does not
 * follow from it. */
dm_status dm_guiding_run(dm_guiding *g, const dm_tensor *x, const dm_said said[DM_OF_COUNT], dm_predict_args *a,
                         dm_buf **eps, dm_err *err);

#endif
