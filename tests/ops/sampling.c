/* Samplers' sums, predictions and thresholding against double precision. */
#include "harness.h"
#include "device/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static dm_buf *filled(dm_device *d, int64_t n, const float *v)
{
    dm_buf *b;
    dm_err err = {0};

    assert_int_equal(dm_buf_new(d, (size_t)n * sizeof *v, "array", &b, &err), DM_OK);
    assert_int_equal(dm_buf_write(b, 0, (size_t)n * sizeof *v, v, &err), DM_OK);
    return b;
}

static float *values(int64_t n, uint32_t seed)
{
    float *v = malloc((size_t)n * sizeof *v);

    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = (float)(2.5 * ((seed >> 8) / 8388608.0 - 1));
    }
    return v;
}

/* tolerance: of the largest value, or of `least` if that is larger. */
static void expect(dm_buf *b, int64_t n, const double *want, double tolerance, double least, const char *what)
{
    float *v = malloc((size_t)n * sizeof *v);
    double largest = least;
    dm_err err = {0};

    assert_int_equal(dm_buf_read(b, 0, (size_t)n * sizeof *v, v, &err), DM_OK);
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)v[i] - want[i]) <= tolerance * largest))
            fail_msg("%s: element %lld is %.9g; it should be %.9g", what, (long long)i, (double)v[i], want[i]);
    free(v);
}

static void sum__terms(void **state)
{
    static const int64_t counts[] = {1, 31, 65, 5000};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof counts / sizeof counts[0]); i++)
        for (int n = 1; n <= 8; n++) {
            const int64_t count = counts[i];
            float *v[8];
            dm_buf *b[8], *out = NULL;
            double k[8], *want = calloc((size_t)count, sizeof *want);
            dm_err err = {0};

            for (int t = 0; t < n; t++) {
                v[t] = values(count, (uint32_t)(t + 1));
                k[t] = t % 3 == 1 ? 0 : 0.3 * t - 1.1;
                for (int64_t e = 0; e < count; e++) {
                    want[e] += k[t] * (double)v[t][e];
                    v[t][e] = k[t] == 0 ? NAN : v[t][e]; /* not read */
                }
                b[t] = filled(*state, count, v[t]);
            }
            out = n % 2 ? b[0] : filled(*state, count, v[0]);
            if (dm_launch_sum(*state, out, k, b, n, count, &err))
                fail_msg("%s", err.msg);
            expect(out, count, want, 1e-6, 1e-30, "sum");
            if (out != b[0])
                dm_buf_free(out);
            for (int t = 0; t < n; t++) {
                dm_buf_free(b[t]);
                free(v[t]);
            }
            free(want);
        }
}

/* What a mask leaves of x is x0 with noise; a mask of 1 leaves x alone, bit for bit. */
static void keep__masks(void **state)
{
    static const int64_t counts[] = {1, 33, 5000};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof counts / sizeof counts[0]); i++) {
        const int64_t n = counts[i];
        float *x = values(n, 1), *m = values(n, 2), *x0 = values(n, 3), *z = values(n, 4);
        double *want = calloc((size_t)n, sizeof *want);
        dm_keep k = {.alpha = 0.7, .sigma = 1.3, .count = n};
        dm_err err = {0};

        for (int64_t e = 0; e < n; e++) {
            m[e] = e % 3 ? fminf(fmaxf(m[e], 0), 1) : 1;
            want[e] = (double)m[e] * (double)x[e] + (1 - (double)m[e]) * (0.7 * (double)x0[e] + 1.3 * (double)z[e]);
        }
        k.x = filled(*state, n, x);
        k.m = filled(*state, n, m);
        k.x0 = filled(*state, n, x0);
        k.z = filled(*state, n, z);
        assert_int_equal(dm_launch_keep(*state, &k, &err), DM_OK);
        expect(k.x, n, want, 1e-6, 1e-30, "keep");
        assert_int_equal(dm_buf_read(k.x, 0, sizeof *x, z, &err), DM_OK);
        assert_true(z[0] == x[0]);
        k.count = 0;
        assert_int_equal(dm_launch_keep(*state, &k, &err), DM_EINVAL);
        dm_buf_free(k.x);
        dm_buf_free(k.m);
        dm_buf_free(k.x0);
        dm_buf_free(k.z);
        free(x);
        free(m);
        free(x0);
        free(z);
        free(want);
    }
}

