/* The ranks of a training run: whether they are about to do the same, and who does it where; see running.h. */
#include "train_run/running.h"

#include <stdlib.h>
#include <string.h>

#include "session/session_ranks.h"

/* ---- the same? ---------------------------------------------------------------------- */

/* Each plugin, by its file's contents. */
static void print_plugins(FILE *to, const dm_session *s)
{
    for (int k = 0; k < DM_SEC_COUNT; k++) {
        const dm_plugin *p = s->experiment->section[k].plugin;

        if (p) {
            const dm_file_hash h = dm_running_hash(dm_registry_file(s->registry, p));

            fprintf(to, "%s '%s': version %s, SHA-256 %.16s\n", dm_settings[k].name, p->name, p->version,
                    *h.text ? h.text : "unknown");
        }
    }
}

static bool print_training(FILE *to, const void *user)
{
    const dm_training *r = user;
    bool whole;

    print_plugins(to, &r->s);
    whole = dm_session_print_shared(to, r->s.experiment);
    fprintf(to, "training data: %s\nheld-out data: %s\n", r->data.text, r->held_out.text);
    return whole;
}

dm_status dm_running_same(dm_training *r, dm_err *err)
{
    return dm_comm_same(r->comm, print_training, r, err);
}

/* ---- who is where -------------------------------------------------------------------- */

typedef struct place { char host[64], name[128]; int32_t platform, device; int64_t n; } place;

static bool shared(const place *a, const place *b)
{
    return !strcmp(a->host, b->host) && a->platform == b->platform && a->device == b->device;
}

static void warn_of_shared(const dm_training *r, const place *all, int n)
{
    for (int i = 0; i < n; i++) {
        int ranks = 0, before = 0;

        for (int k = 0; k < n; k++) {
            ranks += shared(&all[i], &all[k]);
            before += k < i && shared(&all[i], &all[k]);
        }
        if (ranks > 1 && !before)
            dm_session_log(&r->s, DM_LOG_WARNING,
                           "%d ranks share device %d:%d '%s' of %s: each has about 1/%d of it. Start one rank a "
                           "device, or, where it is a CPU, give each rank cores of its own",
                           ranks, (int)all[i].platform, (int)all[i].device, all[i].name, all[i].host, ranks);
    }
}

static void say(const dm_training *r, const place *all)
{
    enum { SHOWN = 16 };
    const int n = r->comm->size;

    dm_session_log(&r->s, DM_LOG_INFO, "ranks: %d, by %s", n, r->comm->library);
    for (int i = 0; i < n && i < SHOWN; i++)
        dm_session_log(&r->s, DM_LOG_INFO, "  rank %d: %lld examples a step, on device %d:%d '%s' of %s", i,
                       (long long)all[i].n, (int)all[i].platform, (int)all[i].device, all[i].name, all[i].host);
    if (n > SHOWN)
        dm_session_log(&r->s, DM_LOG_INFO, "  and %d more", n - SHOWN);
    warn_of_shared(r, all, n);
}

dm_status dm_running_say_ranks(dm_training *r, dm_err *err)
{
    const dm_device_info *d = dm_device_get_info(r->s.device);
    place mine = {.platform = d->platform, .device = d->device, .n = dm_trainer_share(r->trainer).n}, *all;
    dm_status rc;

    if (r->comm->size == 1)
        return DM_OK;
    snprintf(mine.host, sizeof mine.host, "%s", r->comm->host);
    snprintf(mine.name, sizeof mine.name, "%s", d->name);
    if (!(all = calloc((size_t)r->comm->size, sizeof *all)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d ranks", r->comm->size);
    if (!(rc = r->comm->calls->gather(r->comm, &mine, sizeof mine, all, 0, err)) && dm_running_first(r))
        say(r, all);
    free(all);
    return rc;
}
