/* What came of a sweep, as CSV, Markdown, JSON and curves; see sweep.h. */
#include "sweep/sweep.h"
#include "text/json_text.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "text/number.h"
#include "text/plain_text.h"
#include "run/plot.h"
#include "run/run_folder.h"

static const char *const states[] = {"planned", "done", "refused", "failed"};

double sweep_number(const json_t *report, const char *path)
{
    char key[64];

    for (size_t n; report && *path; path += n + (path[n] == '.')) {
        n = strcspn(path, ".");
        snprintf(key, sizeof key, "%.*s", (int)n, path);
        report = json_object_get(report, key);
    }
    return json_is_number(report) ? json_number_value(report) : NAN;
}

dm_status sweep_choose_columns(sweep *s, dm_err *err)
{
    const eval_column *all = s->metric->columns;
    eval_column *chosen;
    size_t n = 0;
    bool any = false;

    for (int k = 0; k < s->n && s->metric->sometimes.name && !any; k++)
        any = isfinite(sweep_number(s->cell[k].report, s->metric->sometimes.path));
    while (all[n].name)
        n++;
    if (!(chosen = dm_alloc_n(s->arena, n + 2, sizeof *chosen)))
        return dm_error(err, DM_ENOMEM, "out of memory for the sweep's tables");
    memcpy(chosen, all, n * sizeof *chosen);
    if (any)
        chosen[n++] = s->metric->sometimes;
    chosen[n] = all[n - any];
    s->columns = chosen;
    return DM_OK;
}

double sweep_cell_pace(const sweep_cell *c)
{
    const double count = sweep_number(c->report, "samples.count");

    return c->state == SWEEP_DONE && count > 0 ? c->seconds / count : NAN;
}

static const char *value_of(const sweep *s, const sweep_cell *c, int axis)
{
    return c->value[axis] < 0 ? "" : s->axis[axis].value[c->value[axis]];
}

/* ---- CSV ------------------------------------------------------------------------------ */

static void put_field(FILE *f, const char *text)
{
    if (!text[strcspn(text, ",\"\r\n")]) {
        fputs(text, f);
        return;
    }
    fputc('"', f);
    for (; *text; text++)
        fprintf(f, *text == '"' ? "\"\"" : "%c", *text);
    fputc('"', f);
}

static void put_number(FILE *f, double x)
{
    char text[DM_NUMBER_TEXT];

    if (isfinite(x))
        fputs(dm_number_write(x, text), f);
    fputc(',', f);
}

static void put_csv(const sweep *s, FILE *f)
{
    for (int i = 0; i < s->n_axes; i++) {
        put_field(f, s->axis[i].key);
        fputc(',', f);
    }
    fputs("step,", f);
    for (const eval_column *e = s->columns; e->name; e++)
        fprintf(f, "%s,", e->name);
    fputs("seconds,seconds_per_image,state,reason\n", f);
    for (int k = 0; k < s->n; k++) {
        const sweep_cell *c = &s->cell[k];

        for (int i = 0; i < s->n_axes; i++) {
            put_field(f, value_of(s, c, i));
            fputc(',', f);
        }
        put_number(f, c->state == SWEEP_DONE ? (double)c->step : NAN);
        for (const eval_column *e = s->columns; e->name; e++)
            put_number(f, sweep_number(c->report, e->path));
        put_number(f, c->state == SWEEP_DONE ? c->seconds : NAN);
        put_number(f, sweep_cell_pace(c));
        fprintf(f, "%s,", states[c->state]);
        put_field(f, c->why);
        fputc('\n', f);
    }
}

/* ---- Markdown -------------------------------------------------------------------------- */

static void put_text(FILE *f, const char *text)
{
    for (int n; *text; text += n ? n : 1) {
        n = dm_plain_length(text);
        if (strchr("|<`[\\", *text)) /* a cell's end, HTML, code, links */
            fputc('\\', f);
        if (n)
            fwrite(text, 1, (size_t)n, f);
        else
            fputc(' ', f);
    }
}

static void put_figure(FILE *f, double x)
{
    if (isfinite(x))
        fprintf(f, " %.4g |", x);
    else
        fputs(" |", f);
}

/* Floor and ceiling, which all samples of a report share. */
static void put_bounds(const sweep *s, FILE *f)
{
    static const char *const rows[] = {"floor", "ceiling"};
    const json_t *report = NULL;

    for (int k = 0; k < s->n && !report; k++)
        report = s->cell[k].report;
    for (int r = 0; r < 2; r++) {
        if (!json_is_object(json_object_get(report, rows[r])))
            continue;
        fprintf(f, "| %s", rows[r]);
        for (int i = 0; i < s->n_axes; i++)
            fputs(" |", f);
        for (const eval_column *e = s->columns; e->name; e++) {
            const char *dot = strchr(e->path, '.');

            put_figure(f, dot ? sweep_number(json_object_get(report, rows[r]), dot + 1) : NAN);
        }
        fputs(" |\n", f);
    }
}

