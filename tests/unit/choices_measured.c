/* Choices of implementations by measurement: once, as far as time goes, and without those that are wrong. */
#include "choices_case.h"

#include <sys/stat.h>

static void choices__measured_once(void **state)
{
    dm_device *d = open_device(*state, NULL);
    heard first = {0}, second = {0};
    dm_choices *c = open_choices(d, DM_TUNE_ON, &first);
    char path[512], name[32];
    dm_choice got;

    measure(c);
    got = pick(c, d, true);
    snprintf(name, sizeof name, "%s", got.impl->name);
    assert_non_null(strstr(got.why, "measured: "));
    assert_non_null(strstr(got.why, name));
    assert_non_null(strstr(first.lines, "measured 1 of 1 ops"));
    dm_choices_free(c);
    entry_path(*state, path);
    assert_true(path[0]);

    c = open_choices(d, DM_TUNE_AUTO, &second);
    measure(c);
    got = pick(c, d, true);
    assert_string_equal(got.impl->name, name);
    assert_non_null(strstr(got.why, "measured: "));
    assert_string_equal(second.lines, "");
    dm_choices_free(c);
    dm_device_close(d);
}

typedef struct stop { heard h; int asked, allowed; } stop;

static void hear_of_stop(void *user, dm_log_level level, const char *line) { hear(&((stop *)user)->h, level, line); }
static bool at_a_question(void *user) { return ++((stop *)user)->asked > ((stop *)user)->allowed; }

static dm_choices *open_stopping(dm_device *d, bool high, int allowed, stop *w)
{
    const dm_choices_options o = {.tune = DM_TUNE_ON,
                                  .high = high,
                                  .budget = 1000,
                                  .log = hear_of_stop,
                                  .stopped = at_a_question,
                                  .user = w};
    dm_choices *c;
    dm_err err = {0};

    *w = (stop){.allowed = allowed};
    must(dm_choices_new(d, &o, &c, &err), &err);
    return c;
}

/* A wish to stop ends it within an implementation; what is not whole is not kept. What is, is not measured again, and
 * may be chosen. */
static void choices__stopped(void **state)
{
    dm_device *d = open_device(*state, NULL);
    json_t *before, *after, *list;
    dm_choices *c;
    char path[512];
    stop w;
    int asked = 2;

    c = open_stopping(d, true, asked, &w);
    measure(c);
    assert_int_equal(w.asked, 3);
    assert_non_null(strstr(w.h.lines, "measured 0 of 1 ops"));
    assert_string_equal(pick(c, d, true).why, "by rule");
    dm_choices_free(c);
    for (entry_path(*state, path); !path[0]; entry_path(*state, path)) {
        assert_true(asked < 10);
        c = open_stopping(d, true, ++asked, &w);
        measure(c);
        assert_non_null(strstr(w.h.lines, "measured 0 of 1 ops"));
        dm_choices_free(c);
    }
    before = entry(*state);
    assert_int_equal(json_array_size(json_object_get(before, "measured")), 1);

    c = open_stopping(d, true, 1000, &w);
    measure(c);
    assert_non_null(strstr(w.h.lines, "measured 1 of 1 ops"));
    assert_non_null(strstr(pick(c, d, true).why, "measured: "));
    dm_choices_free(c);
    after = entry(*state);
    list = json_object_get(after, "measured");
    assert_true(json_array_size(list) > 1);
    assert_true(json_equal(json_array_get(list, 0), json_array_get(json_object_get(before, "measured"), 0)));
    json_decref(before);
    json_decref(after);
    dm_device_close(d);
}

/* Those that round more are more candidates: what others took is known. */
static void choices__of_both_precisions(void **state)
{
    dm_device *d = open_device(*state, NULL);
    json_t *before, *after;
    dm_choices *c;
    stop w;

    c = open_stopping(d, false, 1000, &w);
    measure(c);
    dm_choices_free(c);
    before = entry(*state);
    c = open_stopping(d, true, 1000, &w);
    measure(c);
    assert_non_null(strstr(w.h.lines, "measured 1 of 1 ops"));
    dm_choices_free(c);
    after = entry(*state);
    assert_true(json_array_size(json_object_get(after, "measured")) >
                json_array_size(json_object_get(before, "measured")));
    for (size_t i = 0; i < json_array_size(json_object_get(before, "measured")); i++)
        assert_true(json_equal(json_array_get(json_object_get(after, "measured"), i),
                               json_array_get(json_object_get(before, "measured"), i)));
    json_decref(before);
    json_decref(after);
    c = open_stopping(d, false, 1000, &w);
    measure(c);
    assert_string_equal(w.h.lines, "");
    dm_choices_free(c);
    dm_device_close(d);
}

