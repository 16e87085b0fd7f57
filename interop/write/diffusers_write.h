/* An experiment as diffusers' configs. */
#ifndef DEMIST_INTEROP_DIFFUSERS_WRITE_H
#define DEMIST_INTEROP_DIFFUSERS_WRITE_H

#include "experiment/experiment.h"

#include <stdio.h>

/* DM_EINVAL says what diffusers cannot express. */
dm_status dm_unet_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err);
dm_status dm_scheduler_write(const dm_experiment *e, const dm_data_info *data, FILE *to, const char **class_name,
                             dm_err *err);
/* Whether diffusers' scheduler adds noise in the step to the data, where demist does not. */
bool dm_scheduler_ends_noisy(const dm_experiment *e);

#endif
