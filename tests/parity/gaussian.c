/* Whole sampling runs where the truth is known: the data is one Gaussian N(mu, s^2), the network its exact prediction.
 * Variances and means must hold at every step, DDIM must close in on the exact flow, an image must not depend on the
 * batch, and what goes wrong in a run must be said. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/sampling.h"
#include "noise/noise_services.h"

enum { INNER = 8192, MAX_IMAGES = 16 };

typedef struct world {
    dm_device *device;
    dm_registry *registry;
} world;

/* A run, and what the network in it knows. */
typedef struct bench {
    dm_experiment *e;
    dm_noise *noise;
    dm_services services;
    dm_instance objective;
    dm_data_info data;
    dm_sampling *s;
    double mu, sd;
    dm_point to;
    int64_t n, bad_image;
    int calls, bad_call;           /* -1: never */
    float *x, *F;
    dm_buf *out;
    double worst_var, worst_mean;  /* over the steps, relative to what is true there */
} bench;

/* ---- an objective whose output is x0, and the log-variance as it is ----------------------------------- */

static dm_status affine(dm_ctx *c, const dm_point *p, dm_affine *a)
{
    (void)c;
    *a = (dm_affine){0, 1, 1, p->t};
    return DM_OK;
}

static dm_status log_var(dm_ctx *c, const dm_point *at, const dm_point *to, double k[2])
{
    (void)at;
    (*(bench *const *)c->cfg)->to = *to;
    k[0] = 0;
    k[1] = 1;
    return DM_OK;
}

static const dm_objective plain_kind = {.size = sizeof(dm_objective), .affine = affine};
static const dm_objective learned_kind = {.size = sizeof(dm_objective), .affine = affine, .log_var = log_var};
static const dm_plugin plain = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "exact", .objective = &plain_kind};
static const dm_plugin learned = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "exact",
    .objective = &learned_kind};

/* E[x0 | x]; behind it, where it is wanted, ln of the variance of p(x_to | x), which x does not change. */
static dm_status network(void *user, dm_buf *x, const dm_point *now, const dm_affine *a, dm_buf **F, dm_err *err)
{
    bench *b = user;
    const size_t count = (size_t)(b->n * INNER), stride = b->objective.plugin == &learned ? 2 * INNER : INNER;
    dm_point p;
    double total, spread, share, c_x0;
    dm_status rc;

    (void)a;
    p = *now;
    total = p.alpha * p.alpha * b->sd * b->sd + p.sigma * p.sigma;
    spread = b->sd * b->sd * p.sigma * p.sigma / total;
    share = -expm1(p.log_snr - b->to.log_snr);
    c_x0 = b->to.alpha * share;
    if ((rc = dm_buf_read(x, 0, count * sizeof(float), b->x, err)))
        return rc;
    for (size_t i = 0; i < count; i++) {
        const size_t at = i / INNER * stride + i % INNER;

        b->F[at] = (float)((p.alpha * b->sd * b->sd * (double)b->x[i] + p.sigma * p.sigma * b->mu) / total);
        if (stride > INNER)
            b->F[at + INNER] = (float)log(share * b->to.sigma * b->to.sigma + c_x0 * c_x0 * spread);
    }
    if (b->calls++ == b->bad_call)
        b->F[(size_t)b->bad_image * stride + 7] = NAN;
    *F = b->out;
    return dm_buf_write(b->out, 0, (size_t)b->n * stride * sizeof(float), b->F, err);
}

static dm_status moments(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    bench *b = user;
    const dm_point *p = &dm_sampling_walk(b->s)->points[i];
    const double sd2 = b->sd * b->sd, true_mean = p->alpha * b->mu;
    /* The step to the data adds no noise: what comes out is E[x0 | x], whose variance is less by what x leaves open. */
    const dm_point *q = i == n ? p - 1 : p;
    const double signal = q->alpha * q->alpha * sd2, before = i == n ? signal / (signal + q->sigma * q->sigma) : 1;
    const double true_var = (p->alpha * p->alpha * sd2 + p->sigma * p->sigma) * before;
    const size_t count = (size_t)(b->n * INNER);
    double mean = 0, var = 0;
    dm_status rc = dm_buf_read(x, 0, count * sizeof(float), b->x, err);

    if (rc)
        return rc;
    for (size_t k = 0; k < count; k++)
        mean += (double)b->x[k] / (double)count;
    for (size_t k = 0; k < count; k++)
        var += ((double)b->x[k] - mean) * ((double)b->x[k] - mean) / (double)count;
    b->worst_var = fmax(b->worst_var, fabs(var - true_var) / (true_var + 1e-8));
    b->worst_mean = fmax(b->worst_mean, fabs(mean - true_mean) / (sqrt(true_var) + 1e-3));
    return DM_OK;
}

