/* Values by their rows: what is accepted, what is refused and with which words, and that what is
 * printed reads back as the same. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/number.h"
#include "settings/param.h"
#include "text/suggest.h"

typedef struct {
    int64_t i;
    double r;
    bool b;
    int32_t e;
    const char *s, *p;
    dm_ints is;
    dm_reals rs;
    dm_ints es;
    const char *ts;
} cfg;

static const dm_param rows[] = {
    DM_INT(cfg, i, "3", -5, 1000, "steps", "a whole number"),
    DM_REAL(cfg, r, "0.5", 0, 1, "", "a number"),
    DM_BOOL(cfg, b, "false", "a switch"),
    DM_ENUM(cfg, e, "x0", "eps|x0|velocity", "a choice"),
    DM_STRING(cfg, s, "plain text", "a text"),
    DM_PATH(cfg, p, "", "a path"),
    DM_INTS(cfg, is, "[1, 2]", 1, 64, "pixels", "whole numbers"),
    DM_REALS(cfg, rs, "[]", 0, 1, "", "numbers"),
    DM_ENUMS(cfg, es, "[x0]", "eps|x0|velocity", "choices"),
    DM_TEXTS(cfg, ts, "one", "texts"),
    DM_END,
};

typedef struct { const char *key, *text, *printed, *error; bool quoted; } scalar_case;

static const scalar_case scalars[] = {
    {"i", "7", "7", NULL, false},
    {"i", "-5", "-5", NULL, false},
    {"i", "+12", "12", NULL, false},
    {"i", "-6", NULL, "-6 is outside [-5, 1000] steps (a whole number)", false},
    {"i", "1.5", NULL, "'1.5' is not an integer; write out the digits, without '.' or exponent", false},
    {"i", "1e3", NULL, "'1e3' is not an integer; write out the digits, without '.' or exponent", false},
    {"i", "0o17", NULL, "'0o17' is not an integer; write it in decimal, without a leading 0", false},
    {"i", "0x1f", NULL, "'0x1f' is not an integer; write it in decimal, without a leading 0", false},
    {"i", "017", NULL, "'017' is not an integer; write it in decimal, without a leading 0", false},
    {"i", "1_000", NULL, "'1_000' is not an integer; write the digits without separators", false},
    {"i", "no", NULL, "'no' is not an integer", false},
    {"i", "7", NULL, "'7' is quoted, so it is text; a number is expected, without quotes", true},
    {"i", "99999999999999999999", NULL, "99999999999999999999 is outside [-5, 1000] steps (a whole number)", false},
    {"i", "", NULL, "has no value", false},
    {"i", "~", NULL, "has no value", false},
    {"r", "1e-4", "0.0001", NULL, false},
    {"r", "1.0e-5", "1e-05", NULL, false},
    {"r", ".25", "0.25", NULL, false},
    {"r", "1", "1", NULL, false},
    {"r", "0.1", "0.1", NULL, false},
    {"r", "0.30000000000000004", "0.30000000000000004", NULL, false},
    {"r", "5e-324", "4.94065645841247e-324", NULL, false},
    {"r", "2", NULL, "2 is outside [0, 1] (a number)", false},
    {"r", "-1e-9", NULL, "-1e-9 is outside [0, 1] (a number)", false},
    {"r", "1e-400", NULL, "'1e-400' is beyond double precision", false},
    {"r", "1e999", NULL, "'1e999' is beyond double precision", false},
    {"r", ".nan", NULL, "'.nan' is not a number; it must be finite", false},
    {"r", "nan", NULL, "'nan' is not a number; it must be finite", false},
    {"r", "-.inf", NULL, "'-.inf' is not a number; it must be finite", false},
    {"r", "0,5", NULL, "'0,5' is not a number; the decimal sign is '.'", false},
    {"r", "0x1p-2", NULL, "'0x1p-2' is not a number", false},
    {"r", "1e", NULL, "'1e' is not a number", false},
    {"r", ".", NULL, "'.' is not a number", false},
    {"b", "true", "true", NULL, false},
    {"b", "false", "false", NULL, false},
    {"b", "no", NULL, "'no' is neither true nor false; write false", false},
    {"b", "on", NULL, "'on' is neither true nor false; write true", false},
    {"b", "True", NULL, "'True' is neither true nor false; write true", false},
    {"b", "maybe", NULL, "'maybe' is neither true nor false", false},
    {"e", "eps", "eps", NULL, false},
    {"e", "velocity", "velocity", NULL, true},
    {"e", "ep", NULL, "'ep' is not one of eps|x0|velocity; did you mean 'eps'? (a choice)", false},
    {"e", "eps|x0", NULL, "'eps|x0' is not one of eps|x0|velocity (a choice)", false},
    {"e", "1", NULL, "'1' is not one of eps|x0|velocity (a choice)", false},
    {"s", "no", "no", NULL, false},
    {"s", "1e-4", "1e-4", NULL, false},
    {"s", "", "\"\"", NULL, true},
    {"s", "null", "\"null\"", NULL, true},
    {"s", "null", NULL, "has no value; write '' for an empty text, and quote one that begins with #", false},
    {"s", "a \"b\" \\ \n\x1b", "\"a \\\"b\\\" \\\\ \\x0A\\x1B\"", NULL, true},
    {"s", "a: b", "\"a: b\"", NULL, true},
    {"s", "0:1", "0:1", NULL, false},
    {"s", "h\xc3\xa9", "\"h\xc3\xa9\"", NULL, false},
    {"s", "\xe2\x80\xa8\xc2\x85", "\"\\u2028\\u0085\"", NULL, true},
    {"p", "data/x.npy", "/base/dir/data/x.npy", NULL, false},
    {"p", "./x.npy", "/base/dir/x.npy", NULL, false},
    {"p", "/abs/x y", "\"/abs/x y\"", NULL, false},
    {"p", "", "\"\"", NULL, true},
    {"p", "\xff", NULL, "path '/base/dir/?' is not UTF-8", false},
    {"is", "32", "[32]", NULL, false},
    {"es", "velocity", "[velocity]", NULL, false},
    {"es", "epz", NULL, "'epz' is not one of eps|x0|velocity; did you mean 'eps'? (choices)", false},
    {"ts", "a b", "\"a b\"", NULL, false},
    {"ts", " 0:0 ,a b,0:1", "[0:0, \"a b\", 0:1]", NULL, true},
    {"ts", "0:0,,0:1", NULL, "item 2 of the list is empty", false},
    {"ts", "0:0,", NULL, "item 2 of the list is empty", false},
    {"ts", "", NULL, "has no value; write '' for an empty text, and quote one that begins with #", false},
    {"is", "65", NULL, "65 is outside [1, 64] pixels (whole numbers)", false},
};

static void set__scalars(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof scalars / sizeof scalars[0]; n++) {
        const scalar_case *c = &scalars[n];
        const dm_param *row = dm_param_find(rows, c->key);
        const dm_scalar item = {c->text, c->quoted};
        const dm_param_value v = {false, 1, &item};
        dm_arena *a = dm_arena_new();
        cfg out = {0};
        dm_err err = {DM_OK, ""};
        const dm_status rc = dm_param_set(row, &v, "/base/dir", a, &out, NULL, &err);

        if (c->error) {
            assert_int_equal(rc, DM_EINVAL);
            assert_string_equal(err.msg, c->error);
        } else {
            if (rc)
                print_error("%s: %s: %s\n", c->key, c->text, err.msg);
            assert_int_equal(rc, DM_OK);
            assert_string_equal(err.msg, "");
            assert_string_equal(dm_param_print(row, &out, a), c->printed);
        }
        dm_arena_free(a);
    }
}

static void set__lists(void **state)
{
    const dm_scalar good[] = {{"1", false}, {"64", false}}, bad[] = {{"1", false}, {"65", false}};
    const dm_param_value v = {true, 2, good}, w = {true, 2, bad}, none = {true, 0, NULL};
    dm_arena *a = dm_arena_new();
    cfg out = {0};
    dm_err err;
    int32_t at = 7;

    (void)state;
    assert_int_equal(dm_param_set(dm_param_find(rows, "is"), &v, "/", a, &out, &at, &err), DM_OK);
    assert_int_equal(out.is.n, 2);
    assert_int_equal(out.is.v[1], 64);
    assert_int_equal(dm_param_set(dm_param_find(rows, "is"), &w, "/", a, &out, &at, &err), DM_EINVAL);
    assert_int_equal(at, 1);
    assert_string_equal(err.msg, "65 is outside [1, 64] pixels (whole numbers)");
    assert_int_equal(dm_param_set(dm_param_find(rows, "is"), &none, "/", a, &out, &at, &err), DM_OK);
    assert_int_equal(out.is.n, 0);
    assert_int_equal(dm_param_set(dm_param_find(rows, "r"), &v, "/", a, &out, &at, &err), DM_EINVAL);
    assert_string_equal(err.msg, "is a list; a single value is expected");
    dm_arena_free(a);
}

static void set__lists_of_texts(void **state)
{
    static const struct { dm_scalar item[3]; int32_t n, at; const char *printed, *error; } cases[] = {
        {{{"0:0", false}, {" a b ", true}, {"0:0", false}}, 3, -1, "[0:0, \"a b\", 0:0]", NULL},
        {{{"gpu", false}}, 1, -1, "gpu", NULL},
        {{{"", false}}, 0, -1, NULL, "is an empty list; write one item at least (texts)"},
        {{{"0:0", false}, {" ", true}}, 2, 1, NULL, "item 2 of the list is empty"},
        {{{"0:0", false}, {"", false}}, 2, 1, NULL,
         "has no value; write '' for an empty text, and quote one that begins with #"},
        {{{"0:0,0:1", true}, {"0:2", false}}, 2, 0, NULL, "'0:0,0:1' has a comma; write each as an item of its own"}};
    char longest[5000];
    const dm_scalar items[2] = {{"0:0", false}, {longest, true}};
    const dm_param_value two = {true, 2, items};
    const dm_param *row = dm_param_find(rows, "ts");
    dm_arena *a = dm_arena_new();
    dm_err err;
    cfg out = {0};
    int32_t at;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dm_param_value v = {true, cases[i].n, cases[i].item};
        const dm_status rc = dm_param_set(row, &v, "/", a, &out, &at, &err);

        assert_int_equal(rc, cases[i].error ? DM_EINVAL : DM_OK);
        assert_int_equal(at, cases[i].at);
        assert_string_equal(rc ? err.msg : dm_param_print(row, &out, a), rc ? cases[i].error : cases[i].printed);
    }
    for (size_t n = 4094; n >= 4092; n--) { /* 4096 bytes hold "0:0," and the second, with room for no more */
        memset(longest, 'x', n);
        longest[n] = 0;
        assert_int_equal(dm_param_set(row, &two, "/", a, &out, &at, &err), n > 4092 ? DM_EINVAL : DM_OK);
    }
    assert_string_equal(dm_param_type(row), "text or list of text");
    dm_arena_free(a);
}

