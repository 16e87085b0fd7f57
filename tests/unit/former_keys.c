/* sampler.spacing, offset, at and last of before there were grids, read as the section grid that they are now; and the
 * grid of an experiment that says nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "experiment/experiment.h"

#define LEADING "spacing: leading, offset: 0, at: [], last: data"
#define UNIFORM(spacing, offset, last) \
    "  use: uniform\n  spacing: " spacing "\n  offset: " offset "\n  last: " last "\n"
#define LIST(points, last) "  use: list\n  timesteps: " points "\n  sigmas: []\n  last: " last "\n"

typedef struct trial {
    const char *schedule, *sampler, *rest, *overrides[2];
    bool kept;
    const char *grid, *fault;      /* the resolved section, or what is said */
    int steps;                     /* 0: not looked at */
} trial;

static const trial trials[] = {
    /* nobody says anything: new files have the default, kept ones what was the default then */
    {"linear", "steps: 7", .grid = UNIFORM("trailing", "0", "data"), .steps = 7},
    {"edm", "steps: 7", .grid = UNIFORM("trailing", "0", "data")},
    {"linear", "steps: 7", .kept = true, .grid = UNIFORM("leading", "0", "data")},
    {"edm", "steps: 7", .kept = true, .grid = UNIFORM("trailing", "0", "data")},
    /* one of the keys: the others are what they were by default */
    {"linear", "spacing: linspace", .grid = UNIFORM("linspace", "0", "data")},
    {"linear", "offset: 1", .grid = UNIFORM("leading", "1", "data")},
    {"linear", "last: first", .grid = UNIFORM("leading", "0", "first")},
    {"linear", LEADING, .kept = true, .grid = UNIFORM("leading", "0", "data")},
    {"linear", "at: [9, 5]", .grid = LIST("[9, 5]", "data"), .steps = 2},
    {"linear", "at: 9", .grid = LIST("[9]", "data"), .steps = 1},
    {"linear", "steps: 50, at: [9, 5], last: first", .kept = true, .grid = LIST("[9, 5, 0]", "least"), .steps = 2},
    {"linear", "at: [9, 0], last: first", .grid = LIST("[9, 0, 0]", "least"), .steps = 2},
    {"linear", "at: [9, 5]", .overrides = {"sampler.steps=2"}, .grid = LIST("[9, 5]", "data"), .steps = 2},
    {"linear", "steps: 7", .overrides = {"sampler.at=[9, 5]"}, .grid = LIST("[9, 5]", "data"), .steps = 2},
    {"linear", "steps: 7, at: [9, 5]", .fault = "a.yaml:2:29: error: sampler.steps: 7, but grid 'list' has 2"},
    {"linear", "steps: 20", .overrides = {"sampler.at=[9, 5]", "sampler.steps=7"}, .kept = true,
     .fault = "command line: argument 2: error: sampler.steps: 7, but grid 'list' has 2"},
    {"linear", "steps: 50, at: [9, 5]", .overrides = {"sampler.steps=7"}, .kept = true,
     .fault = "command line: argument 1: error: sampler.steps: 7, but grid 'list' has 2"},
    /* layers: over keys of the same kind as these were, over a section grid as what they are now */
    {"linear", "spacing: linspace", .overrides = {"sampler.last=first"}, .grid = UNIFORM("linspace", "0", "first")},
    {"linear", "at: [9, 5]", .overrides = {"sampler.spacing=trailing"}, .grid = LIST("[9, 5]", "data")},
    {"linear", "at: [9, 5]", .overrides = {"sampler.at=[]"}, .grid = UNIFORM("leading", "0", "data")},
    {"linear", "spacing: linspace", .overrides = {"grid.use=karras"}, .grid = "  use: karras\n  rho: 7\n"},
    {"linear", "steps: 7", "grid: {use: uniform, spacing: linspace}", {"sampler.last=first"},
     .grid = UNIFORM("linspace", "0", "first")},
    {"linear", "steps: 7", "grid: {use: uniform, spacing: linspace}", {"sampler.at=[9, 5, 3]"}, .kept = true,
     .grid = LIST("[9, 5, 3]", "data"), .steps = 3},
    {"linear", "steps: 2", "grid: {use: list, timesteps: [9, 5]}", {"grid.timesteps=[9, 5, 3]"},
     .grid = LIST("[9, 5, 3]", "data"), .steps = 3},
    {"linear", "steps: 7", "grid: {use: karras}", {"sampler.spacing=leading"}, .grid = UNIFORM("leading", "0", "data")},
    {"linear", "steps: 7", .overrides = {"grid.spacing=linspace"}, .grid = UNIFORM("linspace", "0", "data")},
    /* both at once */
    {"linear", LEADING, "grid: {use: karras}", .grid = "  use: karras\n"},
    {"linear", "spacing: trailing", "grid: {use: karras}",
     .fault = "a.yaml:2:31: error: sampler.spacing: the section grid places the steps; use one or the other"},
    {"linear", "at: [3]", "grid: {use: karras}", .fault = "a.yaml:2:26: error: sampler.at: the section grid places"},
    {"linear", "steps: 7", .overrides = {"grid.use=karras", "sampler.offset=1"},
     .fault = "command line: argument 2: error: sampler.offset: the section grid places"},
    /* what a continuous schedule has no use for */
    {"edm", "spacing: leading, offset: 0", .grid = UNIFORM("trailing", "0", "data")},
    {"edm", "spacing: linspace", .kept = true, .grid = UNIFORM("trailing", "0", "data")},
    {"edm", "spacing: linspace", .fault = "a.yaml:2:31: error: sampler.spacing: schedule edm is continuous"},
    {"edm", "offset: 1", .fault = "sampler.offset: schedule edm is continuous"},
    {"edm", "steps: 7", .overrides = {"sampler.offset=1"}, .kept = true,
     .fault = "command line: argument 1: error: sampler.offset: schedule edm is continuous"},
    {"edm", "at: [3]", .fault = "sampler.at: schedule edm is continuous and has no whole timesteps"},
    /* wrong values have their places */
    {"linear", "spacing: even", .fault = "a.yaml:2:31: error: grid.spacing: "},
    {"linear", "at: [[3], 2]", .fault = "a.yaml:2:27: error: grid.timesteps: is a list; a value is expected"},
    {"linear", "steps: 5", "grid: {use: list, timesteps: [9, 5]}", .fault = "sampler.steps: 5, but grid 'list' has 2"},
};