/* ---- setting up ------------------------------------------------------------------------------------------ */

static void open_bench(const world *w, bench *b, const char *sampler, bool variance, int64_t n, double mu, double sd)
{
    char text[512];
    dm_err err = {0};
    const dm_experiment_options o = {.lenient_data = true};
    static bench *self; /* what the objective's cfg points at */

    snprintf(text, sizeof text,
        "seed: 3\ndata: {use: toy2d}\nschedule: {use: linear}\nnetwork: {use: mlp}\nobjective: {use: simple}\n"
             "sampler: {%s}\n", sampler);
    *b = (bench){.data = {.size = sizeof b->data, .shape = {3, {1, 64, 128}}, .low = -1, .high = 1, .levels = 256},
        .n = n, .mu = mu, .sd = sd,
                 .bad_call = -1, .to = {0, 1, 0, INFINITY}};
    self = b;
    b->x = malloc((size_t)n * INNER * sizeof *b->x);
    b->F = malloc((size_t)n * INNER * 2 * sizeof *b->F);
    dm_services_init(&b->services, NULL);
    if (dm_experiment_parse(text, strlen(text), "gaussian", ".", &o, w->registry, &b->e, NULL, &err) ||
        dm_noise_new(b->e, &b->noise, &err) ||
        dm_instance_init(&b->objective, variance ? &learned : &plain, &self, &b->services, &err))
        fail_msg("%s: %s", sampler, err.msg);
    dm_noise_serve(b->noise, &b->services);
}

static dm_status start(const world *w, bench *b, dm_err *err)
{
    const dm_sampling_setup setup = {.experiment = b->e, .noise = b->noise, .device = w->device,
        .objective = &b->objective, .data = &b->data,
                                     .out_channels = b->objective.plugin == &learned ? 2 : 1, .n = b->n,
                                         .forward = network, .user = b};

    const dm_status rc = dm_buf_new(w->device, (size_t)b->n * INNER * 2 * sizeof(float), "F", &b->out, err);

    return rc ? rc : dm_sampling_new(&setup, &b->s, err);
}

static void close_bench(bench *b)
{
    dm_sampling_free(b->s);
    dm_buf_free(b->out);
    dm_instance_fini(&b->objective);
    dm_noise_free(b->noise);
    dm_experiment_free(b->e);
    free(b->x);
    free(b->F);
}

static void run(const world *w, bench *b, const dm_sampling_run_options *o, float *x)
{
    dm_err err = {0};

    if ((!b->s && start(w, b, &err)) || dm_sampling_run(b->s, o, x, &err))
        fail_msg("%s", err.msg);
}

/* ---- tests -------------------------------------------------------------------------------------------------- */

/* fixed_large is exact for unit data, fixed_small and every eta of DDIM for data without spread (Ho et al. 2020,
 * section 3.2; Song et al. 2021, section 4.1), a learned variance for any; elsewhere they are not, and must not seem to
 * be. */
static void gaussian__moments_hold_at_every_step(void **state)
{
    static const struct { const char *sampler; bool learned; double mu, sd; bool exact; } cases[] = {
        {"use: ddpm, variance: fixed_large, steps: 50", false, 0, 1, true},
        {"use: ddpm, variance: fixed_large, steps: 7", false, 0, 1, true},
        {"use: ddpm, variance: fixed_small, steps: 50", false, 0, 1, false},
        {"use: ddpm, variance: fixed_small, steps: 50", false, 0.3, 0, true},
        {"use: ddpm, variance: fixed_large, steps: 50", false, 0.3, 0, false},
        {"use: ddpm, variance: learned, steps: 50", true, 0.3, 0.5, true},
        {"use: ddpm, variance: learned, steps: 5", true, -0.2, 0.7, true},
        {"use: ddpm, steps: 50", true, 0.3, 0.5, true},
        {"use: ddpm, steps: 50", false, 0.3, 0.5, false},
        {"use: ddpm, variance: fixed_small, steps: 50", true, 0.3, 0.5, false},
        {"use: ddim, eta: 1, steps: 50", true, 0.3, 0, true},
        {"use: ddim, eta: 0.5, steps: 7", true, 0.3, 0, true},
        {"use: ddim, eta: 1, variance: learned, steps: 5", true, -0.2, 0, true},
        {"use: ddim, eta: 0, steps: 50", false, 0.3, 0, true},
        {"use: ddim, eta: 0.5, steps: 50", false, 0.3, 0, true},
        {"use: ddim, eta: 1, steps: 50", false, 0.3, 0, true},
        {"use: ddim, eta: 1, steps: 50", false, 0, 1, false},
    };
    float *x = malloc(MAX_IMAGES * INNER * sizeof *x);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char sampler[256];
        bench b;
        bool exact;

        snprintf(sampler, sizeof sampler, "%s, spacing: trailing, clip: off", cases[i].sampler);
        open_bench(*state, &b, sampler, cases[i].learned, MAX_IMAGES, cases[i].mu, cases[i].sd);
        run(*state, &b, &(dm_sampling_run_options){.step = moments, .step_user = &b}, x);
        /* 131072 values: five standard errors of a variance are 2 %, of a mean 1.4 % of the deviation */
        exact = b.worst_var < 0.02 && b.worst_mean < 0.014;
        if (exact != cases[i].exact)
            fail_msg("%s, data %g +- %g: variance off by %.4f, mean by %.4f", sampler, cases[i].mu, cases[i].sd,
                b.worst_var, b.worst_mean);
        assert_int_equal(dm_sampling_evaluations(b.s), dm_sampling_walk(b.s)->n);
        close_bench(&b);
    }
    free(x);
}

