/* What only plugins and the data can tell of an experiment: whether its schedule, data, objective, network and
 * sampler work, and work together. Needs no device. */
#ifndef DEMIST_CORE_EXAMINE_H
#define DEMIST_CORE_EXAMINE_H

#include "session.h"

/* Makes s->noise, opens s->examples where `data` says so, and tries whatever has no fault so far; all faults are added
 * to f, each at its place. s->data must be known unless `data`. Fails only where memory is exhausted. */
dm_status dm_session_examine(dm_session *s, bool data, dm_faults *f, dm_err *err);

#endif
