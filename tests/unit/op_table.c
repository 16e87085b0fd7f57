/* Each op is whole: a row, a gradient or a reason for none, a reference implementation for the device, and a test
 * against a reference in double precision. */
#include "device/impl.h"
#include "graph/graph.h"
#include "graph/op_def.h"

#include <ctype.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void table__one_row_a_kind(void **state)
{
    (void)state;
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const dm_op_def *d = dm_op_def_of((dm_op_kind)k);

        if ((int)d->kind != k || !strcmp(d->name, "unknown op"))
            fail_msg("kind %d of dm_op_kind has no row in core/graph/ops/", k);
        for (int i = 0; i < k; i++)
            assert_string_not_equal(d->name, dm_op_name((dm_op_kind)i));
        if (!(d->flags & DM_OP_PLUGINS) && (!d->out[0].name || !d->in[0].name))
            fail_msg("%s: its row names no input or no output", d->name);
        for (int i = 1; i < DM_MAX_IN; i++)
            if ((d->in[i].name && !d->in[i - 1].name) || (d->out[i].name && !d->out[i - 1].name))
                fail_msg("%s: its row leaves a gap between its inputs or outputs", d->name);
        if (d->of > 0 && !d->in[d->of - 1].name)
            fail_msg("%s: its operations are counted by input %d, which it does not have", d->name, d->of - 1);
    }
}

static void table__gradient_or_a_reason(void **state)
{
    (void)state;
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const dm_op_def *d = dm_op_def_of((dm_op_kind)k);
        const bool none = d->flags & (DM_OP_CONSTANT | DM_OP_BACKWARD);

        if (!d->gradient && !none)
            fail_msg("%s has no gradient, and no flag that says it needs none", d->name);
        if (d->gradient && none)
            fail_msg("%s has a gradient, and a flag that says it needs none", d->name);
    }
}

static void table__reference_implementation(void **state)
{
    (void)state;
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const dm_op_def *d = dm_op_def_of((dm_op_kind)k);
        const dm_impl *impl;
        int references = 0;

        for (int i = 0; (impl = dm_impl_at((dm_op_kind)k, i)); i++)
            references += impl->reference && !impl->supports;
        if (d->flags & DM_OP_PLUGINS ? references != 0 : references != 1)
            fail_msg("%s has %d implementations for any device that are a reference", d->name, references);
    }
}

/* Rows that are one implementation have one name, and no others have it: files and users say which by it. */
static void table__a_name_is_one_implementation(void **state)
{
    (void)state;
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const dm_impl *a, *b;

        for (int i = 0; (a = dm_impl_at((dm_op_kind)k, i)); i++)
            for (int j = 0; j < i && (b = dm_impl_at((dm_op_kind)k, j)); j++)
                if (dm_impl_same(a, b) != !strcmp(a->name, b->name))
                    fail_msg("%s has two implementations called '%s' and '%s'", dm_op_name((dm_op_kind)k), a->name,
                             b->name);
    }
}

/* Blanks in the place of comments. */
static void blank_comments(char *p)
{
    while (*p) {
        const char *end = !strncmp(p, "/*", 2) ? strstr(p + 2, "*/") : !strncmp(p, "//", 2) ? strchr(p, '\n') : NULL;
        const char quote = *p;

        if (!strncmp(p, "/*", 2) || !strncmp(p, "//", 2)) {
            const size_t n = !end ? strlen(p) : (size_t)(end - p) + (p[1] == '*' ? 2 : 0);

            memset(p, ' ', n);
            p += n;
        } else if (quote == '"' || quote == '\'') {
            for (p++; *p && *p != quote; p++)
                p += *p == '\\' && p[1];
            p += *p != 0;
        } else {
            p++;
        }
    }
}

/* A file of C, without its comments. */
static char *read_whole(const char *path)
{
    FILE *f = fopen(path, "rb");
    char *text = calloc(1, 1 << 20);

    if (!f || !text)
        fail_msg("cannot read '%s'", path);
    text[fread(text, 1, (1 << 20) - 1, f)] = 0;
    fclose(f);
    blank_comments(text);
    return text;
}