static void set__open_ranges(void **state)
{
    typedef struct open_cfg { int64_t n, below, all; double real; } open_cfg;
    static const dm_param open[] = {DM_INT(open_cfg, n, "0", 0, 0x1p53, "steps", "how many"),
                                    DM_INT(open_cfg, below, "0", -0x1p53, 5, "", "few"),
                                    DM_INT(open_cfg, all, "0", -0x1p53, 0x1p53, "", "a number"),
                                    DM_REAL(open_cfg, real, "0", -1e30, 1e30, "", "a real"), DM_END};
    static const struct { const char *key, *text, *says; } cases[] = {
        {"n", "-1", "-1 is out of range; it must be 0 or above, in steps (how many)"},
        {"n", "99999999999999999999", "99999999999999999999 is too large (how many)"},
        {"below", "6", "6 is out of range; it must be 5 or below (few)"},
        {"all", "-99999999999999999999", "-99999999999999999999 is too small (a number)"},
        {"real", "1e31", "1e31 is too large (a real)"}};
    static const char *const ranges[] = {"0 or above", "5 or below", "any", "any"};
    dm_arena *a = dm_arena_new();
    open_cfg out = {0};
    int32_t at;
    dm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dm_scalar s = {cases[i].text, false};
        const dm_param_value v = {false, 1, &s};

        assert_int_equal(dm_param_set(dm_param_find(open, cases[i].key), &v, "/", a, &out, &at, &err), DM_EINVAL);
        assert_string_equal(err.msg, cases[i].says);
    }
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        assert_string_equal(dm_param_range(&open[i], a), ranges[i]);
    dm_arena_free(a);
}

