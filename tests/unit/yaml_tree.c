/* YAML as a tree: places, limits, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>

#include "experiment/yaml_tree.h"

typedef struct { dm_arena *arena; dm_faults faults; dm_origin source; const dm_yaml *root; size_t nodes; } read_case;

static void read_text(read_case *r, const char *text, size_t n)
{
    dm_err err;

    *r = (read_case){.arena = dm_arena_new(), .source = {"a.yaml", text, n, "/", 0}};
    assert_int_equal(dm_yaml_parse(&r->source, 0, &r->nodes, r->arena, &r->faults, &r->root, &err), DM_OK);
}

static void release(read_case *r)
{
    dm_faults_fini(&r->faults);
    dm_arena_free(r->arena);
}

static void parse__places(void **state)
{
    static const char text[] = "a: 1\nb: {c: [x, 'y'], d: ~}\nh\xc3\xa9: |\n  t\n";
    const dm_yaml_entry *b, *c;
    read_case r;

    (void)state;
    read_text(&r, text, sizeof text - 1);
    assert_non_null(r.root);
    assert_int_equal(r.root->n, 3);
    b = dm_yaml_find(r.root, "b");
    assert_int_equal(b->at.line, 2);
    assert_int_equal(b->at.column, 1);
    assert_int_equal(b->value->at.column, 4);
    c = dm_yaml_find(b->value, "c");
    assert_int_equal(c->value->kind, DM_YAML_LIST);
    assert_int_equal(c->value->entry[1].value->at.column, 12);
    assert_true(c->value->entry[1].value->quoted);
    assert_false(c->value->entry[0].value->quoted);
    assert_true(dm_yaml_is_null(dm_yaml_find(b->value, "d")->value));
    assert_int_equal(r.root->entry[2].value->at.column, 5); /* characters, not bytes */
    assert_string_equal(r.root->entry[2].value->text, "t\n");
    assert_null(dm_yaml_find(r.root, "c"));
    release(&r);
}

static void parse__aliases(void **state)
{
    static const char text[] = "a: &x {p: 1}\nb: *x\nc: &x 2\nd: *x\n";
    read_case r;

    (void)state;
    read_text(&r, text, sizeof text - 1);
    assert_ptr_equal(dm_yaml_find(r.root, "a")->value, dm_yaml_find(r.root, "b")->value);
    assert_string_equal(dm_yaml_find(r.root, "d")->value->text, "2");
    assert_int_equal(r.nodes, r.root->nodes);
    release(&r);
}

