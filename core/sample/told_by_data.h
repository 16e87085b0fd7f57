/* Conditions of real examples, for samples that nobody asked for one by one: grids of training, evaluations. */
#ifndef DEMIST_CORE_TOLD_BY_DATA_H
#define DEMIST_CORE_TOLD_BY_DATA_H

#include "data/data.h"
#include "session/session.h"

typedef struct dm_told_by_data { dm_told told; int32_t *labels; } dm_told_by_data;

/* Of the first `count` examples of d, which are taken again where there are fewer; nothing where the session's network
 * has no conditions besides the class. labels: their classes, NULL without. */
dm_status dm_told_by_data_new(const dm_session *s, dm_data *d, int64_t count, dm_told_by_data *out, dm_err *err);
void dm_told_by_data_fini(dm_told_by_data *t);

#endif
