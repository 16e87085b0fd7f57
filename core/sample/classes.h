/* The classes that a caller asks for, by name or number. */
#ifndef DEMIST_CORE_CLASSES_H
#define DEMIST_CORE_CLASSES_H

#include "session/session.h"

/* The labels of n classes, each a name of the data's or a number; "none" is the null class of a model that was trained
 * with it, and "all" alone all of the data's. *labels is on the heap. DM_EINVAL where the model takes no class, or not
 * one of these. */
dm_status dm_classes_find(const dm_session *s, const char *const *classes, int64_t n, int32_t **labels, int64_t *count,
                          dm_err *err);

#endif
