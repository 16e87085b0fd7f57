/* The optimizer against PyTorch's AdamW and against double precision; a gradient that is not finite. */
#include "harness.h"
#include "device/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "goldens_misc.h"

enum { W, G, M, V, EMA0, EMA1, EMA2, EMA3, ARRAYS };

typedef struct bench { dm_device *d; dm_buf *b[ARRAYS]; size_t n; dm_optimizer *o; } bench;

static void make_with(bench *t, dm_device *d, size_t n, int n_ema, bool keeps_g, dm_buf *loss)
{
    dm_optimizer_arrays a = {.loss = loss, .count = n, .n_ema = n_ema, .keeps_g = keeps_g};
    dm_err err = {0};

    *t = (bench){.d = d, .n = n};
    for (int i = 0; i < EMA0 + n_ema; i++) {
        assert_int_equal(dm_buf_new(d, n * sizeof(float), "array", &t->b[i], &err), DM_OK);
        assert_int_equal(dm_buf_zero(t->b[i], 0, n * sizeof(float), &err), DM_OK);
    }
    a.w = t->b[W];
    a.g = t->b[G];
    a.m = t->b[M];
    a.v = t->b[V];
    for (int i = 0; i < n_ema; i++)
        a.ema[i] = t->b[EMA0 + i];
    if (dm_optimizer_new(d, &a, &t->o, &err))
        fail_msg("%s", err.msg);
}

static void make(bench *t, dm_device *d, size_t n, int n_ema, bool keeps_g)
{
    make_with(t, d, n, n_ema, keeps_g, NULL);
}

static void release(bench *t)
{
    dm_optimizer_free(t->o);
    for (int i = 0; i < ARRAYS; i++)
        dm_buf_free(t->b[i]);
}

static void put(bench *t, int array, const double *v)
{
    float *f = malloc(t->n * sizeof *f);
    dm_err err = {0};

    for (size_t i = 0; i < t->n; i++)
        f[i] = (float)v[i];
    assert_int_equal(dm_buf_write(t->b[array], 0, t->n * sizeof *f, f, &err), DM_OK);
    free(f);
}

static void expect(bench *t, int array, const double *v, double tolerance)
{
    float *f = malloc(t->n * sizeof *f);
    double largest = 0;
    dm_err err = {0};

    assert_int_equal(dm_buf_read(t->b[array], 0, t->n * sizeof *f, f, &err), DM_OK);
    for (size_t i = 0; i < t->n; i++)
        largest = fmax(largest, fabs(v[i]));
    for (size_t i = 0; i < t->n; i++)
        if (!(fabs((double)f[i] - v[i]) <= tolerance * fmax(largest, 1e-30)))
            fail_msg("array %d, element %zu is %.9g; it should be %.9g", array, i, (double)f[i], v[i]);
    free(f);
}

static void run(bench *t, const dm_optimizer_step *s)
{
    dm_err err = {0};

    if (dm_optimizer_run(t->o, s, &err))
        fail_msg("%s", err.msg);
}

static dm_optimizer_numbers numbers(bench *t)
{
    dm_optimizer_numbers n;
    dm_err err = {0};

    assert_int_equal(dm_optimizer_read(t->o, &n, &err), DM_OK);
    return n;
}

static void adamw__as_pytorch(void **state)
{
    static const double zeros[GOLDEN_OPT_N];
    bench t;

    make(&t, *state, GOLDEN_OPT_N, 1, false);
    put(&t, W, golden_opt_w);
    put(&t, EMA0, golden_opt_w);
    for (int i = 0; i < GOLDEN_OPT_STEPS; i++) {
        const dm_optimizer_step s = {i, 0.01, 0.9, 0.999, 1e-8, 0.1, 1.0, {0.9}, 0};

        put(&t, G, golden_opt_g + (size_t)i * GOLDEN_OPT_N);
        run(&t, &s);
        assert_true(fabs(numbers(&t).norm - golden_opt_norms[i]) < 1e-6 * golden_opt_norms[i]);
    }
    expect(&t, W, golden_opt_result, 1e-6);
    expect(&t, M, golden_opt_m, 1e-6);
    expect(&t, V, golden_opt_v, 1e-6);
    expect(&t, EMA0, golden_opt_ema, 1e-6);
    expect(&t, G, zeros, 0);
    assert_int_equal(numbers(&t).bad_step, -1);
    release(&t);
}

static void adamw__keeps_the_gradient(void **state)
{
    const dm_optimizer_step s = {0, 0.01, 0.9, 0.999, 1e-8, 0.1, 1.0, {0.9}, 0};
    bench t;

    make(&t, *state, GOLDEN_OPT_N, 0, true);
    put(&t, G, golden_opt_g);
    run(&t, &s);
    expect(&t, G, golden_opt_g, 1e-7);
    release(&t);
}

