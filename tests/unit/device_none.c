/* A machine without any OpenCL driver: the loader finds nothing (OCL_ICD_VENDORS points nowhere). */
#include "device_setup.h"

static void list__is_empty(void **state)
{
    dm_device_info *all;
    dm_err err;
    int n = -1;

    (void)state;
    must(dm_device_list(&all, &n, &err), &err);
    assert_int_equal(n, 0);
    free(all);
}

static void pick__says_what_to_install(void **state)
{
    static const char *const selects[] = {"auto", "cpu", "gpu", "0:0", "nvidia"};
    dm_device_info info;
    dm_device *d;
    dm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof selects / sizeof selects[0]; i++) {
        must_fail(dm_device_pick(selects[i], &info, &err), DM_EDEVICE, &err, "pocl-opencl-icd");
        must_fail(dm_device_open(selects[i], NULL, &d, &err), DM_EDEVICE, &err, selects[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(list__is_empty), cmocka_unit_test(pick__says_what_to_install)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
