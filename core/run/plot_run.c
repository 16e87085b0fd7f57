/* The curves of training runs, of one alone or of several over one another; see plot.h. */
#include "run/plot.h"

#include "base/arena.h"
#include "run/run_folder.h"
#include "run/run_log.h"

#include <math.h>
#include <stdlib.h>

enum { STEP, LOSS, LR, NORM, SPEED, VAL, BAND1, BAND2, BAND3, BAND4, FIELDS, SMOOTH = FIELDS, COLUMNS };

/* What a log has, n numbers in each column. */
typedef struct curves { double *all, *column[COLUMNS]; int64_t n; } curves;

/* Exponential mean over about a fiftieth of the curve, values that are not finite passed over. */
static void smooth(const double *y, int64_t n, double *to)
{
    const double keep = exp(-50.0 / (double)(n > 50 ? n : 50));
    double mean = 0, weight = 0;

    for (int64_t i = 0; i < n; i++) {
        if (isfinite(y[i])) {
            mean = keep * mean + (1 - keep) * y[i];
            weight = keep * weight + (1 - keep);
        }
        to[i] = weight > 0 ? mean / weight : NAN;
    }
}

static bool there(const double *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (isfinite(y[i]))
            return true;
    return false;
}

/* c->n is 0 where nothing is logged yet. */
static dm_status read_curves(const dm_folder *run, curves *c, dm_err *err)
{
    static const char *const names[FIELDS] = {"step", "loss", "lr", "grad_norm", "images_per_s",
                                               "val_loss", "val_band_1", "val_band_2", "val_band_3", "val_band_4"};
    double *rows = NULL;
    dm_status s;

    *c = (curves){.n = 0};
    if ((s = dm_run_log_read(run, DM_RUN_LOG, names, FIELDS, &rows, &c->n, err)))
        return s;
    if (c->n && !(c->all = dm_array(c->n, COLUMNS, sizeof *c->all))) {
        free(rows);
        return dm_error(err, DM_ENOMEM, "out of memory: the log of '%s'", run->path);
    }
    for (int k = 0; k < COLUMNS && c->n; k++)
        c->column[k] = c->all + k * c->n;
    for (int64_t i = 0; i < c->n; i++)
        for (int k = 0; k < FIELDS; k++)
            c->column[k][i] = rows[i * FIELDS + k];
    free(rows);
    if (c->n)
        smooth(c->column[LOSS], c->n, c->column[SMOOTH]);
    return DM_OK;
}

static dm_series series(const char *title, const curves *c, int column)
{
    return (dm_series){title, c->column[STEP], c->column[column], c->n, false};
}

static dm_status plot_one(const dm_folder *in, const char *name, const curves *c, dm_err *err)
{
    dm_series loss[] = {series("as logged", c, LOSS), series("smoothed", c, SMOOTH), series("held out", c, VAL)};
    const dm_series band[] = {series("band 1, least noise", c, BAND1), series("band 2", c, BAND2),
                              series("band 3", c, BAND3), series("band 4, most noise", c, BAND4)};
    const dm_series lr = series("", c, LR), norm = series("", c, NORM), speed = series("", c, SPEED);
    const dm_panel panels[] = {
        {"loss", "step", "", false, true, loss, there(c->column[VAL], c->n) ? 3 : 2},
        {"learning rate", "step", "", false, false, &lr, 1},
        {"gradient norm", "step", "", false, true, &norm, 1},
        {"images/s", "step", "", false, false, &speed, 1},
        {"held-out loss by noise", "step", "", false, true, band, 4},
    };

    loss[0].faint = true;
    return dm_plot_in(in, name, panels, there(c->column[BAND1], c->n) ? 5 : 4, err);
}

dm_status dm_plot_run(const dm_folder *run, const dm_folder *in, const char *name, dm_err *err)
{
    curves c;
    dm_status s = read_curves(run, &c, err);

    if (!s)
        s = c.n ? plot_one(in, name, &c, err)
                : dm_error(err, DM_EINVAL, "'%s' has no steps in its " DM_RUN_LOG " yet", run->path);
    free(c.all);
    return s;
}

static dm_status plot_all(const char *path, const curves *c, const char *const *titles, int n, dm_err *err)
{
    static const struct { const char *title; int column; bool log; } rows[] = {
        {"loss, smoothed", SMOOTH, true}, {"held-out loss", VAL, true}, {"learning rate", LR, false},
        {"gradient norm", NORM, true}, {"images/s", SPEED, false}};
    enum { ROWS = sizeof rows / sizeof rows[0] };
    dm_series curve[ROWS][DM_PLOT_SERIES];
    dm_panel panels[ROWS];
    int n_panels = 0;

    for (int r = 0; r < ROWS; r++) {
        bool any = false;

        for (int i = 0; i < n; i++) {
            curve[r][i] = series(titles[i], &c[i], rows[r].column);
            any |= c[i].n && there(c[i].column[rows[r].column], c[i].n);
        }
        if (any)
            panels[n_panels++] = (dm_panel){rows[r].title, "step", "", false, rows[r].log, curve[r], n};
    }
    if (!n_panels)
        return dm_error(err, DM_EINVAL, "none of the runs has steps in its " DM_RUN_LOG " yet");
    return dm_plot(path, panels, n_panels, err);
}

dm_status dm_plot_runs(const dm_folder *runs, const char *const *titles, int n, const char *path, dm_err *err)
{
    curves c[DM_PLOT_SERIES] = {{0}};
    dm_status s = DM_OK;

    for (int i = 0; i < n && !s; i++)
        if ((s = read_curves(&runs[i], &c[i], err)) == DM_ENOENT)
            s = DM_OK;
    if (!s)
        s = plot_all(path, c, titles, n, err);
    for (int i = 0; i < n; i++)
        free(c[i].all);
    return s;
}
