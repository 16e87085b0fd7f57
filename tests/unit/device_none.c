/* A machine without any OpenCL driver: the loader finds nothing (OCL_ICD_VENDORS points nowhere). */
#include "device_setup.h"
#include "device/doctor.h"

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
        must_fail(dm_device_pick(selects[i], &info, &err), DM_EDEVICE, &err, "OCL_ICD_VENDORS is set");
        must_fail(dm_device_open(selects[i], NULL, &d, &err), DM_EDEVICE, &err, selects[i]);
    }
}

static void doctor__says_what_to_install(void **state)
{
    char text[8192] = "";
    FILE *f = tmpfile();
    dm_err err;
    dm_findings found = {.out = f, .err = &err};

    (void)state;
    assert_non_null(f);
    dm_doctor(&found);
    must_fail(found.first, DM_EDEVICE, &err, "OCL_ICD_VENDORS is set");
    rewind(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    assert_non_null(strstr(text, "FAIL  platforms: none, clGetPlatformIDs: CL_PLATFORM_NOT_FOUND_KHR (-1001)"));
    assert_non_null(strstr(text, "OK    CLBlast: version "));
    assert_null(strstr(text, "device "));
    fclose(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(list__is_empty), cmocka_unit_test(pick__says_what_to_install),
                                       cmocka_unit_test(doctor__says_what_to_install)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
