/* demist compare: what several runs look like beside one another; see report.h. */
#include "report/report.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "eval/eval.h"
#include "files/run_state.h"
#include "run/plot.h"
#include "run/run_folder.h"
#include "sweep/sweep.h"

/* ---- how far each is --------------------------------------------------------------------------- */

void compare_heads(const comparison *c)
{
    FILE *f = c->run[0].to;

    fputs("<table>\n<tr><th>run</th><th>state</th><th class=\"n\">step</th><th class=\"n\">of</th>"
          "<th class=\"n\">loss</th><th class=\"n\">held-out loss</th><th>device</th><th>started</th></tr>\n", f);
    for (int i = 0; i < c->n; i++) {
        char *path = strdup(c->run[i].run);
        run_state s = {.state = "unreadable"};
        dm_err why = {0};
        json_t *env;

        if (!path || run_state_look(path, &s, &why)) {
            report_lacks(&c->run[i], "its state", &(dm_err){DM_ENOMEM, "out of memory"});
            run_state_fini(&s);
            continue;
        }
        env = report_json(&c->run[i], "env.json");
        fputs("<tr>", f);
        html_cell(f, "th", c->title[i]);
        html_cell(f, "td", s.state);
        html_number(f, (double)s.step);
        html_number(f, (double)s.steps);
        html_number(f, s.loss);
        html_number(f, s.held_out);
        html_cell(f, "td", report_string(env, "device"));
        html_cell(f, "td", report_string(env, "started"));
        fputs("</tr>\n", f);
        json_decref(env);
        run_state_fini(&s);
    }
    fputs("</table>\n", f);
}

/* ---- curves ------------------------------------------------------------------------------------ */

static dm_status draw_curves(void *user, const char *path, dm_err *err)
{
    const comparison *c = user;
    dm_folder *folders = calloc((size_t)c->n, sizeof *folders);
    dm_status rc;

    if (!folders)
        return dm_error(err, DM_ENOMEM, "out of memory");
    for (int i = 0; i < c->n; i++)
        folders[i] = c->run[i].folder;
    rc = dm_plot_runs(folders, c->title, c->n, path, err);
    free(folders);
    return rc;
}

void compare_curves(const comparison *c)
{
    html_section(c->run[0].to, "Training");
    report_plot(&c->run[0], "curves", draw_curves, (void *)c, "As logged; the loss is smoothed.");
}

/* ---- samples ----------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

static bool are_points(const dm_images *im) { return im->x && im->shape.rank == 2 && im->shape.dim[1] == 2; }

/* Axes that 99 of 100 points of all runs fit into, so that one picture can be laid over the other; 0 where there are
 * none. */
static double common_limit(const dm_images *im, int n)
{
    int64_t count = 0, k = 0;
    double limit;
    float *all;

    for (int i = 0; i < n; i++)
        count += are_points(&im[i]) ? im[i].shape.dim[0] * 2 : 0;
    if (!count || !(all = dm_array(count, 1, sizeof *all)))
        return 0;
    for (int i = 0; i < n; i++)
        for (int64_t at = 0; are_points(&im[i]) && at < im[i].shape.dim[0] * 2; at++)
            if (isfinite(im[i].x[at]))
                all[k++] = fabsf(im[i].x[at]);
    qsort(all, (size_t)k, sizeof *all, by_size);
    limit = k ? 1.05 * (double)all[k * 99 / 100] : 0;
    free(all);
    return limit;
}

static dm_status show(FILE *f, const dm_images *im, double limit, const char *title, dm_err *err)
{
    const int64_t *d = im->shape.dim, side = im->shape.rank == 4 ? d[3] > d[2] ? d[3] : d[2] : 0;
    dm_picture p = {0};
    dm_status rc;

    if (are_points(im)) {
        if (!(rc = dm_picture_scatter(im->x, d[0], NULL, 0, 384, limit, &p, err)))
            rc = html_picture(f, &p, 1, title, err);
    } else if (im->shape.rank == 4) {
        if (!(rc = dm_picture_grid(im->x, d[0], d[1], d[2], d[3], 0, 2, &p, err)))
            rc = html_picture(f, &p, report_scale(side), title, err);
    } else {
        rc = dm_error(err, DM_EINVAL, "samples of %" PRId64 " numbers each have no picture", d[1]);
    }
    dm_picture_fini(&p);
    return rc;
}

static void show_all(const comparison *c, const dm_images *im)
{
    FILE *f = c->run[0].to;
    const double limit = common_limit(im, c->n);

    html_side_begin(f);
    for (int i = 0; i < c->n; i++) {
        dm_err err = {0};

        if (im[i].x && show(f, &im[i], limit, c->title[i], &err)) {
            html_say(f, "%s: none: %s", c->title[i], err.msg);
            report_lacks(&c->run[i], "samples", &err);
        }
    }
    html_side_end(f);
}