static void sum__refuses(void **state)
{
    const double k[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    float v[4] = {0};
    dm_buf *b = filled(*state, 4, v), *x[9] = {b, b, b, b, b, b, b, b, b};
    dm_err err = {0};

    assert_int_equal(dm_launch_sum(*state, b, k, x, 9, 4, &err), DM_EINVAL);
    assert_int_equal(dm_launch_sum(*state, b, k, x, 0, 4, &err), DM_EINVAL);
    assert_int_equal(dm_launch_sum(*state, b, k, x, 1, INT64_C(1) << 33, &err), DM_EINVAL);
    dm_buf_free(b);
}

/* The coefficients of eps, x0 and v prediction at a level. */
typedef struct level { double alpha, sigma, c_skip, c_out; } level;

static void check_predict(dm_device *d, const level *l, double limit, bool eps_first, bool learned, int64_t n,
                          int64_t inner)
{
    const int64_t stride = inner * (learned ? 2 : 1);
    const double size = fabs(l->c_skip) + fabs(l->c_out); /* of terms that may cancel */
    const double eps_size = (fabs(1 - l->alpha * l->c_skip) + l->alpha * fabs(l->c_out) +
                             (limit > 0 && !eps_first ? l->alpha * size : 0)) / l->sigma;
    float *x = values(n * inner, 1), *F = values(n * stride, 2);
    double *x0 = malloc((size_t)(n * inner) * sizeof *x0), *eps = malloc((size_t)(n * inner) * sizeof *eps),
            *lv = malloc((size_t)(n * inner) * sizeof *lv);
    dm_predict_args a = {.n = n, .inner = inner, .stride = stride, .c_skip = l->c_skip, .c_out = l->c_out,
                         .alpha = l->alpha, .sigma = l->sigma, .limit = limit, .k0 = -3, .k1 = 0.7,
                         .eps_first = eps_first};
    dm_err err = {0};

    for (int64_t i = 0; i < n * inner; i++) {
        const double f = (double)F[i / inner * stride + i % inner], free_x0 = l->c_skip * (double)x[i] + l->c_out * f;

        x0[i] = limit > 0 ? fmax(-limit, fmin(limit, free_x0)) : free_x0;
        eps[i] = ((double)x[i] - l->alpha * (eps_first ? free_x0 : x0[i])) / l->sigma;
        lv[i] = learned ? -3 + 0.7 * (double)F[i / inner * stride + inner + i % inner] : 0;
    }
    a.x = filled(d, n * inner, x);
    a.F = filled(d, n * stride, F);
    a.x0 = filled(d, n * inner, x);
    a.eps = filled(d, n * inner, x);
    a.log_var = learned ? filled(d, n * inner, x) : NULL;
    if (dm_launch_predict(d, &a, &err))
        fail_msg("%s", err.msg);
    expect(a.x0, n * inner, x0, 1e-6, size, "x0");
    expect(a.eps, n * inner, eps, 1e-6, eps_size, "eps");
    if (learned)
        expect(a.log_var, n * inner, lv, 1e-6, 1e-30, "log_var");
    dm_buf_free(a.x);
    dm_buf_free(a.F);
    dm_buf_free(a.x0);
    dm_buf_free(a.eps);
    dm_buf_free(a.log_var);
    free(x0);
    free(eps);
    free(lv);
    free(x);
    free(F);
}

static void predict__forms(void **state)
{
    static const double sigmas[] = {0.9999, 0.5, 0.01, 1e-4};
    static const int64_t sizes[][2] = {{1, 1}, {2, 33}, {3, 784}};

    for (size_t s = 0; s < sizeof sigmas / sizeof sigmas[0]; s++)
        for (int form = 0; form < 3; form++) {
            const double sigma = sigmas[s], alpha = sqrt(1 - sigma * sigma);
            const level forms[] = {{alpha, sigma, 1 / alpha, -sigma / alpha}, {alpha, sigma, 0, 1},
                                   {alpha, sigma, alpha, -sigma}};

            for (int mask = 0; mask < 8; mask++)
                for (size_t i = 0; i < (ops_small() ? 2 : 3); i++)
                    check_predict(*state, &forms[form], mask & 1 ? 1 : 0, mask & 2, mask & 4, sizes[i][0], sizes[i][1]);
        }
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void check_threshold(dm_device *d, int64_t n, int64_t inner, double ratio, double max, float gain)
{
    float *x = values(n * inner, (uint32_t)inner);
    double *want = malloc((size_t)(n * inner) * sizeof *want), *sorted = malloc((size_t)inner * sizeof *sorted);
    dm_buf *b;
    dm_err err = {0};

    for (int64_t i = 0; i < n * inner; i++)
        x[i] = (float)(round((double)(x[i] * gain) * 64) / 64); /* with many equal values */
    for (int64_t k = 0; k < n; k++) {
        const double at = ratio * (double)(inner - 1);
        const int64_t low = (int64_t)floor(at), high = low + 1 < inner ? low + 1 : low;
        double s;

        for (int64_t i = 0; i < inner; i++)
            sorted[i] = fabs((double)x[k * inner + i]);
        qsort(sorted, (size_t)inner, sizeof *sorted, by_size);
        s = fmin(max, fmax(1, sorted[low] + (at - (double)low) * (sorted[high] - sorted[low])));
        for (int64_t i = 0; i < inner; i++)
            want[k * inner + i] = fmax(-s, fmin(s, (double)x[k * inner + i])) / s;
    }
    b = filled(d, n * inner, x);
    if (dm_launch_threshold(d, b, n, inner, ratio, max, &err))
        fail_msg("%s", err.msg);
    expect(b, n * inner, want, 1e-6, 1e-30, "threshold");
    dm_buf_free(b);
    free(x);
    free(want);
    free(sorted);
}

static void threshold__quantiles(void **state)
{
    static const double ratios[] = {0, 0.5, 0.9, 0.995, 1};
    static const int64_t sizes[][2] = {{1, 1}, {2, 2}, {3, 31}, {2, 65}, {3, 3072}};

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof sizes / sizeof sizes[0]); i++)
        for (size_t r = 0; r < sizeof ratios / sizeof ratios[0]; r++) {
            check_threshold(*state, sizes[i][0], sizes[i][1], ratios[r], 100, 1);
            check_threshold(*state, sizes[i][0], sizes[i][1], ratios[r], 1.5, 1);
            check_threshold(*state, sizes[i][0], sizes[i][1], ratios[r], 100, 0.1f);
        }
}

