/* Which keys may change when a run goes on. */
#include "train_run/train_run.h"

#include <string.h>

#include "experiment/resolved_lines.h"

static const char *const free_keys[] = {"name",
                                        "output",
                                        "device",
                                        "plugin_path",
                                        "tune",
                                        "allow_nan",
                                        "train.steps",
                                        "train.log_every",
                                        "train.save_every",
                                        "train.keep",
                                        "train.sample_every",
                                        "train.sample_count",
                                        "train.validate_every",
                                        "train.shares",
                                        "train.shard_optimizer",
                                        "data.workers",
                                        "train.recompute"}; /* choices.json has what the run began with */

/* What may differ: also what decides samples alone, though a run without a sampler stays one. */
static bool is_free(const char *key)
{
    if (dm_settings_of_sampling(key))
        return strcmp(key, dm_settings[DM_SEC_SAMPLER].name) != 0;
    for (size_t i = 0; i < sizeof free_keys / sizeof free_keys[0]; i++)
        if (!strcmp(key, free_keys[i]))
            return true;
    return false;
}

/* The next line that matters, and its whole key. */
static bool next_fixed(const char **at, dm_resolved_line *l, char key[DM_RESOLVED_KEY])
{
    while (dm_resolved_next(at, l))
        if (!is_free(dm_resolved_key(l, key)))
            return true;
    return false;
}

dm_status dm_resume_keep_grid(dm_experiment *e, const char *old, dm_registry *plugins, dm_experiment **before,
                              dm_err *err)
{
    const dm_experiment_options o = {.lenient_data = true, .kept = true};
    const dm_section *grid;
    dm_err ignored = {0};

    *before = NULL;
    if (!e->section[DM_SEC_GRID].plugin || e->section[DM_SEC_GRID].at.line)
        return DM_OK;
    if (dm_experiment_parse(old, strlen(old), DM_RUN_CONFIG, ".", &o, plugins, before, NULL, &ignored))
        return ignored.code == DM_ENOMEM ? dm_error(err, DM_ENOMEM, "%s", ignored.msg) : DM_OK;
    grid = &(*before)->section[DM_SEC_GRID];
    if (grid->plugin && !grid->plugin->grid->lists) /* a list came with its own count of steps */
        e->section[DM_SEC_GRID] = *grid;
    return DM_OK;
}

char *dm_resume_today(const char *text, dm_registry *plugins)
{
    const dm_experiment_options o = {.lenient_data = true, .kept = true};
    dm_err ignored = {0};
    dm_experiment *e;
    char *today;

    if (dm_experiment_parse(text, strlen(text), DM_RUN_CONFIG, ".", &o, plugins, &e, NULL, &ignored))
        return strdup(text);
    today = dm_experiment_print(e, false);
    dm_experiment_free(e);
    return today;
}

dm_status dm_resume_compare(const char *old, const char *now, const char *dir, dm_err *err)
{
    char key_old[DM_RESOLVED_KEY], key_now[DM_RESOLVED_KEY];
    dm_resolved_line a = {.section = ""}, b = {.section = ""};

    for (;;) {
        const bool more_old = next_fixed(&old, &a, key_old), more_now = next_fixed(&now, &b, key_now);

        if (!more_old && !more_now)
            return DM_OK;
        if (!more_old || !more_now || a.length != b.length || memcmp(a.text, b.text, (size_t)a.length))
            return dm_error(err, DM_EINVAL,
                            "the run in '%s' cannot continue with another experiment: it started with '%.*s' (%s), "
                            "now it is '%.*s' (%s); use another output, or set overwrite",
                            dir, more_old ? a.length : 7, more_old ? a.text : "nothing", more_old ? key_old : "-",
                            more_now ? b.length : 7, more_now ? b.text : "nothing", more_now ? key_now : "-");
    }
}
