/* What `demist doctor` and `demist devices` print where there are devices. */
#include "device_setup.h"
#include "device/doctor.h"
#include "plugin/plugin_doctor.h"

#include <jansson.h>

static char *slurp(FILE *f)
{
    char *s = calloc(1, 1 << 16);

    assert_non_null(s);
    rewind(f);
    assert_true(fread(s, 1, (1 << 16) - 1, f) > 0);
    fclose(f);
    return s;
}

static void doctor__runs_a_kernel_on_each_device(void **state)
{
    FILE *f = tmpfile();
    dm_device_info *all;
    dm_err err = {0};
    dm_findings found = {.out = f, .err = &err};
    char *text;
    int n;

    (void)state;
    assert_non_null(f);
    dm_doctor(&found);
    dm_plugin_doctor(&found);
    must(found.first, &err);
    text = slurp(f);
    must(dm_device_list(&all, &n, &err), &err);
    for (int i = 0; i < n; i++) {
        char want[320];

        snprintf(want, sizeof want, "OK    device %d:%d: '%s' (%s)", all[i].platform, all[i].device, all[i].name,
                 all[i].platform_name);
        assert_non_null(strstr(text, want));
    }
    assert_null(strstr(text, "FAIL"));
    assert_non_null(strstr(text, "OK    loader"));
    assert_non_null(strstr(text, "OK    cache: '"));
    assert_non_null(strstr(text, "OK    plugins: "));
    free(all);
    free(text);
}

static void devices__table_and_json_agree_with_the_list(void **state)
{
    FILE *table = tmpfile(), *json = tmpfile();
    dm_device_info *all;
    dm_err err;
    char *text;
    json_t *j;
    int n;

    (void)state;
    assert_true(table && json);
    must(dm_devices_print(table, false, &err), &err);
    must(dm_devices_print(json, true, &err), &err);
    must(dm_device_list(&all, &n, &err), &err);
    text = slurp(json);
    assert_non_null(j = json_loads(text, 0, NULL));
    free(text);
    text = slurp(table);
    assert_int_equal(json_array_size(j), n);
    for (int i = 0; i < n; i++) {
        const json_t *o = json_array_get(j, (size_t)i);

        assert_string_equal(json_string_value(json_object_get(o, "name")), all[i].name);
        assert_string_equal(json_string_value(json_object_get(o, "platform")), all[i].platform_name);
        assert_int_equal(json_integer_value(json_object_get(o, "max_alloc")), all[i].max_alloc);
        assert_int_equal(json_is_true(json_object_get(o, "fp64")), all[i].fp64);
        assert_non_null(strstr(text, all[i].name));
        assert_non_null(strstr(text, all[i].driver));
    }
    json_decref(j);
    free(text);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(doctor__runs_a_kernel_on_each_device),
                                       cmocka_unit_test(devices__table_and_json_agree_with_the_list)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
