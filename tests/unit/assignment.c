/* The assignment problem against SciPy's solution; what a batch's coupling makes of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "assignment_goldens.h"
#include "base/assignment.h"
#include "train/coupling.h"

static double *costs(unsigned seed, int n)
{
    double *c = malloc((size_t)n * (size_t)n * sizeof *c);
    uint32_t state = seed;

    for (int i = 0; i < n * n; i++) {
        state = state * 1664525u + 1013904223u;
        c[i] = (double)(state >> 8) / 16777216.0;
    }
    return c;
}

static void assignment__equals_scipys(void **state)
{
    (void)state;
    for (size_t g = 0; g < sizeof goldens / sizeof goldens[0]; g++) {
        const int n = goldens[g].n;
        double *c = costs(goldens[g].seed, n), total = 0;
        int32_t *column = calloc((size_t)n, sizeof *column);
        dm_err err = {0};

        assert_int_equal(dm_assignment(n, c, NULL, column, &err), DM_OK);
        for (int i = 0; i < n; i++) {
            total += c[i * n + column[i]];
            if (i < 64)
                assert_int_equal(column[i], goldens[g].column[i]);
        }
        assert_true(fabs(total - goldens[g].total) < 1e-12 * n);
        free(c);
        free(column);
    }
}

/* Equal costs, negative ones, and rows that all want one column. */
static void assignment__of_unusual_costs(void **state)
{
    static const double equal[9] = {0}, negative[9] = {-1, -2, -3, -2, -4, -6, -3, -6, -9},
                        alike[9] = {0, 5, 9, 0, 5, 9, 0, 5, 9};
    const double bad[4] = {1, NAN, INFINITY, INFINITY};
    int32_t column[3];
    dm_err err = {0};

    (void)state;
    for (int k = 0; k < 3; k++) {
        const double *c = (const double *const[]){equal, negative, alike}[k];
        const double want[3] = {0, -14, 14};
        double total = 0;
        int seen = 0;

        assert_int_equal(dm_assignment(3, c, NULL, column, &err), DM_OK);
        for (int i = 0; i < 3; i++) {
            total += c[3 * i + column[i]];
            seen |= 1 << column[i];
        }
        assert_int_equal(seen, 7);
        assert_true(fabs(total - want[k]) < 1e-12);
    }
    assert_int_equal(dm_assignment(0, equal, NULL, column, &err), DM_OK);
    assert_int_equal(dm_assignment(2, bad, NULL, column, &err), DM_EINVAL);
}

static bool at_the_third(void *user) { return ++*(int *)user == 3; }

/* One that takes minutes ends at the third question, a short one asks nothing. */
static void assignment__stops(void **state)
{
    enum { N = 4000 };
    double *cost = malloc(sizeof *cost * N * N);
    int32_t *column = malloc(sizeof *column * N);
    int asked = 0;
    const dm_assignment_stop stop = {at_the_third, &asked};
    dm_err err = {0};

    (void)state;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            cost[(size_t)i * N + j] = (double)i * j; /* each row looks at almost all columns */
    assert_int_equal(dm_assignment(N, cost, &stop, column, &err), DM_ECANCELLED);
    assert_int_equal(asked, 3);
    assert_int_equal(dm_assignment(20, cost, &stop, column, &err), DM_OK);
    assert_int_equal(asked, 3);
    free(cost);
    free(column);
}

enum { BATCH = 6, EXAMPLE = 37 };

/* The least sum over all orders of the noises from `used` on. */
static double least(double cost[BATCH][BATCH], int row, int used)
{
    double best = INFINITY;

    if (row == BATCH)
        return 0;
    for (int j = 0; j < BATCH; j++)
        if (!(used >> j & 1))
            best = fmin(best, cost[row][j] + least(cost, row + 1, used | 1 << j));
    return best;
}

static double distance(const float *a, const float *b)
{
    double sum = 0;

    for (int i = 0; i < EXAMPLE; i++)
        sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sqrt(sum);
}

static void coupling__has_the_least_cost(void **state)
{
    float x0[BATCH * EXAMPLE], drawn[BATCH * EXAMPLE];

    (void)state;
    for (int i = 0; i < BATCH * EXAMPLE; i++)
        x0[i] = (float)(1.5 * sin(i * 1.3) + (i / EXAMPLE) * 0.4);
    for (int kind = DM_COUPLING_IMMISCIBLE; kind <= DM_COUPLING_OT; kind++)
        for (int step = 0; step < 3; step++) {
            double cost[BATCH][BATCH], total = 0;
            int seen = 0;
            const float *noise;
            dm_coupling *c;
            dm_err err = {0};

            assert_int_equal(dm_coupling_new(kind, BATCH, EXAMPLE, 11, &c, &err), DM_OK);
            assert_int_equal(dm_coupling_noise(c, step, x0, NULL, &noise, &err), DM_OK);
            dm_coupling_draw(11, step, BATCH, EXAMPLE, drawn);
            for (int i = 0; i < BATCH; i++)
                for (int j = 0; j < BATCH; j++) {
                    const double d = distance(x0 + i * EXAMPLE, drawn + j * EXAMPLE);

                    cost[i][j] = kind == DM_COUPLING_OT ? d * d : d;
                    if (!memcmp(noise + i * EXAMPLE, drawn + j * EXAMPLE, EXAMPLE * sizeof *noise)) {
                        total += cost[i][j];
                        seen |= 1 << j;
                    }
                }
            assert_int_equal(seen, (1 << BATCH) - 1); /* each noise once, as it is */
            assert_true(fabs(total - least(cost, 0, 0)) < 1e-5 * total);
            dm_coupling_free(c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(assignment__equals_scipys),
                                       cmocka_unit_test(assignment__of_unusual_costs),
                                       cmocka_unit_test(assignment__stops),
                                       cmocka_unit_test(coupling__has_the_least_cost)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
