/* Entries of a cache: what is in one runs, or decides what runs, so it must be the user's own. */
#ifndef DEMIST_CORE_CACHE_FILE_H
#define DEMIST_CORE_CACHE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

/* All of an entry of at most limit bytes, with a zero byte behind, on the heap: a regular file and no link, of this
 * user, that nobody else may write, as its descriptor says. DM_ENOENT of what is none, which
 * is as good as absent; DM_ENOMEM. */
dm_status dm_cache_read(const char *path, size_t limit, char **out, size_t *n);
/* Anew, whatever lies there. */
bool dm_cache_write(const char *path, const void *data, size_t n);

#endif