static void check_square_sums(dm_device *d, int64_t n, int64_t inner, bool weighted)
{
    float *x = values(n * inner, 3), *w = values(n * inner, 4);
    double *want = calloc((size_t)n, sizeof *want);
    dm_buf *bx, *bw = NULL, *sums;
    dm_err err = {0};

    assert_non_null(x);
    assert_non_null(w);
    bx = filled(d, n * inner, x);
    if (weighted)
        bw = filled(d, n * inner, w);
    assert_int_equal(dm_buf_new(d, (size_t)n * sizeof(float), "sums", &sums, &err), DM_OK);
    for (int64_t i = 0; i < n * inner; i++)
        want[i / inner] += pow((double)x[i] * (weighted ? (double)w[i] : 1), 2);
    if (dm_launch_square_sums(d, bx, bw, sums, n, inner, &err))
        fail_msg("%s", err.msg);
    expect(sums, n, want, 1e-6, 1e-30, "square_sums");
    dm_buf_free(bx);
    dm_buf_free(bw);
    dm_buf_free(sums);
    free(x);
    free(w);
    free(want);
}

static void square_sums__of_each_example(void **state)
{
    static const int64_t sizes[][2] = {{1, 1}, {2, 2}, {3, 31}, {65, 33}, {3, 3072}};

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof sizes / sizeof sizes[0]); i++)
        for (int weighted = 0; weighted < 2; weighted++)
            check_square_sums(*state, sizes[i][0], sizes[i][1], weighted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sum__terms), cmocka_unit_test(sum__refuses),
                                       cmocka_unit_test(keep__masks),
                                       cmocka_unit_test(predict__forms), cmocka_unit_test(threshold__quantiles),
                                       cmocka_unit_test(square_sums__of_each_example)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
