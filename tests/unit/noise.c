/* The noise process without a device: what schedules may not give, one step, points between steps and back from their
 * log-SNR, posteriors against the formulas of Ho et al. 2020, grids, and calls of plugins outside their place. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "plugin/instance.h"
#include "noise/noise.h"
#include "noise/noise_services.h"
#include "base/normal_quantile.h"

/* A grid that gives what the test says, and timesteps one by one from the noisiest where it says nothing. */
typedef struct wanted { bool log_snr; int n; double at[12]; } wanted;

static dm_status fill_grid(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *to)
{
    const wanted *w = c->cfg;

    if (w->n && w->n != n + 1)
        return dm_fail(c, DM_EINVAL, "%d points are no %d steps", w->n, (int)n);
    *log_snr = w->log_snr;
    for (int32_t i = 0; i <= n; i++)
        to[i] = w->n ? w->at[i] : i < n ? s->most.t * (n - i) / n : -1;
    return DM_OK;
}

static const dm_grid grid_kind = {.size = sizeof(dm_grid), .fill = fill_grid};
static const dm_plugin grid_plugin = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "wanted", .grid = &grid_kind};

static dm_status walk(const dm_noise *n, int64_t steps, wanted w, dm_walk *g, dm_err *err)
{
    return dm_noise_walk(n, steps, &(dm_section){.present = true, .plugin = &grid_plugin, .cfg = &w}, g, err);
}

/* ---- schedules to try: cfg says what to give ------------------------------------------------------- */

typedef struct given { const double *beta; double alpha0, sigma0, alpha1, sigma1; bool silent; } given;

static dm_status fill(dm_ctx *c, int32_t T, double *beta)
{
    const given *g = c->cfg;

    if (g->silent)
        return DM_EIO;
    for (int32_t i = 0; i < T; i++)
        beta[i] = g->beta[i];
    return DM_OK;
}

static dm_status at(dm_ctx *c, int32_t T, double t, double *alpha, double *sigma)
{
    const given *g = c->cfg;

    if (g->silent)
        return dm_fail(c, DM_EINVAL, "no curve today");
    *alpha = g->alpha0 + t / T * (g->alpha1 - g->alpha0);
    *sigma = g->sigma0 + t / T * (g->sigma1 - g->sigma0);
    return DM_OK;
}

static const dm_schedule discrete_kind = {.size = sizeof(dm_schedule), .fill = fill};
static const dm_schedule curve_kind = {.size = sizeof(dm_schedule), .at = at};
static const dm_plugin discrete = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "steps",
    .schedule = &discrete_kind};
static const dm_plugin curve = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "curve", .schedule = &curve_kind};

static dm_status make(const dm_plugin *p, given *g, int32_t T, bool zero_terminal_snr, dm_noise **out, dm_err *err)
{
    dm_experiment e = {.schedule = {.timesteps = T, .zero_terminal_snr = zero_terminal_snr}};

    e.section[DM_SEC_SCHEDULE] = (dm_section){.present = true, .plugin = p, .cfg = g};
    return dm_noise_new(&e, out, err);
}

static void linear(double *beta, int32_t T)
{
    for (int32_t i = 0; i < T; i++)
        beta[i] = T > 1 ? 1e-4 + i * (0.02 - 1e-4) / (T - 1) : 1e-4;
}

static dm_noise *linear_noise(int32_t T)
{
    double *beta = malloc((size_t)T * sizeof *beta);
    given g = {.beta = beta};
    dm_noise *n;
    dm_err err = {0};

    linear(beta, T);
    if (make(&discrete, &g, T, false, &n, &err))
        fail_msg("%s", err.msg);
    free(beta);
    return n;
}

static bool near(double a, double b, double relative) { return fabs(a - b) <= relative * fmax(fabs(a), fabs(b)); }

/* ---- tests ------------------------------------------------------------------------------------------ */

