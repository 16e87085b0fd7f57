/* The data that a run is measured by: a split of its experiment's data set, checked against what it was trained on. */
#ifndef DEMIST_CORE_EVAL_DATA_H
#define DEMIST_CORE_EVAL_DATA_H

#include "data/data.h"
#include "session/session.h"

typedef struct dm_eval_data dm_eval_data;
/* DM_ENOENT where the data has no such split; DM_EINVAL where its examples are of another shape than the model's. */
dm_status dm_eval_data_open(dm_session *s, const char *split, dm_eval_data **out, dm_err *err);
/* For what reads labels: DM_EINVAL where they may be beyond the model's classes, or where only the model has any. */
dm_status dm_eval_data_labels(const dm_session *s, const dm_eval_data *d, dm_err *err);
/* Both of the test split, and how many of its examples an evaluation takes: those asked for, 0 = all. DM_EINVAL where
 * they are more than there are. */
dm_status dm_eval_data_open_test(dm_session *s, int64_t asked, dm_eval_data **out, int64_t *count, dm_err *err);
void dm_eval_data_close(dm_eval_data *d);
dm_data *dm_eval_data_of(const dm_eval_data *d);

#endif
