/* Another plugin over a run's text, which has every key: each plugin is what it is by itself, but for what somebody
 * said of the one before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "experiment/experiment.h"
#include "plugin/kind.h"

#define BASE "data: {use: toy2d}\nschedule: {use: linear}\nobjective: {use: simple}\nsampler: {use: ddim}\n"

/* What the text gives, as text. */
static char *resolved(dm_registry *reg, const char *text, bool kept, const char *const *overrides, int n)
{
    const dm_experiment_options o = {.partial = true, .kept = kept, .lenient_data = true, .overrides = overrides,
                                     .n_overrides = n};
    dm_experiment *e = NULL;
    dm_err err = {0};
    char *all;

    if (dm_experiment_parse(text, strlen(text), "a.yaml", "/", &o, reg, &e, NULL, &err))
        fail_msg("%s%s: %s", text, n ? overrides[0] : "", err.msg);
    all = dm_experiment_print(e, false);
    assert_non_null(all);
    dm_experiment_free(e);
    return all;
}

/* A plugin can be named alone: nothing of it has to be said. */
static bool stands_alone(const dm_found *f)
{
    if (!f->plugin || !strcmp(f->name, "list"))
        return false;
    for (const dm_param *row = f->plugin->params; row && row->type != DM_T_END; row++)
        if (!row->def)
            return false;
    return true;
}

static void try_pair(dm_registry *reg, const dm_found *a, const dm_found *b)
{
    const char *name = dm_settings[dm_kind_section(a->kind)].name, *use[2] = {NULL, NULL};
    char from[128], to[128];
    char *run, *swapped, *alone;

    snprintf(from, sizeof from, "%s.use=%s", name, a->name);
    snprintf(to, sizeof to, "%s.use=%s", name, b->name);
    use[0] = from;
    use[1] = "guidance.guide=/weak";
    run = resolved(reg, BASE, false, use, strcmp(a->name, "autoguidance") ? 1 : 2);
    use[0] = to;
    swapped = resolved(reg, run, true, use, 1);
    alone = resolved(reg, BASE, false, use, 1);
    if (strcmp(swapped, alone))
        fail_msg("%s after %s:\n%s\nby itself:\n%s", b->name, a->name, swapped, alone);
    free(run);
    free(swapped);
    free(alone);
}

static dm_registry *open_registry(void)
{
    dm_registry *reg;
    dm_err err = {0};

    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &reg, &err), DM_OK);
    return reg;
}

static void swaps__every_pair(void **state)
{
    dm_registry *reg = open_registry();
    const dm_found *list;
    dm_err err = {0};
    int n, pairs = 0;

    (void)state;
    assert_int_equal(dm_registry_list(reg, &list, &n, &err), DM_OK);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < n; k++)
            if (i != k && list[i].kind == list[k].kind && stands_alone(&list[i]) && stands_alone(&list[k])) {
                try_pair(reg, &list[i], &list[k]);
                pairs++;
            }
    assert_true(pairs > 200);
    dm_registry_free(reg);
}

typedef struct trial { const char *text, *overrides[2], *has; bool said_in_file; } trial;

static const trial trials[] = {
    /* what differs from the former's default was said */
    {"grid: {use: karras, rho: 3}", {"grid.use=exponential"}, "  use: exponential\n  rho: 3\n", false},
    {"grid: {use: karras, rho: 7}", {"grid.use=exponential"}, "  use: exponential\n  rho: 1\n", false},
    /* in a file of one's own the default was said, too */
    {"grid: {use: karras, rho: 7}", {"grid.use=exponential"}, "  use: exponential\n  rho: 7\n", true},
    {"grid: {use: karras}", {"grid.use=exponential"}, "  use: exponential\n  rho: 1\n", true},
    /* what the new one does not take is dropped */
    {"grid: {use: uniform, last: first}", {"grid.use=karras"}, "  last: data\n", false},
    {"grid: {use: uniform, last: first}", {"grid.use=karras"}, "  last: data\n", true},
    /* what is said with the new one holds */
    {"grid: {use: karras, rho: 3}", {"grid.use=exponential", "grid.rho=7"}, "  use: exponential\n  rho: 7\n", false},
    /* a guide goes with what it guided */
    {"guidance: {use: autoguidance, guide: /a, scale: 5}", {"guidance.use=none"},
     "guidance:\n  use: none\n  guide: \"\"\n", true},
    {"guidance: {use: autoguidance, guide: /a, scale: 5}", {"guidance={use: cfg}"},
     "guidance:\n  use: cfg\n  guide: \"\"\n  scale: 5\n", false},
};

static void swaps__what_was_said(void **state)
{
    dm_registry *reg = open_registry();

    (void)state;
    for (size_t i = 0; i < sizeof trials / sizeof trials[0]; i++) {
        const trial *t = &trials[i];
        char text[512], *run, *got;

        snprintf(text, sizeof text, "%s%s\n", BASE, t->text);
        run = t->said_in_file ? strdup(text) : resolved(reg, text, false, NULL, 0);
        got = resolved(reg, run, !t->said_in_file, t->overrides, t->overrides[1] ? 2 : 1);
        if (!strstr(got, t->has))
            fail_msg("trial %zu: no '%s' in\n%s", i, t->has, got);
        free(run);
        free(got);
    }
    dm_registry_free(reg);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(swaps__every_pair), cmocka_unit_test(swaps__what_was_said)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