static void table__comments_are_no_code(void **state)
{
    char text[] = "a /* DM_OP_X */ b // DM_OP_Y\nc \"/*\\\"\" DM_OP_Z '\"' /* \" */ d /* open";

    (void)state;
    blank_comments(text);
    assert_string_equal(text, "a               b           \nc \"/*\\\"\" DM_OP_Z '\"'         d        ");
}

/* As a whole word. */
static bool names(const char *text, const char *word)
{
    const size_t n = strlen(word);

    for (const char *p = text; (p = strstr(p, word)); p += n)
        if (!isalnum((unsigned char)p[n]) && p[n] != '_')
            return true;
    return false;
}

/* What compares with a reference in double precision is given one, and runs all implementations by ops_check. */
static void table__op_test(void **state)
{
    const char *source = getenv("DEMIST_SOURCE");
    char pattern[1024], word[64];
    char *texts[64] = {0};
    glob_t files;

    (void)state;
    assert_non_null(source);
    snprintf(pattern, sizeof pattern, "%s/tests/ops/*.c", source);
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    assert_true(files.gl_pathc > 10 && files.gl_pathc < 64);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        texts[i] = read_whole(files.gl_pathv[i]);
        if (!strstr(texts[i], "ops_check(*state") && !strstr(texts[i], "ops_check(d,"))
            texts[i][0] = 0;
        else if (!strstr(texts[i], "const dm_opnode *") || !strstr(texts[i], "double *const *out)"))
            texts[i][0] = 0;
    }
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const dm_op_def *d = dm_op_def_of((dm_op_kind)k);
        bool tested = d->flags & DM_OP_PLUGINS;

        snprintf(word, sizeof word, "DM_OP_%s", d->name);
        for (char *p = word; *p; p++)
            *p = (char)toupper((unsigned char)*p);
        for (size_t i = 0; i < files.gl_pathc; i++)
            tested |= names(texts[i], word);
        if (!tested)
            fail_msg("%s: no file of tests/ops checks %s against a reference in double precision", d->name, word);
    }
    for (size_t i = 0; i < files.gl_pathc; i++)
        free(texts[i]);
    globfree(&files);
}

/* `demist selftest` has values of each op, but of those that its table cannot hold: normals have a check of their own,
 * dropout is the same numbers, accum adds to what is there, and cast has no f32 result. */
static void table__selftest(void **state)
{
    static const dm_op_kind without[] = {DM_OP_RANDN, DM_OP_DROPOUT, DM_OP_ACCUM, DM_OP_CAST};
    char path[1024], word[64], *text;

    (void)state;
    snprintf(path, sizeof path, "%s/tools/demist/selftest/values.c", getenv("DEMIST_SOURCE"));
    text = read_whole(path);
    for (int k = 0; k < DM_OP_COUNT; k++) {
        const dm_op_def *d = dm_op_def_of((dm_op_kind)k);
        bool there = d->flags & DM_OP_PLUGINS;

        for (size_t i = 0; i < sizeof without / sizeof without[0]; i++)
            there |= (int)without[i] == k;
        snprintf(word, sizeof word, ".kind = DM_OP_%s", d->name);
        for (char *p = word + strlen(".kind = "); *p; p++)
            *p = (char)toupper((unsigned char)*p);
        if (!there && !names(text, word))
            fail_msg("%s: tools/make_selftest_values.py has no case of it", d->name);
    }
    free(text);
}

/* Every function of the table that plugins see is there. */
static void table__functions(void **state)
{
    const dm_graph *api;
    dm_graph_core *g;
    dm_err err = {0};

    (void)state;
    assert_int_equal(dm_graph_new(&g, &api, &err), DM_OK);
    for (size_t at = offsetof(dm_graph, shape); at < sizeof *api; at += sizeof(void (*)(void))) {
        void (*function)(void);

        memcpy(&function, (const char *)api + at, sizeof function);
        if (!function)
            fail_msg("the function at byte %zu of dm_graph is NULL", at);
    }
    dm_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__one_row_a_kind),
        cmocka_unit_test(table__gradient_or_a_reason),
        cmocka_unit_test(table__reference_implementation),
        cmocka_unit_test(table__a_name_is_one_implementation),
        cmocka_unit_test(table__comments_are_no_code),
        cmocka_unit_test(table__op_test),
        cmocka_unit_test(table__selftest),
        cmocka_unit_test(table__functions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