/* One step in double precision. */
static void step_of(const dm_optimizer_step *s, size_t n, double *const *v, double norm)
{
    const double t = (double)s->step + 1, factor = s->clip > 0 ? fmin(1, s->clip / (norm + 1e-6)) : 1;

    for (size_t i = 0; i < n; i++) {
        const double g = v[G][i] * factor;

        v[M][i] = s->beta1 * v[M][i] + (1 - s->beta1) * g;
        v[V][i] = s->beta2 * v[V][i] + (1 - s->beta2) * g * g;
        v[W][i] -= s->lr * s->weight_decay * v[W][i];
        v[W][i] -= s->lr * v[M][i] / (1 - pow(s->beta1, t)) / (sqrt(v[V][i] / (1 - pow(s->beta2, t))) + s->eps);
        for (int e = 0; e < 4; e++)
            v[EMA0 + e][i] = s->ema[e] * v[EMA0 + e][i] + (1 - s->ema[e]) * v[W][i];
    }
}

static void check_size(dm_device *d, size_t n, double clip)
{
    bench t;
    double *v[ARRAYS];

    make(&t, d, n, 4, false);
    for (int a = 0; a < ARRAYS; a++) {
        v[a] = calloc(n, sizeof *v[a]);
        for (size_t i = 0; i < n && (a == W || a >= EMA0); i++)
            v[a][i] = (double)(float)sin((double)i * 0.7);
        put(&t, a, v[a]);
    }
    for (int k = 0; k < 3; k++) {
        const dm_optimizer_step s = {1000 * k, 0.003, 0.9, 0.99, 1e-7, 0.05, clip, {0.5, 0.9, 0.999, 0}, 0};
        double norm = 0;

        for (size_t i = 0; i < n; i++) {
            v[G][i] = (double)(float)(0.1 * cos((double)i * (1 + k)));
            norm += v[G][i] * v[G][i];
        }
        put(&t, G, v[G]);
        run(&t, &s);
        step_of(&s, n, v, sqrt(norm));
        assert_true(fabs(numbers(&t).norm - sqrt(norm)) <= 1e-6 * sqrt(norm));
    }
    for (int a = 0; a < ARRAYS; a++) {
        if (a != G)
            expect(&t, a, v[a], 3e-6);
        free(v[a]);
    }
    release(&t);
}

static void adamw__sizes(void **state)
{
    static const size_t n[] = {1, 31, 65, 16385, 1100003};

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof n / sizeof n[0]); i++) {
        check_size(*state, n[i], 0);
        check_size(*state, n[i], 0.05);
    }
}

/* The first bad step is kept, nothing but the gradient changes from there on, reset goes on. */
static void adamw__not_finite(void **state)
{
    static const double bad[] = {NAN, INFINITY, -INFINITY, 1e30};

    for (size_t k = 0; k < sizeof bad / sizeof bad[0]; k++) {
        double w[33], g[33], zeros[33] = {0};
        dm_optimizer_step s = {41, 0.1, 0.9, 0.999, 1e-8, 0.1, 1, {0.5}, 0};
        dm_err err = {0};
        bench t;

        make(&t, *state, 33, 1, false);
        for (int i = 0; i < 33; i++) {
            w[i] = i;
            g[i] = 0.25;
        }
        put(&t, W, w);
        put(&t, EMA0, w);
        g[17] = bad[k];
        put(&t, G, g);
        run(&t, &s);
        assert_int_equal(numbers(&t).bad_step, 41);
        g[17] = 0.25;
        put(&t, G, g);
        s.step = 42;
        run(&t, &s);
        assert_int_equal(numbers(&t).bad_step, 41);
        expect(&t, W, w, 0);
        expect(&t, EMA0, w, 0);
        expect(&t, M, zeros, 0);
        expect(&t, V, zeros, 0);
        expect(&t, G, zeros, 0);
        assert_int_equal(dm_optimizer_reset(t.o, &err), DM_OK);
        put(&t, G, g);
        run(&t, &s);
        assert_int_equal(numbers(&t).bad_step, -1);
        assert_true(fabs(numbers(&t).norm - 0.25 * sqrt(33)) < 1e-6);
        release(&t);
    }
}

/* NaN losses whose gradients are finite are seen as gradients are, whether the device or the host has their sum. */
static void adamw__loss_not_finite(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY, 0};
    const float sound = 3;

    for (int k = 0; k < 8; k++) {
        const float loss = bad[k % 4];
        const bool on_host = k >= 4;
        dm_optimizer_step s = {7, 0.1, 0.9, 0.999, 1e-8, 0.1, 1, {0.5}, on_host ? loss : 0};
        double w[33], g[33];
        dm_err err = {0};
        dm_buf *sum;
        bench t;

        assert_int_equal(dm_buf_new(*state, sizeof loss, "loss", &sum, &err), DM_OK);
        assert_int_equal(dm_buf_write(sum, 0, sizeof loss, on_host ? &sound : &loss, &err), DM_OK);
        make_with(&t, *state, 33, 1, false, sum);
        for (int i = 0; i < 33; i++) {
            w[i] = i;
            g[i] = 0.25;
        }
        put(&t, W, w);
        put(&t, G, g);
        run(&t, &s);
        assert_int_equal(numbers(&t).bad_step, loss == 0 ? -1 : 7);
        if (loss != 0)
            expect(&t, W, w, 0);
        release(&t);
        dm_buf_free(sum);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adamw__as_pytorch), cmocka_unit_test(adamw__keeps_the_gradient),
                                       cmocka_unit_test(adamw__sizes), cmocka_unit_test(adamw__not_finite),
                                       cmocka_unit_test(adamw__loss_not_finite)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