/* The flow takes each x to the same quantile of the data; DDIM's distance from that falls as 1 / steps. */
static void gaussian__ddim_is_first_order(void **state)
{
    static const int steps[] = {25, 50, 100, 200};
    float *x = malloc(INNER * sizeof *x), *from = malloc(INNER * sizeof *from);
    double error[4] = {0};

    for (int i = 0; i < INNER; i++)
        from[i] = (float)(4.0 * i / INNER - 2);
    for (int k = 0; k < 4; k++) {
        char sampler[128];
        bench b;

        snprintf(sampler, sizeof sampler, "use: ddim, steps: %d, spacing: trailing, clip: off", steps[k]);
        open_bench(*state, &b, sampler, false, 1, 0.3, 0.5);
        run(*state, &b, &(dm_sampling_run_options){.noise = from}, x);
        {
            const dm_point *p = dm_sampling_walk(b.s)->points;
            const double scale = 0.5 / sqrt(p->alpha * p->alpha * 0.25 + p->sigma * p->sigma);

            for (int i = 0; i < INNER; i++)
                error[k] = fmax(error[k], fabs((double)x[i] - (0.3 + scale * ((double)from[i] - p->alpha * 0.3))));
        }
        close_bench(&b);
    }
    for (int k = 0; k < 3; k++) {
        const double order = log2(error[k] / error[k + 1]);

        if (!(order > 0.85 && order < 1.15))
            fail_msg("from %d to %d steps the error goes from %g to %g: order %.2f", steps[k], steps[k + 1], error[k],
                error[k + 1], order);
    }
    free(x);
    free(from);
}

/* Song et al. 2021, section 4.1: eta = 1 is the ancestral sampler, with the same noise step for step. */
static void gaussian__eta_1_is_ddpm(void **state)
{
    float *x = malloc(2 * INNER * sizeof *x), *y = malloc(2 * INNER * sizeof *y);
    bench a, b;

    open_bench(*state, &a, "use: ddpm, variance: fixed_small, steps: 20, clip: off", false, 2, 0.1, 0.5);
    run(*state, &a, &(dm_sampling_run_options){0}, x);
    close_bench(&a);
    open_bench(*state, &b, "use: ddim, eta: 1, steps: 20, clip: off", false, 2, 0.1, 0.5);
    run(*state, &b, &(dm_sampling_run_options){0}, y);
    close_bench(&b);
    for (int i = 0; i < 2 * INNER; i++)
        if (!(fabsf(x[i] - y[i]) <= 2e-5f))
            fail_msg("element %d: ddpm %.9g, ddim %.9g", i, (double)x[i], (double)y[i]);
    free(x);
    free(y);
}

