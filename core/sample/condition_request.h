/* The conditions that a caller asks for, by name. */
#ifndef DEMIST_CORE_CONDITION_REQUEST_H
#define DEMIST_CORE_CONDITION_REQUEST_H

#include "session/session.h"

/* How many images the conditions are of; 0: one for all, or none. DM_EINVAL where they are of several numbers, or an
 * array cannot be one. */
dm_status dm_condition_request_count(const dm_condition_value *v, int64_t n, int64_t *count, dm_err *err);
/* Those of `count` images; nothing where the model has none. DM_EINVAL where one is unknown, missing, of another shape
 * or not finite. */
dm_status dm_condition_request_fill(const dm_session *s, const dm_condition_value *v, int64_t n, int64_t count,
                                    dm_condition_batch *out, dm_err *err);

#endif
