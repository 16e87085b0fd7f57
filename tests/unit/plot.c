/* Curves through gnuplot: pictures of the right size, and clear errors. */
#include "scratch.h"

#include "run/plot.h"
#include "run/run_log.h"

#include <math.h>
#include <png.h>
#include <signal.h>
#include <sys/resource.h>

static bool have_gnuplot(void)
{
    if (system("gnuplot --version >/dev/null 2>&1") == 0)
        return true;
    print_message("SKIP: gnuplot is not installed\n");
    return false;
}

static void assert_picture(const char *path, int width, int height)
{
    png_image img = {.version = PNG_IMAGE_VERSION};

    assert_true(png_image_begin_read_from_file(&img, path));
    assert_int_equal(img.width, width);
    assert_int_equal(img.height, height);
    png_image_free(&img);
}

static void plot__odd_series(void **state)
{
    const double x[] = {1, 2, NAN, 4}, y[] = {1e-3, INFINITY, 3, -1};
    const dm_series some[] = {
        {"a \"quoted\" \\ `date` 50% title", x, y, 4, false}, {"", x, y, 1, true}, {"none", x, y, 0, false}};
    const dm_panel panels[] = {{"one", "x", "y", true, true, some, 3}, {"", "", "", false, false, some, 1},
                               {"empty", "", "", true, true, some + 2, 1}};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "it's a plot.png");
    dm_err err;

    (void)state;
    if (!have_gnuplot()) {
        scratch_remove(dir.dir);
        skip();
    }
    assert_status(dm_plot(path, panels, 1, &err), DM_OK, &err);
    assert_picture(path, 560, 400);
    assert_status(dm_plot(path, panels, 3, &err), DM_OK, &err);
    assert_picture(path, 1120, 800);
    assert_int_equal(scratch_entries(dir.dir), 1);
    scratch_remove(dir.dir);
}

/* No text is a command, whatever gnuplot's language makes of it; nor does it end the block that it stands in. */
static void plot__titles_are_text(void **state)
{
    const double x[] = {1, 2}, y[] = {1, 2};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "plot.png"), *made = scratch_path(&dir, "made");
    char title[8][6000], large[5000];
    dm_series series[8];
    dm_err err;

    (void)state;
    if (!have_gnuplot()) {
        scratch_remove(dir.dir);
        skip();
    }
    memset(large, 'w', sizeof large - 1);
    large[sizeof large - 1] = 0;
    snprintf(title[0], sizeof title[0], "`touch %s`", made);
    snprintf(title[1], sizeof title[1], "%s\" ; system(\"touch %s\") #", large, made);
    snprintf(title[2], sizeof title[2], "';system('touch %s')", made);
    snprintf(title[3], sizeof title[3], "\nEND\nsystem('touch %s')\n", made);
    snprintf(title[4], sizeof title[4], "x\\");
    snprintf(title[5], sizeof title[5], "!touch %s", made);
    snprintf(title[6], sizeof title[6], "\xff@{/:Bold x}_%%s \xe2\x80\xae");
    snprintf(title[7], sizeof title[7], "\r!touch %s\rEND\rsystem('touch %s')", made, made);
    for (int k = 0; k < 8; k++) {
        const dm_panel panel = {title[k], title[k], title[k], false, false, series, 8};

        for (int i = 0; i < 8; i++)
            series[i] = (dm_series){title[(i + k) % 8], x, y, 2, false};
        assert_status(dm_plot(path, &panel, 1, &err), DM_OK, &err);
        assert_picture(path, 560, 400 + 4 * 18); /* a legend of eight */
    }
    assert_int_equal(scratch_entries(dir.dir), 1);
    scratch_remove(dir.dir);
}

/* The most pixels of a row that are nearly the first curve's colour. */
static int longest_row(const char *path)
{
    png_image img = {.version = PNG_IMAGE_VERSION};
    int most = 0;
    uint8_t *p;

    assert_true(png_image_begin_read_from_file(&img, path));
    img.format = PNG_FORMAT_RGB;
    assert_non_null(p = malloc(PNG_IMAGE_SIZE(img)));
    assert_true(png_image_finish_read(&img, NULL, p, 0, NULL));
    for (uint32_t y = 0; y < img.height; y++) {
        int n = 0;

        for (uint32_t x = 0; x < img.width; x++) {
            const uint8_t *c = p + 3 * ((size_t)y * img.width + x);

            n += abs(c[0] - 0x1f) < 60 && abs(c[1] - 0x4f) < 60 && abs(c[2] - 0x94) < 60;
        }
        most = n > most ? n : most;
    }
    free(p);
    return most;
}

