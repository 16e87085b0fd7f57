/* Noise levels drawn by losses: the density that is learned, its weights, and what is passed over. */
#include "noise/importance.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { PARTS = 7, DRAWS = 70000 };

static dm_importance *make(void)
{
    dm_importance *m;
    dm_err err = {0};

    assert_int_equal(dm_importance_new(PARTS, &m, &err), DM_OK);
    return m;
}

static float loss_of(int part, int k) { return (float)(1 + part * part) * (1 + 0.1f * (float)k); }

static void importance__is_uniform_until_all_parts_are_known(void **state)
{
    dm_importance *m = make();

    (void)state;
    for (int part = 0; part < PARTS; part++)
        for (int k = 0; k < DM_IMPORTANCE_HISTORY - (part == 3); k++)
            dm_importance_see(m, (part + 0.5) / PARTS, loss_of(part, k));
    dm_importance_see(m, 3.5 / PARTS, INFINITY);
    dm_importance_see(m, 3.5 / PARTS, NAN);
    dm_importance_update(m);
    for (int i = 0; i < 100; i++) {
        double v, w;

        dm_importance_draw(m, (i + 0.5) / 100, &v, &w);
        assert_true(fabs(v - (i + 0.5) / 100) < 1e-8 && fabs(w - 1) < 1e-12);
    }
    dm_importance_free(m);
}

/* Each part as often as its share of the root mean squares says, the weights so that every mean stays what it was. */
static void importance__follows_the_last_losses(void **state)
{
    dm_importance *m = make();
    double total = 0, rms[PARTS] = {0}, mean = 0, first = 0;
    int64_t hits[PARTS] = {0};

    (void)state;
    for (int part = 0; part < PARTS; part++) {
        for (int k = 0; k < DM_IMPORTANCE_HISTORY + 3; k++) /* the first three are forgotten */
            dm_importance_see(m, (part + 0.5) / PARTS, k < 3 ? 1e6f : loss_of(part, k - 3));
        for (int k = 0; k < DM_IMPORTANCE_HISTORY; k++)
            rms[part] += pow(loss_of(part, k), 2) / DM_IMPORTANCE_HISTORY;
        total += rms[part] = sqrt(rms[part]);
    }
    dm_importance_update(m);
    for (int i = 0; i < DRAWS; i++) {
        double v, w;
        int part;

        dm_importance_draw(m, (i + 0.5) / DRAWS, &v, &w);
        assert_true(v > 0 && v < 1);
        part = (int)(v * PARTS);
        hits[part]++;
        mean += w / DRAWS;
        first += part == 0 ? w / DRAWS : 0;
    }
    for (int part = 0; part < PARTS; part++)
        assert_true(fabs((double)hits[part] / DRAWS - (0.999 * rms[part] / total + 0.001 / PARTS)) < 2e-5);
    assert_true(fabs(mean - 1) < 1e-3 && fabs(first - 1.0 / PARTS) < 1e-3);
    dm_importance_free(m);
}

static void importance__ends_are_inside(void **state)
{
    dm_importance *m = make();
    double v, w;

    (void)state;
    dm_importance_draw(m, 1e-300, &v, &w);
    assert_true(v > 0);
    dm_importance_draw(m, 1 - 1e-16, &v, &w);
    assert_true(v < 1);
    dm_importance_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(importance__is_uniform_until_all_parts_are_known),
                                       cmocka_unit_test(importance__follows_the_last_losses),
                                       cmocka_unit_test(importance__ends_are_inside)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
