/* The quality metrics against SciPy's and torch-fidelity's formulas (tools/make_metric_goldens.py), and what they
 * refuse. */
#include "scratch.h"

#include "quality/quality.h"
#include "metrics_goldens.h"

#include <math.h>

static dm_lapack *lapack;
static dm_metric_host host;

static int open_lapack(void **state)
{
    dm_err err = {0};

    (void)state;
    if (dm_lapack_open(&lapack, &err)) {
        fprintf(stderr, "%s\n", err.msg);
        return -1;
    }
    host.lapack = lapack;
    return 0;
}

static int close_lapack(void **state)
{
    (void)state;
    dm_lapack_close(lapack);
    return 0;
}

/* splitmix64, as the script has it. */
static double uniform(uint64_t stream, uint64_t i)
{
    uint64_t z = ((stream << 32) + i + 1) * 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

static dm_features features(uint64_t stream, int64_t n, int64_t d, double shift, double scale, double common,
                            const char *what)
{
    float *x = malloc((size_t)(n * d) * sizeof *x);

    for (int64_t i = 0; i < n * d; i++)
        x[i] = (float)(shift + scale * (uniform(stream, (uint64_t)i) + common * uniform(stream,
                                                                                        (uint64_t)(i - i % d))));
    return (dm_features){.n = n, .d = d, .x = x, .what = what};
}

static void drop(const dm_features *f) { free((void *)(uintptr_t)f->x); }

static void near(double got, double want, double within)
{
    if (!(fabs(got - want) <= within))
        fail_msg("%.17g for %.17g, beyond %g", got, want, within);
}

static double share(const dm_features *inner, const dm_features *outer, int32_t k)
{
    double *squared = malloc((size_t)outer->n * sizeof *squared), got = NAN;
    dm_err err = {0};

    assert_status(dm_metric_radii(&host, outer, k, squared, &err), DM_OK, &err);
    assert_status(dm_metric_covered(&host, inner, outer, squared, &got, &err), DM_OK, &err);
    free(squared);
    return got;
}

static dm_frechet frechet(const dm_features *a, const dm_features *b)
{
    dm_gaussian ga, gb;
    dm_frechet got;
    dm_err err = {0};

    assert_status(dm_gaussian_init(&host, a, &ga, &err), DM_OK, &err);
    assert_status(dm_gaussian_init(&host, b, &gb, &err), DM_OK, &err);
    assert_status(dm_metric_frechet(&host, &ga, &gb, &got, &err), DM_OK, &err);
    dm_gaussian_fini(&ga);
    dm_gaussian_fini(&gb);
    return got;
}

static void metrics__published_formulas(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        const struct golden *g = &goldens[i];
        const dm_features a = features(2 * i, g->na, g->d, 0, 1, g->common, "of a"),
            b = features(2 * i + 1, g->nb, g->d, g->shift, g->scale, g->common, "of b");
        const int64_t m = g->na < g->nb ? g->na : g->nb;
        const dm_frechet f = frechet(&a, &b);
        int64_t ia[40], ib[40];
        double got;
        dm_err err = {0};

        near(f.trace_a, g->trace_a, 1e-12 * g->trace_a);
        near(f.trace_b, g->trace_b, 1e-12 * g->trace_b);
        near(f.distance, g->frechet, 1e-6 * (g->trace_a + g->trace_b));
        near(frechet(&b, &a).distance, g->frechet, 1e-6 * (g->trace_a + g->trace_b));
        assert_status(dm_metric_mmd2(&host, &a, NULL, &b, NULL, m, &got, &err), DM_OK, &err);
        near(got, g->mmd2, 1e-6 * fabs(g->mmd2));
        for (int64_t j = 0; j < 40; j++) {
            ia[j] = (7 * j + 3) % g->na;
            ib[j] = (11 * j + 5) % g->nb;
        }
        assert_status(dm_metric_mmd2(&host, &a, ia, &b, ib, 40, &got, &err), DM_OK, &err);
        near(got, g->mmd2_picked, 1e-6 * fabs(g->mmd2_picked));
        near(share(&a, &b, 3), g->precision3, 1e-6 * g->precision3);
        near(share(&b, &a, 3), g->recall3, 1e-6 * g->recall3);
        near(share(&a, &b, 1), g->precision1, 1e-6 * g->precision1);
        near(share(&b, &a, 1), g->recall1, 1e-6 * g->recall1);
        drop(&a);
        drop(&b);
    }
}