void sweep_print_table(const sweep *s, FILE *f)
{
    fputc('|', f);
    for (int i = 0; i < s->n_axes; i++) {
        fputc(' ', f);
        put_text(f, s->axis[i].key);
        fputs(" |", f);
    }
    for (const eval_column *e = s->columns; e->name; e++)
        fprintf(f, " %s |", e->name);
    fputs(" seconds |\n|", f);
    for (int i = 0; i < s->n_axes; i++)
        fputs(" --- |", f);
    for (const eval_column *e = s->columns; e->name; e++)
        fputs(" ---: |", f);
    fputs(" ---: |\n", f);
    for (int k = 0; k < s->n; k++) {
        const sweep_cell *c = &s->cell[k];

        fputc('|', f);
        for (int i = 0; i < s->n_axes; i++) {
            fputc(' ', f);
            put_text(f, value_of(s, c, i));
            fputs(" |", f);
        }
        if (c->state == SWEEP_DONE) {
            for (const eval_column *e = s->columns; e->name; e++)
                put_figure(f, sweep_number(c->report, e->path));
            put_figure(f, c->seconds);
        } else {
            fprintf(f, " %s%s", states[c->state], *c->why ? ": " : "");
            put_text(f, c->why);
            for (const eval_column *e = s->columns; e->name; e++)
                fputs(" |", f);
            fputs(" |", f);
        }
        fputc('\n', f);
    }
    put_bounds(s, f);
}

/* ---- JSON, which the report reads --------------------------------------------------------- */

static json_t *row_of(const sweep *s, const sweep_cell *c)
{
    json_t *row = json_pack("{s:[], s:[], s:s, s:s}", "values", "figures", "state", states[c->state], "reason", c->why);

    for (int i = 0; i < s->n_axes && row; i++)
        json_array_append_new(json_object_get(row, "values"), json_string(value_of(s, c, i)));
    for (const eval_column *e = s->columns; e->name && row; e++)
        json_array_append_new(json_object_get(row, "figures"), eval_number(sweep_number(c->report, e->path)));
    if (row && c->picture)
        json_object_set_new(row, "picture", json_string(c->picture));
    if (row && c->state == SWEEP_DONE) {
        json_object_set_new(row, "seconds", eval_number(c->seconds));
        json_object_set_new(row, "step", json_integer(c->step));
    }
    return row;
}

