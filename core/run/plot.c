/* Curves by gnuplot; see plot.h. The script is a file that gnuplot reads as its standard input, so
 * that nothing breaks if it ends early; what it prints is the PNG, through a pipe, since gnuplot
 * itself takes no notice of a full disk. */
#include "run/plot.h"

#include "base/file.h"
#include "text/number.h"
#include "text/plain_text.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { FEW = 20 };                 /* points of a curve are marked where there are fewer */
enum { WIDTH = 560, HEIGHT = 400 };  /* of a panel */
enum { FEW_LINES = 4, LINE = 18 };  /* of a legend, which stands below: more of them make the panel higher */
enum { FAINT = 1 };                /* the line style of what is faint; the others follow it */

/* A line of a data block. Text is never written into a command: in gnuplot's quotes, backticks run a shell. The colon
 * keeps a line from being the block's end; terminals are told noenhanced. */
static void put_text(FILE *f, const char *s)
{
    fputc(':', f);
    dm_plain_put(f, s);
    fputc('\n', f);
}

enum { TITLE = 1, X_LABEL, Y_LABEL, SERIES }; /* lines of the block of a panel's texts */

static void put_texts(FILE *f, int panel, const dm_panel *p)
{
    fprintf(f, "$t%d << END\n", panel);
    put_text(f, p->title);
    put_text(f, p->x_label);
    put_text(f, p->y_label);
    for (int k = 0; k < p->n_series; k++)
        put_text(f, p->series[k].title);
    fputs("END\n", f);
}

static bool drawable(const dm_panel *p, double x, double y)
{
    return isfinite(x) && isfinite(y) && (x > 0 || !p->log_x) && (y > 0 || !p->log_y);
}

/* Whether an axis spans a decade: a logarithmic one has no ticks within less. */
static bool spans(const dm_panel *p, bool y)
{
    double least = INFINITY, most = 0;

    for (int k = 0; k < p->n_series; k++)
        for (int64_t i = 0; i < p->series[k].n; i++)
            if (drawable(p, p->series[k].x[i], p->series[k].y[i])) {
                const double v = y ? p->series[k].y[i] : p->series[k].x[i];

                least = fmin(least, v);
                most = fmax(most, v);
            }
    return most >= 10 * least;
}

/* The points of a series as a block of its own; how many there are. */
static int64_t put_data(FILE *f, const dm_panel *p, int panel, int series)
{
    const dm_series *s = &p->series[series];
    char x[DM_NUMBER_TEXT], y[DM_NUMBER_TEXT];
    int64_t put = 0;

    fprintf(f, "$d%d_%d << END\n", panel, series);
    for (int64_t i = 0; i < s->n; i++)
        if (drawable(p, s->x[i], s->y[i])) {
            fprintf(f, "%s %s\n", dm_number_write(s->x[i], x), dm_number_write(s->y[i], y));
            put++;
        }
    fputs("END\n", f);
    return put;
}

static void put_panel(FILE *f, int index, const dm_panel *p)
{
    int64_t drawn[DM_PLOT_SERIES] = {0};
    int first = 1, strong = FAINT;

    put_texts(f, index, p);
    fprintf(f, "set title $t%d[%d][2:]\nset xlabel $t%d[%d][2:]\nset ylabel $t%d[%d][2:]\n", index, TITLE, index,
            X_LABEL, index, Y_LABEL);
    fprintf(f, "unset logscale\n%s%sset autoscale\n", p->log_x && spans(p, false) ? "set logscale x\n" : "",
            p->log_y && spans(p, true) ? "set logscale y\n" : "");
    for (int k = 0; k < p->n_series; k++)
        drawn[k] = put_data(f, p, index, k);
    for (int k = 0; k < p->n_series; k++) {
        const int style = p->series[k].faint ? FAINT : ++strong;

        if (!drawn[k])
            continue;
        fprintf(f, "%s $d%d_%d using 1:2 with %s ls %d %s ", first ? "plot" : ",", index, k,
                drawn[k] < 2 ? "points" : drawn[k] < FEW ? "linespoints" : "lines", style,
                drawn[k] < FEW ? "pt 7 ps 0.7" : "");
        if (*p->series[k].title)
            fprintf(f, "title $t%d[%d][2:]", index, SERIES + k);
        else
            fputs("notitle", f);
        first = 0;
    }
    if (first) /* no range can be made of nothing */
        fputs("unset logscale\nset xrange [0:1]\nset yrange [0:1]\nplot NaN notitle", f);
    fputc('\n', f);
}

static void put_script(FILE *f, const dm_panel *panels, int n)
{
    const int columns = n > 1 ? 2 : 1, rows = (n + columns - 1) / columns;
    int lines = FEW_LINES, height;

    for (int i = 0; i < n; i++)
        lines = panels[i].n_series > lines ? panels[i].n_series : lines;
    height = HEIGHT + (lines - FEW_LINES) * LINE;
    fprintf(f, "set encoding utf8\nset terminal png noenhanced size %d,%d\n"
               "if (strstrt(GPVAL_TERMINALS, 'pngcairo')) { set terminal pngcairo noenhanced size %d,%d }\n",
            columns * WIDTH, rows * height, columns * WIDTH, rows * height);
    fputs("set grid lc rgb '#dddddd'\nset key outside below height 0.7\nset format '%g'\n"
          "set style line 1 lc rgb '#9dbbe0' lw 1\nset style line 2 lc rgb '#1f4f94' lw 2\n"
          "set style line 3 lc rgb '#c0392b' lw 2\nset style line 4 lc rgb '#2e8b57' lw 2\n"
          "set style line 5 lc rgb '#8e44ad' lw 2\nset style line 6 lc rgb '#555555' lw 2\n"
          "set style line 7 lc rgb '#d98c00' lw 2\nset style line 8 lc rgb '#00838f' lw 2\n"
          "set style line 9 lc rgb '#ad1457' lw 2\nset style line 10 lc rgb '#6d8f00' lw 2\n"
          "set style line 11 lc rgb '#795548' lw 2\nset style line 12 lc rgb '#90a4ae' lw 2\n"
          "set style line 13 lc rgb '#000000' lw 2\n", f);
    fprintf(f, "set multiplot layout %d,%d\n", rows, columns);
    for (int i = 0; i < n; i++)
        put_panel(f, i, &panels[i]);
    fputs("unset multiplot\n", f);
}

