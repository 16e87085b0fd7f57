/* Reports of a noise process; see schedule_report.h. */
#include "schedule/schedule_report.h"

#include "base/file.h"
#include "run/plot.h"

#include "text/json_text.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* A timestep is counted from 0 where the schedule has steps. */
static double step_at(const dm_noise *n, const dm_point *p) { return p->t - (dm_noise_discrete(n) ? 1 : 0); }

static double log_snr(const dm_noise *n, double t)
{
    dm_point p;

    dm_noise_at(n, t, &p);
    return p.log_snr;
}

static double alpha_of(const dm_noise *n, double t) { dm_point p; dm_noise_at(n, t, &p); return p.alpha; }
static double sigma_of(const dm_noise *n, double t) { dm_point p; dm_noise_at(n, t, &p); return p.sigma; }
static double beta(const dm_noise *n, double t) { return dm_noise_beta(n, (int32_t)t); }
static double alpha_bar(const dm_noise *n, double t) { return dm_noise_alpha_bar(n, (int32_t)t); }
static double posterior_variance(const dm_noise *n, double t) { return dm_noise_posterior_variance(n, (int32_t)t); }

typedef struct column { const char *name; double (*at)(const dm_noise *n, double t); } column;
static const column discrete[] = {
    {"beta", beta}, {"alpha_bar", alpha_bar}, {"log_snr", log_snr}, {"posterior_variance", posterior_variance}};
static const column continuous[] = {{"alpha", alpha_of}, {"sigma", sigma_of}, {"log_snr", log_snr}};

static const column *columns(const dm_noise *n, int *count)
{
    *count = dm_noise_discrete(n) ? 4 : 3;
    return dm_noise_discrete(n) ? discrete : continuous;
}

dm_status dm_schedule_json(const dm_noise *n, const dm_walk *g, const char *path, dm_err *err)
{
    json_t *all = dm_json_new(), *steps = json_array();
    char *text;
    int count;
    const column *c = columns(n, &count);
    dm_status rc;

    for (int k = 0; k < count; k++) {
        json_t *list = json_array();

        for (int32_t t = 1; t <= dm_noise_T(n); t++)
            json_array_append_new(list, number(c[k].at(n, t)));
        json_object_set_new(all, c[k].name, list);
    }
    for (int32_t i = 0; i < g->n; i++)
        json_array_append_new(steps, g->timesteps ? json_integer(g->timesteps[i]) : number(step_at(n, &g->points[i])));
    json_object_set_new(all, "timesteps", steps);
    text = dm_json_text(all, JSON_REAL_PRECISION(17) | JSON_COMPACT);
    rc = text ? dm_file_write_atomic(path, text, strlen(text), err)
              : dm_error(err, DM_ENOMEM, "out of memory for the schedule's JSON");
    free(text);
    json_decref(all);
    return rc;
}

void dm_schedule_table(const dm_noise *n, const dm_walk *g, FILE *out)
{
    int count;
    const column *c = columns(n, &count);

    fprintf(out, "%6s", "t");
    for (int k = 0; k < count; k++)
        fprintf(out, " %24s", c[k].name);
    fprintf(out, "\n");
    for (int32_t t = 1; t <= dm_noise_T(n); t++) {
        fprintf(out, "%6d", (int)t);
        for (int k = 0; k < count; k++)
            fprintf(out, " %24.17g", c[k].at(n, t));
        fprintf(out, "\n");
    }
    fprintf(out, "timesteps:");
    for (int32_t i = 0; i < g->n; i++)
        fprintf(out, g->timesteps ? " %.0f" : " %.6g", g->timesteps ? g->timesteps[i] : step_at(n, &g->points[i]));
    fprintf(out, "\n");
}

dm_status dm_schedule_plot(const dm_noise *n, const dm_walk *g, const char *path, dm_err *err)
{
    const int32_t T = dm_noise_T(n);
    int count;
    const column *c = columns(n, &count);
    double *t = malloc((size_t)T * 5 * sizeof *t), *gx = malloc((size_t)g->n * 2 * sizeof *gx);
    dm_series series[4], grid;
    dm_panel panels[5];
    dm_status rc = t && gx ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the plot");

    for (int32_t i = 0; i < T && !rc; i++) {
        t[i] = i + 1;
        for (int k = 0; k < count; k++)
            t[(k + 1) * T + i] = c[k].at(n, i + 1);
    }
    for (int k = 0; k < count && !rc; k++) {
        series[k] = (dm_series){.title = "", .x = t, .y = t + (k + 1) * T, .n = T};
        panels[k] = (dm_panel){.title = c[k].name, .x_label = "t", .y_label = "", .series = &series[k], .n_series = 1};
    }
    for (int32_t i = 0; i < g->n && !rc; i++) {
        gx[i] = i;
        gx[g->n + i] = g->points[i].log_snr;
    }
    if (!rc) {
        grid = (dm_series){.title = "", .x = gx, .y = gx + g->n, .n = g->n};
        panels[count] = (dm_panel){.title = "log-SNR of the sampler's steps",
                                   .x_label = "step",
                                   .y_label = "",
                                   .series = &grid,
                                   .n_series = 1};
        rc = dm_plot(path, panels, count + 1, err);
    }
    free(t);
    free(gx);
    return rc;
}
