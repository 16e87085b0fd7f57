/* Images drawn for the report from the newest checkpoint, and how they came about; see report.h. */
#include "report/report.h"

#include "files/strip.h"

enum { IMAGES = 36, POINTS = 2000, STRIPS = 6 };

int report_scale(int64_t side)
{
    return side <= 16 ? 6 : side <= 32 ? 3 : side <= 64 ? 2 : 1;
}

static dm_status show_images(report *r, const dm_images *im, strip *s, dm_err *err)
{
    const int64_t *d = im->shape.dim, side = d[3] > d[2] ? d[3] : d[2];
    dm_picture p = {0};
    dm_status rc;

    if (!(rc = dm_picture_grid(im->x, d[0], d[1], d[2], d[3], d[0] > 16 ? 12 : 0, 2, &p, err)))
        rc = html_picture(r->to, &p, report_scale(side), "Not chosen: the first of the run's seed.", err);
    dm_picture_fini(&p);
    if (!rc && !(rc = strip_picture(s, im, &p, err)))
        rc = html_picture(r->to, &p, report_scale(side),
                          "From noise, on the left, to the sample; signal grows evenly from left to right.", err);
    dm_picture_fini(&p);
    return rc;
}

static dm_status show(report *r, const dm_images *im, strip *s, dm_err *err)
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

dm_status report_draw(const report *r, dm_sample_options *o, dm_images *im, dm_model_properties *what, dm_err *err)
{
    const dm_model_options how = {
        .size = sizeof how, .overrides = r->overrides, .n_overrides = r->n_overrides, .callbacks = r->callbacks};
    dm_model *m;
    dm_status rc;

    if ((rc = dm_model_open(r->run, &how, &m, err)))
        return rc;
    *what = (dm_model_properties){.size = sizeof *what};
    if (!(rc = dm_model_info(m, what, err))) {
        if (what->shape.rank == 1)
            o->count = POINTS;
        rc = what->diffuses ? dm_model_sample(m, o, im, err) : DM_OK;
    }
    dm_model_close(m);
    return rc;
}

/* Of what size, and of how much: what the samples can be judged by. */
static void say_model(report *r, const dm_model_properties *what)
{
    const char *of = what->shape.rank == 3 ? "images" : "points";

    if (what->examples)
        html_say(r->to, "%lld parameters, trained on %lld %s.", (long long)what->parameters, (long long)what->examples,
                 of);
    else
        html_say(r->to, "%lld parameters; the number of %s it was trained on is unknown.", (long long)what->parameters,
                 of);
}

void report_samples(report *r)
{
    strip s = {.rows = STRIPS};
    dm_images im = {.size = sizeof im};
    dm_sample_options o = {.size = sizeof o, .count = IMAGES, .trace = strip_put, .trace_user = &s};
    dm_err err = {0};
    dm_model_properties what;
    dm_status rc;

    if (!r->draw)
        return;
    html_section(r->to, "Samples");
    rc = report_draw(r, &o, &im, &what, &err);
    if (!rc && !what.diffuses)
        html_say(r->to, REPORT_NO_SAMPLES);
    else if (!rc) {
        html_say(r->to, "%.400s: %d steps, %.4g s for %lld.", im.about, (int)im.steps, im.seconds,
                 (long long)im.shape.dim[0]);
        say_model(r, &what);
        rc = show(r, &im, &s, &err);
    }
    if (rc)
        html_say(r->to, "None: %s", err.msg);
    if (rc && rc != DM_ENOENT) /* a run without a checkpoint has none yet */
        report_lacks(r, "samples", &err);
    dm_images_free(&im);
    strip_fini(&s);
}
