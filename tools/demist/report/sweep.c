/* The table of a sweep, its curves and what each of its cells draws; see report.h. */
#include "report/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "sweep/sweep.h"

enum { ROWS = 2000, COLUMNS = 24, PICTURES = 200, PNG_BYTES = 1 << 23, NAME = 200, WIDE = 240 };

static void text_cells(FILE *f, const char *tag, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list) && i < COLUMNS; i++) {
        const char *text = json_string_value(json_array_get(list, i));

        html_cell(f, tag, text ? text : "");
    }
}

static void sweep_row(FILE *f, const json_t *row, size_t figures)
{
    const json_t *list = json_object_get(row, "figures");

    fputs("<tr>", f);
    text_cells(f, "td", json_object_get(row, "values"));
    if (!strcmp(report_string(row, "state"), "done")) {
        for (size_t i = 0; i < figures && i < COLUMNS; i++)
            html_number(f, json_is_number(json_array_get(list, i)) ? json_number_value(json_array_get(list, i)) : NAN);
        html_number(f, sweep_number(row, "seconds"));
    } else {
        fprintf(f, "<td class=\"warn\" colspan=\"%d\">", (int)(figures < COLUMNS ? figures : COLUMNS) + 1);
        html_text(f, report_string(row, "state"));
        fputs(*report_string(row, "reason") ? ": " : "", f);
        html_text(f, report_string(row, "reason"));
        fputs("</td>", f);
    }
    fputs("</tr>\n", f);
}

/* A sweep's tables outlive the checkpoint that they were measured on. */
static void sweep_checkpoint(const report *r, const json_t *j)
{
    char now[80];
    int64_t step;
    dm_err ignored = {0};

    if (!sweep_identify(r->run, now, sizeof now, &step, &ignored) && *report_string(j, "checkpoint") &&
        strcmp(now, report_string(j, "checkpoint")))
        html_say(r->to, "Measured on other weights than those of the newest checkpoint.");
}

/* The name is from a file: only what a sweep calls its cells' pictures is opened. */
static bool is_picture(const char *name)
{
    const char *hex = name + strlen("cells/"), *count;

    if (strncmp(name, "cells/", strlen("cells/")) || strspn(hex, "0123456789abcdef") != SWEEP_HEX ||
        hex[SWEEP_HEX] != '-')
        return false;
    count = hex + SWEEP_HEX + 1;
    return strspn(count, "0123456789") && !strcmp(count + strspn(count, "0123456789"), ".png");
}

/* "steps=20, use=ddpm: frechet 3.1" */
static void caption_of(const json_t *j, const json_t *row, char *text, size_t n)
{
    const json_t *keys = json_object_get(j, "keys"), *values = json_object_get(row, "values"),
                 *figure = json_array_get(json_object_get(row, "figures"), 0);
    const char *name = json_string_value(json_array_get(json_object_get(j, "figures"), 0));
    size_t at = 0;

    *text = 0;
    for (size_t i = 0; i < json_array_size(keys) && i < COLUMNS && at < n; i++) {
        const char *key = json_string_value(json_array_get(keys, i)),
                   *value = json_string_value(json_array_get(values, i)), *dot = key ? strrchr(key, '.') : NULL;

        if (key && value && *value)
            at += (size_t)snprintf(text + at, n - at, "%s%.60s=%.60s", at ? ", " : "", dot ? dot + 1 : key, value);
    }
    if (json_is_number(figure) && at < n)
        snprintf(text + at, n - at, ": %.40s %.4g", name ? name : "", json_number_value(figure));
}

static void pictures(report *r, const char *in, const json_t *j)
{
    const json_t *rows = json_object_get(j, "rows");
    int shown = 0;

    for (size_t i = 0; i < json_array_size(rows) && i < ROWS && shown < PICTURES; i++) {
        const json_t *row = json_array_get(rows, i);
        const char *picture = report_string(row, "picture");
        char name[NAME], caption[COLUMNS * 130];
        char *png;
        size_t n = 0;

        if (!is_picture(picture))
            continue;
        snprintf(name, sizeof name, "%s%s", in, picture);
        if (!(png = report_file(r, name, PNG_BYTES, &n)))
            continue;
        if (!shown++) {
            html_section(r->to, "Samples of each cell");
            html_say(r->to, "Not chosen: the first of the experiment's seed.");
            html_side_begin(r->to);
        }
        caption_of(j, row, caption, sizeof caption);
        html_png(r->to, png, n, -WIDE, caption);
        free(png);
    }
    if (shown)
        html_side_end(r->to);
    if (shown == PICTURES)
        html_say(r->to, "No more than %d are shown.", PICTURES);
}

void report_sweep(report *r, const char *in)
{
    char name[NAME];
    json_t *j, *rows, *figures;
    char *png;
    size_t n = 0;

    snprintf(name, sizeof name, "%ssweep.json", in);
    if (!(j = report_json(r, name)))
        return;
    rows = json_object_get(j, "rows");
    figures = json_object_get(j, "figures");
    html_section(r->to, "Sweep");
    if (*in)
        sweep_checkpoint(r, j);
    snprintf(name, sizeof name, "%ssweep.png", in);
    if ((png = report_file(r, name, PNG_BYTES, &n)))
        html_png(r->to, png, n, 0, "Result against time.");
    free(png);
    fputs("<table>\n<tr>", r->to);
    text_cells(r->to, "th", json_object_get(j, "keys"));
    text_cells(r->to, "th class=\"n\"", figures);
    fputs("<th class=\"n\">seconds</th></tr>\n", r->to);
    for (size_t i = 0; i < json_array_size(rows) && i < ROWS; i++)
        sweep_row(r->to, json_array_get(rows, i), json_array_size(figures));
    fputs("</table>\n", r->to);
    if (json_array_size(rows) > ROWS)
        html_say(r->to, "%d of %zu rows are shown.", ROWS, json_array_size(rows));
    pictures(r, in, j);
    json_decref(j);
}
