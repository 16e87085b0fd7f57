/* What ranks have in parts, put together; see share.h. */
#include "comm/share.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of an exchange that are worth its latency. */
enum { WORTH = 1 << 20 };

static int64_t within(int64_t x, int64_t most) { return x < 0 ? 0 : x < most ? x : most; }

/* Memory of this rank and of all, `bytes` each, or DM_ENOMEM on every rank. */
static dm_status take_room(dm_comm *c, size_t bytes, char **mine, char **all, dm_err *err)
{
    dm_status rc = DM_OK;

    *mine = calloc(1, bytes + 1);
    *all = bytes <= SIZE_MAX / (size_t)c->size - 1 ? malloc(bytes * (size_t)c->size + 1) : NULL;
    if (!*mine || !*all)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the parts of %d ranks", c->size);
    return dm_comm_agree(c, rc, NULL, err);
}

dm_status dm_share_collect(dm_comm *c, void *x, size_t bytes, int64_t count, dm_err *err)
{
    const int64_t most = dm_share_most(count, 0, c->size);
    const int64_t fit = bytes && bytes < WORTH ? (int64_t)(WORTH / bytes) : 1, at_once = fit < most ? fit : most;
    const dm_share own = dm_share_of(count, 0, c->rank, c->size);
    char *mine, *all, *to = x;
    dm_status rc;

    if (c->size == 1)
        return DM_OK;
    rc = take_room(c, bytes * (size_t)at_once, &mine, &all, err);
    for (int64_t at = 0; at < most && !rc; at += at_once) {
        const int64_t n = within(most - at, at_once);

        memcpy(mine, to + (size_t)(own.first + within(at, own.n)) * bytes, (size_t)within(own.n - at, n) * bytes);
        if ((rc = c->calls->all_gather(c, mine, (size_t)n * bytes, all, err)))
            break;
        for (int k = 0; k < c->size; k++) {
            const dm_share part = dm_share_of(count, 0, k, c->size);

            memcpy(to + (size_t)(part.first + within(at, part.n)) * bytes, all + (size_t)(k * n) * bytes,
                   (size_t)within(part.n - at, n) * bytes);
        }
    }
    free(mine);
    free(all);
    return rc;
}

dm_status dm_share_add(dm_comm *c, double *x, size_t n, dm_err *err)
{
    enum { AT_ONCE = WORTH / sizeof *x };
    const size_t most = n < AT_ONCE ? n : AT_ONCE;
    char *unused, *got;
    int root = 0;
    dm_status rc;

    if (c->size == 1)
        return DM_OK;
    rc = take_room(c, most * sizeof *x, &unused, &got, err);
    /* Ranks take turns with the work. */
    for (size_t at = 0; at < n && !rc; at += most, root = (root + 1) % c->size) {
        const size_t there = n - at < most ? n - at : most;

        if ((rc = c->calls->gather(c, x + at, there * sizeof *x, got, root, err)))
            break;
        for (int k = 0; k < c->size && c->rank == root; k++)
            for (size_t i = 0; i < there; i++) {
                double part;

                memcpy(&part, got + ((size_t)k * there + i) * sizeof part, sizeof part);
                x[at + i] = k ? x[at + i] + part : part;
            }
        rc = c->calls->broadcast(c, x + at, there * sizeof *x, root, err);
    }
    free(unused);
    free(got);
    return rc;
}