static void noise__refuses_bad_schedules(void **state)
{
    const struct { const dm_plugin *p; given g; bool zero; const char *message; } cases[] = {
        {&discrete, {.beta = (double[]){0.1, 0.2, 0.3}}, false, NULL},
        {&discrete, {.beta = (double[]){0.1, 0.2, 1}}, false, NULL},
        {&discrete, {.beta = (double[]){0.1, 0, 0.3}}, false, "schedule 'steps': beta of step 2 of 3 is 0;"},
        {&discrete, {.beta = (double[]){0.1, 0.2, 1.01}}, false, "beta of step 3 of 3 is 1.01"},
        {&discrete, {.beta = (double[]){-0.1, 0.2, 0.3}}, false, "beta of step 1 of 3 is -0.1"},
        {&discrete, {.beta = (double[]){NAN, 0.2, 0.3}}, false, "beta of step 1 of 3 is "},
        {&discrete, {.beta = (double[]){0.1, INFINITY, 0.3}}, false, "beta of step 2 of 3 is inf"},
        {&discrete, {.silent = true}, false, "plugin 'steps': fill() failed (DM_EIO) and gave no reason"},
        {&discrete, {.beta = (double[]){0.1, 0.2, 0.3}}, true, NULL},
        {&discrete, {.beta = (double[]){0.1, 1, 1}}, true, NULL},
        {&discrete, {.beta = (double[]){0.1, 1e-300, 1e-300}}, true, "noise that grows after the first"},
        {&discrete, {.beta = (double[]){0.1, 0.2, 1e-300}}, true, NULL},
        {&curve, {NULL, 1, 0, 0, 1, false}, false, NULL},
        {&curve, {NULL, 1, 0.01, 1, 80, false}, false, NULL},
        {&curve, {NULL, 1, 0, 0, 1, false}, true, "'curve' is continuous"},
        {&curve, {NULL, 0, 1, 1, 0, false}, false, "schedule 'curve': at t = "},
        {&curve, {NULL, 1, 0.5, 1, 0.5, false}, false, "their ratio must fall with t"},
        {&curve, {NULL, 1, 0, 0, 0, false}, false, "not both 0"},
        {&curve, {NULL, 1, 0, -1, 1, false}, false, "0 or above"},
        {&curve, {NULL, NAN, 0, 0, 1, false}, false, "at t = 0 it gives alpha "},
        {&curve, {NULL, 1, 0, 0, INFINITY, false}, false, "schedule 'curve': at t = "},
        {&curve, {.silent = true}, false, "plugin 'curve': no curve today"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        given g = cases[i].g;
        dm_noise *n = NULL;
        dm_err err = {0};
        const dm_status rc = make(cases[i].p, &g, 3, cases[i].zero, &n, &err);

        if (!cases[i].message != !rc || (rc && !strstr(err.msg, cases[i].message)))
            fail_msg("case %zu: status %d, \"%s\"", i, (int)rc, err.msg);
        for (int32_t t = 1; !rc && dm_noise_discrete(n) && t <= 3; t++)
            if (!(dm_noise_beta(n, t) > 0 && dm_noise_beta(n, t) <= 1))
                fail_msg("case %zu: beta of step %d is %g", i, (int)t, dm_noise_beta(n, t));
        dm_noise_free(n);
    }
}

static void noise__one_step(void **state)
{
    given g = {.beta = (double[]){0.36}};
    dm_noise *n;
    dm_walk grid;
    dm_err err = {0};

    (void)state;
    assert_int_equal(make(&discrete, &g, 1, true, &n, &err), DM_EINVAL);
    assert_non_null(strstr(err.msg, "at least two steps"));
    assert_int_equal(make(&discrete, &g, 1, false, &n, &err), DM_OK);
    assert_true(near(dm_noise_alpha_bar(n, 1), 0.64, 1e-15));
    assert_true(dm_noise_posterior_variance(n, 1) == 0);
    assert_int_equal(walk(n, 0, (wanted){0}, &grid, &err), DM_OK);
    assert_int_equal(grid.n, 1);
    assert_int_equal(grid.timesteps[0], 0);
    assert_true(near(grid.points[0].sigma, 0.6, 1e-15) && grid.points[1].sigma == 0 && grid.points[1].alpha == 1);
    dm_walk_fini(&grid);
    dm_noise_free(n);
}

/* Half way between two steps is half their angle; a log-SNR finds the t it came from; beyond the ends is the end. */
static void noise__between_steps(void **state)
{
    given g = {NULL, 1, 0.002, 0.1, 3, false};
    dm_noise *n = linear_noise(1000), *c;
    dm_point a, b, p, q;
    dm_err err = {0};

    (void)state;
    for (int32_t t = 0; t < 1000; t += 37) {
        dm_noise_at(n, t, &a);
        dm_noise_at(n, t + 1, &b);
        dm_noise_at(n, t + 0.5, &p);
        assert_true(near(atan2(p.sigma, p.alpha), (atan2(a.sigma, a.alpha) + atan2(b.sigma, b.alpha)) / 2, 1e-12));
    }
    assert_int_equal(make(&curve, &g, 7, false, &c, &err), DM_OK);
    for (double t = 0.01; t < 1; t += 0.0173) {
        dm_noise_at(n, 1000 * t, &p);
        dm_noise_at_log_snr(n, p.log_snr, &q);
        assert_true(near(p.t, q.t, 1e-9) && near(p.alpha, q.alpha, 1e-9) && near(p.sigma, q.sigma, 1e-9));
        dm_noise_at(c, 7 * t, &p);
        dm_noise_at_log_snr(c, p.log_snr, &q);
        assert_true(near(p.t, q.t, 1e-9) && near(p.alpha, q.alpha, 1e-9) && near(p.sigma, q.sigma, 1e-9));
    }
    dm_noise_at(n, -3, &p);
    assert_true(p.t == 0 && p.sigma == 0 && p.log_snr == INFINITY);
    dm_noise_at(n, 1e9, &p);
    dm_noise_at(n, 1000, &q);
    assert_memory_equal(&p, &q, sizeof p);
    dm_noise_at_log_snr(n, -INFINITY, &p);
    assert_memory_equal(&p, &q, sizeof p);
    dm_noise_at_log_snr(c, INFINITY, &p);
    assert_true(p.t == 0 && p.sigma == 0.002);
    dm_noise_free(n);
    dm_noise_free(c);
}

/* Ho et al. 2020 eq. 7 with the beta between two steps, 1 - alpha_bar_at / alpha_bar_to, in long double. */
static void noise__posterior(void **state)
{
    static const int32_t pairs[][2] = {{1000, 999}, {1000, 1}, {500, 480}, {2, 1}, {1, 0}, {20, 0}, {1000, 0}};
    double beta[1000];
    long double bar[1001] = {1};
    dm_noise *n = linear_noise(1000);
    dm_posterior q;
    dm_point a, b;
    dm_err err = {0};

    (void)state;
    linear(beta, 1000);
    for (int i = 0; i < 1000; i++)
        bar[i + 1] = bar[i] * (1 - (long double)beta[i]);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        const int32_t at_t = pairs[i][0], to_t = pairs[i][1];
        const long double step = 1 - bar[at_t] / bar[to_t], room = 1 - bar[at_t],
            above = at_t < 1000 ? 1 - bar[at_t + 1] / bar[at_t] : 0;
        const long double var = to_t ? step * (1 - bar[to_t]) / room
                              : at_t < 1000 ? above * room / (1 - bar[at_t + 1]) : step;

        dm_noise_at(n, at_t, &a);
        dm_noise_at(n, to_t, &b);
        assert_int_equal(dm_noise_posterior(n, &a, &b, &q, &err), DM_OK);
        assert_true(near(q.c_x0, (double)(sqrtl(bar[to_t]) * step / room), 1e-10));
        assert_true(fabs(q.c_x - (double)(sqrtl(bar[at_t] / bar[to_t]) * (1 - bar[to_t]) / room)) < 1e-11);
        assert_true(near(q.log_beta, (double)logl(step), 1e-10));
        assert_true(near(q.log_var, (double)logl(var), 1e-10));
        assert_int_equal(dm_noise_posterior(n, &b, &a, &q, &err), DM_EINVAL);
    }
    dm_noise_free(n);
}

