/* An experiment as diffusers' configs. */
#ifndef DEMIST_INTEROP_DIFFUSERS_WRITE_H
#define DEMIST_INTEROP_DIFFUSERS_WRITE_H

#include "experiment/experiment.h"

#include <stdio.h>

/* DM_EINVAL says what diffusers cannot express. */
dm_status dm_unet_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err);
dm_status dm_scheduler_write(const dm_experiment *e, const dm_data_info *data, FILE *to, const char **class_name,
                             dm_err *err);
/* diffusers' class for a sampler, grid and schedule that are none of DDPMScheduler's and DDIMScheduler's; NULL where it
 * has none. */
const char *dm_solver_class(const dm_experiment *e);
dm_status dm_solver_write(const dm_experiment *e, const dm_data_info *data, const char *class_name, FILE *to,
                          dm_err *err);
/* Whether diffusers' scheduler adds noise in the step to the data, where demist does not. */
bool dm_scheduler_ends_noisy(const dm_experiment *e);

#endif
