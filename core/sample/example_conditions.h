/* Conditions of real examples, for samples that nobody asked for one by one: grids of training, evaluations. */
#ifndef DEMIST_CORE_EXAMPLE_CONDITIONS_H
#define DEMIST_CORE_EXAMPLE_CONDITIONS_H

#include "data/data.h"
#include "session/session.h"

typedef struct dm_example_conditions { dm_condition_batch conditions; int32_t *labels; } dm_example_conditions;

/* Of the first `count` examples of d, which are taken again where there are fewer; nothing where the session's network
 * has no conditions besides the class. labels: their classes, NULL without. */
dm_status dm_example_conditions_new(const dm_session *s, dm_data *d, int64_t count, dm_example_conditions *out,
                                    dm_err *err);
void dm_example_conditions_fini(dm_example_conditions *t);

#endif