/* The seconds are used up before anything is begun. */
static void choices__no_time(void **state)
{
    dm_device *d = open_device(*state, NULL);
    heard h = {0};
    const dm_choices_options o = {.tune = DM_TUNE_ON, .high = true, .budget = 1e-9, .log = hear, .user = &h};
    char path[512];
    dm_choices *c;
    dm_err err = {0};

    must(dm_choices_new(d, &o, &c, &err), &err);
    measure(c);
    assert_non_null(strstr(h.lines, "measured 0 of 1 ops"));
    dm_choices_free(c);
    entry_path(*state, path);
    assert_string_equal(path, "");
    dm_device_close(d);
}

/* Of two ops, with time for one, the one with more work. */
static void choices__most_to_gain(void **state)
{
    const dm_opnode small = convolution();
    dm_opnode large = convolution();
    const dm_opnode *const ops[] = {&small, &large};
    dm_device *d = open_device(*state, NULL);
    char key[512];
    dm_choices *c;
    json_t *j;
    stop w;

    large.in[0].dim[0] = large.out[0].dim[0] = 64;
    dm_op_key(&large, key, sizeof key);
    for (int asked = 3; asked < 10; asked++) {
        char path[512];

        c = open_stopping(d, true, asked, &w);
        dm_choices_measure(c, ops, 2, 1);
        dm_choices_free(c);
        entry_path(*state, path);
        if (path[0])
            break;
    }
    j = entry(*state);
    assert_string_equal(json_string_value(json_object_get(j, "op")), key);
    json_decref(j);
    dm_device_close(d);
}

/* Every product that this kernel sums is off by a hundredth. */
static void spoil(const char *dir, const char *file)
{
    static const char wrong[] = "__attribute__((overloadable)) static float16 wrong_fma(float16 a, float16 b, float16 "
                                "c) { return fma(a * 1.01f, b, c); }\n"
                                "__attribute__((overloadable)) static float wrong_fma(float a, float b, float c) { "
                                "return fma(a * 1.01f, b, c); }\n"
                                "#undef fma\n#define fma wrong_fma\n";
    const char *source = getenv("DEMIST_SOURCE");
    char from[512], to[512], sub[512], text[1 << 17];

    snprintf(from, sizeof from, "%s/kernels/%s", source, file);
    snprintf(sub, sizeof sub, "%s/conv", dir);
    snprintf(to, sizeof to, "%s/%s", dir, file);
    mkdir(sub, 0777);
    snprintf(text, sizeof text, "%s%s", wrong, read_text(from));
    write_text(to, text);
}

static void choices__wrong_one_is_dropped(void **state)
{
    heard h = {0};
    dm_device *d;
    dm_choices *c;
    char path[512];

    spoil(*state, "conv/conv2d_vec16.cl");
    d = open_device(*state, *state);
    c = open_choices(d, DM_TUNE_ON, &h);
    if (strcmp(pick(c, d, false).impl->name, "vec16")) {
        print_message("vec16 is not this device's first choice\n");
        dm_choices_free(c);
        dm_device_close(d);
        skip();
    }
    measure(c);
    assert_string_not_equal(pick(c, d, false).impl->name, "vec16");
    assert_non_null(strstr(pick(c, d, false).why, "vec16 dropped (off by 0.01)"));
    assert_int_equal(h.warnings, 1);
    assert_non_null(strstr(h.lines, "vec16 is not used for conv2d f32[2,8,8,16]"));
    entry_path(*state, path); /* kernels from a folder may change at any time: nothing is kept */
    assert_string_equal(path, "");
    dm_choices_free(c);
    dm_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(choices__measured_once, no_choices),
        cmocka_unit_test_setup(choices__stopped, no_choices),
        cmocka_unit_test_setup(choices__of_both_precisions, no_choices),
        cmocka_unit_test_setup(choices__no_time, no_choices),
        cmocka_unit_test_setup(choices__most_to_gain, no_choices),
        cmocka_unit_test_setup(choices__wrong_one_is_dropped, no_choices),
    };

    return cmocka_run_group_tests(tests, new_folder, remove_folder);
}
