/* The likelihood of a run, and the terms of its bound over t; see report.h. */
#include "report/report.h"

#include <stdlib.h>

#include "base/error.h"
#include "eval/eval.h"
#include "sweep/sweep.h"

enum { TERMS = 1000000 };

static void row(FILE *f, const char *name, const json_t *j, const char *key)
{
    const json_t *m = json_object_get(j, key);

    fputs("<tr>", f);
    html_cell(f, "th", name);
    html_number(f, sweep_number(m, "mean"));
    html_number(f, sweep_number(m, "error"));
    fputs("</tr>\n", f);
}

/* What is no number is passed over. */
static dm_status draw(void *user, const char *path, dm_err *err)
{
    const json_t *terms = user;
    const size_t n = json_array_size(terms);
    double *t = calloc(2 * n, sizeof *t), *term = t + n;
    dm_status rc;

    if (!t)
        return dm_error(err, DM_ENOMEM, "out of memory for the terms");
    for (size_t i = 0; i < n; i++) {
        t[i] = sweep_number(json_array_get(terms, i), "t");
        term[i] = sweep_number(json_array_get(terms, i), "mean");
    }
    rc = eval_plot_terms(path, t, term, (int64_t)n, err);
    free(t);
    return rc;
}

static void show_terms(report *r, const json_t *terms)
{
    const size_t n = json_array_size(terms);

    if (n && n <= TERMS)
        report_plot(r, "plot of the terms", draw, (void *)terms,
                    "The terms of the bound over t, and what they add up to from the data on.");
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
