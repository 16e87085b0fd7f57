/* Images drawn for the report from the newest checkpoint, and how they came about; see report.h. */
#include "report/report.h"

#include <stdlib.h>
#include <string.h>

enum { IMAGES = 36, POINTS = 2000, STRIPS = 6, COLUMNS = 12 };

/* Some steps of the first images: x[strip][column][example]. */
typedef struct strips { float *x; int64_t example; int rows, columns; bool failed; } strips;

/* The step of column k of the last column's n. */
static int32_t step_of(int k, int columns, int32_t n)
{
    return columns > 1 ? (int32_t)((int64_t)k * n / (columns - 1)) : n;
}

static void keep(void *user, const dm_trace_info *now)
{
    strips *s = user;
    const int64_t example = now->example;
    const int32_t n = now->n;

    if (!s->x && !s->failed) {
        s->rows = now->count < STRIPS ? (int)now->count : STRIPS;
        s->columns = n + 1 < COLUMNS ? n + 1 : COLUMNS;
        s->example = example;
        s->failed = !(s->x = calloc((size_t)(s->rows * s->columns) * (size_t)example, sizeof *s->x));
    }
    for (int k = 0; k < s->columns && !s->failed; k++)
        for (int64_t row = now->first; row < now->first + now->n_images && row < s->rows; row++)
            if (step_of(k, s->columns, n) >= now->i) /* an adaptive sampler may end before n */
                memcpy(s->x + (row * s->columns + k) * example, now->x + (row - now->first) * example,
                       (size_t)example * sizeof *s->x);
}

int report_scale(int64_t side)
{
    return side <= 16 ? 6 : side <= 32 ? 3 : side <= 64 ? 2 : 1;
}

static dm_status show_images(report *r, const dm_images *im, const strips *s, dm_err *err)
{
    const int64_t *d = im->shape.dim, side = d[3] > d[2] ? d[3] : d[2];
    dm_picture p = {0};
    dm_status rc;

    if (!(rc = dm_picture_grid(im->x, d[0], d[1], d[2], d[3], d[0] > 16 ? 12 : 0, 2, &p, err)))
        rc = html_picture(r->to, &p, report_scale(side), "Not chosen: the first of the run's seed.", err);
    dm_picture_fini(&p);
    if (!rc && s->x &&
        !(rc = dm_picture_grid(s->x, (int64_t)s->rows * s->columns, d[1], d[2], d[3], s->columns, 2, &p, err)))
        rc = html_picture(r->to, &p, report_scale(side), "From noise, on the left, to the sample; steps spread evenly.",
                          err);
    dm_picture_fini(&p);
    return rc;
}

static dm_status show(report *r, const dm_images *im, const strips *s, dm_err *err)
{
    dm_picture p = {0};
    dm_status rc;

    if (im->shape.rank == 4)
        return show_images(r, im, s, err);
    if (im->shape.dim[1] != 2) {
        html_say(r->to, "Samples of %lld numbers each have no picture.", (long long)im->shape.dim[1]);
        return DM_OK;
    }
    if (!(rc = dm_picture_scatter(im->x, im->shape.dim[0], NULL, 0, 512, 0, &p, err)))
        rc = html_picture(r->to, &p, 1, "Points drawn with the run's seed.", err);
    dm_picture_fini(&p);
    return rc;
}

dm_status report_draw(const report *r, dm_sample_options *o, dm_images *im, bool *draws, dm_err *err)
{
    const dm_model_options how = {
        .size = sizeof how, .overrides = r->overrides, .n_overrides = r->n_overrides, .callbacks = r->callbacks};
    dm_model_properties what = {.size = sizeof what};
    dm_model *m;
    dm_status rc;

    if ((rc = dm_model_open(r->run, &how, &m, err)))
        return rc;
    if (!(rc = dm_model_info(m, &what, err))) {
        if (what.shape.rank == 1)
            o->count = POINTS;
        *draws = what.diffuses;
        rc = what.diffuses ? dm_model_sample(m, o, im, err) : DM_OK;
    }
    dm_model_close(m);
    return rc;
}

void report_samples(report *r)
{
    strips s = {0};
    dm_images im = {.size = sizeof im};
    dm_sample_options o = {.size = sizeof o, .count = IMAGES, .trace = keep, .trace_user = &s};
    dm_err err = {0};
    bool draws;
    dm_status rc;

    if (!r->draw)
        return;
    html_section(r->to, "Samples");
    rc = report_draw(r, &o, &im, &draws, &err);
    if (!rc && !draws)
        html_say(r->to, REPORT_NO_SAMPLES);
    else if (!rc) {
        html_say(r->to, "%.400s: %d steps, %.4g s for %lld.", im.about, (int)im.steps, im.seconds,
                 (long long)im.shape.dim[0]);
        rc = show(r, &im, &s, &err);
    }
    if (rc)
        html_say(r->to, "None: %s", err.msg);
    if (rc && rc != DM_ENOENT) /* a run without a checkpoint has none yet */
        report_lacks(r, "samples", &err);
    dm_images_free(&im);
    free(s.x);
}