static dm_status load(const trial *t, const char *text, dm_registry **reg, dm_experiment **e, dm_err *err)
{
    const int n = t ? !!t->overrides[0] + !!t->overrides[1] : 0;
    const dm_experiment_options o = {.partial = true, .kept = t && t->kept, .overrides = t ? t->overrides : NULL,
                                     .n_overrides = n};

    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), reg, err), DM_OK);
    return dm_experiment_parse(text, strlen(text), "a.yaml", "/", &o, *reg, e, NULL, err);
}

static void try_one(size_t i)
{
    const trial *t = &trials[i];
    char text[512], *first, *second;
    dm_registry *reg;
    dm_experiment *e = NULL;
    dm_err err = {0};
    dm_status rc;
    const char *at;

    snprintf(text, sizeof text, "schedule: {use: %s}\nsampler: {use: ddim, %s}\n%s\n", t->schedule, t->sampler,
             t->rest ? t->rest : "");
    rc = load(t, text, &reg, &e, &err);
    if (!t->fault != !rc || (rc && !strstr(err.msg, t->fault)))
        fail_msg("trial %zu: status %d, %s", i, (int)rc, err.msg);
    if (!rc) {
        first = dm_experiment_print(e, false);
        at = strstr(first, "grid:\n");
        if (!at || strncmp(at + 6, t->grid, strlen(t->grid)) || (t->steps && e->sampler.steps != t->steps))
            fail_msg("trial %zu: %d steps,\n%s", i, (int)e->sampler.steps, first);
        dm_experiment_free(e);
        dm_registry_free(reg);
        rc = load(NULL, first, &reg, &e, &err); /* the same again, as a new file */
        second = rc ? NULL : dm_experiment_print(e, false);
        if (rc || strcmp(first, second))
            fail_msg("trial %zu, printed: status %d, %s\n%s", i, (int)rc, err.msg, first);
        free(first);
        free(second);
        dm_experiment_free(e);
    }
    dm_registry_free(reg);
}

static void former_keys__are_a_grid(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++)
        try_one(i);
}

static void former_keys__no_schedule(void **state)
{
    static const char text[] = "name: a\n"; /* no schedule: no grid */
    dm_registry *reg;
    dm_experiment *e = NULL;
    dm_err err = {0};

    (void)state;
    assert_int_equal(load(NULL, text, &reg, &e, &err), DM_OK);
    assert_null(e->section[DM_SEC_GRID].plugin);
    dm_experiment_free(e);
    dm_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(former_keys__are_a_grid),
                                       cmocka_unit_test(former_keys__no_schedule)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
