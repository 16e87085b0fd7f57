/* Another model that guides this one: an earlier or weaker run, with data of the same shape and a schedule and an
 * objective of its own. */
#ifndef DEMIST_CORE_GUIDE_H
#define DEMIST_CORE_GUIDE_H

#include "model/guiding.h"
#include "model/condition_batch.h"
#include "session/session.h"

typedef struct dm_guide dm_guide;

/* On the device of s, which must outlive it; run: a run folder or a checkpoint. */
dm_status dm_guide_open(dm_session *s, const char *run, dm_guide **out, dm_err *err);
void dm_guide_close(dm_guide *g);
int64_t dm_guide_out_channels(const dm_guide *g);
/* What it says of n examples x at p, where its own schedule has that log-SNR; said is valid until the next call. */
dm_status dm_guide_predict(dm_guide *g, dm_buf *x, int64_t n, const dm_point *p, const int32_t *labels,
                           const dm_condition_batch *conditions, uint64_t serial, dm_said *said, dm_err *err);

#endif