/* What plugin.h promises of log_var: finite, also where the noise above the step is all there is. */
static void noise__posterior_is_finite(void **state)
{
    given g = {.beta = (double[]){0.5, 1, 1, 1}};
    dm_noise *n;
    dm_posterior q;
    dm_point a, b;
    dm_err err = {0};

    (void)state;
    assert_int_equal(make(&discrete, &g, 4, false, &n, &err), DM_OK);
    dm_noise_at(n, 0, &b);
    for (int32_t t = 1; t <= 4; t++) {
        dm_noise_at(n, t, &a);
        assert_int_equal(dm_noise_posterior(n, &a, &b, &q, &err), DM_OK);
        if (!isfinite(q.log_var) || !isfinite(q.log_beta) || !isfinite(q.c_x) || !isfinite(q.c_x0))
            fail_msg("%d -> 0: %g %g %g %g", (int)t, q.c_x0, q.c_x, q.log_beta, q.log_var);
    }
    dm_noise_free(n);
}

/* Lin et al. 2024, algorithm 1, in long double. */
static void noise__zero_terminal_snr(void **state)
{
    double beta[100];
    long double root[101] = {1}, before = 1;
    given g = {.beta = beta};
    dm_noise *n;
    dm_point p;
    dm_err err = {0};

    (void)state;
    linear(beta, 100);
    assert_int_equal(make(&discrete, &g, 100, true, &n, &err), DM_OK);
    for (int i = 0; i < 100; i++)
        root[i + 1] = root[i] * sqrtl(1 - (long double)beta[i]);
    for (int t = 1; t <= 100; t++) {
        const long double r = (root[t] - root[100]) * root[1] / (root[1] - root[100]);

        assert_true(fabs(dm_noise_alpha_bar(n, t) - (double)(r * r)) < 1e-14);
        assert_true(near(dm_noise_beta(n, t), (double)(1 - r * r / (before * before)), 1e-9));
        before = r;
    }
    dm_noise_at(n, 100, &p);
    assert_true(p.alpha == 0 && p.sigma == 1 && p.log_snr == -INFINITY && dm_noise_beta(n, 100) == 1);
    dm_noise_free(n);
}

