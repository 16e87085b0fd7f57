/* What only plugins and the data can tell of an experiment: whether its schedule, data, objective, network and
 * sampler work, and work together. Needs no device. */
#ifndef DEMIST_CORE_EXAMINE_H
#define DEMIST_CORE_EXAMINE_H

#include "session/session.h"

/* What of an experiment must be there and sound; each has the ones before it. */
typedef enum dm_need {
    DM_NEED_NETWORK,               /* not its data: what they are, if it matters, is known otherwise */
    DM_NEED_DATA,                  /* also data, as training goes on with them, and a place for the run */
    DM_NEED_START,                 /* also what a new run begins with */
    DM_NEED_ALL                    /* also what only others read later: a test split for evaluations */
} dm_need;

/* Makes s->noise, opens s->examples and s->start as they are needed, and tries whatever has no fault so far; all faults
 * are added to f, each at its place. s->data must be known where no data are needed. Fails only where memory is
 * exhausted. */
dm_status dm_session_examine(dm_session *s, dm_need need, dm_faults *f, dm_err *err);

/* Opens what train.from names as s->start; leaves it NULL where that is empty. */
dm_status dm_session_open_start(dm_session *s, dm_err *err);
/* Whether its weights, if it is there, are this layout's; warns of what they meant otherwise. */
dm_status dm_session_start_fits(dm_session *s, const dm_layout *l, dm_err *err);

/* Can a model of such data guide this one? guide: what it is called. */
dm_status dm_session_guide_fits(const dm_session *s, const dm_data_info *data, const char *guide, dm_err *err);
/* Of what makes samples that cannot be good, whatever was learned. */
dm_status dm_session_warn_of_sampling(dm_session *s, dm_net *m, dm_err *err);

#endif
