/* An experiment read into a session, from a file, a text, or what a training run left. */
#ifndef DEMIST_CORE_SESSION_READ_H
#define DEMIST_CORE_SESSION_READ_H

#include "session/examine.h"

/* A caller may have counted them wrong. */
dm_status dm_session_check_overrides(const char *const *overrides, int n, dm_err *err);

/* cb, in what follows: a caller's, which may be shorter or longer than ours; NULL = none. */

/* Reads the experiment, finds its plugins, makes the noise process. All faults go to the log, each with its place.
 * From DM_NEED_DATA on, s->examples is opened, and all that training needs is tried. */
dm_status dm_session_read(dm_session *s, const char *experiment, const char *const *overrides, int n, dm_need need,
                          const dm_callbacks *cb, dm_err *err);
/* The same from a run folder, a checkpoint or a model of another program (foreign.h), with the data's facts and the
 * weights' file. */
dm_status dm_session_read_run(dm_session *s, const char *run, const char *const *overrides, int n,
                              const dm_callbacks *cb, dm_err *err);
/* The same, whose last n_options overrides came as options of their own: messages name them by their keys. */
dm_status dm_session_read_model(dm_session *s, const char *run, const char *const *overrides, int n, int n_options,
                                const dm_callbacks *cb, dm_err *err);
/* The same from an experiment's text, called name, without weights; overrides may replace its parts. */
dm_status dm_session_read_text(dm_session *s, const char *text, const char *name, const char *const *overrides, int n,
                               const dm_callbacks *cb, dm_err *err);
/* The session's experiment, as it was read from a run, with other settings of the sampler; overrides are checked. */
dm_status dm_session_sampled_by(dm_session *s, const char *const *overrides, int n, dm_experiment **out, dm_err *err);

#endif
