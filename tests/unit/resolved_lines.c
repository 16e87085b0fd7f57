/* Lines of a resolved experiment without parsing it, whoever wrote them. */
#include "scratch.h"

#include "experiment/resolved_lines.h"

static void is_text(const char *at, int n, const char *wanted)
{
    assert_int_equal(n, strlen(wanted));
    assert_memory_equal(at, wanted, (size_t)n);
}

static void lines__have_keys_and_values(void **state)
{
    static const struct { const char *section, *key, *value, *whole; bool head; } wanted[] = {
        {"", "name", "moons", "name", false},
        {"train", "train", "", "train", true},
        {"train", "steps", "10: 20", "train.steps", false},
        {"train", "words", "", "train.words", false},
        {"other", "other", "", "other", true},
    };
    static const char text[] = "name: moons\ntrain:\n  steps: 10: 20\n  words\nother";
    char key[DM_RESOLVED_KEY];
    dm_resolved_line l = {.section = ""};
    const char *at = text;

    (void)state;
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        assert_true(dm_resolved_next(&at, &l));
        assert_string_equal(l.section, wanted[i].section);
        is_text(l.key, l.key_length, wanted[i].key);
        is_text(l.value, l.value_length, wanted[i].value);
        assert_string_equal(dm_resolved_key(&l, key), wanted[i].whole);
        assert_int_equal(l.head, wanted[i].head);
        assert_true(l.value <= text + sizeof text - 1);
    }
    assert_false(dm_resolved_next(&at, &l));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(lines__have_keys_and_values)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
