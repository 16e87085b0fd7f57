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
void dm_eval_data_close(dm_eval_data *d);
dm_data *dm_eval_data_of(const dm_eval_data *d);

/* "1 x 28 x 28" */
typedef struct dm_shape_shown { char text[128]; } dm_shape_shown;
dm_shape_shown dm_shape_show(const dm_shape *s);

#endif
