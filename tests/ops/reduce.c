/* reduce against sums in double precision. */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t red = n->a.reduce.red, inner = n->a.reduce.inner;

    for (int64_t o = 0; o < n->a.reduce.outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double s = 0;

            for (int64_t r = 0; r < red; r++)
                s += in[0][(o * red + r) * inner + i];
            out[0][o * inner + i] = n->a.reduce.k * s + (n->accum ? out[0][o * inner + i] : 0);
        }
}

static void reduce__shapes(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 1}, {2, 3, 5}, {1, 33, 65}, {2, 600, 17}, {1, 100, 16},
                                        {65, 31, 33}, {2, 784, 1}, {1, 40000, 1}, {3, 40001, 1}, {1, 3000, 3},
                                        {1, 5000, 64}, {4, 1024, 100}, {1, 1, 7}, {7, 1, 1},
                                        {1, 700, 1}, {2, 513, 129}};

    for (size_t i = 0; i < (ops_small() ? 5 : sizeof shapes / sizeof shapes[0]); i++)
        for (int accum = 0; accum < 2; accum++) {
            const int64_t *s = shapes[i];
            ops_case c = {.name = "reduce", .reference = reference, .tolerance = 2e-6};

            c.node = (dm_opnode){.kind = DM_OP_REDUCE, .n_in = 1, .n_out = 1, .accum = accum,
                                 .in = {OPS_DESC(s[0], s[1], s[2])}, .out = {OPS_DESC(s[0], s[2])}};
            c.node.a.reduce.outer = s[0];
            c.node.a.reduce.red = s[1];
            c.node.a.reduce.inner = s[2];
            c.node.a.reduce.k = accum ? 1 : 1 / (double)s[1];
            ops_check(*state, &c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reduce__shapes)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
