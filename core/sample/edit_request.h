/* What a caller asks to be edited, checked. */
#ifndef DEMIST_CORE_EDIT_REQUEST_H
#define DEMIST_CORE_EDIT_REQUEST_H

#include "sample/edit.h"
#include "session/session.h"

/* How many images o->start and o->mask are; *count is left alone where there is none, or one for all. */
dm_status dm_edit_count(const dm_sample_options *o, int64_t *count, dm_err *err);
/* Of `count` images; *out is zeroed where o->start is NULL. DM_EINVAL where a shape, a value or the strength is wrong.
 */
dm_status dm_edit_request(const dm_session *s, const dm_sample_options *o, int64_t count, bool inverts, dm_editing *out,
                          dm_err *err);

#endif
