/* Shares by speed; see balance.h. */
#include "train/balance.h"

#include "base/clock.h"
#include "comm/share.h"

#include <stdlib.h>
#include <string.h>

/* Steps before the first measurement, the last of which tell how long a step is; steps of a measurement; how many times
 * as many there are to the next, where nothing changed. */
enum { WARM = 4, TIMED = 2, LEAST = 5, MOST = 1000, REST = 20 };
/* Seconds of a measurement, over which a scheduler's turns even out; the part of a step that is worth a change; how
 * many times what is saved is to be what a change takes. */
static const double long_enough = 1, worth = 0.05, times = 10;

void dm_balance_begin(dm_balance *b, int64_t step) { *b = (dm_balance){.at = step + WARM}; }

/* As many steps as are long enough, by those before the measurement. */
static int64_t steps_of(const dm_balance *b)
{
    const double n = long_enough / ((dm_seconds() - b->since) / TIMED);

    return n > MOST ? MOST : n > LEAST ? (int64_t)n : LEAST;
}

dm_status dm_balance_step(dm_balance *b, dm_comm *c, int64_t step, bool *over, dm_err *err)
{
    dm_status rc;

    *over = b->left && !--b->left;
    if (step == b->at - TIMED)
        b->since = dm_seconds();
    if (step != b->at)
        return DM_OK;
    b->steps = steps_of(b);
    b->spent = 0;
    rc = c->calls->broadcast(c, &b->steps, sizeof b->steps, 0, err);
    b->left = b->steps;
    return rc;
}

static double longest(const dm_balance_rank *ranks, int size, const int64_t *n)
{
    double most = 0;

    for (int k = 0; k < size; k++)
        most = ranks[k].each * (double)n[k] > most ? ranks[k].each * (double)n[k] : most;
    return most;
}

bool dm_balance_worth(const dm_balance_rank *ranks, int size, const int64_t *now, const int64_t *then, int64_t left)
{
    const double before = longest(ranks, size, now), saved = before - longest(ranks, size, then);
    double plan = 0;

    for (int k = 0; k < size; k++)
        plan = ranks[k].plan > plan ? ranks[k].plan : plan;
    return saved >= worth * before && saved * (double)left >= times * plan;
}

/* Rank 0's: parts for these. */
static void decide(const dm_balance_rank *ranks, double *weight, int size, int64_t batch, int64_t micro, int64_t left,
                   int64_t *then, int64_t *parts)
{
    bool sound = true;

    for (int k = 0; k < size; k++) {
        sound = sound && ranks[k].sound && ranks[k].each > 0;
        weight[k] = sound ? 1 / ranks[k].each : 1;
    }
    if (!sound)
        return;
    dm_share_weighted(batch, micro, weight, size, then);
    if (dm_balance_worth(ranks, size, parts, then, left))
        memcpy(parts, then, (size_t)size * sizeof *parts);
}

dm_status dm_balance_decide(dm_balance *b, dm_comm *c, const dm_balance_rank *mine, int64_t batch, int64_t micro,
                            int64_t left, int64_t *parts, bool *changed, dm_err *err)
{
    const size_t n = (size_t)c->size, bytes = n * sizeof *parts;
    dm_balance_rank *all = calloc(n, sizeof *all);
    double *weight = calloc(n, sizeof *weight);
    int64_t *then = calloc(2 * n, sizeof *then), *before = then ? then + n : NULL;
    dm_status rc = all && weight && then ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);

    b->at += (1 + REST) * b->steps;
    if (!(rc = dm_comm_agree(c, rc, NULL, err)) &&
        !(rc = c->calls->gather(c, mine, sizeof *mine, all, 0, err))) {
        memcpy(before, parts, bytes);
        if (c->rank == 0)
            decide(all, weight, c->size, batch, micro, left, then, parts);
        rc = c->calls->broadcast(c, parts, bytes, 0, err);
        *changed = !rc && memcmp(before, parts, bytes) != 0;
    }
    free(all);
    free(weight);
    free(then);
    return rc;
}