static void noise__refuses_bad_grids(void **state)
{
    const struct { int64_t steps; wanted w; bool curve; const char *message; } cases[] = {
        {10, {0}, false, NULL},
        {11, {0}, true, NULL},
        {1, {0}, true, NULL},
        {2, {false, 3, {10, 1, -1}}, false, NULL},
        {2, {false, 3, {10, 4.5, 1}}, false, NULL},
        {2, {false, 3, {10, 1, 1}}, false, NULL},
        {1, {false, 2, {1, 1}}, false, "must fall"},
        {2, {false, 3, {1, 10, -1}}, false, "point 1 of 2 has t 10 after 1"},
        {2, {false, 3, {6, 6, -1}}, false, "point 1 of 2 has t 6 after 6"},
        {1, {false, 2, {11, -1}}, false, "point 0 has t 11, which schedule 'steps' does not reach"},
        {1, {false, 2, {NAN, -1}}, false, "point 0 is NaN, or fill() did not write it"},
        {1, {true, 2, {-1e9, INFINITY}}, true, "point 0 has log-SNR -1e+09"},
        {3, {false, 2, {5, -1}}, false, "2 points are no 3 steps"},
    };
    given g = {NULL, 1, 0.002, 1, 80, false};
    dm_noise *n = linear_noise(10), *c;
    dm_err err = {0};

    (void)state;
    assert_int_equal(make(&curve, &g, 10, false, &c, &err), DM_OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dm_walk grid;
        dm_err why = {0};
        const dm_status rc = walk(cases[i].curve ? c : n, cases[i].steps, cases[i].w, &grid, &why);

        if (!cases[i].message != !rc || (rc && !strstr(why.msg, cases[i].message)))
            fail_msg("case %zu: status %d, \"%s\"", i, (int)rc, why.msg);
        for (int32_t k = 0; !rc && k < grid.n; k++)
            assert_true(grid.points[k].log_snr < grid.points[k + 1].log_snr ||
                        (grid.points[k].log_snr == grid.points[k + 1].log_snr && k == grid.n - 1));
        dm_walk_fini(&grid);
    }
    dm_noise_free(n);
    dm_noise_free(c);
}

/* Known values (Wichura 1988's tables, and symmetry). */
static void noise__normal_quantile(void **state)
{
    (void)state;
    assert_true(fabs(dm_normal_quantile(0.5)) < 1e-15);
    assert_true(near(dm_normal_quantile(0.25), -0.67448975019608174, 1e-13));
    assert_true(near(dm_normal_quantile(0.975), 1.9599639845400542, 1e-13));
    assert_true(near(dm_normal_quantile(0.001), -3.0902323061678135, 1e-13));
    assert_true(near(dm_normal_quantile(1e-20), -9.2623400897984876, 1e-13));
}

