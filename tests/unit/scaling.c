/* The cost model of many ranks against its formulas worked out by hand, and the simulation against what is known in
 * closed form: the mean of the slowest of N, and Daly's expected time of a run that fails. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/scaling.h"

/* 40 MiB of gradients are ten messages. */
static const dm_scaling base = {.batch = 100, .micro = 10, .per_example = 0.01, .per_step = 0.1,
                                .gradients = 10 * (int64_t)DM_SCALING_MESSAGE, .state = 5000, .activations = 1000,
                                .bandwidth = 1e9, .latency = 1e-3};

static void near(double got, double want, double part)
{
    if (!(fabs(got - want) <= part * fabs(want)))
        print_error("%.17g, not %.17g\n", got, want);
    assert_true(fabs(got - want) <= part * fabs(want));
}

/* Moments in parts: less memory, and the weights go once round, 20 MiB in 5 pieces at 4 ranks. */
static void model__shares_out_the_moments(void **state)
{
    const int64_t weights = 20 << 20;
    dm_scaling s = base;
    dm_scaling_point with, without;

    (void)state;
    s.state += 2 * weights;
    without = dm_scaling_at(&s, 4);
    s.moments = 2 * weights;
    with = dm_scaling_at(&s, 4);
    assert_int_equal(without.memory - with.memory, 2 * weights - 2 * weights / 4);
    assert_int_equal(dm_scaling_at(&s, 1).memory, s.state + base.activations);
    near(with.ring - without.ring, 3 * 5 * base.latency + 0.75 * (double)weights / base.bandwidth, 1e-9);
    near(with.tree - without.tree, with.ring - without.ring, 1e-9);
}

static void model__formulas(void **state)
{
    const double sent = (double)base.gradients / 1e9;
    dm_scaling_point p = dm_scaling_at(&base, 1);

    (void)state;
    near(p.seconds, 1.1, 1e-12);
    near(p.efficiency, 1, 1e-12);
    assert_true(p.ring == 0 && p.tree == 0 && p.examples == 100 && p.memory == 6000);
    assert_int_equal(p.limit, DM_LIMIT_COMPUTE);
    p = dm_scaling_at(&base, 8); /* 13 examples at most; three levels */
    near(p.compute, 0.23, 1e-12);
    near(p.ring, 10 * 14 * 1e-3 + 14.0 / 8 * sent, 1e-12);
    near(p.tree, 2 * (3 + 9) * (1e-3 + sent / 10), 1e-12);
    near(p.seconds, 0.23 + fmin(p.ring, p.tree), 1e-12);
    near(p.rate, 100 / p.seconds, 1e-12);
    near(p.efficiency, 1.1 / (8 * p.seconds), 1e-12);
    assert_int_equal(p.memory, 6000);
    p = dm_scaling_at(&base, 50);
    assert_true(p.examples == 2 && p.memory == 5200);
    assert_int_equal(dm_scaling_at(&base, 101).limit, DM_LIMIT_BATCH);
}

/* What the work leaves time for, at 8 ranks: 13 examples, the last 3 of them at once, of 0.03 s. */
static void model__hides_the_sum(void **state)
{
    const double last = 3 * base.per_example;
    dm_scaling s = base;
    dm_scaling_point p = dm_scaling_at(&s, 8);
    const double sum = fmin(p.ring, p.tree), part = sum / DM_SCALING_PARTS;

    (void)state;
    assert_true(p.hidden == 0 && sum > 2 * last);
    for (int i = 0; i < DM_SCALING_PARTS; i++) /* all of it half-way */
        s.left[i] = 0.5;
    p = dm_scaling_at(&s, 8);
    near(p.hidden, last / 2, 1e-12);
    near(p.seconds, p.compute + sum - last / 2, 1e-12);
    near(fmin(p.ring, p.tree), sum, 1e-12);
    s.bandwidth = 1e12; /* a sum of less than that */
    s.latency = 0;
    p = dm_scaling_at(&s, 8);
    near(p.hidden, fmin(p.ring, p.tree), 1e-12);
    near(p.seconds, p.compute, 1e-12);
    for (int i = 0; i < DM_SCALING_PARTS; i++) /* evenly, the last of it at the end: what comes before hides */
        s.left[i] = 1 - (i + 1.0) / DM_SCALING_PARTS;
    p = dm_scaling_at(&s, 8);
    near(p.seconds - p.compute, fmin(p.ring, p.tree) / DM_SCALING_PARTS, 1e-6);
    memcpy(s.left, (const double[DM_SCALING_PARTS]){1, 1}, sizeof s.left); /* two at once, the rest at the end */
    s.bandwidth = base.bandwidth;
    s.latency = base.latency;
    near(dm_scaling_at(&s, 8).hidden, 2 * part, 1e-12);
    s.moments = 40 << 20; /* the weights are sent when all is over */
    near(dm_scaling_at(&s, 8).hidden, 2 * part, 1e-12);
    assert_true(dm_scaling_at(&s, 1).hidden == 0);
}

