/* Checks of schedules and grids: what they write, where, and what it means. */
#include "plugin_test/guard.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "noise/noise_services.h"
#include "plugin_test/settings.h"

/* The experiment with these changes; NULL was said. */
static dm_experiment *open_experiment(plugin_test *t, const char *const *changes)
{
    const plugin_test_overrides o = plugin_test_change(t, changes);
    const dm_experiment_options options = {.overrides = o.item, .n_overrides = o.n, .override_name = "change",
                                           .lenient_data = true};
    dm_experiment *e = NULL;
    dm_err err = {0};

    if (dm_experiment_load(plugin_test_experiment(t), &options, t->registry, &e, NULL, &err))
        plugin_test_fail(t, "%s", err.msg);
    return e;
}

/* ---- schedules ------------------------------------------------------------------------------------------ */

static void check_writes(plugin_test *t, const dm_experiment *e, int32_t T)
{
    const dm_section *s = &e->section[DM_SEC_SCHEDULE];
    double *v = plugin_test_guarded(T);
    dm_services services;
    dm_instance i;
    dm_err err = {0};
    int32_t at = 0;

    dm_services_init(&services, NULL);
    if (!v || dm_instance_init(&i, t->plugin, s->cfg, &services, &err)) {
        plugin_test_unguard(v);
        plugin_test_fail(t, "out of memory");
        return;
    }
    if (!t->plugin->schedule->fill) {
        plugin_test_unguard(v);
        dm_instance_fini(&i);
        return;
    }
    if (DM_CALL(&i, DM_CB_FILL, &err, t->plugin->schedule->fill(&i.ctx, T, v))) {
        plugin_test_note(t, "T = %d is refused: %s", (int)T, err.msg);
    } else if (plugin_test_intact(t, v, T, "fill()", "beta")) {
        while (at < T && !isnan(v[at]))
            at++;
        if (at < T)
            plugin_test_fail(t, "fill() with T = %d leaves beta[%d] unwritten, or writes NaN; write all of them",
                             (int)T, (int)at);
    }
    dm_instance_fini(&i);
    plugin_test_unguard(v);
}

/* x_t = alpha x0 + sigma eps by T steps of noise is what the process says of t: mean and variance. */
static void check_moments(plugin_test *t, const dm_noise *n)
{
    const int32_t T = dm_noise_T(n);
    double mean = 1, variance = 0, worst = 0;

    for (int32_t k = 1; k <= T; k++) {
        const double beta = dm_noise_beta(n, k);
        dm_point p;

        mean *= sqrt(1 - beta);
        variance = (1 - beta) * variance + beta;
        dm_noise_at(n, k, &p);
        worst = fmax(worst, fmax(fabs(mean - p.alpha), fabs(variance - p.sigma * p.sigma)));
    }
    if (!(worst <= 1e-9))
        plugin_test_fail(t, "T = %d steps of its betas lead to moments that differ from alpha and sigma by %.2g",
                         (int)T, worst);
}

static void check_process(plugin_test *t, const dm_experiment *e, int32_t T, double *left)
{
    dm_noise *n = NULL;
    dm_point before = {.log_snr = INFINITY}, p = {0};
    dm_err err = {0};

    if (dm_noise_new(e, &n, &err)) {
        plugin_test_note(t, "T = %d is refused: %s", (int)T, err.msg);
        return;
    }
    for (int i = 0; i <= 1000; i++) {
        const double at = dm_noise_discrete(n) ? 1 + (T - 1) * (double)i / 1000 : T * (double)i / 1000;

        dm_noise_at(n, at, &p);
        if (!isfinite(p.alpha) || !isfinite(p.sigma) || isnan(p.log_snr) || p.log_snr > before.log_snr + 1e-9) {
            plugin_test_fail(t, "at t = %g of T = %d alpha is %g, sigma %g and the log-SNR %g, after %g: noise must "
                             "rise with t", at, (int)T, p.alpha, p.sigma, p.log_snr, before.log_snr);
            break;
        }
        before = p;
    }
    if (dm_noise_discrete(n))
        check_moments(t, n);
    *left = p.alpha / hypot(p.alpha, p.sigma);
    dm_noise_free(n);
}

/* The T that was given for the tests, 0 without: a schedule may be of just one. */
static int32_t given_length(const plugin_test *t)
{
    static const char key[] = "timesteps=";
    int32_t T = 0;

    for (int i = 0; i < t->n_given; i++) {
        const char *at = strrchr(t->given[i], '.'), *name = at && at < strchr(t->given[i], '=') ? at + 1 : t->given[i];

        if (!strncmp(name, key, sizeof key - 1))
            T = (int32_t)strtol(name + sizeof key - 1, NULL, 10);
    }
    return T;
}

