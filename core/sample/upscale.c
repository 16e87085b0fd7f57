/* dm_model_upscale: a super-resolution model on images that are larger than those it was trained with: predictions are
 * made of tiles (tiling.h), all else is sampling as usual, of the whole image. */
#include "sample/classes.h"
#include "sample/tiles.h"
#include "sample/tiling.h"
#include "session/examine.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

/* One call. */
typedef struct upscaling {
    const dm_upscale_options *o;
    dm_tiling t;
    dm_sampling *sampling;
    int64_t image;                 /* which one is at work */
} upscaling;

/* ---- what is asked for -------------------------------------------------------------------- */

static dm_status check_model(upscaling *u, dm_err *err)
{
    const dm_session *s = &u->t.m->s;
    const dm_conditions *c = dm_net_conditions(s->model);
    const dm_shape *x = &s->data.shape;
    dm_status rc;

    if ((rc = dm_model_check_sampled(u->t.m, err)))
        return rc;
    if (c->n != 1 || c->derive[0] != DM_DERIVE_DOWNSCALE)
        return dm_error(err, DM_EINVAL,
                        "upscaling needs a model of condition.derive: [downscale] alone; this one takes %s",
                        dm_conditions_show(c, s->data.classes).text);
    u->t.factor = x->dim[1] / c->is[0].shape.dim[1];
    u->t.tile[0] = c->is[0].shape.dim[1];
    u->t.tile[1] = c->is[0].shape.dim[2];
    return DM_OK;
}

static dm_status check_images(upscaling *u, dm_err *err)
{
    const dm_upscale_options *o = u->o;
    const dm_shape *have = &o->shape;
    const int64_t C = u->t.m->s.data.shape.dim[0];
    dm_status rc;

    if (!o->images)
        return dm_error(err, DM_EINVAL, "there are no images to upscale (images is NULL)");
    if ((rc = dm_check_array("the array of images", have, sizeof *o->images, err)))
        return rc;
    if (have->rank != 4 || have->dim[1] != C)
        return dm_error(err, DM_EINVAL, "the images have rank %d and %lld channels; they must be [N,%lld,H,W]",
                        (int)have->rank, have->rank > 1 ? (long long)have->dim[1] : 0, (long long)C);
    if (have->dim[2] < u->t.tile[0] || have->dim[3] < u->t.tile[1])
        return dm_error(err, DM_EINVAL, "the images are %lld x %lld pixels; this model enlarges %lld x %lld and above",
                        (long long)have->dim[3], (long long)have->dim[2], (long long)u->t.tile[1],
                        (long long)u->t.tile[0]);
    for (int64_t i = 0, n = dm_shape_count(have); i < n; i++)
        if (!isfinite(o->images[i]))
            return dm_error(err, DM_EINVAL, "the images: element %lld is not finite", (long long)i);
    u->t.small[0] = have->dim[2];
    u->t.small[1] = have->dim[3];
    return DM_OK;
}

static dm_status cut(upscaling *u, dm_err *err)
{
    dm_shape *big = &u->t.big.shape;

    for (int k = 0; k < 2; k++) {
        const int64_t overlap = u->o->overlap ? u->o->overlap : u->t.tile[k] / 2;

        if (overlap < 0 || overlap >= u->t.tile[k])
            return dm_error(err, DM_EINVAL,
                            "an overlap of %lld pixels of the small image; it must be 1 to %lld",
                            (long long)u->o->overlap, (long long)u->t.tile[k] - 1);
        u->t.n[k] = dm_tiles_count(u->t.small[k], u->t.tile[k], overlap);
    }
    u->t.big = u->t.m->s.data;
    if (u->t.small[0] > INT32_MAX / u->t.factor || u->t.small[1] > INT32_MAX / u->t.factor)
        return dm_error(err, DM_EINVAL, "the images are too large: %lld x %lld pixels, %lld times",
                        (long long)u->t.small[1], (long long)u->t.small[0], (long long)u->t.factor);
    big->dim[1] = u->t.small[0] * u->t.factor;
    big->dim[2] = u->t.small[1] * u->t.factor;
    return DM_OK;
}