static void model__limits(void **state)
{
    dm_scaling s = base;
    dm_scaling_point p;

    (void)state;
    s.each = true;
    p = dm_scaling_at(&s, 10000);
    assert_true(p.examples == 100 && p.limit == DM_LIMIT_COMPUTE && p.tree < p.ring);
    near(p.rate, 1e6 / p.seconds, 1e-12);
    s.bandwidth = 1e7;
    assert_int_equal(dm_scaling_at(&s, 64).limit, DM_LIMIT_BANDWIDTH);
    s.bandwidth = 1e12;
    s.latency = 1;
    assert_int_equal(dm_scaling_at(&s, 64).limit, DM_LIMIT_LATENCY);
    s = base;
    s.latency = 0;
    s.bandwidth = 1e12;
    p = dm_scaling_at(&s, 100);
    assert_true(p.limit == DM_LIMIT_STEP && p.ring < p.tree);
    for (int l = DM_LIMIT_COMPUTE; l <= DM_LIMIT_BATCH; l++)
        assert_true(*dm_scaling_limit_name((dm_scaling_limit)l));
}

static void intervals__formulas(void **state)
{
    (void)state;
    near(dm_interval_young(10, 2000), 200, 1e-12);
    near(dm_interval_daly(10, 2000), 200 * (1 + 0.05 / 3 + 0.0025 / 9) - 10, 1e-12);
    near(dm_interval_daly(5000, 2000), 2000, 1e-12); /* beyond twice the time to a failure */
}

static void simulated__nothing_lost(void **state)
{
    const dm_losses l = {.ranks = 64, .steps = 1000, .compute = 2, .reduce = 1, .tail = 3, .mean_to_failure = 1e15,
                         .save = 5, .restart = 100, .seed = 1};
    const dm_simulated s = dm_losses_simulate(&l, 100);

    (void)state;
    assert_int_equal(s.failures, 0);
    near(s.seconds, 3050, 1e-12);
    near(s.useful, 3000 / 3050.0, 1e-12);
    near(s.step, 3, 1e-12);
}

/* Of N draws from P(X > x) = (1 + x / s)^-a the largest is s (N B(N, 1 - 1/a) - 1) on the mean. */
static void simulated__slowest(void **state)
{
    static const struct { int64_t ranks; double tail; } cases[] = {{1, 4}, {2, 3}, {16, 3}, {1024, 4}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double n = (double)cases[i].ranks, a = cases[i].tail, s = (a - 1) * 0.1;
        const double mean = s * (n * exp(lgamma(n) + lgamma(1 - 1 / a) - lgamma(n + 1 - 1 / a)) - 1);
        const dm_losses l = {.ranks = cases[i].ranks, .steps = 200000, .compute = 1, .straggle = 0.1, .tail = a,
                             .mean_to_failure = 1e15, .seed = 7};

        near(dm_losses_simulate(&l, 1000000).step, 1 + mean, 0.01);
    }
}

/* T = M e^(R/M) (e^((tau + C)/M) - 1) T_s / tau (Daly 2006, eq. 20). */
static void simulated__failures(void **state)
{
    dm_losses l = {.ranks = 100, .steps = 400000, .compute = 1, .tail = 3, .mean_to_failure = 100 * 2000.0, .save = 10,
                   .restart = 30, .seed = 3};
    const double M = 2000;
    double least = INFINITY;
    int64_t best = 0;

    (void)state;
    for (int64_t tau = 50; tau <= 800; tau *= 2) {
        const dm_simulated s = dm_losses_simulate(&l, tau);

        near(s.seconds, M * exp(30 / M) * expm1(((double)tau + 10) / M) * 400000 / (double)tau, 0.02);
        if (s.seconds < least) {
            least = s.seconds;
            best = tau;
        }
    }
    assert_int_equal(best, 200); /* Daly's 191 */
    l.mean_to_failure = 100; /* a failure a second: no checkpoint is reached */
    assert_true(isinf(dm_losses_simulate(&l, 200).seconds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(model__formulas),
        cmocka_unit_test(model__shares_out_the_moments), cmocka_unit_test(model__hides_the_sum),
        cmocka_unit_test(model__limits), cmocka_unit_test(intervals__formulas),
        cmocka_unit_test(simulated__nothing_lost), cmocka_unit_test(simulated__slowest),
        cmocka_unit_test(simulated__failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
