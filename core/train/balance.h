/* Shares of the batch by measured speed: when ranks are measured, and what follows from it. */
#ifndef DEMIST_CORE_BALANCE_H
#define DEMIST_CORE_BALANCE_H

#include "comm/comm.h"

/* Ranks do each step together, so all count alike. */
typedef struct dm_balance {
    int64_t at;                    /* the step before which a measurement begins */
    int64_t steps, left;           /* of the measurement, and to come */
    double since;                  /* seconds: when the last steps before it began */
    double spent;                  /* this rank's seconds of work in it */
} dm_balance;

/* So many steps are for compiling and for caches. */
void dm_balance_begin(dm_balance *b, int64_t step);
/* Before each step: *over where a measurement has come to its end, and what follows is to be asked for. All ranks. */
dm_status dm_balance_step(dm_balance *b, dm_comm *c, int64_t step, bool *over, dm_err *err);

typedef struct dm_balance_rank {
    double each, plan;             /* seconds: of an example, and to make a plan for another share */
    bool sound;                    /* not: nothing is to change */
} dm_balance_rank;
/* parts[ranks] become those by the speed of each, where that is worth it in the steps that are left: *changed. All
 * ranks do; rank 0 decides. micro: examples that are not parted, 0 = each may be. */
dm_status dm_balance_decide(dm_balance *b, dm_comm *c, const dm_balance_rank *mine, int64_t batch, int64_t micro,
                            int64_t left, int64_t *parts, bool *changed, dm_err *err);
/* Whether these parts in place of those save enough of the steps that are left. */
bool dm_balance_worth(const dm_balance_rank *ranks, int size, const int64_t *now, const int64_t *then, int64_t left);

#endif
