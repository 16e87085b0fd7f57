/* The ranks that work together: opening them, and what is built on their few calls (device/comm.h). */
#ifndef DEMIST_CORE_COMM_H
#define DEMIST_CORE_COMM_H

#include <stdio.h>

#include "base/error.h"
#include "device/comm.h"

/* One rank alone: every call leaves things as they are. Never closed. */
dm_comm *dm_comm_one(void);
/* The ranks of this job, by the backend where a launcher started several. DM_EINVAL, DM_EABI where the backend is not
 * there, not fit, or of another MPI than the launcher. */
dm_status dm_comm_open(dm_comm **out, dm_err *err);
void dm_comm_close(dm_comm *c); /* fine with NULL and with dm_comm_one() */

/* A place that all ranks reach, each with how it went. Returns how it went for all: that of the lowest rank that
 * failed, with its message, which names the rank. flags, if not NULL, come back with every bit that a rank has set. */
dm_status dm_comm_agree(dm_comm *c, dm_status rc, uint32_t *flags, dm_err *err);
/* *text of rank 0 to all, on the heap elsewhere; NULL stays NULL. Nothing may have failed. */
dm_status dm_comm_text(dm_comm *c, char **text, dm_err *err);

/* Whether demist's version and the lines that print writes are rank 0's: DM_EINVAL on all where they are not, with the
 * rank and the first line that differs. print: false when memory is exhausted; nothing else may have failed. */
dm_status dm_comm_same(dm_comm *c, bool (*print)(FILE *to, const void *user), const void *user, dm_err *err);

/* The device that this rank takes of those that `select` means, as "i:j" or as it is said: of a list "A,B,...", as the
 * experiment has it, the one of the local rank, which must be in it; else the ranks of a host take turns with the
 * devices of that kind. */
enum { DM_RANK_DEVICE = 256 };
dm_status dm_rank_device(const dm_comm *c, const char *select, char device[DM_RANK_DEVICE], dm_err *err);

#endif