static dm_status find_class(upscaling *u, dm_err *err)
{
    const dm_session *s = &u->t.m->s;
    int32_t *labels = NULL;
    int64_t n;
    dm_status rc;

    if (!u->o->class_name)
        return s->data.classes && dm_net_reads_labels(s->model)
                   ? dm_error(err, DM_EINVAL, "this model has %d classes; give the class of the images",
                              (int)s->data.classes)
                   : DM_OK;
    if ((rc = dm_classes_find(s, &u->o->class_name, 1, &labels, &n, err)))
        return rc;
    u->t.label = labels[0];
    if (n != 1)
        rc = dm_error(err, DM_EINVAL, "upscaling takes one class, not all");
    free(labels);
    return rc;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static dm_status after_step(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    const upscaling *u = user;
    const dm_callbacks *cb = &u->t.m->s.callbacks;

    (void)x;
    if (cb->progress)
        cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info), .what = "sample",
                                                   .step = u->image * n + i, .steps = u->o->shape.dim[0] * n,
                                                   .per_step = 1.0 / n, .loss = NAN});
    if (cb->cancelled && cb->cancelled(cb->user))
        return dm_error(err, DM_ECANCELLED, "stopped at step %d of %d", (int)i, (int)n);
    return DM_OK;
}

static dm_status open_sampling(upscaling *u, dm_err *err)
{
    const dm_session *s = &u->t.m->s;
    const dm_sampling_setup setup = {.experiment = s->experiment, .noise = s->noise, .device = s->device,
                                     .objective = dm_net_objective(s->model), .data = &u->t.big, .n = 1,
                                     .out_channels = dm_net_out_channels(s->model), .forward = dm_tiling_forward,
                                     .guesses = dm_tiling_guesses, .can = dm_net_can_be_guided(s->model),
                                     .user = &u->t};
    const dm_status rc = dm_sampling_new(&setup, &u->sampling, err);

    if (!rc)
        u->t.passes = (double)dm_sampling_walk(u->sampling)->n * (double)u->o->shape.dim[0];
    return rc;
}

static dm_status draw(upscaling *u, dm_images *out, dm_err *err)
{
    const int64_t example = dm_shape_count(&u->t.big.shape), count = u->o->shape.dim[0];
    dm_status rc = DM_OK;

    out->shape = dm_net_batch_shape(&u->t.big.shape, count, u->t.big.shape.dim[0]);
    out->pixels = u->t.big.levels > 0;
    if ((rc = dm_check_array("the request", &out->shape, sizeof *out->x, err)))
        return rc;
    if (!(out->x = dm_array(count, example, sizeof *out->x)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)count);
    for (u->image = 0; u->image < count && !rc; u->image++) {
        const dm_sampling_run_options run = {.first_index = u->image, .step = after_step, .step_user = u};

        u->t.image = u->o->images + u->image * dm_shape_count(&u->o->shape) / count;
        rc = dm_sampling_run(u->sampling, &run, out->x + u->image * example, err);
    }
    out->steps = dm_sampling_steps(u->sampling);
    out->evaluations = dm_sampling_evaluations(u->sampling) * dm_tiling_tiles(&u->t);
    return rc;
}

static dm_status upscale(dm_model *m, const dm_upscale_options *o, dm_images *out, dm_err *err)
{
    upscaling u = {.o = o, .t = {.m = m}};
    const double began = dm_seconds();
    dm_status rc;

    if (!(rc = check_model(&u, err)) && !(rc = check_images(&u, err)) && !(rc = cut(&u, err)) &&
        !(rc = find_class(&u, err)) && !(rc = dm_session_warn_of_sampling(&m->s, m->s.model, err)) &&
        !(rc = open_sampling(&u, err)) && !(rc = dm_tiling_open(&u.t, err)) && !(rc = draw(&u, out, err))) {
        out->seconds = dm_seconds() - began;
        rc = dm_model_describe(m, out, err);
    }
    dm_sampling_free(u.sampling);
    dm_tiling_close(&u.t);
    return rc;
}

dm_status dm_model_upscale(dm_model *m, const dm_upscale_options *options, dm_images *out, dm_err *err)
{
    dm_upscale_options o;
    dm_images im = {.size = sizeof im};
    dm_model_call call;
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_images, out, x, err)) || (rc = DM_SIZED_READ(dm_upscale_options, &o, options, err)))
        return rc;
    if (!m)
        return dm_model_missing(err);
    if (!(rc = dm_model_call_begin(m, o.overrides, o.n_overrides, o.seed, o.callbacks, &call, err)))
        rc = upscale(m, &o, &im, err);
    dm_model_call_end(m, &call);
    if (rc)
        dm_images_free(&im);
    else
        DM_SIZED_WRITE(dm_images, out, &im);
    return rc;
}