static void plot__legend_covers_no_curve(void **state)
{
    double x[60], high[60], all[60];
    dm_series s[] = {{"a curve that lies where legends are put", x, high, 60, false},
                     {"another one", x, all, 60, false}};
    const dm_panel panel = {"", "", "", false, false, s, 2};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "plot.png");
    int whole;
    dm_err err;

    (void)state;
    if (!have_gnuplot()) {
        scratch_remove(dir.dir);
        skip();
    }
    for (int i = 0; i < 60; i++) {
        x[i] = i;
        high[i] = 0.94;
        all[i] = i / 59.0;
    }
    s[0].title = s[1].title = "";
    assert_status(dm_plot(path, &panel, 1, &err), DM_OK, &err);
    whole = longest_row(path);
    assert_true(whole > 400);
    s[0].title = "a curve that lies where legends are put";
    s[1].title = "another one";
    assert_status(dm_plot(path, &panel, 1, &err), DM_OK, &err);
    assert_true(longest_row(path) > whole - 20);
    scratch_remove(dir.dir);
}

static void plot_run__from_its_log(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "curves.png");
    dm_folder run;
    dm_run_log *l;
    dm_err err;

    (void)state;
    assert_status(dm_folder_open(&run, dir.dir, &err), DM_OK, &err);
    assert_fails(dm_plot_run(&run, NULL, path, &err), DM_ENOENT, &err, "log.jsonl");
    assert_status(dm_run_log_open(NULL, scratch_path(&dir, "log.jsonl"), -1, &l, &err), DM_OK, &err);
    assert_fails(dm_plot_run(&run, NULL, path, &err), DM_EINVAL, &err, "no steps");
    for (int i = 1; i <= 300; i++) {
        const double loss = i == 7 ? NAN : 1 / sqrt(i) * (1 + 0.2 * sin(i * 7));
        const dm_field f[] = {{"loss", loss}, {"lr", 1e-4 * fmin(1, i / 50.0)}, {"grad_norm", 1 + cos(i)},
                              {"images_per_s", 500 + i % 7}};

        assert_status(dm_run_log_put(l, i * 10, f, 4, &err), DM_OK, &err);
    }
    dm_run_log_close(l);
    if (have_gnuplot()) {
        assert_status(dm_plot_run(&run, NULL, path, &err), DM_OK, &err);
        assert_picture(path, 1120, 800);
    }
    dm_folder_close(&run);
    scratch_remove(dir.dir);
}

/* gnuplot itself says nothing of a disk that is full. */
static void plot__full_disk_keeps_the_old_picture(void **state)
{
    double x[500], y[500];
    const dm_series s = {"", x, y, 500, false}, none = {"", x, y, 0, false};
    const dm_panel few = {"", "", "", false, false, &none, 1}, many = {"", "", "", false, false, &s, 1};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "a.png");
    struct rlimit old, low;
    dm_status st;
    dm_err err;

    (void)state;
    if (!have_gnuplot()) {
        scratch_remove(dir.dir);
        skip();
    }
    for (int i = 0; i < 500; i++) {
        x[i] = i;
        y[i] = i % 7 * i % 11;
    }
    assert_status(dm_plot(path, &few, 1, &err), DM_OK, &err);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){10000, old.rlim_max}; /* the script fits, the picture does not */
    setrlimit(RLIMIT_FSIZE, &low);
    st = dm_plot(path, &many, 1, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_fails(st, DM_ENOSPC, &err, "unable to write");
    assert_int_equal(scratch_entries(dir.dir), 1);
    assert_picture(path, 560, 400);
    scratch_remove(dir.dir);
}

static void plot__without_gnuplot(void **state)
{
    const double x[] = {1, 2};
    const dm_series s = {"", x, x, 2, false};
    const dm_panel p = {"", "", "", false, false, &s, 1};
    scratch dir = scratch_new();
    char *old = strdup(getenv("PATH"));
    dm_status st;
    dm_err err;

    (void)state;
    setenv("PATH", dir.dir, 1);
    st = dm_plot(scratch_path(&dir, "a.png"), &p, 1, &err);
    setenv("PATH", old, 1);
    free(old);
    assert_fails(st, DM_EIO, &err, "apt install gnuplot-nox");
    assert_int_equal(scratch_entries(dir.dir), 0);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plot__odd_series), cmocka_unit_test(plot__titles_are_text),
        cmocka_unit_test(plot__legend_covers_no_curve),
        cmocka_unit_test(plot_run__from_its_log),
        cmocka_unit_test(plot__full_disk_keeps_the_old_picture),
        cmocka_unit_test(plot__without_gnuplot),
    };

    return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