void compare_samples(const comparison *c)
{
    dm_images *im;
    FILE *f = c->run[0].to;

    if (!c->count)
        return;
    if (!(im = calloc((size_t)c->n, sizeof *im))) {
        report_lacks(&c->run[0], "samples", &(dm_err){DM_ENOMEM, "out of memory"});
        return;
    }
    html_section(f, "Samples");
    html_say(f,
             "Not chosen: the first of seed %" PRId64 " from each run, which begin with the same noise where the data "
             "have the same shape.",
             c->seed);
    for (int i = 0; i < c->n; i++) {
        dm_sample_options o = {.size = sizeof o, .count = c->count, .seed = &c->seed};
        dm_err err = {0};
        dm_model_properties what;

        im[i].size = sizeof im[i];
        if (!report_draw(&c->run[i], &o, &im[i], &what, &err)) {
            if (what.diffuses)
                html_say(f, "%s: %.400s: %.4g s.", c->title[i], im[i].about, im[i].seconds);
            else
                html_say(f, "%s: " REPORT_NO_SAMPLES, c->title[i]);
            continue;
        }
        html_say(f, "%s: none: %s", c->title[i], err.msg);
        if (err.code != DM_ENOENT) /* a run without a checkpoint has none yet */
            report_lacks(&c->run[i], "samples", &err);
    }
    show_all(c, im);
    for (int i = 0; i < c->n; i++)
        dm_images_free(&im[i]);
    free(im);
}

/* ---- figures ----------------------------------------------------------------------------------- */

static void head_row(const comparison *c, const char *first)
{
    FILE *f = c->run[0].to;

    fputs("<table>\n<tr>", f);
    html_cell(f, "th", first);
    for (int i = 0; i < c->n; i++)
        html_cell(f, "th class=\"n\"", c->title[i]);
    fputs("</tr>\n", f);
}

/* Distances by the features of different networks cannot be compared: which they are. */
static void features_row(const comparison *c, json_t *const *reports)
{
    FILE *f = c->run[0].to;
    char text[24];

    fputs("<tr><th>quality: weights of the features</th>", f);
    for (int i = 0; i < c->n; i++) {
        snprintf(text, sizeof text, "%.12s", report_string(json_object_get(reports[i], "features"), "sha256"));
        html_cell(f, "td class=\"n\"", text);
    }
    fputs("</tr>\n", f);
}

static void figure_row(const comparison *c, const eval_metric *m, const eval_column *e, json_t *const *reports)
{
    FILE *f = c->run[0].to;
    char name[64];

    snprintf(name, sizeof name, "%s: %s", m->name, e->name);
    fputs("<tr>", f);
    html_cell(f, "th", name);
    for (int i = 0; i < c->n; i++)
        html_number(f, sweep_number(reports[i], e->path));
    fputs("</tr>\n", f);
}

/* A metric's reports as rows of its table, one run a column; nothing where none has one. */
static void metric_rows(const comparison *c, const eval_metric *m, json_t **reports)
{
    FILE *f = c->run[0].to;
    char name[64];
    bool any = false, sometimes = false;

    snprintf(name, sizeof name, "eval/%s.json", m->name);
    for (int i = 0; i < c->n; i++) {
        any |= (reports[i] = report_json(&c->run[i], name)) != NULL;
        sometimes |= m->sometimes.name && isfinite(sweep_number(reports[i], m->sometimes.path));
    }
    for (const eval_column *e = m->columns; any && e->name; e++)
        figure_row(c, m, e, reports);
    if (sometimes)
        figure_row(c, m, &m->sometimes, reports);
    if (any && m->quality)
        features_row(c, reports);
    snprintf(name, sizeof name, "%s: at step", m->name);
    if (any) {
        fputs("<tr>", f);
        html_cell(f, "th", name);
        for (int i = 0; i < c->n; i++)
            html_number(f, sweep_number(reports[i], "step"));
        fputs("</tr>\n", f);
    }
}

void compare_figures(const comparison *c)
{
    static const eval_metric *const metrics[] = {&eval_quality, &eval_nll, &eval_loss, &eval_accuracy};
    json_t **reports = calloc((size_t)c->n, sizeof *reports);
    FILE *f = c->run[0].to;

    if (!reports) {
        report_lacks(&c->run[0], "figures", &(dm_err){DM_ENOMEM, "out of memory"});
        return;
    }
    html_section(f, "Figures");
    html_say(f, "The last report of each metric of demist eval in each run's folder; empty if there is none.");
    head_row(c, "");
    for (size_t k = 0; k < sizeof metrics / sizeof metrics[0]; k++) {
        metric_rows(c, metrics[k], reports);
        for (int i = 0; i < c->n; i++)
            json_decref(reports[i]);
    }
    fputs("</table>\n", f);
    free(reports);
}
