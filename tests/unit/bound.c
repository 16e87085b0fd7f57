/* The decoder's masses, however far out, against 60 digits; what the bound's terms of every image are is in
 * cli/test_bound.py. */
#include "eval/bound.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bound_goldens.h"

static void bound__masses_never_underflow(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof masses / sizeof masses[0]; i++) {
        const double *m = masses[i], got = dm_log_mass(m[0], m[1], m[2], m[3]);

        if (!(fabs(got - m[4]) <= 1e-10 * fabs(m[4]) + 1e-12))
            fail_msg("ln mass of [%g, %g], mean %g, log-variance %g: %.15g, not %.15g", m[0], m[1], m[2], m[3], got,
                     m[4]);
    }
}

/* All bins together hold all of the mass. */
static void bound__bins_add_up(void **state)
{
    static const double at[][2] = {{0.3, -3}, {-0.99, -8}, {1.5, -2}};
    const dm_data_info data = {.size = sizeof data, .levels = 256, .low = -1, .high = 1};

    (void)state;
    for (int k = 0; k < 3; k++) {
        const float F = (float)at[k][0], x = 0;
        const dm_bound_step s = {.affine = {0, 1, 1, 0}, .q = {.c_x0 = 1}, .decodes = true, .k0 = at[k][1]};
        double sum = 0;

        for (int level = 0; level < 256; level++) {
            const float x0 = (float)(level / 127.5 - 1);

            sum += exp2(-dm_bound_term(&s, &data, &x0, &x, &F, 1));
        }
        assert_true(fabs(sum - 1) < 1e-5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(bound__masses_never_underflow),
                                       cmocka_unit_test(bound__bins_add_up)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
