/* Progress as text, with a clock of the test's; and messages through the log. */
#include "scratch.h"

#include "base/log.h"
#include "run/progress.h"

#include <math.h>

static double clock_of(void *user) { return *(double *)user; }

/* What 40 steps of 0.5 s print. */
static char *run(dm_progress_mode mode, int width, const char *message)
{
    double t = 100;
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    dm_progress *p = dm_progress_new(&(dm_progress_setup){
        .to = f, .mode = mode, .what = "step", .unit = "images/s", .per_step = 64, .first = 10, .total = 50,
        .clock = clock_of, .user = &t, .width = width});

    for (int i = 11; i <= 50; i++) {
        t += 0.5;
        dm_progress_step(p, i, 1.0 / i);
        if (message && i == 20)
            dm_progress_message(p, message);
    }
    dm_progress_end(p);
    fclose(f);
    return text;
}

static void step__plain_lines_are_rare(void **state)
{
    char *text = run(DM_PROGRESS_PLAIN, 80, NULL);

    (void)state;
    assert_string_equal(text,
                        "step 30/50, loss 0.03333, 128 images/s, 0:10 left\nstep 50/50, loss 0.02, 128 images/s\n");
    free(text);
}

static void step__bar_fits_the_width(void **state)
{
    static const int widths[] = {200, 80, 60, 40, 10, 2};

    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        char *text = run(DM_PROGRESS_BAR, widths[i], "a checkpoint");
        int lines = 0;

        for (char *s = strtok(text, "\r\n"); s; s = strtok(NULL, "\r\n"), lines++) {
            char *end = strstr(s, "\033[K");

            assert_true(strcmp(s, "a checkpoint") == 0 || end);
            if (end)
                assert_in_range(end - s, 0, widths[i] - 1);
        }
        assert_int_equal(lines, 40 + 2);
        free(text);
    }
}

static void step__bar_keeps_its_width(void **state)
{
    static const int widths[] = {200, 80, 70};

    (void)state;
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        char *text = run(DM_PROGRESS_BAR, widths[i], NULL);
        ptrdiff_t from = 0, to = 0;
        int lines = 0;

        for (char *s = strtok(text, "\r\n"); s; s = strtok(NULL, "\r\n"), lines++) {
            const char *open = strchr(s, '['), *close = strchr(s, ']');

            assert_true(open && close);
            if (lines)
                assert_true(open - s == from && close - s == to);
            from = open - s;
            to = close - s;
        }
        assert_int_equal(lines, 40);
        free(text);
    }
}

static void step__silent_but_for_messages(void **state)
{
    char *text = run(DM_PROGRESS_NONE, 80, "a message");

    (void)state;
    assert_string_equal(text, "a message\n");
    free(text);
}

static void step__colour_only_where_asked(void **state)
{
    char *bar = run(DM_PROGRESS_BAR, 80, NULL), *colour = run(DM_PROGRESS_COLOUR, 80, NULL),
         *file = run(DM_PROGRESS_AUTO, 80, NULL);

    (void)state;
    assert_null(strstr(bar, "\033[32m"));
    assert_non_null(strstr(colour, "\033[32m"));
    assert_null(strchr(file, '\033'));
    free(bar);
    free(colour);
    free(file);
}

static void count_line(void *user, dm_log_level level, const char *line)
{
    char *all = user;

    snprintf(all + strlen(all), 100, "%d:%s|", level, line);
}

static void log__levels_lines_and_file(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "log.txt");
    char all[400] = "", *text;
    dm_log *l = dm_log_new(DM_LOG_INFO, count_line, all);
    dm_err err;
    size_t n;

    (void)state;
    assert_status(dm_log_to_file(l, NULL, path, &err), DM_OK, &err);
    dm_log_put(l, DM_LOG_INFO, "one %d\ntwo", 1);
    dm_log_put(l, DM_LOG_DEBUG, "quiet");
    dm_log_put(NULL, DM_LOG_ERROR, "nowhere");
    dm_log_put(l, DM_LOG_ERROR, "bad\n");
    assert_string_equal(all, "2:one 1|2:two|0:bad|");
    dm_log_free(l);
    text = (char *)scratch_read(path, &n);
    assert_non_null(strstr(text, "Z info: two\n"));
    assert_non_null(strstr(text, "Z debug: quiet\n"));
    free(text);
    assert_fails(dm_log_to_file(NULL, NULL, dir.dir, &err), DM_EINVAL, &err, "unable to open");
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(step__plain_lines_are_rare),
        cmocka_unit_test(step__bar_fits_the_width),
        cmocka_unit_test(step__bar_keeps_its_width),
        cmocka_unit_test(step__silent_but_for_messages),
        cmocka_unit_test(step__colour_only_where_asked),
        cmocka_unit_test(log__levels_lines_and_file),
    };

    return cmocka_run_group_tests_name("progress", tests, NULL, NULL);
}