static void parse__refused(void **state)
{
    static const struct { const char *text, *error;
    } cases[] = {
        {"", "a.yaml: error: it is empty\n"},
        {"# only a comment\n", "a.yaml: error: it is empty\n"},
        {"a: 1\nb: 2\na: 3\n", "a.yaml:3:1: error: duplicate key 'a', first at a.yaml:1:1\n  a: 3\n  ^\n"},
        {"a: {b: 1, b: 2, b: 3}\n",
         "a.yaml:1:11: error: duplicate key 'b', first at a.yaml:1:5\n  a: {b: 1, b: 2, b: 3}\n            ^\n"
         "a.yaml:1:17: error: duplicate key 'b', first at a.yaml:1:5\n  a: {b: 1, b: 2, b: 3}\n                 "
         " ^\n"},
        {"a: *b\n", "a.yaml:1:4: error: alias '*b' has no preceding anchor\n  a: *b\n     ^\n"},
        {"a: &x [1, *x]\n",
         "a.yaml:1:11: error: alias '*x' refers to a value that contains it\n  a: &x [1, *x]\n            ^\n"},
        {"a: &x {b: {c: *x}}\n", "a.yaml:1:15: error: alias '*x' refers to a value that contains it\n  a: &x {b: "
                                 "{c: *x}}\n                ^\n"},
        {"a: 1\n---\nb: 2\n", "a.yaml:2:1: error: a second document starts here; only one is allowed\n  ---\n  ^\n"},
        {"a: !!int 1\n", "a.yaml:1:4: error: tag 'tag:yaml.org,2002:int' is not supported; the key determines the "
                         "type\n"
                         "  a: !!int 1\n     ^\n"},
        {"{[a]: 1}\n", "a.yaml:1:2: error: a key must be a word, not a list or map\n  {[a]: 1}\n   ^\n"},
        {"<<: 1\n",
         "a.yaml:1:1: error: merge keys ('<<') are not supported; write the keys out, or include a file with them\n"
         "  <<: 1\n  ^\n"},
        {"a: \"x\\0y\"\n", "a.yaml:1:4: error: text contains a NUL character\n  a: \"x\\0y\"\n     ^\n"},
        {"a: {b: 1\n",
         "a.yaml:2:1: error: did not find expected ',' or '}', while parsing a flow mapping that begins in line 1\n"
         "  \n  ^\n"},
        {"a: b: c\n", "a.yaml:1:5: error: mapping values are not allowed in this context\n  a: b: c\n      ^\n"},
        {"a: 1\nb: \xff\n",
         "a.yaml:2:4: error: invalid leading UTF-8 octet (the text must be UTF-8)\n  b: \xff\n     ^\n"},
        {"a: \x01\n",
         "a.yaml:1:4: error: control characters are not allowed (the text must be UTF-8)\n  a: ?\n     ^\n"},
        {"\xff\xfe"
         "a\0:\0",
         "a.yaml:1:1: error: invalid leading UTF-8 octet (the text must be UTF-8)\n  \xff\xfe"
         "a\n  ^\n"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        read_case r;

        read_text(&r, cases[i].text, strlen(cases[i].text));
        assert_true(r.faults.count > 0);
        assert_string_equal(r.faults.text, cases[i].error);
        release(&r);
    }
}

/* text repeated n times between head and tail; free() it. */
static char *repeated(const char *head, const char *text, size_t n, const char *tail, size_t *length)
{
    const size_t h = strlen(head), m = strlen(text), t = strlen(tail);
    char *s = malloc(h + n * m + t + 1);

    memcpy(s, head, h);
    for (size_t i = 0; i < n; i++)
        memcpy(s + h + i * m, text, m);
    memcpy(s + h + n * m, tail, t + 1);
    *length = h + n * m + t;
    return s;
}

static void parse__limits(void **state)
{
    static const struct { const char *head, *text; size_t n; const char *tail, *error; } cases[] = {
        {"", "[", 64, "", "did not find expected"},
        {"", "[", 65, "", "nested deeper than 64"},
        {"", "{a: ", 70, "", "nested deeper than 64"},
        {"", "- ", 100000, "x", "nested deeper than 64"},
        {"[", "1,", 99998, "]", NULL},
        {"[", "1,", 100001, "]", "more than 100000 values"},
        {"a: ", "x", (1 << 20) - 3, "", NULL},
        {"a: ", "x", (1 << 20) - 2, "", "is larger than 1048576"},
        {"[", "&a 1,", 1001, "]", "more than 1000 anchors"},
        {"[&a [1,2,3,4,5,6,7,8,9]", ",*a", 9998, "]", NULL},
        {"[&a [1,2,3,4,5,6,7,8,9]", ",*a", 10001, "]", "more than 100000 values, with aliases"},
        {"", "a: 1\n", 200000, "", "duplicate key"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        size_t n;
        char *text = repeated(cases[i].head, cases[i].text, cases[i].n, cases[i].tail, &n);
        read_case r;

        read_text(&r, text, n);
        if (cases[i].error)
            assert_non_null(strstr(r.faults.text, cases[i].error));
        else
            assert_non_null(r.root);
        release(&r);
        free(text);
    }
}

static void parse__many_keys(void **state)
{
    char *text = malloc(1 << 20);
    size_t n = 0;
    read_case r;

    (void)state;
    for (int i = 0; i < 40000; i++)
        n += (size_t)sprintf(text + n, "k%d: 1\n", i);
    read_text(&r, text, n);
    assert_int_equal(r.root->n, 1024);
    assert_non_null(strstr(r.faults.text, "more than 1024 keys in one map"));
    assert_non_null(strstr(r.faults.text, "and more errors"));
    release(&r);
    free(text);
}

/* Nine levels of nine aliases each would be 9^9 values; they are counted, never made. */
static void parse__bomb(void **state)
{
    char text[4096];
    size_t n = (size_t)sprintf(text, "a0: &a0 [x,x,x,x,x,x,x,x,x]\n");
    struct rusage before, after;
    struct timespec t0, t1;
    read_case r;

    (void)state;
    for (int i = 1; i < 9; i++) {
        n += (size_t)sprintf(text + n, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            n += (size_t)sprintf(text + n, "%s*a%d", j ? "," : "", i - 1);
        n += (size_t)sprintf(text + n, "]\n");
    }
    getrusage(RUSAGE_SELF, &before);
    clock_gettime(CLOCK_MONOTONIC, &t0);
    read_text(&r, text, n);
    clock_gettime(CLOCK_MONOTONIC, &t1);
    getrusage(RUSAGE_SELF, &after);
    assert_null(r.root);
    assert_non_null(strstr(r.faults.text, "more than 100000 values, with aliases expanded"));
    assert_true((double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec) < 1);
    assert_true(after.ru_maxrss - before.ru_maxrss < 32 * 1024);
    release(&r);
}

/* Every start of a text and every one byte changed: nothing but a tree or a fault comes out. */
static void parse__mutilated(void **state)
{
    static const char text[] = "a: &x [1, {b: \"\\u00e9\"}]\nc: *x\nd: |\n  t\n? e\n: 'f'\n";
    static const char odd[] = {0, '\n', '{', '[', '&', '*', '"', ':', (char)0x80, (char)0xff};
    char copy[sizeof text];

    (void)state;
    for (size_t i = 0; i < sizeof text - 1; i++) {
        read_case r;

        read_text(&r, text, i);
        assert_true(r.root || r.faults.count > 0);
        release(&r);
        for (size_t k = 0; k < sizeof odd; k++) {
            memcpy(copy, text, sizeof text);
            copy[i] = odd[k];
            read_text(&r, copy, sizeof text - 1);
            assert_true(r.root || r.faults.count > 0);
            release(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parse__places), cmocka_unit_test(parse__aliases), cmocka_unit_test(parse__refused),
        cmocka_unit_test(parse__limits), cmocka_unit_test(parse__many_keys), cmocka_unit_test(parse__bomb),
        cmocka_unit_test(parse__mutilated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
