/* Sessions of several ranks; see session_ranks.h. */
#include "session/session_ranks.h"

#include "base/sized.h"
#include "experiment/resolved_lines.h"
#include "session/session_read.h"

#include <stdlib.h>
#include <string.h>

dm_status dm_session_quiet(const dm_callbacks *cb, dm_callbacks *quiet, dm_err *err)
{
    const dm_status rc = DM_SIZED_READ(dm_callbacks, quiet, cb, err);

    quiet->log = NULL;
    quiet->progress = NULL;
    return rc;
}

/* What each host may have its own way. */
static bool is_own(const char *key)
{
    static const char *const keys[] = {"device", "plugin_path", "tune", "data.workers"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!strcmp(key, keys[i]))
            return true;
    return false;
}

bool dm_session_print_shared(FILE *to, const dm_experiment *e)
{
    char *text = dm_experiment_print(e, false), key[DM_RESOLVED_KEY];
    dm_resolved_line l = {.section = ""};

    for (const char *at = text; text && dm_resolved_next(&at, &l);)
        if (!is_own(dm_resolved_key(&l, key)))
            fprintf(to, "%s: %.*s\n", key, l.value_length, l.value ? l.value : "");
    free(text);
    return text != NULL;
}

typedef struct from_run { const dm_session *s; const char *asked; } from_run;

static bool print_from_run(FILE *to, const void *user)
{
    const from_run *f = user;
    const char *sum = dm_st_meta(f->s->checkpoint, DM_ST_CHECKSUM);

    fprintf(to, "step: %lld\nchecksum: %s\n%s", (long long)f->s->step, sum ? sum : "", f->asked);
    return dm_session_print_shared(to, f->s->experiment);
}

dm_status dm_session_same(const dm_session *s, const char *asked, dm_err *err)
{
    return dm_comm_same(s->comm, print_from_run, &(from_run){s, asked}, err);
}

dm_status dm_session_join(dm_session *s, bool ranks, const char *run, const char *const *overrides, int n,
                          const dm_callbacks *cb, const char *asked, dm_err *err)
{
    dm_comm *c = dm_comm_one();
    dm_callbacks quiet;
    dm_status rc, own;

    *s = (dm_session){0};
    if ((ranks && (rc = dm_comm_open(&c, err))))
        return rc;
    if (!(own = dm_session_quiet(cb, &quiet, err)))
        own = dm_session_read_run(s, run, overrides, n, c->rank ? &quiet : cb, err);
    s->comm = c;
    if (!(rc = dm_comm_agree(c, own, NULL, err)) && !(rc = dm_session_same(s, asked, err)))
        return DM_OK;
    dm_session_leave(s);
    return rc;
}

void dm_session_leave(dm_session *s)
{
    dm_comm *c = s->comm;

    dm_session_fini(s);
    dm_comm_close(c);
    s->comm = NULL;
}
