/* Messages for people: to a callback and, with the time before each, to the run's log.txt. Numbers
 * go to log.jsonl (run_log.h). Any thread may log. */
#ifndef DEMIST_CORE_LOG_H
#define DEMIST_CORE_LOG_H

#include "base/folder.h"

#include <demist/demist.h>

/* One line without its newline. Never called twice at once for one log. */
typedef void (*dm_log_sink)(void *user, dm_log_level level, const char *line);

typedef struct dm_log dm_log;

/* The sink gets levels up to `most`; it may be NULL. NULL when memory is exhausted. */
dm_log *dm_log_new(dm_log_level most, dm_log_sink sink, void *user);
void dm_log_free(dm_log *l);
/* From now on this is the sink. */
void dm_log_to(dm_log *l, dm_log_sink sink, void *user);
/* From now on all levels are appended to this file of a folder too, or of any where that is NULL; no name ends it. */
dm_status dm_log_to_file(dm_log *l, const dm_folder *in, const char *name, dm_err *err);
/* l may be NULL. Several lines in one text are several messages. */
void dm_log_put(dm_log *l, dm_log_level level, const char *fmt, ...) DM_PRINTF(3, 4);

#endif
