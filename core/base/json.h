/* JSON that was written by others, through jansson: read in memory that its length bounds. */
#ifndef DEMIST_CORE_JSON_H
#define DEMIST_CORE_JSON_H

#include <jansson.h>

#include "base/error.h"

/* n bytes as a value of its own, without keys that are there twice; `path` is what it is called. DM_ECORRUPT where
 * it is no JSON, or where what it says would take far more memory than it has bytes: 99 MB of {} are 7 GB. DM_ENOMEM
 * only where memory was exhausted, which jansson alone does not tell from damage. */
dm_status dm_json_read(const char *text, size_t n, const char *path, json_t **out, dm_err *err);

/* Called with each member; the value is gone afterwards. */
typedef dm_status dm_json_member(void *user, const char *key, json_t *value, dm_err *err);
/* The members of an object one by one, each of at most `most` bytes with its name: what is not kept of one is not
 * held beside the others. That a name is there twice is for the caller to see. A member named `within` is gone through
 * member by member itself, by each_within; within may be NULL. */
dm_status dm_json_members(const char *text, size_t n, size_t most, const char *path, dm_json_member *each,
                          const char *within, dm_json_member *each_within, void *user, dm_err *err);

#endif
