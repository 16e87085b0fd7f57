/* What several ranks work on together: read by each, and the same on all. */
#ifndef DEMIST_CORE_SESSION_RANKS_H
#define DEMIST_CORE_SESSION_RANKS_H

#include "session/session.h"

/* A caller's callbacks without its log and progress: those of a rank that has nothing to say. */
dm_status dm_session_quiet(const dm_callbacks *cb, dm_callbacks *quiet, dm_err *err);
/* The resolved experiment, a line a key, without those that each host may have its own way. False when memory is
 * exhausted. */
bool dm_session_print_shared(FILE *to, const dm_experiment *e);
/* DM_EINVAL on all ranks of a session from a run where one has another demist, checkpoint or experiment than rank 0, or
 * was asked for something else; asked: that as lines. */
dm_status dm_session_same(const dm_session *s, const char *asked, dm_err *err);

/* dm_session_read_run by all ranks of the job, the same on each as above; or by this process alone, unless `ranks`. It
 * fails on all. */
dm_status dm_session_join(dm_session *s, bool ranks, const char *run, const char *const *overrides, int n,
                          const dm_callbacks *cb, const char *asked, dm_err *err);
/* Its end. */
void dm_session_leave(dm_session *s);

#endif
