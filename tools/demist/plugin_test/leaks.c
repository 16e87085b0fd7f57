/* Does a plugin close what it opens? It is opened and closed some thousand times. */
#include "plugin_test/plugin_test.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "data/data.h"
#include "model/guiding.h"
#include "model/sampling.h"
#include "noise/noise_services.h"
#include "plugin_test/settings.h"

enum { WARM_UP = 300, WINDOW = 1000, WINDOWS = 2, LEAST = 64 << 10 };
static const double longest = 6;   /* seconds of a window */

/* What the process holds. */
typedef struct held { long pages; int files, threads; } held;

static int entries(const char *folder)
{
    DIR *d = opendir(folder);
    int n = 0;

    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n;
}

static held look(void)
{
    held h = {0};
    FILE *f = fopen("/proc/self/statm", "r");
    long all;

    if (f && fscanf(f, "%ld %ld", &all, &h.pages) != 2)
        h.pages = 0;
    if (f)
        fclose(f);
    h.files = entries("/proc/self/fd");
    h.threads = entries("/proc/self/task");
    return h;
}

/* ---- once, by kind -------------------------------------------------------------------------------------- */

static dm_status use_data(dm_session *s, dm_err *err)
{
    struct dm_data *d;
    dm_status rc = dm_data_open(s->experiment, "train", &s->data_services, &d, err);
    float *x;

    if (rc)
        return rc;
    x = dm_array(1, dm_shape_count(&dm_data_get_info(d)->shape), sizeof *x);
    rc = x ? dm_data_at(d, 0, 1, x, NULL, err) : dm_error(err, DM_ENOMEM, "out of memory");
    free(x);
    dm_data_close(d);
    return rc;
}

static dm_status use_net(const plugin_test *t, dm_session *s, dm_err *err)
{
    dm_section_id at;
    dm_unreached unreached;
    dm_sampling *sampling = NULL;
    dm_net *m;
    dm_status rc = dm_net_examine(s->experiment, s->noise, &s->data, 0, &m, &unreached, &at, err);

    if (rc)
        return rc;
    if (t->kind == DM_KIND_SAMPLER)
        rc = dm_sampling_new(&(dm_sampling_setup){.experiment = s->experiment, .noise = s->noise, .data = &s->data,
                                                  .objective = dm_net_objective(m), .n = 1,
                                                  .out_channels = dm_net_out_channels(m)}, &sampling, err);
    dm_sampling_free(sampling);
    dm_net_free(m);
    return rc;
}

static dm_status use_once(const plugin_test *t, dm_session *s, dm_err *err)
{
    const dm_shape shape = {2, {1, 2, 1, 1, 1, 1, 1, 1}};
    dm_services services;
    dm_noise *n;
    dm_guiding *g;
    dm_walk w;
    dm_status rc;

    switch (t->kind) {
    case DM_KIND_SCHEDULE:
        if (!(rc = dm_noise_new(s->experiment, &n, err)))
            dm_noise_free(n);
        return rc;
    case DM_KIND_GRID:
        if (!(rc = dm_noise_walk_of(s->noise, s->experiment, &w, err)))
            dm_walk_fini(&w);
        return rc;
    case DM_KIND_GUIDANCE:
        dm_services_init(&services, NULL);
        dm_noise_serve(s->noise, &services);
        if (!(rc = dm_guiding_new(s->experiment, &services, NULL, &shape, &g, err)))
            dm_guiding_free(g);
        return rc;
    case DM_KIND_DATASET: return use_data(s, err);
    default: return use_net(t, s, err);
    }
}

/* How often; 0 was said. */
static int use_often(plugin_test *t, dm_session *s, int most)
{
    const double end = dm_seconds() + longest;
    dm_err err = {0};
    int n = 0;

    for (; n < most && (dm_seconds() < end || n < 10); n++)
        if (use_once(t, s, &err)) {
            plugin_test_fail(t, "opened %s: %s", n ? "once more" : "once", err.msg);
            return 0;
        }
    return n;
}

static void compare(plugin_test *t, dm_session *s)
{
    const long page = sysconf(_SC_PAGESIZE);
    long least = -1;
    held before, after;
    int n = use_often(t, s, WARM_UP);

    for (int k = 0; k < WINDOWS && n; k++) {
        before = look();
        if (!(n = use_often(t, s, WINDOW)))
            return;
        after = look();
        if (after.files > before.files) {
            plugin_test_fail(t, "%d files stay open when it was opened and closed %d times; close them in "
                             "close()", after.files - before.files, n);
            return;
        }
        if (after.threads > before.threads) {
            plugin_test_fail(t, "%d threads are still there when it was opened and closed %d times; end them in "
                             "close()", after.threads - before.threads, n);
            return;
        }
        if (least < 0 || (after.pages - before.pages) * page < least)
            least = (after.pages - before.pages) * page > 0 ? (after.pages - before.pages) * page : 0;
    }
    if (n && least >= LEAST)
        plugin_test_fail(t, "about %ld bytes are lost each time that it is opened and closed (%ld KiB in %d times); "
                         "free them in close()", least / n, least >> 10, n);
}

void plugin_test_leaks(plugin_test *t)
{
    dm_data_info data = plugin_test_info(plugin_test_datas);
    const plugin_test_data *taken;
    const char *text = "";
    dm_session s = {0};
    dm_err err = {0};

    if (t->kind == DM_KIND_GUIDANCE)
        data.classes = 2;
    if (t->kind == DM_KIND_NETWORK || t->kind == DM_KIND_OBJECTIVE) {
        if (!(taken = plugin_test_taken(t, PLUGIN_TEST_AS_IT_IS, &text, &err)))
            return;                /* which is said elsewhere */
        data = plugin_test_info(taken);
    }
    if (plugin_test_examine(t, PLUGIN_TEST_AS_IT_IS, t->kind == DM_KIND_DATASET ? NULL : &data, &s, &text, &err))
        plugin_test_fail(t, "%s", err.msg);
    else if (!strstr(text, "error: ") || strstr(text, "error: device: "))
        compare(t, &s);
    dm_session_fini(&s);
}
