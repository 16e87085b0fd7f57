/* What was measured of a run: the last reports of `demist eval` and the sweep in its folder; see report.h. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/plot.h"
#include "run/run_folder.h"
#include "sweep/sweep.h"

enum { ROWS = 2000, COLUMNS = 24, PNG_BYTES = 1 << 23, POINTS = 100000 };

static double number(const json_t *o, const char *path) { return sweep_number(o, path); }

void report_made_by(const report *r, const json_t *j)
{
    const double step = number(j, "step");
    const json_t *overrides = json_object_get(j, "overrides");

    if (isfinite(step) && r->step && step != (double)r->step)
        html_say(r->to, "Measured at step %.0f, not at the newest checkpoint.", step);
    if (!json_array_size(overrides))
        return;
    fputs("<p class=\"note\">Measured with:", r->to);
    for (size_t i = 0; i < json_array_size(overrides) && i < COLUMNS; i++) {
        const char *text = json_string_value(json_array_get(overrides, i));

        fputs(" <code>", r->to);
        html_text(r->to, text ? text : "?");
        fputs("</code>", r->to);
    }
    fputs("</p>\n", r->to);
}

/* ---- quality ---------------------------------------------------------------------------------- */

static void quality_row(FILE *f, const char *name, const json_t *row)
{
    static const char *const keys[] = {"count", "frechet", "kid", "kid_error", "precision", "recall"};

    if (!json_is_object(row))
        return;
    fputs("<tr>", f);
    html_cell(f, "th", name);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        html_number(f, number(row, keys[i]));
    fputs("</tr>\n", f);
}

/* What was measured of each class: the share of the classifier, the figures of --by-class. */
static void quality_classes(FILE *f, const json_t *classes)
{
    static const char *const keys[] = {"count", "test_count", "frechet", "kid", "kid_error", "precision", "recall",
                                       "class_share"};

    if (!json_array_size(classes))
        return;
    fputs("<table>\n<tr><th>class</th><th class=\"n\">images</th><th class=\"n\">test images of it</th>"
          "<th class=\"n\">Fr&eacute;chet distance to them</th><th class=\"n\">KID</th>"
          "<th class=\"n\">&plusmn;</th><th class=\"n\">precision</th><th class=\"n\">recall</th>"
          "<th class=\"n\">class share</th></tr>\n", f);
    for (size_t i = 0; i < json_array_size(classes) && i < ROWS; i++) {
        const json_t *row = json_array_get(classes, i);
        char name[128];

        snprintf(name, sizeof name, "%.0f %.100s", number(row, "class"), report_string(row, "name"));
        fputs("<tr>", f);
        html_cell(f, "th", name);
        for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++)
            html_number(f, number(row, keys[k]));
        fputs("</tr>\n", f);
    }
    fputs("</table>\n", f);
}

void report_quality(report *r)
{
    json_t *j = report_json(r, "eval/quality.json");
    const json_t *net = json_object_get(j, "features");

    if (!j)
        return;
    html_section(r->to, "Quality of samples");
    report_made_by(r, j);
    fputs("<table>\n<tr><th></th><th class=\"n\">images</th><th class=\"n\">Fr&eacute;chet distance</th>"
          "<th class=\"n\">KID</th><th class=\"n\">&plusmn;</th><th class=\"n\">precision</th>"
          "<th class=\"n\">recall</th></tr>\n", r->to);
    quality_row(r->to, "floor: test images", json_object_get(j, "floor"));
    quality_row(r->to, "samples", json_object_get(j, "samples"));
    quality_row(r->to, "ceiling: noise", json_object_get(j, "ceiling"));
    fputs("</table>\n", r->to);
    html_say(r->to, "Against %.0f training images, by %.0f features that layer %.100s of %.300s reads (weights %.64s). "
             "New real images come no nearer than the floor; the distances have the scale of these features, so no "
             "figures by other features can be compared with them.", number(j, "train_count"), number(net, "count"),
             report_string(net, "layer"), report_string(net, "run"), report_string(net, "sha256"));
    if (isfinite(number(j, "samples.class_share")))
        html_say(r->to, "Class share: the features' classifier assigns %.4f \302\261 %.4f of the samples to the "
                        "requested class.", number(j, "samples.class_share"), number(j, "samples.class_share_error"));
    quality_classes(r->to, json_object_get(j, "classes"));
    html_say(r->to, "%.300s; %.4g s of sampling.", report_string(j, "sampling"), number(j, "sampling_seconds"));
    json_decref(j);
}

/* ---- accuracy ---------------------------------------------------------------------------------- */

void report_accuracy(report *r)
{
    json_t *j = report_json(r, "eval/accuracy.json");

    if (!j)
        return;
    html_section(r->to, "Accuracy");
    report_made_by(r, j);
    html_say(r->to, "%.4f \302\261 %.4f of %.0f test images are classified correctly; cross entropy %.4f nats.",
             number(j, "accuracy"), number(j, "accuracy_error"), number(j, "count"), number(j, "cross_entropy"));
    json_decref(j);
}

/* ---- held-out loss -------------------------------------------------------------------------------- */

/* The first row's bands of noise, which are those of all. */
static void loss_head(FILE *f, const json_t *bands)
{
    char text[64];

    fputs("<tr><th>weights</th><th class=\"n\">loss</th><th class=\"n\">&plusmn;</th>", f);
    for (size_t i = 0; i < json_array_size(bands) && i < COLUMNS; i++) {
        const json_t *b = json_array_get(bands, i);

        snprintf(text, sizeof text, "t %.4g to %.4g", number(b, "from"), number(b, "to"));
        html_cell(f, "th class=\"n\"", text);
    }
    fputs("</tr>\n", f);
}

void report_loss(report *r)
{
    json_t *j = report_json(r, "eval/loss.json");
    const json_t *rows = json_object_get(j, "weights");

    if (!j)
        return;
    html_section(r->to, "Loss on held-out data");
    report_made_by(r, j);
    fputs("<table>\n", r->to);
    loss_head(r->to, json_object_get(json_array_get(rows, 0), "bands"));
    for (size_t i = 0; i < json_array_size(rows) && i < COLUMNS; i++) {
        const json_t *row = json_array_get(rows, i), *bands = json_object_get(row, "bands");

        fputs("<tr>", r->to);
        html_cell(r->to, "th", report_string(row, "weights"));
        html_number(r->to, number(row, "loss"));
        html_number(r->to, number(row, "error"));
        for (size_t k = 0; k < json_array_size(bands) && k < COLUMNS; k++)
            html_number(r->to, number(json_array_get(bands, k), "loss"));
        fputs("</tr>\n", r->to);
    }
    fputs("</table>\n", r->to);
    html_say(r->to, "%.0f examples of the test split, the same noise for all weights.", number(j, "count"));
    json_decref(j);
}
