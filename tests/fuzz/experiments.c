/* Experiments; see target.h. What comes is faults, or an experiment that prints to one that prints the same. */
#include "target.h"

#include "experiment/experiment.h"
#include "noise/noise.h"

static dm_registry *plugins(void)
{
    dm_registry *r;
    dm_err err;

    assert_status(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &r, &err), DM_OK, &err);
    return r;
}

/* The experiment's print, NULL where there were faults. override: one, or NULL. */
static char *read_and_print(dm_registry *r, const char *text, size_t n, const char *override, bool comments,
                            dm_err *err)
{
    const dm_experiment_options o = {
        .overrides = &override, .n_overrides = override ? 1 : 0, .partial = true, .lenient_data = true};
    dm_faults faults = {0};
    dm_experiment *e = NULL;
    const dm_status rc = dm_experiment_parse(text, n, "fuzz.yaml", "/nowhere", &o, r, &e, &faults, err);
    char *printed = rc ? NULL : dm_experiment_print(e, comments);

    assert_true((rc == DM_OK) == (faults.count == 0));
    assert_true(rc || printed);
    dm_experiment_free(e);
    dm_faults_fini(&faults);
    return printed;
}

/* A first line that begins with '#=' is an override behind it. */
dm_status fuzz_experiment(const fuzz_case *c, dm_err *err)
{
    dm_registry *r = plugins();
    char *text = fuzz_string(c), *override = NULL;
    const bool comments = c->n % 2;
    char *first, *second, *third;
    dm_err none = {0};

    if (!strncmp(text, "#=", 2)) {
        override = text + 2;
        override[strcspn(override, "\n")] = 0;
    }
    if ((first = read_and_print(r, c->text, c->n, override, comments, err))) {
        second = read_and_print(r, first, strlen(first), NULL, false, &none);
        assert_status(none.code, DM_OK, &none);
        third = read_and_print(r, second, strlen(second), NULL, false, &none);
        assert_status(none.code, DM_OK, &none);
        assert_string_equal(second, third);
        if (!comments)
            assert_string_equal(first, second);
        free(second);
        free(third);
    }
    free(first);
    free(text);
    dm_registry_free(r);
    return err->code;
}

/* The formula of a schedule. */
dm_status fuzz_formula(const fuzz_case *c, dm_err *err)
{
    static const char text[] = "schedule: {use: formula, timesteps: 8}";
    dm_registry *r = plugins();
    char *formula = fuzz_string(c), *override;
    const dm_experiment_options o = {.overrides = (const char *const *)&override, .n_overrides = 1, .partial = true};
    dm_experiment *e;
    dm_noise *n;
    dm_status rc;

    assert_non_null(override = malloc(strlen(formula) + 32));
    sprintf(override, "schedule.formula=%s", formula);
    if (!(rc = dm_experiment_parse(text, sizeof text - 1, "fuzz.yaml", "/nowhere", &o, r, &e, NULL, err))) {
        if (!(rc = dm_noise_new(e, &n, err)))
            dm_noise_free(n);
        dm_experiment_free(e);
    }
    free(override);
    free(formula);
    dm_registry_free(r);
    return rc;
}