static void set_text__defaults(void **state)
{
    static const char *const bad[] = {"1, 2", "[1, 2", "[1,, 2]", "[1, x]", "[]]", "[0]", ""};
    dm_arena *a = dm_arena_new();
    cfg out = {0};
    dm_err err;

    (void)state;
    for (const dm_param *r = rows; r->type != DM_T_END; r++)
        assert_int_equal(dm_param_set_text(r, r->def, "/", a, &out, &err), DM_OK);
    assert_int_equal(out.i, 3);
    assert_true(out.r == 0.5);
    assert_int_equal(out.e, 1);
    assert_string_equal(out.s, "plain text");
    assert_string_equal(out.p, "");
    assert_int_equal(out.is.n, 2);
    assert_int_equal(out.rs.n, 0);
    assert_int_equal(dm_param_set_text(dm_param_find(rows, "rs"), "[ 0.5 ,1e-3]", "/", a, &out, &err), DM_OK);
    assert_string_equal(dm_param_print(dm_param_find(rows, "rs"), &out, a), "[0.5, 0.001]");
    assert_int_equal(dm_param_set_text(dm_param_find(rows, "es"), "[velocity, eps]", "/", a, &out, &err), DM_OK);
    assert_string_equal(dm_param_print(dm_param_find(rows, "es"), &out, a), "[velocity, eps]");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(dm_param_set_text(dm_param_find(rows, "is"), bad[i], "/", a, &out, &err), DM_EINVAL);
    dm_arena_free(a);
}

