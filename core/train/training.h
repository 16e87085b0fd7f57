/* The parts of a training run that do not depend on a device: learning rate, averages' rates, times. */
#ifndef DEMIST_CORE_TRAINING_H
#define DEMIST_CORE_TRAINING_H

#include "settings/settings.h"

/* Of step s, counted from 0: warm-up from lr / warmup to lr, then the decay. */
double dm_train_lr(const dm_set_train *t, int64_t s);
/* Rate of average i at step s, counted from 0. */
double dm_train_ema_rate(const dm_set_train *t, int32_t i, int64_t s);
/* The uniform number in (0,1) from which example i of step s draws its time; batch: examples of a step. */
double dm_train_uniform(uint64_t seed, int32_t draw, int64_t s, int64_t i, int64_t batch);
/* Whether training drops condition k of example i of step s; 0 is the class, or all of them together. */
bool dm_train_drops(uint64_t seed, double share, int64_t s, int64_t i, int32_t k);

#endif