static void gaussian__batch_changes_nothing(void **state)
{
    static const char sampler[] = "use: ddpm, steps: 10";
    float *all = malloc(6 * INNER * sizeof *all), *some = malloc(2 * INNER * sizeof *some);
    bench b;

    open_bench(*state, &b, sampler, false, 5, 0.1, 0.5);
    run(*state, &b, &(dm_sampling_run_options){.first_index = 40}, all);
    close_bench(&b);
    open_bench(*state, &b, sampler, false, 2, 0.1, 0.5);
    for (int i = 0; i < 4; i += 2) {
        run(*state, &b, &(dm_sampling_run_options){.first_index = 40 + i}, some);
        assert_memory_equal(some, all + i * INNER, 2 * INNER * sizeof *some);
    }
    run(*state, &b, &(dm_sampling_run_options){.first_index = 44}, some);
    assert_memory_equal(some, all + 4 * INNER, INNER * sizeof *some);
    assert_memory_not_equal(some, all, INNER * sizeof *some);
    close_bench(&b);
    free(all);
    free(some);
}

static void gaussian__says_how_much_noise_it_needs(void **state)
{
    float *x = malloc(INNER * sizeof *x), *z = calloc(4 * INNER, sizeof *z);
    bench b;
    dm_err err = {0};

    open_bench(*state, &b, "use: ddpm, steps: 4", false, 1, 0, 1);
    run(*state, &b, &(dm_sampling_run_options){.z = z, .draws = 3, .z_count = 1}, x);
    assert_int_equal(dm_sampling_run(b.s, &(dm_sampling_run_options){.z = z, .draws = 2, .z_count = 1}, x, &err),
        DM_EINVAL);
    if (!strstr(err.msg, "has 2 draws") || !strstr(err.msg, "need 3"))
        fail_msg("%s", err.msg);
    close_bench(&b);
    free(x);
    free(z);
}

/* Clipping must not hide it: the network's NaN is no image. */
static void gaussian__divergence_is_named(void **state)
{
    static const struct { const char *sampler; bool check; const char *message; } cases[] = {
        {"use: ddpm, steps: 10, clip: off", false, "image 12 is not finite after 10 steps of 'ddpm'"},
        {"use: ddpm, steps: 10, clip: off", true, "image 12 is not finite after step 4 of 10 of 'ddpm'"},
        {"use: ddim, steps: 10, clip: off", true, "image 12 is not finite after step 4 of 10 of 'ddim'"},
        {"use: ddpm, steps: 10, clip: auto", true, "image 12 is not finite after step 4 of 10 of 'ddpm'"},
        {"use: ddim, steps: 10, clip: 2", true, "image 12 is not finite after step 4 of 10 of 'ddim'"},
        {"use: ddim, steps: 10, clip: dynamic", true, "image 12 is not finite after step 4 of 10 of 'ddim'"},
    };
    float *x = malloc(3 * INNER * sizeof *x);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bench b;
        dm_err err = {0};

        open_bench(*state, &b, cases[i].sampler, false, 3, 0, 0.5);
        b.bad_call = 3;
        b.bad_image = 2;
        assert_int_equal(start(*state, &b, &err), DM_OK);
        if (dm_sampling_run(b.s, &(dm_sampling_run_options){.first_index = 10, .check_steps = cases[i].check}, x,
            &err) != DM_EDIVERGED ||
            !strstr(err.msg, cases[i].message))
            fail_msg("%s: \"%s\"", cases[i].sampler, err.msg);
        close_bench(&b);
    }
    free(x);
}

/* ---- a sampler that does one thing wrong ------------------------------------------------------------------- */

enum { GOOD, SUM_IN_CHECK, PREDICT_IN_BEGIN, RANDN_IN_BEGIN, TENSOR_IN_STEP, RANDN_NOWHERE, RANDN_16, ONTO_X,
    ONE_FOR_BOTH, PREDICT_NOWHERE,
       NO_NOISE, NO_VARIANCE, NINE_TERMS };
typedef struct { int wrong; } wrong_cfg;
typedef struct { dm_tensor *a, *b; } wrong_state;

static int wrong(const dm_ctx *c) { return ((const wrong_cfg *)c->cfg)->wrong; }

static dm_status wrong_check(dm_ctx *c, const dm_step *s)
{
    return wrong(c) == SUM_IN_CHECK ? c->host->sum(c, s->x, DM_SUM({1, s->x})) : DM_OK;
}

static dm_status wrong_begin(dm_ctx *c, const dm_step *s)
{
    wrong_state *st = c->self;

    if (!(st->a = c->host->tensor_like(c, s->x)) || !(st->b = c->host->tensor_like(c, s->x)))
        return c->err->code;
    return wrong(c) == PREDICT_IN_BEGIN ? c->host->predict(c, s->x, s->grid, &(dm_pred){.x0 = st->a})
         : wrong(c) == RANDN_IN_BEGIN ? c->host->randn(c, st->a, 0) : DM_OK;
}

