/* Parts of a batch in proportion to weights, and when another partition is worth its cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "comm/share.h"
#include "train/balance.h"

static void parts__follow_weights(void **state)
{
    static const struct { int64_t batch, micro; int size; double weight[4]; int64_t want[4]; } cases[] = {
        {32, 0, 2, {2, 1}, {22, 10}}, /* no longer than 21 and 11 */
        {32, 0, 2, {1, 1}, {16, 16}},     {33, 0, 2, {1, 1}, {17, 16}},      {4, 0, 4, {1000, 1, 1, 1}, {1, 1, 1, 1}},
        {5, 0, 3, {1, 1000, 1}, {1, 3, 1}}, {40, 8, 2, {3, 1}, {32, 8}},     {42, 8, 2, {1, 3}, {8, 34}},
        {10, 8, 2, {9, 1}, {8, 2}},       {12, 8, 3, {2, 1, 1}, {6, 3, 3}}, {1048576, 0, 2, {1, 1000}, {1047, 1047529}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t n[4], sum = 0;

        dm_share_weighted(cases[i].batch, cases[i].micro, cases[i].weight, cases[i].size, n);
        for (int k = 0; k < cases[i].size; k++) {
            if (n[k] != cases[i].want[k])
                print_error("case %zu: part %d is %lld\n", i, k, (long long)n[k]);
            assert_int_equal(n[k], cases[i].want[k]);
            sum += n[k];
        }
        assert_int_equal(sum, cases[i].batch);
    }
}

/* Equal weights part as dm_share_of does. */
static void parts__even(void **state)
{
    static const double one[7] = {1, 1, 1, 1, 1, 1, 1};

    (void)state;
    for (int size = 1; size <= 7; size++)
        for (int64_t batch = size; batch < 60; batch++)
            for (int64_t micro = 0; micro < 9; micro++) {
                int64_t n[7];

                dm_share_weighted(batch, micro, one, size, n);
                for (int k = 0; k < size; k++)
                    assert_int_equal(n[k], dm_share_of(batch, micro, k, size).n);
            }
}

static void change__is_worth_it(void **state)
{
    const dm_balance_rank half[2] = {{0.01, 3, true}, {0.02, 1, true}}, near[2] = {{0.01, 0, true}, {0.0104, 0, true}};
    const int64_t even[2] = {16, 16}, by_speed[2] = {21, 11};

    (void)state;
    /* 0.32 seconds a step become 0.22: over 300 steps ten times the 3 seconds of a plan. */
    assert_true(dm_balance_worth(half, 2, even, by_speed, 301));
    assert_false(dm_balance_worth(half, 2, even, by_speed, 299));
    assert_false(dm_balance_worth(half, 2, by_speed, even, 1000000));
    assert_false(dm_balance_worth(near, 2, even, (const int64_t[]){17, 15}, 1000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts__follow_weights),
        cmocka_unit_test(parts__even),
        cmocka_unit_test(change__is_worth_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