static void check__tables(void **state)
{
    typedef struct { int64_t a, b; } two;
    static const dm_param host[] = {DM_INT(two, a, "1", 0, 9, "", "host's"), DM_END};
    static const struct { dm_param row[3]; uint32_t size; const char *error;
    } cases[] = {
        {{DM_INT(two, b, "1", 0, 9, "", "fine"), DM_END}, 16, NULL},
        {{DM_INT(two, b, NULL, 0, 9, "", "required"), DM_END}, 16, NULL},
        {{DM_INT(two, a, "1", 0, 9, "", "host's name"), DM_END},
         16,
         "parameter 'a' has the name of a key of demist's own"},
        {{{DM_T_INT, "use", 0, "1", 0, 9, 0, "", "d"}, DM_END},
         16,
         "parameter 'use' has the name of a key of demist's own"},
        {{DM_INT(two, b, "12", 0, 9, "", "too large"), DM_END},
         16,
         "default of parameter 'b': 12 is outside [0, 9] (too large)"},
        {{DM_INT(two, b, "x", 0, 9, "", "no number"), DM_END},
         16,
         "default of parameter 'b': 'x' is not an integer"},
        {{DM_INT(two, b, "1", 9, 0, "", "d"), DM_END}, 16, "parameter 'b' has an empty range"},
        {{DM_INT(two, b, "1", 0, 9, "", "d"), DM_END},
         12,
         "parameter 'b' is at offset 8, outside the 12 bytes of config or misaligned"},
        {{{DM_T_INT, "b", 4, "1", 0, 9, 0, "", "d"}, DM_END},
         16,
         "parameter 'b' is at offset 4, outside the 16 bytes of config or misaligned"},
        {{{DM_T_INT, "b", UINT32_MAX, "1", 0, 9, 0, "", "d"}, DM_END},
         16,
         "parameter 'b' is at offset 4294967295, outside the 16 bytes of config or misaligned"},
        {{DM_INT(two, b, "1", 0, 9, "", "d"), DM_INT(two, b, "1", 0, 9, "", "d"), DM_END},
         16,
         "duplicate parameter 'b'"},
        {{DM_INT(two, b, "1", 0, 9, "", "d"), {DM_T_BOOL, "c", 9, "true", 0, 0, 0, "", "d"}, DM_END},
         16,
         "parameters 'b' and 'c' share bytes of the config"},
        {{{DM_T_INT, "B", 0, "1", 0, 9, 0, "", "d"}, DM_END},
         16,
         "a parameter is named 'B'; a-z, 0-9 and _ are allowed"},
        {{{DM_T_INT, NULL, 0, "1", 0, 9, 0, "", "d"}, DM_END},
         16,
         "a parameter is named ''; a-z, 0-9 and _ are allowed"},
        {{{DM_T_INT, "b", 0, "1", 0, 9, 0, "", ""}, DM_END}, 16, "parameter 'b' has no documentation"},
        {{{(dm_type)99, "b", 0, "1", 0, 9, 0, "", "d"}, DM_END}, 16, "a parameter has type 99, which is not known"},
        {{{DM_T_ENUM, "b", 0, "x", 0, 0, NULL, "", "d"}, DM_END}, 16, "parameter 'b' is an enum without choices"},
        {{{DM_T_ENUM, "b", 0, "x", 0, 0, "x||y", "", "d"}, DM_END},
         16,
         "parameter 'b' has choices 'x||y'; names divided by '|' are allowed"},
        {{{DM_T_ENUM, "b", 0, "x", 0, 0, "x|y|x", "", "d"}, DM_END}, 16, "parameter 'b' has the choice 'x' twice"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dm_err err = {DM_OK, ""};
        const dm_status rc = dm_param_check(cases[i].row, cases[i].size, host, &err);

        assert_string_equal(err.msg, cases[i].error ? cases[i].error : "");
        assert_int_equal(rc, cases[i].error ? DM_EINVAL : DM_OK);
    }
}

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    return *x ^= *x << 17;
}