/* The last line that gnuplot complained with. */
static void read_complaint(FILE *f, char *to, size_t n)
{
    char line[200];

    to[0] = 0;
    rewind(f);
    while (fgets(line, sizeof line, f))
        if (strspn(line, " \t\n^") < strlen(line))
            snprintf(to, n, "%s", line + strspn(line, " \t"));
    to[strcspn(to, "\n")] = 0;
}

/* Decimal points whatever the user's locale is; the rest of the environment as it is. */
static char **make_environment(void)
{
    size_t n = 0, k = 0;
    char **e;

    while (environ && environ[n])
        n++;
    if (!(e = calloc(n + 2, sizeof *e)))
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "LC_ALL=", 7))
            e[k++] = environ[i];
    e[k] = (char *)(uintptr_t)"LC_ALL=C.UTF-8"; /* nobody writes to it */
    return e;
}

/* All that gnuplot prints, to the file; after a failure the rest is read all the same, so that it ends. */
static dm_status take_picture(int from, dm_file_out *out, dm_err *err)
{
    const char *path = out->path;
    char part[16384];
    int64_t total = 0;
    dm_status s = DM_OK;
    ssize_t n;

    while ((n = read(from, part, sizeof part)) > 0 || (n < 0 && errno == EINTR))
        if (n > 0 && !s) {
            total += n;
            s = dm_file_put(out, part, (size_t)n, err);
        }
    if (!s && n < 0)
        return dm_file_error(err, "read what gnuplot draws for", path);
    return s || total ? s : dm_error(err, DM_EIO, "gnuplot drew nothing for '%s'", path);
}

static dm_status start_gnuplot(FILE *script, int to, FILE *complaints, pid_t *pid, dm_err *err)
{
    char name[] = "gnuplot", defaults[] = "-d", *argv[] = {name, defaults, NULL}, **env = make_environment();
    posix_spawn_file_actions_t files;
    int e;

    if (!env)
        return dm_error(err, DM_ENOMEM, "out of memory: running gnuplot");
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, fileno(script), 0);
    posix_spawn_file_actions_adddup2(&files, to, 1);
    posix_spawn_file_actions_adddup2(&files, fileno(complaints), 2);
    e = posix_spawnp(pid, name, &files, NULL, argv, env);
    posix_spawn_file_actions_destroy(&files);
    free(env);
    if (e == ENOENT)
        return dm_error(err, DM_EIO, "unable to run gnuplot: it is not installed (Debian: apt install gnuplot-nox)");
    return e ? dm_error(err, DM_EIO, "unable to run gnuplot: error %d", e) : DM_OK;
}

static dm_status run_gnuplot(FILE *script, dm_file_out *out, FILE *complaints, dm_err *err)
{
    char why[200];
    int status = 0, ends[2];
    dm_status s;
    dm_err taking;
    pid_t pid;

    if (pipe(ends))
        return dm_error(err, DM_EIO, "unable to make a pipe for gnuplot: error %d", errno);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    s = start_gnuplot(script, ends[1], complaints, &pid, err);
    close(ends[1]);
    if (s) {
        close(ends[0]);
        return s;
    }
    s = take_picture(ends[0], out, &taking);
    close(ends[0]);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return dm_error(err, DM_EIO, "unable to wait for gnuplot");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return dm_error(err, DM_EIO, "unable to run gnuplot: it is not installed (Debian: apt install gnuplot-nox)");
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        read_complaint(complaints, why, sizeof why);
        return dm_error(err, DM_EIO, "gnuplot failed: %s", *why ? why : "no reason given");
    }
    if (s)
        *err = taking;
    return s;
}

static dm_status write_script(FILE *to, const dm_panel *panels, int n, dm_err *err)
{
    char *text = NULL;
    size_t size = 0;
    FILE *script = open_memstream(&text, &size);
    dm_status s = DM_OK;

    if (script)
        put_script(script, panels, n);
    if (!script || ferror(script) | fclose(script))
        s = dm_error(err, DM_ENOMEM, "out of memory: what gnuplot is to draw");
    else if (fwrite(text, 1, size, to) < size || fflush(to))
        s = dm_file_error(err, "write a file for", "gnuplot");
    free(text);
    return s;
}

dm_status dm_plot(const char *path, const dm_panel *panels, int n, dm_err *err)
{
    return dm_plot_in(NULL, path, panels, n, err);
}

dm_status dm_plot_in(const dm_folder *in, const char *name, const dm_panel *panels, int n, dm_err *err)
{
    FILE *script = tmpfile(), *complaints = script ? tmpfile() : NULL;
    dm_file_out out = {.fd = -1};
    dm_status s = complaints ? write_script(script, panels, n, err)
                             : dm_file_error(err, "create a file for", "gnuplot");

    if (!s && !(s = dm_file_begin_in(&out, in, name, err))) {
        rewind(script);
        s = run_gnuplot(script, &out, complaints, err);
    }
    if (!s)
        s = dm_file_commit(&out, err);
    dm_file_abort(&out);
    if (script)
        fclose(script);
    if (complaints)
        fclose(complaints);
    return s;
}
