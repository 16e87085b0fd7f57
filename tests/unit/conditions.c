/* Conditions that are made of images: their shapes and values. */
#include "data/conditions.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { C = 3, H = 16, W = 24, PLANE = H * W };

static const dm_data_info images = {.size = sizeof images, .shape = {3, {C, H, W, 1, 1, 1, 1, 1}}, .classes = 2};
static const int64_t all[] = {DM_DERIVE_DOWNSCALE, DM_DERIVE_MASK, DM_DERIVE_GREY, DM_DERIVE_NOISED};
static const dm_set_condition set = {.derive = {4, all}, .factor = 4, .hole = 0.5, .noise = 0.25};

static dm_conditions find(void)
{
    static const double drop[] = {0.1, 0.2, 0.3, 0.4, 0.5};
    const dm_reals each = {5, drop};
    dm_section_id at;
    dm_conditions c;
    dm_err err = {0};

    assert_int_equal(dm_conditions_find(&set, &each, &images, &c, &at, &err), DM_OK);
    return c;
}

static void fill(float *x)
{
    for (int i = 0; i < C * PLANE; i++)
        x[i] = (float)((i * 37) % 101) / 50 - 1;
}

static void derive(const dm_conditions *c, int32_t k, uint32_t step, uint32_t index, float *out)
{
    float x[C * PLANE];

    fill(x);
    dm_condition_derive(&set, c, k, &images.shape, x, 7, step, index, out);
}

static void conditions__are_found(void **state)
{
    const dm_conditions c = find();
    const dm_set_condition odd = {.derive = {1, all}, .factor = 5};
    const double one = 0.5;
    const dm_reals single = {1, &one};
    dm_section_id at;
    dm_conditions d;
    dm_err err = {0};

    (void)state;
    assert_string_equal(dm_conditions_show(&c, 2).text,
                        "class of 2, downscale (image 3 x 4 x 6), mask (image 4 x 16 x 24), grey (image 1 x 16 x 24), "
                        "noised (image 3 x 16 x 24)");
    assert_true(!c.together && c.drop_class == 0.1 && c.drop[0] == 0.2 && c.drop[3] == 0.5);
    assert_int_equal(dm_conditions_find(&odd, &single, &images, &d, &at, &err), DM_EINVAL);
    assert_true(at == DM_SEC_CONDITION && !strncmp(err.msg, "factor: 5", 9));
    assert_false(dm_conditions_same(&c, &d));
    assert_true(dm_conditions_same(&c, &c));
}

static void downscale__is_the_mean_of_squares(void **state)
{
    const dm_conditions c = find();
    float x[C * PLANE], out[C * 4 * 6];

    (void)state;
    fill(x);
    derive(&c, 0, 1, 2, out);
    for (int k = 0; k < C; k++)
        for (int y = 0; y < 4; y++)
            for (int i = 0; i < 6; i++) {
                double sum = 0;

                for (int p = 0; p < 16; p++)
                    sum += (double)x[k * PLANE + (4 * y + p / 4) * W + 4 * i + p % 4];
                assert_true(fabs((double)out[(k * 4 + y) * 6 + i] - sum / 16) < 1e-6);
            }
}

/* Each example has other holes, the same whenever it is asked; neither none nor all is missing. */
static void mask__has_holes(void **state)
{
    const dm_conditions c = find();
    float x[C * PLANE], a[4 * PLANE], b[4 * PLANE];
    double share = 0;

    (void)state;
    fill(x);
    for (uint32_t i = 0; i < 200; i++) {
        int holes = 0;

        derive(&c, 1, 3, i, a);
        derive(&c, 1, 3, i, b);
        assert_memory_equal(a, b, sizeof a);
        derive(&c, 1, 4, i, b);
        assert_memory_not_equal(a, b, sizeof a);
        for (int p = 0; p < PLANE; p++) {
            const float hole = a[C * PLANE + p];

            assert_true(hole == 0 || hole == 1);
            holes += hole > 0;
            for (int k = 0; k < C; k++)
                assert_true(a[k * PLANE + p] == (hole > 0 ? 0 : x[k * PLANE + p]));
        }
        assert_true(holes > 0 && holes < PLANE * 9 / 10);
        share += holes / (200.0 * PLANE);
    }
    assert_true(share > 0.05 && share < 0.4);
}

static void grey_and_noised__are_near(void **state)
{
    const dm_conditions c = find();
    float x[C * PLANE], grey[PLANE], noised[C * PLANE];
    double sum = 0, squares = 0;

    (void)state;
    fill(x);
    derive(&c, 2, 1, 0, grey);
    for (int p = 0; p < PLANE; p++)
        assert_true(fabs((double)grey[p] - (0.299 * (double)x[p] + 0.587 * (double)x[PLANE + p] +
                                            0.114 * (double)x[2 * PLANE + p])) < 1e-6);
    for (uint32_t i = 0; i < 20; i++) {
        derive(&c, 3, 1, i, noised);
        for (int p = 0; p < C * PLANE; p++) {
            const double e = (double)noised[p] - (double)x[p];

            sum += e;
            squares += e * e;
        }
    }
    assert_true(fabs(sum / (20 * C * PLANE)) < 4 * 0.25 / sqrt(20 * C * PLANE));
    assert_true(fabs(sqrt(squares / (20 * C * PLANE)) - 0.25) < 0.006);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conditions__are_found),
        cmocka_unit_test(downscale__is_the_mean_of_squares),
        cmocka_unit_test(mask__has_holes),
        cmocka_unit_test(grey_and_noised__are_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
