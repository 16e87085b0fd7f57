/* The likelihood of a run, and the terms of its bound over t; see report.h. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "run/plot.h"
#include "run/run_folder.h"
#include "sweep/sweep.h"

enum { TERMS = 1000000, PNG_BYTES = 1 << 23 };

static void row(FILE *f, const char *name, const json_t *j, const char *key)
{
    const json_t *m = json_object_get(j, key);

    fputs("<tr>", f);
    html_cell(f, "th", name);
    html_number(f, sweep_number(m, "mean"));
    html_number(f, sweep_number(m, "error"));
    fputs("</tr>\n", f);
}

/* Terms, and their sum from the data on; what is no number is passed over. */
static dm_status draw(const char *path, const json_t *terms, size_t n, dm_err *err)
{
    double *t = calloc(3 * n, sizeof *t), *term = t + n, *sum = t + 2 * n, so_far = 0;
    dm_status rc = t ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the terms");

    for (size_t i = 0; i < n && !rc; i++) {
        t[i] = sweep_number(json_array_get(terms, i), "t");
        term[i] = sweep_number(json_array_get(terms, i), "mean");
        so_far += isfinite(term[i]) ? term[i] : 0;
        sum[i] = so_far;
    }
    if (!rc) {
        const dm_series one = {"", t, term, (int64_t)n, false}, all = {"", t, sum, (int64_t)n, false};
        const dm_panel panels[] = {{"terms of the bound", "t", "bits a dimension", true, true, &one, 1},
                                   {"their sum up to t", "t", "bits a dimension", true, false, &all, 1}};

        rc = dm_plot(path, panels, 2, err);
    }
    free(t);
    return rc;
}

static void show_terms(report *r, const json_t *terms)
{
    const size_t n = json_array_size(terms);
    char *path, *bytes = NULL;
    dm_err err = {0};
    size_t size = 0;

    if (!n || n > TERMS || !(path = dm_run_path(r->scratch, "terms.png")))
        return;
    if (draw(path, terms, n, &err))
        html_say(r->to, "No plot of the terms: %s", err.msg);
    else if ((bytes = report_file(r, path, PNG_BYTES, &size)))
        html_png(r->to, bytes, size, 0, "The terms of the bound over t, and what they add up to from the data on.");
    free(bytes);
    unlink(path);
    free(path);
}

static void begin_table(report *r, const json_t *made)
{
    report_made_by(r, made);
    fputs("<table>\n<tr><th></th><th class=\"n\">bits a dimension</th><th class=\"n\">&plusmn;</th></tr>\n", r->to);
}

static void show_bound(report *r, const json_t *j)
{
    begin_table(r, j);
    row(r->to, "bound", j, "bits_per_dim");
    row(r->to, "L_T: what is left of the image at the noisiest step", j, "L_T");
    row(r->to, "the steps between", j, "L_between");
    row(r->to, "L_0: the decoder", j, "L_0");
    fputs("</table>\n", r->to);
    html_say(r->to, "%.0f test images, %.0f steps, %.20s variance.", sweep_number(j, "count"), sweep_number(j, "steps"),
             report_string(j, "variance"));
    show_terms(r, json_object_get(j, "terms"));
}

static void show_ode(report *r, const json_t *j)
{
    begin_table(r, j);
    row(r->to, "by the probability-flow ODE", j, "bits_per_dim");
    fputs("</table>\n", r->to);
    html_say(r->to, "%.0f test examples, %.0f steps.", sweep_number(j, "count"), sweep_number(j, "steps"));
}

void report_likelihood(report *r)
{
    json_t *bound = report_json(r, "eval/nll.json"), *ode = report_json(r, "eval/nll-ode.json");

    if (bound || ode)
        html_section(r->to, "Likelihood");
    if (bound)
        show_bound(r, bound);
    if (ode)
        show_ode(r, ode);
    json_decref(bound);
    json_decref(ode);
}