/* A plugin that asks for what is not there, or for nonsense, gets a reason and nothing worse. */
static void services__outside_their_place(void **state)
{
    dm_noise *n = linear_noise(10);
    dm_tensor t = {.shape = {1, {4}}};
    const dm_range r = {.dim = 1, .global = {1}};
    static const dm_plugin plugin = {.name = "here"};
    dm_services s;
    dm_instance i = {.plugin = &plugin, .services = &s};
    dm_posterior q;
    dm_point p = {.t = 1, .alpha = 1, .sigma = 1};
    dm_err err = {0};
    dm_ctx c = {.err = &err};
    const dm_host *h = &s.api;

    (void)state;
    dm_services_init(&s, NULL);
    c.host = h;
#define REFUSED(call, says) \
    do { \
        err = (dm_err){0}; \
        assert_true(call); \
        if (err.code == DM_OK || !strstr(err.msg, says)) \
            fail_msg(#call ": %d, \"%s\"", (int)err.code, err.msg); \
    } while (0)
    REFUSED(h->point_at_t(&c, 1, &p), "point_at_t was called outside of a callback; it may be called in the");
    dm_call_enter(&i, DM_CB_LOSS, &err);
    REFUSED(!h->tensor_like(&c, &t), "tensor_like may be called in begin() alone, not in loss()");
    REFUSED(h->randn(&c, &t, 0), "randn may be called in step() alone, not in loss()");
    REFUSED(h->predict(&c, &t, &p, &(dm_pred){.x0 = NULL}), "predict may be called in step() alone, not in loss()");
    REFUSED(h->sum(&c, &t, DM_SUM({1, &t})), "sum may be called in begin(), step() and guide() alone, not in loss()");
    REFUSED(!h->kernel(&c, "", "k", NULL), "kernel may be called in begin(), step(), guide() and an op's forward() "
                                           "and");
    REFUSED(h->launch(&c, NULL, &r, NULL, 0), "launch may be called in begin(), step(), guide() and an op's forward() "
                                              "and");
    REFUSED(h->point_at_t(&c, 1, &p), "no schedule");
    REFUSED(h->point_at_log_snr(&c, 1, &p), "no schedule");
    REFUSED(h->posterior(&c, &p, &p, &q), "no schedule");
    dm_noise_serve(n, &s);
    assert_int_equal(h->point_at_t(&c, 3, &p), DM_OK);
    REFUSED(h->point_at_t(&c, 3, NULL), "NULL");
    REFUSED(h->posterior(&c, &p, NULL, &q), "NULL");
    REFUSED(h->point_at_t(&c, NAN, &p), "not a number");
    REFUSED(h->point_at_log_snr(&c, NAN, &p), "not a number");
    REFUSED(h->posterior(&c, &p, &p, &q), "towards the data");
    assert_int_equal(h->shape(NULL).rank, 0);
    dm_call_leave(DM_OK, NULL);
    dm_noise_free(n);
}

/* What the header's tag [schedule] names, and nothing else. */
static void services__of_a_schedule(void **state)
{
    static const dm_callback named[] = {
        DM_CB_GRID_FILL, DM_CB_CHECK, DM_CB_BEGIN, DM_CB_STEP, DM_CB_STEP_LOG_VAR, DM_CB_GUIDANCE_BEGIN, DM_CB_GUIDE,
        DM_CB_GUIDANCE_AT, DM_CB_BUILD, DM_CB_OPEN, DM_CB_AFFINE, DM_CB_LOG_VAR, DM_CB_SCALARS, DM_CB_LOSS, DM_CB_DRAW,
    };
    static const dm_plugin plugin = {.name = "here"};
    dm_noise *n = linear_noise(10);
    dm_services s;
    dm_instance i = {.plugin = &plugin, .services = &s};
    dm_point p, high, at;
    dm_posterior q;

    (void)state;
    dm_services_init(&s, NULL);
    dm_noise_serve(n, &s);
    dm_noise_at(n, 3, &p);
    dm_noise_at(n, 5, &high);
    for (int which = DM_CB_NONE + 1; which < DM_CB_COUNT; which++) {
        dm_err err[4] = {{0}};
        dm_span span = {.size = sizeof span};
        bool may = false;

        for (size_t k = 0; k < sizeof named / sizeof named[0]; k++)
            may |= named[k] == (dm_callback)which;
        dm_call_enter(&i, (dm_callback)which, &err[0]);
        s.api.point_at_t(&(dm_ctx){.err = &err[0], .host = &s.api}, 3, &at);
        s.api.point_at_log_snr(&(dm_ctx){.err = &err[1], .host = &s.api}, 1, &at);
        s.api.posterior(&(dm_ctx){.err = &err[2], .host = &s.api}, &high, &p, &q);
        s.api.span(&(dm_ctx){.err = &err[3], .host = &s.api}, &span);
        dm_call_leave(DM_OK, NULL);
        for (int k = 0; k < 4; k++)
            if (!err[k].code != may)
                fail_msg("call %d in %s: %s", k, dm_callback_name((dm_callback)which), may ? err[k].msg : "allowed");
    }
    dm_noise_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise__refuses_bad_schedules), cmocka_unit_test(noise__one_step),
            cmocka_unit_test(noise__between_steps),
        cmocka_unit_test(noise__posterior), cmocka_unit_test(noise__posterior_is_finite),
            cmocka_unit_test(noise__zero_terminal_snr),
        cmocka_unit_test(noise__refuses_bad_grids), cmocka_unit_test(noise__normal_quantile),
        cmocka_unit_test(services__outside_their_place), cmocka_unit_test(services__of_a_schedule),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
