/* An experiment as diffusers' configs. */
#ifndef DEMIST_INTEROP_DIFFUSERS_WRITE_H
#define DEMIST_INTEROP_DIFFUSERS_WRITE_H

#include "session/session.h"

#include <stdio.h>

/* A network's config.json; DM_EINVAL says what diffusers cannot express. */
dm_status dm_network_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err);
const char *dm_network_class(const dm_experiment *e);
/* The same of one plugin. */
dm_status dm_unet_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err);
dm_status dm_dit_write(const dm_experiment *e, const dm_data_info *data, FILE *to, dm_err *err);
/* What the tensors of a dit follow from: its blocks, the width of a token, and whether it is told no class, which
 * DiTTransformer2DModel always is: one class is then written that says nothing. */
int64_t dm_dit_blocks(const dm_section *net);
int64_t dm_dit_width(const dm_section *net);
bool dm_dit_classless(const dm_section *net, const dm_data_info *data);
/* The weights of a run (raw: not their average). */
dm_status dm_weights_write(const dm_session *s, bool raw, const char *path, dm_err *err);
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