/* A set and itself: no distance, all inside, also where rows are equal to the last bit. So many features that a matrix
 * product adds them up in another order than a loop does. */
static void metrics__of_a_set_and_itself(void **state)
{
    enum { N = 600, D = 900, COPIES = 400 };
    const dm_features a = features(9, N, D, 3, 1, 0, "of a");
    float *x = (float *)(uintptr_t)a.x;
    double squared[N];
    dm_err err = {0};

    (void)state;
    for (int64_t i = 0; i < (N - COPIES) * D; i++) /* 40 more of each of five rows */
        x[i + COPIES * D] = x[i % (5 * D)];
    near(frechet(&a, &a).distance, 0, 1e-6 * frechet(&a, &a).trace_a);
    near(share(&a, &a, 3), 1, 0);
    assert_status(dm_metric_radii(&host, &a, 3, squared, &err), DM_OK, &err);
    for (int64_t i = 0; i < N; i++)
        assert_true(i < 5 || i >= COPIES ? squared[i] == 0 : squared[i] > 0);
    drop(&a);
}

static void metrics__kid_over_subsets(void **state)
{
    const dm_features a = features(20, 300, 8, 0, 1, 0, "of a"), b = features(21, 200, 8, 0.1, 1, 0, "of b");
    dm_kid all, some, again;
    double whole;
    dm_err err = {0};

    (void)state;
    /* Subsets that are the whole of equal sets differ in order alone. */
    assert_status(dm_metric_mmd2(&host, &b, NULL, &b, NULL, 200, &whole, &err), DM_OK, &err);
    assert_status(dm_metric_kid(&host, &b, &b, 3, 200, 1, &all, &err), DM_OK, &err);
    near(all.mean, whole, 1e-12);
    near(all.deviation, 0, 1e-12);
    assert_true(all.blocks == 1 && isnan(all.error));
    assert_status(dm_metric_kid(&host, &a, &b, 50, 40, 1, &some, &err), DM_OK, &err);
    assert_status(dm_metric_kid(&host, &a, &b, 50, 40, 1, &again, &err), DM_OK, &err);
    assert_true(some.mean == again.mean && some.deviation == again.deviation);
    assert_int_equal(some.blocks, 5);
    near(some.error, some.deviation / sqrt(5), 1e-15);
    assert_status(dm_metric_mmd2(&host, &a, NULL, &b, NULL, 200, &whole, &err), DM_OK, &err);
    near(some.mean, whole, 3 * some.error);
    assert_status(dm_metric_kid(&host, &a, &b, 50, 40, 2, &again, &err), DM_OK, &err);
    assert_true(some.mean != again.mean);
    drop(&a);
    drop(&b);
}

