/* Choices of implementations out of files: entries that cannot be trusted, and those of a run that goes on. */
#include "choices_case.h"

#include <sys/stat.h>

/* The entry with `from` replaced by `to`. */
static char *changed(const char *good, const char *from, const char *to)
{
    static char text[65536];
    const char *at = strstr(good, from);

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

static void choices__entries_are_not_trusted(void **state)
{
    static const struct { const char *from, *to;
    } changes[] = {
        {"demist ", "demist 9"},
        {"\"op\": \"conv2d", "\"op\": \"conv3d"},
        {"measured", "guessed"},
        {"\"run\": ", "\"run\": -"},
        {"\"implementation\": \"", "\"implementation\": \"no"},
        {"\"dropped\": false", "\"dropped\": 0"},
        {"}", ""},
        {"\"run\": ", "\"run\": 1e9"},
    };
    dm_device *d = open_device(*state, NULL);
    heard h = {0};
    dm_choices *c = open_choices(d, DM_TUNE_ON, &h);
    char path[512], good[65536];

    measure(c);
    dm_choices_free(c);
    entry_path(*state, path);
    snprintf(good, sizeof good, "%s", read_text(path));
    for (size_t i = 0; i < sizeof changes / sizeof changes[0] + 3; i++) {
        if (i < sizeof changes / sizeof changes[0])
            write_text(path, changed(good, changes[i].from, changes[i].to));
        else
            write_text(path, i % 3 == 0 ? "" : i % 3 == 1 ? good : "[1, 2");
        chmod(path, i >= sizeof changes / sizeof changes[0] && i % 3 == 1 ? 0666 : 0644);
        c = open_choices(d, DM_TUNE_AUTO, &h);
        if (strcmp(pick(c, d, true).why, "by rule"))
            fail_msg("a changed entry was used: %s", read_text(path));
        dm_choices_free(c);
    }
    /* It is measured again, and then there. */
    c = open_choices(d, DM_TUNE_ON, &h);
    measure(c);
    dm_choices_free(c);
    c = open_choices(d, DM_TUNE_AUTO, &h);
    assert_non_null(strstr(pick(c, d, true).why, "measured"));
    dm_choices_free(c);
    dm_device_close(d);
}

static void choices__as_the_run_began(void **state)
{
    dm_device *d = open_device(*state, NULL);
    heard h = {0};
    dm_choices *c = open_choices(d, DM_TUNE_OFF, &h);
    const char *name = pick(c, d, true).impl->name, *other = "portable";
    json_t *j = dm_choices_json(c), *bad = json_pack("{s:i}", "conv2d", 3);
    dm_err err = {0};
    char key[512];
    dm_opnode n = convolution();

    dm_op_key(&n, key, sizeof key);
    assert_int_equal(json_object_size(j), 1);
    assert_string_equal(json_string_value(json_object_get(j, key)), name);
    json_object_set_new(j, key, json_string(other));
    must(dm_choices_keep(c, j, &err), &err);
    assert_string_equal(pick(c, d, true).impl->name, other);
    assert_string_equal(pick(c, d, true).why, "as the run began");
    assert_string_equal(pick(c, d, false).impl->name, name); /* plans that do not train are free */
    assert_int_equal(dm_choices_keep(c, bad, &err), DM_EINVAL);
    assert_int_equal(dm_choices_keep(c, json_object_get(bad, "conv2d"), &err), DM_EINVAL);
    json_decref(bad);
    dm_choices_free(c);

    c = open_choices(d, DM_TUNE_OFF, &h);
    json_object_set_new(j, key, json_string("gone"));
    must(dm_choices_keep(c, j, &err), &err);
    assert_string_equal(pick(c, d, true).impl->name, name);
    assert_non_null(strstr(h.lines, "the run chose gone for conv2d"));
    json_decref(j);
    dm_choices_free(c);
    dm_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(choices__entries_are_not_trusted, no_choices),
        cmocka_unit_test_setup(choices__as_the_run_began, no_choices),
    };

    return cmocka_run_group_tests(tests, new_folder, remove_folder);
}
