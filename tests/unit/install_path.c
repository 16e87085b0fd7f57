/* What lies beside the program is found wherever the program is called from. */
#include "scratch.h"

#include "base/install_path.h"

static void is_beside_the_program(void **state)
{
    char here[PATH_MAX], want[PATH_MAX + 16], out[PATH_MAX];
    const ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);

    (void)state;
    assert_true(n > 0);
    here[n] = 0;
    *strrchr(here, '/') = 0;
    snprintf(want, sizeof want, "%s/../lib/x", here);
    assert_string_equal(dm_install_path("../lib/x", out), want);
    assert_int_equal(chdir("/"), 0);
    assert_string_equal(dm_install_path("../lib/x", out), want);
}

static void stays_as_it_is(void **state)
{
    char out[PATH_MAX];

    (void)state;
    assert_string_equal(dm_install_path("/usr/lib/x", out), "/usr/lib/x");
    assert_string_equal(dm_install_path("", out), "");
}

static void is_too_long(void **state)
{
    static char name[PATH_MAX];
    char out[PATH_MAX];

    (void)state;
    memset(name, 'x', sizeof name - 1);
    assert_null(dm_install_path(name, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_beside_the_program), cmocka_unit_test(stays_as_it_is),
                                       cmocka_unit_test(is_too_long)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