void plugin_test_schedule(plugin_test *t)
{
    static const int32_t lengths[] = {1, 2, 7, 100, 1000, 4000};
    const int32_t given = given_length(t);
    double left = NAN;

    for (size_t k = 0; k < sizeof lengths / sizeof lengths[0] && !t->failed && !(given && k); k++) {
        const int32_t T = given ? given : lengths[k];
        const char *change = dm_sprintf(t->arena, "timesteps=%d", (int)T);
        dm_experiment *e = change ? open_experiment(t, PLUGIN_TEST_CHANGES(change)) : NULL;

        if (!e)
            return;
        check_writes(t, e, T);
        if (!t->failed)
            check_process(t, e, T, &left);
        dm_experiment_free(e);
        if ((given || T == 1000) && isnan(left))
            plugin_test_fail(t, "it does not work with T = %d%s", (int)T, given ? "" : " and its defaults");
        else if (given || T == 1000)
            plugin_test_note(t, "the noisiest of T = %d keeps %.3g of the signal%s", (int)T, left,
                             left > 0.15 ? "; samples begin without any, so let it end in more noise" : "");
    }
}

/* ---- grids ------------------------------------------------------------------------------------------------ */

/* False where the schedule, or so many steps, are refused. */
static bool check_points(plugin_test *t, const dm_experiment *e, const dm_noise *noise, const char *schedule,
                         int32_t n)
{
    bool good = false;
    double *at = plugin_test_guarded((int64_t)n + 1);
    dm_services services;
    dm_instance i;
    dm_span span;
    bool log_snr = false;
    dm_err err = {0};
    int32_t k = 0;

    dm_services_init(&services, NULL);
    dm_noise_serve(noise, &services);
    dm_noise_span(noise, &span);
    if (!at || dm_instance_init(&i, t->plugin, e->section[DM_SEC_GRID].cfg, &services, &err)) {
        plugin_test_unguard(at);
        plugin_test_fail(t, "out of memory");
        return false;
    }
    if (DM_CALL(&i, DM_CB_GRID_FILL, &err, t->plugin->grid->fill(&i.ctx, &span, n, &log_snr, at))) {
        plugin_test_note(t, "%d steps of schedule %s are refused: %s", (int)n, schedule, err.msg);
    } else if (plugin_test_intact(t, at, (int64_t)n + 1, "fill()", "at")) {
        while (k <= n && !isnan(at[k]))
            k++;
        if (!(good = k > n))
            plugin_test_fail(t, "fill() for %d steps of schedule %s leaves at[%d] unwritten, or writes NaN; there are "
                             "n + 1 points, at[0] to at[n]", (int)n, schedule, (int)k);
    }
    dm_instance_fini(&i);
    plugin_test_unguard(at);
    return good;
}

/* n steps as a sampler walks them. */
static bool walks(plugin_test *t, const dm_experiment *e, const dm_noise *noise, const char *schedule, int32_t n)
{
    dm_walk g = {0};
    dm_point most;
    dm_err err = {0};
    double share, all;

    if (dm_noise_walk(noise, n, &e->section[DM_SEC_GRID], &g, &err)) {
        if (!strncmp(err.msg, "grid '", 6))
            plugin_test_fail(t, "%d steps of schedule %s: %s", (int)n, schedule, err.msg);
        return false;
    }
    dm_noise_at(noise, dm_noise_T(noise), &most);
    share = g.points[0].sigma / hypot(g.points[0].alpha, g.points[0].sigma);
    all = most.sigma / hypot(most.alpha, most.sigma);
    if (n >= 10 && share < 0.999 * all && !t->plugin->grid->lists)
        plugin_test_note(t, "%d steps of schedule %s begin at t = %g, with a share of noise of %.4g; the noisiest "
                         "level has %.4g", (int)n, schedule, g.points[0].t, share, all);
    dm_walk_fini(&g);
    return true;
}

void plugin_test_grid(plugin_test *t)
{
    static const char *const schedules[] = {"linear", "cosine", "laplace", "edm", "ve", "flow"};
    static const int32_t steps[] = {1, 2, 3, 10, 50, 200};
    int good = 0;

    for (size_t k = 0; k < sizeof schedules / sizeof schedules[0] && t->failed < 3; k++) {
        const char *change = dm_sprintf(t->arena, "schedule.use=%s", schedules[k]);
        dm_experiment *e = change ? open_experiment(t, PLUGIN_TEST_CHANGES(change)) : NULL;
        dm_noise *noise = NULL;
        dm_err err = {0};

        if (!e || dm_noise_new(e, &noise, &err)) {
            plugin_test_fail(t, "%s", e ? err.msg : "the experiment cannot be read");
            dm_experiment_free(e);
            return;
        }
        for (size_t i = 0; i < sizeof steps / sizeof steps[0] && t->failed < 3; i++) {
            int32_t n = steps[i];

            if (t->plugin->grid->steps)
                n = (int32_t)e->sampler.steps;
            if (!check_points(t, e, noise, schedules[k], n))
                break;
            good += walks(t, e, noise, schedules[k], n);
        }
        dm_noise_free(noise);
        dm_experiment_free(e);
    }
    if (!t->failed && !good)
        plugin_test_fail(t, "it gives no points for any schedule and number of steps that were tried");
}
