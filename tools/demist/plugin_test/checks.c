/* The list of the checks, and how one runs; see plugin_test.h. */
#define _XOPEN_SOURCE 700 /* nftw, realpath */
#include "plugin_test/plugin_test.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin_test/settings.h"

enum {
    ALL = (UINT32_C(1) << DM_KIND_COUNT) - 1,
    SCHEDULE = PLUGIN_TEST_OF(DM_KIND_SCHEDULE),
    GRID = PLUGIN_TEST_OF(DM_KIND_GRID),
    SAMPLER = PLUGIN_TEST_OF(DM_KIND_SAMPLER),
    GUIDANCE = PLUGIN_TEST_OF(DM_KIND_GUIDANCE),
    NETWORK = PLUGIN_TEST_OF(DM_KIND_NETWORK),
    OBJECTIVE = PLUGIN_TEST_OF(DM_KIND_OBJECTIVE),
    DATASET = PLUGIN_TEST_OF(DM_KIND_DATASET),
};

const plugin_test_check plugin_test_checks[] = {
    {"table", ALL, false, plugin_test_table, "the file is a plugin, and its table is sound"},
    {"defaults", ALL, false, plugin_test_defaults, "it works with its defaults, as far as that shows without a device"},
    {"parameters", ALL, false, plugin_test_parameters, "allowed parameters work, or are refused with a reason"},
    {"schedule", SCHEDULE, false, plugin_test_schedule, "noise rises, from little to nearly all, for any T"},
    {"grid", GRID, false, plugin_test_grid, "points for any number of steps, written where they belong"},
    {"dataset", DATASET, false, plugin_test_dataset, "each example is whole, in its range, and always the same"},
    {"readers", DATASET, false, plugin_test_readers, "several threads reading at once get the same as one"},
    {"objective", OBJECTIVE, false, plugin_test_objective, "its numbers are finite, and written where they belong"},
    {"network", NETWORK, false, plugin_test_network, "the same weights for every batch, size and label"},
    {"leaks", ALL, false, plugin_test_leaks, "it closes what it opens: memory, files, threads"},
    {"ops", NETWORK, true, plugin_test_ops, "each op of its own writes all of its outputs, nothing else, "
                                                        "and has the gradient of its forward pass"},
    {"loss", OBJECTIVE, true, plugin_test_loss, "its loss is least where the network's output is right"},
    {"training", NETWORK | OBJECTIVE | DATASET | SCHEDULE, true, plugin_test_training,
     "it trains, and twice from one seed gives the same numbers"},
    {"outputs", NETWORK, true, plugin_test_outputs, "its output for an example does not depend on the others"},
    {"order", SAMPLER, true, plugin_test_order, "it goes to where the exact flow, or the data, go"},
    {"samples", SAMPLER | GRID | GUIDANCE | SCHEDULE | OBJECTIVE, true, plugin_test_samples,
     "finite samples with any parameters"},
    {"alone", SAMPLER | GUIDANCE, true, plugin_test_alone, "an image does not depend on the others of its batch"},
    {NULL, 0, false, NULL, NULL}};

const plugin_test_check *plugin_test_find(const char *name)
{
    for (const plugin_test_check *c = plugin_test_checks; c->name; c++)
        if (!strcmp(c->name, name))
            return c;
    return NULL;
}

/* A file of a folder that is removed. */
static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void plugin_test_remove(const char *folder) { nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

static dm_status make_folder(plugin_test *t, dm_err *err)
{
    const char *tmp = getenv("TMPDIR");
    char *folder = dm_sprintf(t->arena, "%s/demist-plugin-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    char *whole;

    if (!folder)
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (!mkdtemp(folder))
        return dm_file_error(err, "make", folder);
    if (!(whole = realpath(folder, NULL)) || !(t->folder = dm_strdup(t->arena, whole))) {
        free(whole);
        return dm_error(err, DM_ENOMEM, "out of memory");
    }
    free(whole);
    return DM_OK;
}

bool plugin_test_run_check(plugin_test *t, const plugin_test_check *c, dm_err *err)
{
    dm_err why = {0};

    if (!(t->arena = dm_arena_new()) || dm_registry_new(NULL, &t->registry, &why)) {
        dm_arena_free(t->arena);
        dm_error(err, DM_ENOMEM, "out of memory");
        return false;
    }
    if (dm_registry_open(t->registry, t->file, &t->plugin, &t->kind, err) || make_folder(t, err)) {
        t->failed++;
    } else if (!(c->kinds & PLUGIN_TEST_OF(t->kind))) {
        dm_error(err, DM_EINVAL, "check '%s' is not for plugins of kind %s", c->name, dm_kind_name(t->kind));
        t->failed++;
    } else if (plugin_test_list(t)) {
        c->run(t);
    }
    if (t->folder)
        plugin_test_remove(t->folder);
    dm_registry_free(t->registry);
    dm_arena_free(t->arena);
    return !t->failed;
}
