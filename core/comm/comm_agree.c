/* What the ranks tell each other of how it went, and texts; see comm.h. */
#include "comm/comm.h"

#include <stdlib.h>
#include <string.h>

typedef struct vote { int32_t rc; uint32_t flags; } vote;

static dm_status tell(dm_comm *c, int of, dm_err *err)
{
    struct { dm_err err; char host[sizeof c->host]; } told;
    dm_err why = {0};

    memset(&told, 0, sizeof told);
    if (c->rank == of && err)
        told.err = *err;
    memcpy(told.host, c->host, sizeof told.host);
    if (c->calls->broadcast(c, &told, sizeof told, of, &why))
        return dm_error(err, why.code, "%s", why.msg);
    return of ? dm_error(err, told.err.code, "rank %d (%.63s): %.900s", of, told.host, told.err.msg)
              : dm_error(err, told.err.code, "%s", told.err.msg);
}

dm_status dm_comm_agree(dm_comm *c, dm_status rc, uint32_t *flags, dm_err *err)
{
    const vote mine = {rc, flags ? *flags : 0};
    vote *all;
    uint32_t set = 0;
    int failed = -1;
    dm_status got;

    if (c->size == 1)
        return rc;
    if (!(all = calloc((size_t)c->size, sizeof *all)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);
    if ((got = c->calls->all_gather(c, &mine, sizeof mine, all, rc ? NULL : err))) {
        free(all);
        return rc ? rc : got;
    }
    for (int i = c->size - 1; i >= 0; i--) {
        set |= all[i].flags;
        /* That a rank was stopped matters less than what failed. */
        if (all[i].rc && (failed < 0 || all[i].rc != DM_ECANCELLED || all[failed].rc == DM_ECANCELLED))
            failed = i;
    }
    if (flags)
        *flags = set;
    if (failed >= 0) {
        got = (dm_status)all[failed].rc;
        tell(c, failed, err);
    }
    free(all);
    return got;
}

static dm_status compare(const char *mine, const char *theirs, dm_err *err)
{
    while (*mine || *theirs) {
        const size_t m = strcspn(mine, "\n"), t = strcspn(theirs, "\n");

        if (m != t || memcmp(mine, theirs, m))
            return dm_error(err, DM_EINVAL,
                            "it has '%.*s', rank 0 has '%.*s'; start all ranks with the same experiment, plugins, data "
                            "and demist",
                            m > 300 ? 300 : (int)m, mine, t > 300 ? 300 : (int)t, theirs);
        mine += m + (mine[m] == '\n');
        theirs += t + (theirs[t] == '\n');
    }
    return DM_OK;
}

/* *text on the heap, whole or not. */
static bool write_lines(bool (*print)(FILE *to, const void *user), const void *user, char **text)
{
    size_t n;
    FILE *to = open_memstream(text, &n);
    bool whole;

    if (!to)
        return false;
    fprintf(to, "demist: %s\n", DEMIST_VERSION);
    whole = print(to, user);
    return !fclose(to) && whole;
}

dm_status dm_comm_same(dm_comm *c, bool (*print)(FILE *to, const void *user), const void *user, dm_err *err)
{
    char *mine = NULL, *first = NULL;
    dm_status rc;

    if (c->size == 1)
        return DM_OK;
    rc = write_lines(print, user, &mine) ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for what ranks compare");
    if (!(rc = dm_comm_agree(c, rc, NULL, err))) {
        first = c->rank ? NULL : mine;
        rc = dm_comm_text(c, &first, err);
        rc = dm_comm_agree(c, rc ? rc : compare(mine, first, err), NULL, err);
    }
    if (first != mine)
        free(first);
    free(mine);
    return rc;
}

dm_status dm_comm_text(dm_comm *c, char **text, dm_err *err)
{
    uint64_t n = c->rank == 0 && *text ? strlen(*text) + 1 : 0;
    dm_status rc = c->calls->broadcast(c, &n, sizeof n, 0, err);

    if (rc || !n || c->size == 1)
        return rc;
    if (c->rank && !(*text = malloc(n)))
        return dm_error(err, DM_ENOMEM, "out of memory for a text of %llu bytes", (unsigned long long)n);
    return c->calls->broadcast(c, *text, n, 0, err);
}