static char *json_text(const sweep *s)
{
    json_t *all = json_pack("{s:s, s:s, s:[], s:[], s:[], s:I, s:s}", "demist", dm_version(), "metric",
                            s->metric->name, "keys", "figures", "rows", "count", (json_int_t)s->request.count,
                            "checkpoint", s->checkpoint);
    char *text;

    for (int i = 0; i < s->n_axes && all; i++)
        json_array_append_new(json_object_get(all, "keys"), json_string(s->axis[i].key));
    for (const eval_column *e = s->columns; e->name && all; e++)
        json_array_append_new(json_object_get(all, "figures"), json_string(e->name));
    for (int k = 0; k < s->n && all; k++)
        json_array_append_new(json_object_get(all, "rows"), row_of(s, &s->cell[k]));
    text = dm_json_text(all, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(all);
    return text;
}

static dm_status write_text(const sweep *s, const char *name, const char *text, dm_err *err)
{
    return text ? dm_file_write_in(&s->folder, name, text, strlen(text), err)
                : dm_error(err, DM_ENOMEM, "out of memory for '%s'", name);
}

dm_status sweep_write_tables(const sweep *s, dm_err *err)
{
    static void (*const put[])(const sweep *s, FILE *f) = {put_csv, sweep_print_table};
    static const char *const names[] = {"sweep.csv", "sweep.md"};
    char *json = json_text(s);
    dm_status rc = write_text(s, "sweep.json", json, err);

    free(json);
    for (int i = 0; i < 2 && !rc; i++) {
        char *text = NULL;
        size_t n;
        FILE *f = open_memstream(&text, &n);

        if (f) {
            put[i](s, f);
            if (fclose(f)) {
                free(text);
                text = NULL;
            }
        }
        rc = write_text(s, names[i], text, err);
        free(text);
    }
    return rc;
}

/* ---- curves --------------------------------------------------------------------------------- */

/* The axis of most values that are all numbers: along it a curve goes. -1 where there is none. */
static int curve_axis(const sweep *s)
{
    int best = -1;

    for (int i = 0; i < s->n_axes; i++) {
        bool numbers = true;
        double x;

        for (int k = 0; k < s->axis[i].n; k++)
            numbers &= dm_number_real(s->axis[i].value[k], &x) == DM_NUMBER_OK;
        if (numbers && s->axis[i].n > 1 && (best < 0 || s->axis[i].n > s->axis[best].n))
            best = i;
    }
    return best;
}

/* Whether two cells lie on one curve. */
static bool same_curve(const sweep *s, int along, const sweep_cell *a, const sweep_cell *b)
{
    for (int i = 0; i < s->n_axes; i++)
        if (i != along && a->value[i] != b->value[i])
            return false;
    return true;
}

static const char *curve_name(const sweep *s, int along, const sweep_cell *c)
{
    const char *name = "";

    for (int i = 0; i < s->n_axes && name; i++)
        if (i != along && c->value[i] >= 0) {
            const char *key = s->axis[i].key, *dot = strrchr(key, '.');
            const bool use = dot && !strcmp(dot, ".use");

            name = dm_sprintf(s->arena, "%s%s%s%s%s", name, *name ? " " : "", use ? "" : dot ? dot + 1 : key,
                              use ? "" : "=", value_of(s, c, i));
        }
    return name ? name : "";
}

typedef struct curves { dm_series time[DM_PLOT_SERIES], along[DM_PLOT_SERIES]; int n, left_out; } curves;

/* The curve of cell `first`: its points in the order of the cells. */
static bool gather(const sweep *s, int along, int first, dm_series *time, dm_series *axis)
{
    const double per = isfinite(sweep_cell_pace(&s->cell[first])) ? 1 : 0;
    double *x = dm_alloc_n(s->arena, (size_t)s->n, sizeof *x), *y = dm_alloc_n(s->arena, (size_t)s->n, sizeof *y),
           *a = dm_alloc_n(s->arena, (size_t)s->n, sizeof *a);
    int64_t n = 0;

    if (!x || !y || !a)
        return false;
    for (int k = first; k < s->n; k++) {
        const sweep_cell *c = &s->cell[k];

        if (c->state != SWEEP_DONE || !same_curve(s, along, &s->cell[first], c))
            continue;
        x[n] = per > 0 ? sweep_cell_pace(c) : c->seconds;
        y[n] = sweep_number(c->report, s->metric->columns[0].path);
        a[n] = NAN;
        if (along >= 0 && c->value[along] >= 0)
            dm_number_real(value_of(s, c, along), &a[n]);
        n++;
    }
    *time = (dm_series){curve_name(s, along, &s->cell[first]), x, y, n, false};
    *axis = (dm_series){time->title, a, y, n, false};
    return true;
}

static bool begins_curve(const sweep *s, int along, int k)
{
    if (s->cell[k].state != SWEEP_DONE)
        return false;
    for (int i = 0; i < k; i++)
        if (s->cell[i].state == SWEEP_DONE && same_curve(s, along, &s->cell[i], &s->cell[k]))
            return false;
    return true;
}

/* What the best possible would be: a level line from the least to the largest x. */
static bool add_floor(const sweep *s, dm_series *to, const dm_series *of, int n)
{
    const char *dot = strchr(s->metric->columns[0].path, '.');
    double *xy = dm_alloc_n(s->arena, 4, sizeof *xy), level = NAN;

    for (int k = 0; k < s->n && dot && !isfinite(level); k++)
        level = sweep_number(json_object_get(s->cell[k].report, "floor"), dot + 1);
    if (!xy || !isfinite(level))
        return false;
    xy[0] = INFINITY;
    xy[1] = -INFINITY;
    for (int i = 0; i < n; i++)
        for (int64_t k = 0; k < of[i].n; k++) {
            xy[0] = fmin(xy[0], of[i].x[k]);
            xy[1] = fmax(xy[1], of[i].x[k]);
        }
    xy[2] = xy[3] = level;
    *to = (dm_series){"floor: test images", xy, xy + 2, 2, false};
    return true;
}

dm_status sweep_plot(const sweep *s, dm_err *err)
{
    const int along = curve_axis(s);
    curves c = {.n = 0};
    char y[80], per[80];
    dm_panel panels[2];
    bool paced = false;

    for (int k = 0; k < s->n; k++) {
        paced |= isfinite(sweep_cell_pace(&s->cell[k]));
        if (!begins_curve(s, along, k))
            continue;
        if (c.n == DM_PLOT_SERIES - 1)
            c.left_out++;
        else if (!gather(s, along, k, &c.time[c.n], &c.along[c.n]))
            return dm_error(err, DM_ENOMEM, "out of memory for the sweep's plot");
        else
            c.n++;
    }
    if (!c.n)
        return DM_OK;
    snprintf(y, sizeof y, "%s", s->metric->columns[0].name);
    snprintf(per, sizeof per, "%s", paced ? "seconds for an image" : "seconds");
    panels[0] = (dm_panel){c.left_out ? "against time (not all curves fit)" : "against time", per, y, true, true,
                           c.time, c.n};
    panels[1] = (dm_panel){"", along < 0 ? "" : s->axis[along].key, y, true, true, c.along, c.n};
    panels[0].n_series += add_floor(s, &c.time[c.n], c.time, c.n);
    panels[1].n_series += along >= 0 && add_floor(s, &c.along[c.n], c.along, c.n);
    return dm_plot_in(&s->folder, "sweep.png", panels, along < 0 ? 1 : 2, err);
}
