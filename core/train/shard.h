/* The optimizer's state in parts, one a rank (ZeRO-1, Rajbhandari et al. 2020): each rank updates its part of the
 * weights, and has the moments and the up-to-date averages of that alone. */
#ifndef DEMIST_CORE_SHARD_H
#define DEMIST_CORE_SHARD_H

#include "comm/comm.h"
#include "model/checkpoint.h"

/* This rank's part of the layout's trained floats, into s; a part begins where a window on a buffer may. */
void dm_shard_take(const dm_comm *c, dm_train_state *s);
/* The parts that ranks have of a set of weights, to all. All ranks; the device is waited for. */
dm_status dm_shard_gather(dm_comm *c, const dm_train_state *s, dm_wset *w, dm_err *err);
/* Before rank 0 saves the state: all of its averages, and both moments as its s->whole. All ranks. */
dm_status dm_shard_collect(dm_comm *c, dm_train_state *s, dm_err *err);
/* After it was loaded or saved: rank 0's s->whole, if there is one, to the parts of all. All ranks. */
dm_status dm_shard_deal(dm_comm *c, dm_train_state *s, dm_err *err);
void dm_shard_forget(dm_train_state *s); /* s->whole */

#endif
