/* What the files that read schedulers share: parts of a scheduler_config.json as sections of an experiment. */
#ifndef DEMIST_INTEROP_SCHEDULER_H
#define DEMIST_INTEROP_SCHEDULER_H

#include "interop/read/diffusers.h"

/* Section schedule, from the betas. T, from, till: where the config does not say. The timesteps come back. */
int64_t dm_scheduler_put_betas(dm_config *c, int64_t T, double from, double till, FILE *to);
/* Section objective, from what the network predicts. */
void dm_scheduler_put_objective(dm_config *c, const dm_network_facts *f, FILE *to);
/* The key and its value, indented. */
void dm_scheduler_put_real(FILE *to, const char *key, double v);
/* Keys of section sampler: clipping at clip_sample_range, or thresholding. def: of clip_sample, where it is absent. */
void dm_scheduler_put_clip(dm_config *c, bool def, FILE *to);

/* All sections of a scheduler that is none of DDPM and DDIM; false if the class is not known. */
bool dm_solver_put(dm_config *c, const char *name, const dm_network_facts *f, FILE *to);
/* "DPMSolverMultistepScheduler, ...", for messages. */
const char *dm_solver_names(void);

#endif
