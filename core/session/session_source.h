/* Where a session's weights come from: a run, a checkpoint, a model of another program. */
#ifndef DEMIST_CORE_SESSION_SOURCE_H
#define DEMIST_CORE_SESSION_SOURCE_H

#include "session/session.h"

/* A set of weights from the checkpoint: the first average unless raw or there is none. */
dm_status dm_session_weights(dm_session *s, bool raw, dm_wset **out, dm_err *err);
/* Opens what a run folder (its newest whole checkpoint, whose step comes back), a file or a model of another program
 * has. */
dm_status dm_session_source(const dm_session *s, const char *run, dm_st **out, int64_t *step, dm_err *err);
/* The training step that the session's checkpoint is of. */
int64_t dm_session_step(const dm_session *s);
/* What the names of such weights begin with there. */
const char *dm_session_prefix(const dm_st *f, bool raw);
/* DM_ECORRUPT unless they are this layout's; what is missing, too many or of another shape goes to the log, all of it.
 * DM_EINVAL where an override made the session's model another than was trained. */
dm_status dm_session_fits(dm_session *s, const dm_layout *l, const dm_st *f, bool raw, dm_err *err);
/* Warns of each value of the network, dropout aside, that was another where these weights, called from, were made; told
 * has them too, for a message: "network.width is 48, not 32; ", "" where there is none. */
void dm_session_compare_network(const dm_session *s, const dm_st *f, const char *from, char *told, size_t n);
/* The next override of this section from *i on, or NULL. */
const char *dm_session_override(const dm_session *s, const char *section, int *i);

#endif
