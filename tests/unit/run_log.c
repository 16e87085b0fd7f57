/* The log of numbers: written, read, cut back. */
#include "scratch.h"

#include "run/run_log.h"

#include <locale.h>
#include <math.h>

static void assert_text(const char *path, const char *want)
{
    size_t n;
    char *is = (char *)scratch_read(path, &n);

    assert_string_equal(is, want);
    free(is);
}

static void put__one_line_each(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "log.jsonl"), *names[] = {"step", "loss", "lr", "none"};
    dm_run_log *l;
    double *v;
    int64_t rows;
    dm_err err;

    (void)state;
    assert_status(dm_run_log_open(NULL, path, -1, &l, &err), DM_OK, &err);
    assert_status(dm_run_log_put(l, 10, (const dm_field[]){{"loss", 0.5}, {"lr", 1e-4}, {"images", 640}}, 3, &err),
                  DM_OK, &err);
    assert_status(dm_run_log_put(l, 20, (const dm_field[]){{"loss", NAN}, {"lr", INFINITY}}, 2, &err), DM_OK, &err);
    dm_run_log_close(l);
    assert_text(path, "{\"step\": 10, \"loss\": 0.5, \"lr\": 0.0001, \"images\": 640}\n"
                      "{\"step\": 20, \"loss\": null, \"lr\": null}\n");
    assert_status(dm_run_log_read(NULL, path, names, 4, &v, &rows, &err), DM_OK, &err);
    assert_int_equal(rows, 2);
    assert_true(v[0] == 10 && v[1] == 0.5 && fabs(v[2] - 1e-4) < 1e-12 && isnan(v[3]));
    assert_true(v[4] == 20 && isnan(v[5]) && isnan(v[6]));
    free(v);
    scratch_remove(dir.dir);
}

static void open__cuts_back(void **state)
{
    static const struct { const char *before; int64_t last; const char *after; } cases[] = {
        {"{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n", 2, "{\"step\": 1}\n{\"step\": 2}\n"},
        {"{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n", 9, "{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n"},
        {"{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n", -1, ""},
        {"{\"step\": 1}\n{\"step\": 2, \"lo", 5, "{\"step\": 1}\n"},
        {"{\"step\": 1}\n{\"step\": 2}", 5, "{\"step\": 1}\n"},
        {"garbage\n[1]\n{\"step\": 1.5}\n{}\n{\"step\": 4}\n", 5, "{\"step\": 4}\n"},
        {"", 5, ""},
    };
    scratch dir = scratch_new();
    dm_run_log *l;
    dm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *path = scratch_file(&dir, "log", cases[i].before, strlen(cases[i].before));

        assert_status(dm_run_log_open(NULL, path, cases[i].last, &l, &err), DM_OK, &err);
        dm_run_log_close(l);
        assert_text(path, cases[i].after);
        assert_int_equal(scratch_entries(dir.dir), 1);
    }
    scratch_remove(dir.dir);
}

static void open__endless_line_is_dropped(void **state)
{
    scratch dir = scratch_new();
    char *text = malloc(300000);
    dm_run_log *l;
    const char *path;
    dm_err err;

    (void)state;
    memset(text, 'x', 300000);
    memcpy(text + 200000, "\n{\"step\": 3}\n", 13);
    path = scratch_file(&dir, "log", text, 200013);
    assert_status(dm_run_log_open(NULL, path, 5, &l, &err), DM_OK, &err);
    dm_run_log_close(l);
    assert_text(path, "{\"step\": 3}\n");
    free(text);
    scratch_remove(dir.dir);
}

/* A decimal comma in the application's locale changes nothing. */
static void put__any_locale(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "log");
    dm_run_log *l;
    dm_err err;

    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "de_DE.utf8") && !setlocale(LC_ALL, "de_DE")) {
        print_message("SKIP: no locale with a decimal comma is installed\n");
        scratch_remove(dir.dir);
        skip();
    }
    assert_status(dm_run_log_open(NULL, path, -1, &l, &err), DM_OK, &err);
    assert_status(dm_run_log_put(l, 1, (const dm_field[]){{"loss", 1234.5}}, 1, &err), DM_OK, &err);
    dm_run_log_close(l);
    setlocale(LC_ALL, "C");
    assert_text(path, "{\"step\": 1, \"loss\": 1234.5}\n");
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(put__one_line_each),
        cmocka_unit_test(open__cuts_back),
        cmocka_unit_test(open__endless_line_is_dropped),
        cmocka_unit_test(put__any_locale),
    };

    return cmocka_run_group_tests_name("run_log", tests, NULL, NULL);
}