/* Each class alone, and how many of its images are found to be of it. */
static void metrics__by_class(void **state)
{
    enum { A = 200, B = 260, D = 8, CLASSES = sizeof class_goldens / sizeof class_goldens[0] };
    const dm_features a = features(30, A, D, 0, 1, 0.2, "of a"), b = features(31, B, D, 0.1, 1.1, 0.2, "of b");
    const dm_quality_reference like = {.host = &host, .subsets = 10, .size = 1000, .neighbours = 3, .seed = 1};
    dm_quality_class rows[CLASSES] = {0};
    dm_quality q = {.size = sizeof q, .class_share = NAN, .classes = CLASSES, .by_class = rows};
    int32_t asked[A], found[A], real[B];
    int64_t counts[CLASSES];
    dm_quality_row got;
    dm_err err = {0};

    (void)state;
    for (int32_t i = 0; i < B; i++) {
        real[i] = (7 * i + i / 4) % CLASSES;
        if (i >= A)
            continue;
        asked[i] = real[i];
        found[i] = (real[i] + (i % 5 == 0)) % CLASSES;
    }
    dm_quality_tally(real, B, CLASSES, counts);
    dm_quality_shares(asked, found, A, &q);
    near(q.class_share, class_share, 1e-15);
    near(q.class_share_error, sqrt(class_share * (1 - class_share) / A), 1e-15);
    for (int32_t k = 0; k < CLASSES; k++) {
        const struct class_golden *g = &class_goldens[k];

        assert_status(dm_quality_compare_class(&like, &(dm_labelled){a, asked}, &(dm_labelled){b, real}, k, &got, &err),
                      DM_OK, &err);
        assert_int_equal(counts[k], g->nb);
        assert_int_equal(rows[k].count, g->na);
        assert_int_equal(got.count, g->na);
        near(got.frechet, g->frechet, 1e-6);
        near(got.precision, g->precision3, 1e-12);
        near(got.recall, g->recall3, 1e-12);
        near(rows[k].class_share, g->share, 1e-15);
        assert_int_equal(got.kid_size, dm_quality_subset(1000, g->na < g->nb ? g->na : g->nb));
    }
    dm_quality_shares(asked, NULL, A, &q); /* without a classifier: how many alone */
    assert_true(isnan(rows[0].class_share));
    assert_int_equal(dm_quality_least(3), 4);
    assert_int_equal(dm_quality_least(9), 10);
    drop(&a);
    drop(&b);
}

static bool at_once(void *user)
{
    (void)user;
    return true;
}

static void metrics__refuse(void **state)
{
    const dm_features a = features(1, 30, 4, 0, 1, 0, "of the samples"), b = features(2, 30, 5, 0, 1, 0, "of the data");
    const dm_features one = {.n = 1, .d = 4, .x = a.x, .what = "of the samples"},
        none = {.n = 30, .d = 0, .x = a.x, .what = "of the samples"};
    const dm_metric_host stopped = {.lapack = lapack, .cancelled = at_once};
    float *x = (float *)(uintptr_t)a.x;
    double squared[30], out;
    dm_gaussian g;
    dm_kid k;
    dm_err err = {0};

    (void)state;
    assert_fails(dm_features_check(&a, &b, 2, &err), DM_EINVAL, &err, "4 features of the samples and 5 of the data");
    assert_fails(dm_features_check(&none, &b, 2, &err), DM_EINVAL, &err, "0 features of the samples; 1 to 16384");
    assert_fails(dm_gaussian_init(&host, &one, &g, &err), DM_EINVAL, &err, "of 1 images; at least 2");
    assert_fails(dm_metric_kid(&host, &a, &a, 10, 31, 0, &k, &err), DM_EINVAL, &err, "10 subsets of 31 of 30 images");
    assert_fails(dm_metric_kid(&host, &a, &a, 0, 3, 0, &k, &err), DM_EINVAL, &err, "0 subsets");
    assert_fails(dm_metric_mmd2(&host, &a, NULL, &a, NULL, 31, &out, &err), DM_EINVAL, &err, "a subset of 31");
    assert_fails(dm_metric_radii(&host, &a, 30, squared, &err), DM_EINVAL, &err, "neighbour 30 of 30 images");
    assert_fails(dm_metric_radii(&host, &a, 0, squared, &err), DM_EINVAL, &err, "neighbour 0");
    assert_fails(dm_metric_radii(&stopped, &a, 3, squared, &err), DM_ECANCELLED, &err, "stopped");
    x[4 * 7 + 2] = NAN;
    assert_fails(dm_gaussian_init(&host, &a, &g, &err), DM_EDIVERGED, &err,
                 "feature 2 of image 7 of the samples is NaN");
    x[4 * 7 + 2] = -INFINITY;
    assert_fails(dm_features_check(&a, &a, 2, &err), DM_EDIVERGED, &err, "is infinite");
    drop(&a);
    drop(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics__published_formulas), cmocka_unit_test(metrics__of_a_set_and_itself),
        cmocka_unit_test(metrics__kid_over_subsets), cmocka_unit_test(metrics__by_class),
        cmocka_unit_test(metrics__refuse),
    };

    return cmocka_run_group_tests(tests, open_lapack, close_lapack);
}