static dm_status wrong_step(dm_ctx *c, const dm_step *s)
{
    const dm_point *p = &s->grid[s->i], *clean = &s->grid[s->n];
    const dm_term terms[9] = {{1, s->x}, {1, s->x}, {1, s->x}, {1, s->x}, {1, s->x}, {1, s->x}, {1, s->x}, {1, s->x},
        {1, s->x}};
    const dm_host *h = c->host;
    wrong_state *st = c->self;

    switch (wrong(c)) {
    case TENSOR_IN_STEP: return h->tensor_like(c, s->x) ? DM_OK : c->err->code;
    case RANDN_NOWHERE: return h->randn(c, NULL, 0);
    case RANDN_16: return h->randn(c, st->a, 16);
    case ONTO_X: return h->predict(c, s->x, p, &(dm_pred){.x0 = s->x});
    case ONE_FOR_BOTH: return h->predict(c, s->x, p, &(dm_pred){.x0 = st->a, .eps = st->a});
    case PREDICT_NOWHERE: return h->predict(c, NULL, p, &(dm_pred){.x0 = st->a});
    case NO_NOISE: return h->predict(c, s->x, clean, &(dm_pred){.x0 = st->a});
    case NO_VARIANCE: return h->predict(c, s->x, p, &(dm_pred){.x0 = st->a, .log_var = st->b, .to = clean});
    case NINE_TERMS: return h->sum(c, st->a, terms, 9);
    default: return h->predict(c, s->x, p, &(dm_pred){.x0 = st->a, .eps = st->b});
    }
}

static void gaussian__misuse_is_refused(void **state)
{
    static const dm_sampler kind = {.size = sizeof(dm_sampler), .check = wrong_check, .begin = wrong_begin,
        .step = wrong_step};
    static const dm_plugin plugin = {.abi = DM_ABI, .size = sizeof(dm_plugin), .name = "wrong",
        .self_size = sizeof(wrong_state), .sampler = &kind};
    static const char *const says[] = {
        [SUM_IN_CHECK] = "sum may be called in begin(), step() and guide() alone, not in check()",
        [PREDICT_IN_BEGIN] = "predict may be called in step() alone, not in begin()",
        [RANDN_IN_BEGIN] = "randn may be called in step() alone, not in begin()",
        [TENSOR_IN_STEP] = "tensor_like may be called in begin() alone, not in step()",
        [RANDN_NOWHERE] = "no tensor", [RANDN_16] = "draws are 0 to 15",
        [ONTO_X] = "distinct", [ONE_FOR_BOTH] = "distinct", [PREDICT_NOWHERE] = "no tensor",
        [NO_NOISE] = "needs noise", [NO_VARIANCE] = "learns no variance", [NINE_TERMS] = "1 to 8",
    };
    float *x = malloc(INNER * sizeof *x);

    for (int i = GOOD; i <= NINE_TERMS; i++) {
        wrong_cfg cfg = {i};
        bench b;
        dm_err err = {0};
        dm_status rc;

        open_bench(*state, &b, "use: ddim, steps: 2", false, 1, 0, 0.5);
        b.e->section[DM_SEC_SAMPLER].plugin = &plugin;
        b.e->section[DM_SEC_SAMPLER].cfg = &cfg;
        if (!(rc = start(*state, &b, &err)))
            rc = dm_sampling_run(b.s, &(dm_sampling_run_options){0}, x, &err);
        if (i == GOOD ? rc != DM_OK : rc != DM_EINVAL || !strstr(err.msg, says[i]) || !strstr(err.msg,
            "plugin 'wrong'"))
            fail_msg("misuse %d: status %d, \"%s\"", i, (int)rc, err.msg);
        close_bench(&b);
    }
    free(x);
}

static int open_world(void **state)
{
    static world w;
    const char *device = getenv("DEMIST_DEVICE");
    const dm_device_options o = {0};
    dm_err err = {0};

    if (dm_device_open(device ? device : "auto", &o, &w.device, &err) || dm_registry_new(NULL, &w.registry, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    *state = &w;
    return 0;
}

static int close_world(void **state)
{
    const world *w = *state;

    dm_registry_free(w->registry);
    dm_device_close(w->device);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaussian__moments_hold_at_every_step), cmocka_unit_test(gaussian__ddim_is_first_order),
        cmocka_unit_test(gaussian__eta_1_is_ddpm), cmocka_unit_test(gaussian__batch_changes_nothing),
        cmocka_unit_test(gaussian__says_how_much_noise_it_needs), cmocka_unit_test(gaussian__divergence_is_named),
        cmocka_unit_test(gaussian__misuse_is_refused),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
