/* What a run folder tells of itself: where and how it ran, its curves, its experiment; see report.h. */
#include "report/report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "run/plot.h"
#include "run/run_folder.h"
#include "run/run_log.h"

enum { JSON_BYTES = 1 << 24, PNG_BYTES = 1 << 24, TEXT_BYTES = 1 << 20 };

void report_lacks(report *r, const char *part, const dm_err *why)
{
    char line[sizeof why->msg + 200];

    snprintf(line, sizeof line, "error: the report is without %s: %s", part, why->msg);
    if (r->callbacks)
        r->callbacks->log(r->callbacks->user, DM_LOG_ERROR, line);
    if (!r->failed)
        r->failed = why->code;
}

char *report_file(report *r, const char *name, size_t limit, size_t *n)
{
    char *text = NULL;
    dm_err err = {0};
    const dm_status rc = *name == '/' ? dm_file_slurp(name, limit, &text, n, &err)
                                      : dm_file_slurp_in(&r->folder, name, limit, &text, n, &err);

    if (rc && rc != DM_ENOENT)
        report_lacks(r, name, &err);
    return rc ? NULL : text;
}

json_t *report_json(report *r, const char *name)
{
    json_t *j = NULL;
    dm_err why = {0};
    size_t n;
    char *text = report_file(r, name, JSON_BYTES, &n);

    if (text && !dm_json_read(text, n, name, &j, &why) && !json_is_object(j))
        dm_error(&why, DM_ECORRUPT, "'%s' is not an object", name);
    if (why.code) {
        report_lacks(r, name, &why);
        json_decref(j);
        j = NULL;
    }
    free(text);
    return j;
}

const char *report_string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

/* ---- head: what, where, how fast ----------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *x, int64_t n)
{
    int64_t k = 0;

    for (int64_t i = 0; i < n; i++)
        if (isfinite(x[i]))
            x[k++] = x[i];
    if (!k)
        return NAN;
    qsort(x, (size_t)k, sizeof *x, by_size);
    return x[k / 2];
}

static void row(FILE *f, const char *name, const char *text)
{
    if (!*text)
        return;
    fputs("<tr>", f);
    html_cell(f, "th", name);
    html_cell(f, "td", text);
    fputs("</tr>\n", f);
}

/* The last loss and the median speed of the log. */
static void log_rows(report *r)
{
    static const char *const names[] = {"step", "loss", "images_per_s"};
    char text[80];
    double *v = NULL, *speed = NULL;
    int64_t n = 0;
    dm_err err = {0};

    if (!dm_run_log_read(&r->folder, DM_RUN_LOG, names, 3, &v, &n, &err) && n &&
        !(speed = malloc((size_t)n * sizeof *speed)))
        dm_error(&err, DM_ENOMEM, "out of memory for the log");
    if (err.code && err.code != DM_ENOENT)
        report_lacks(r, "its last numbers", &err);
    if (speed) {
        for (int64_t i = 0; i < n; i++)
            speed[i] = v[i * 3 + 2];
        snprintf(text, sizeof text, "%.0f, loss %.5g", v[(n - 1) * 3], v[(n - 1) * 3 + 1]);
        row(r->to, "last logged step", text);
        snprintf(text, sizeof text, "%.4g images/s (median of the log)", median(speed, n));
        row(r->to, "training speed", text);
        free(speed);
    }
    free(v);
}

void report_head(report *r)
{
    json_t *env = report_json(r, "env.json");
    const json_t *libraries = json_object_get(env, "libraries");
    int64_t *steps = NULL;
    dm_err why = {0};
    char text[400];
    int n = 0;

    if (!dm_checkpoint_list(r->run, &steps, &n, &why) && n)
        r->step = steps[0];
    if (why.code == DM_ENOMEM)
        report_lacks(r, "its checkpoints", &why);
    free(steps);
    fputs("<table>\n", r->to);
    row(r->to, "run", r->run);
    if (r->step) {
        snprintf(text, sizeof text, "step %lld", (long long)r->step);
        row(r->to, "newest checkpoint", text);
    }
    log_rows(r);
    row(r->to, "device", report_string(env, "device"));
    row(r->to, "platform", report_string(env, "platform"));
    row(r->to, "driver", report_string(env, "driver"));
    row(r->to, "system", report_string(env, "system"));
    row(r->to, "started", report_string(env, "started"));
    row(r->to, "demist", report_string(env, "demist"));
    snprintf(text, sizeof text, "jansson %.60s, zlib %.60s, libpng %.60s", report_string(libraries, "jansson"),
             report_string(libraries, "zlib"), report_string(libraries, "libpng"));
    if (libraries)
        row(r->to, "libraries", text);
    fputs("</table>\n", r->to);
    json_decref(env);
}

/* ---- curves --------------------------------------------------------------------------------- */

void report_plot(report *r, const char *what, report_draw_plot *draw, void *user, const char *caption)
{
    char *png = dm_run_path(r->scratch, "plot.png"), *bytes = NULL;
    dm_err err = {0};
    size_t n = 0;

    if (!png)
        dm_error(&err, DM_ENOMEM, "out of memory");
    else if (!draw(user, png, &err) &&
             (!(bytes = report_file(r, png, PNG_BYTES, &n)) || !html_png(r->to, bytes, n, 0, caption)))
        dm_error(&err, DM_ECORRUPT, "gnuplot's picture could not be read");
    if (err.code)
        html_say(r->to, "No %s: %s", what, err.msg);
    if (err.code == DM_ENOMEM)
        report_lacks(r, what, &err);
    free(bytes);
    if (png)
        unlink(png);
    free(png);
}

static dm_status draw_curves(void *user, const char *path, dm_err *err)
{
    return dm_plot_run(&((report *)user)->folder, NULL, path, err);
}

void report_curves(report *r)
{
    html_section(r->to, "Training");
    report_plot(r, "curves", draw_curves, r, "As logged, means over the steps between two lines.");
}

/* ---- experiment ------------------------------------------------------------------------------ */

void report_experiment(report *r)
{
    char *text = report_file(r, DM_RUN_CONFIG, TEXT_BYTES, NULL);

    html_section(r->to, "Experiment");
    html_say(r->to, "All keys as they were resolved, defaults too (" DM_RUN_CONFIG ").");
    if (text) {
        fputs("<pre>", r->to);
        html_text(r->to, text);
        fputs("</pre>\n", r->to);
    }
    free(text);
}