static void number__round_trips(void **state)
{
    uint64_t x = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        union { uint64_t u; double d; } v = {next(&x)};
        char text[DM_NUMBER_TEXT];
        double back = 0;

        if (!isfinite(v.d))
            continue;
        assert_int_equal(dm_number_real(dm_number_write(v.d, text), &back), DM_NUMBER_OK);
        assert_true(back == v.d);
    }
}

static void number__decimal_comma(void **state)
{
    char text[DM_NUMBER_TEXT];
    double v = 0;

    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8")) {
        print_message("[  SKIP  ] no locale with a decimal comma: localedef could not make de_DE.UTF-8\n");
        skip();
    }
    snprintf(text, sizeof text, "%.1f", 0.5);
    assert_string_equal(text, "0,5");
    assert_string_equal(dm_number_write(0.25, text), "0.25");
    assert_int_equal(dm_number_real("0.25", &v), DM_NUMBER_OK);
    assert_true(v == 0.25);
    assert_int_equal(dm_number_real("0,25", &v), DM_NUMBER_NONE);
    snprintf(text, sizeof text, "%.1f", 0.5); /* the locale is as it was */
    assert_string_equal(text, "0,5");
    setlocale(LC_ALL, "C");
}

static void number__integers(void **state)
{
    static const struct { const char *text; dm_number_status rc; int64_t v; } cases[] = {
        {"9223372036854775807", DM_NUMBER_OK, INT64_MAX}, {"9223372036854775808", DM_NUMBER_RANGE, 0},
        {"-9223372036854775808", DM_NUMBER_OK, INT64_MIN}, {"-9223372036854775809", DM_NUMBER_RANGE, 0},
        {"-0", DM_NUMBER_OK, 0}, {"00", DM_NUMBER_NONE, 0}, {"-", DM_NUMBER_NONE, 0}, {"", DM_NUMBER_NONE, 0},
        {" 1", DM_NUMBER_NONE, 0}, {"1 ", DM_NUMBER_NONE, 0}, {"--1", DM_NUMBER_NONE, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t v = 0;

        assert_int_equal(dm_number_int(cases[i].text, &v), cases[i].rc);
        assert_int_equal(v, cases[i].v);
    }
}

static void suggest__distance(void **state)
{
    static const struct { const char *a, *b; size_t d;
    } cases[] = {
        {"", "", 0},
        {"abc", "abc", 0},
        {"abc", "", 3},
        {"cosin", "cosine", 1},
        {"cosnie", "cosine", 1},
        {"kitten", "sitting", 3},
        {"bacth", "batch", 1},
    };
    static const struct { const char *wanted, *best;
    } names[] = {
        {"schedul", "schedule"}, {"smapler", "sampler"}, {"lr2", NULL}, {"x", NULL},
        {"completely", NULL},    {"see", "seed"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(dm_edit_distance(cases[i].a, cases[i].b), cases[i].d);
        assert_int_equal(dm_edit_distance(cases[i].b, cases[i].a), cases[i].d);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        dm_nearest n;

        dm_nearest_init(&n, names[i].wanted);
        dm_nearest_try(&n, "schedule");
        dm_nearest_try(&n, "sampler");
        dm_nearest_try(&n, "seed");
        if (names[i].best)
            assert_string_equal(n.best, names[i].best);
        else
            assert_null(n.best);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set__scalars), cmocka_unit_test(set__lists),
        cmocka_unit_test(set__lists_of_texts), cmocka_unit_test(set__open_ranges),
        cmocka_unit_test(set_text__defaults),
        cmocka_unit_test(check__tables), cmocka_unit_test(number__round_trips), cmocka_unit_test(number__decimal_comma),
        cmocka_unit_test(number__integers), cmocka_unit_test(suggest__distance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
