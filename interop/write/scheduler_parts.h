/* What the writers of a scheduler_config.json share: its keys, and parts of an experiment as keys. */
#ifndef DEMIST_INTEROP_SCHEDULER_PARTS_H
#define DEMIST_INTEROP_SCHEDULER_PARTS_H

#include "interop/write/diffusers_write.h"
#include "interop/write/values.h"

void dm_config_put_real(FILE *to, const char *key, double v);
void dm_config_put_int(FILE *to, const char *key, int64_t v);
void dm_config_put_bool(FILE *to, const char *key, bool v);
void dm_config_put_text(FILE *to, const char *key, const char *v);
/* The betas, by diffusers' name of the schedule where it has one (sigmoid: sigmoid too), and the timesteps; whether
 * they are rescaled to end without signal, where the class takes that. */
dm_status dm_config_put_betas(const dm_experiment *e, bool sigmoid, bool rescales, FILE *to, dm_err *err);
/* What the network predicts. */
void dm_config_put_prediction(const dm_experiment *e, FILE *to);
void dm_config_put_spacing(const dm_experiment *e, FILE *to);
/* Whether x0 is clipped at the range below, 1 where none is said. */
bool dm_config_clips(const dm_experiment *e, const dm_data_info *data);
double dm_config_clip_range(const dm_experiment *e);
/* The variance that the network tells, "learned" or "learned_range"; NULL where it tells none. */
const char *dm_config_variance(const dm_experiment *e);

#endif
