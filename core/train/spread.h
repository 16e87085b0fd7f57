/* What every rank must have alike: weights and all else that training goes on from. */
#ifndef DEMIST_CORE_SPREAD_H
#define DEMIST_CORE_SPREAD_H

#include "comm/comm.h"
#include "device/device.h"
#include "model/checkpoint.h"

/* Whether the ranks' devices could differ in a result's last bits: they have other names or drivers. */
dm_status dm_spread_unlike(dm_comm *c, const dm_device *d, bool *unlike, dm_err *err);
/* A set of weights of rank 0 to all. */
dm_status dm_spread_weights(dm_comm *c, dm_wset *w, dm_err *err);
/* All of rank 0's state, its step too. */
dm_status dm_spread_state(dm_comm *c, dm_train_state *s, dm_err *err);
/* DM_EDEVICE on a rank whose weights are not rank 0's, bit for bit, with the first tensor that differs; the other ranks
 * have to be told. */
dm_status dm_spread_check(dm_comm *c, const dm_train_state *s, dm_err *err);

#endif
