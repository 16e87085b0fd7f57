/* dm_model_upscale: a super-resolution model on images that are larger than those it was trained with. At each
 * prediction the network sees tiles of x that overlap; their outputs are averaged where several speak (MultiDiffusion,
 * Bar-Tal et al. 2023). All else is sampling as usual, of the whole image. */
#include "sample/model_handle.h"

#include "model/batch_fit.h"
#include "sample/classes.h"
#include "sample/tiles.h"
#include "session/examine.h"

#include "base/clock.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_AT_ONCE = 16 };

/* One image at work. */
typedef struct upscaling {
    dm_model *m;
    const dm_upscale_options *o;
    dm_data_info big;              /* of what comes out */
    int64_t factor;
    int64_t small[2], tile[2], n[2]; /* rows and columns: of the small image, of a small tile, tiles */
    int64_t C, out_channels;
    int64_t batch;                 /* tiles at once */
    dm_sampling *sampling;
    dm_told told;
    int32_t label, *labels;
    double *c_in, *c_noise;
    float *x, *F, *weight;         /* the whole image, as it is and as it is averaged */
    float *tiles, *said, *told_tile; /* a batch of tiles of x and of outputs; one of the small image */
    dm_buf *out;
    int64_t image;                 /* which one */
    double steps;                  /* passes that are to be expected */
} upscaling;

/* ---- what is asked for -------------------------------------------------------------------- */

static dm_status check_model(upscaling *u, dm_err *err)
{
    const dm_session *s = &u->m->s;
    const dm_conditions *c = dm_net_conditions(s->model);
    const dm_shape *x = &s->data.shape;
    dm_status rc;

    if ((rc = dm_model_check_sampled(u->m, err)))
        return rc;
    if (c->n != 1 || c->derive[0] != DM_DERIVE_DOWNSCALE)
        return dm_error(err, DM_EINVAL,
                        "upscaling needs a model of condition.derive: [downscale] alone; this one takes %s",
                        dm_conditions_show(c, s->data.classes).text);
    if (dm_guiding_wanted(s->experiment))
        return dm_error(err, DM_EINVAL, "upscaling is not guided; set guidance.use=none");
    u->factor = x->dim[1] / c->is[0].shape.dim[1];
    u->C = x->dim[0];
    u->out_channels = dm_net_out_channels(s->model);
    u->tile[0] = c->is[0].shape.dim[1];
    u->tile[1] = c->is[0].shape.dim[2];
    return DM_OK;
}

static dm_status check_images(upscaling *u, dm_err *err)
{
    const dm_upscale_options *o = u->o;
    const dm_shape *have = &o->shape;
    dm_status rc;

    if (!o->images)
        return dm_error(err, DM_EINVAL, "there are no images to upscale");
    if ((rc = dm_check_array("the array of images", have, sizeof *o->images, err)))
        return rc;
    if (have->rank != 4 || have->dim[1] != u->C)
        return dm_error(err, DM_EINVAL, "the images are of rank %d with %lld channels; they must be [N,%lld,H,W]",
                        (int)have->rank, have->rank > 1 ? (long long)have->dim[1] : 0, (long long)u->C);
    if (have->dim[2] < u->tile[0] || have->dim[3] < u->tile[1])
        return dm_error(err, DM_EINVAL, "the images are %lld x %lld pixels; this model enlarges %lld x %lld and above",
                        (long long)have->dim[3], (long long)have->dim[2], (long long)u->tile[1],
                        (long long)u->tile[0]);
    for (int64_t i = 0, n = dm_shape_count(have); i < n; i++)
        if (!isfinite(o->images[i]))
            return dm_error(err, DM_EINVAL, "the images: element %lld is not finite", (long long)i);
    u->small[0] = have->dim[2];
    u->small[1] = have->dim[3];
    return DM_OK;
}

static dm_status cut(upscaling *u, dm_err *err)
{
    dm_shape *big = &u->big.shape;

    for (int k = 0; k < 2; k++) {
        const int64_t overlap = u->o->overlap ? u->o->overlap : u->tile[k] / 2;

        if (overlap < 0 || overlap >= u->tile[k])
            return dm_error(err, DM_EINVAL,
                            "tiles that overlap by %lld pixels of the small image; it must be 1 to %lld",
                            (long long)u->o->overlap, (long long)u->tile[k] - 1);
        u->n[k] = dm_tiles_count(u->small[k], u->tile[k], overlap);
    }
    u->big = u->m->s.data;
    if (u->small[0] > INT32_MAX / u->factor || u->small[1] > INT32_MAX / u->factor)
        return dm_error(err, DM_EINVAL, "the images are too large: %lld x %lld pixels, %lld times",
                        (long long)u->small[1], (long long)u->small[0], (long long)u->factor);
    big->dim[1] = u->small[0] * u->factor;
    big->dim[2] = u->small[1] * u->factor;
    return DM_OK;
}

static dm_status find_class(upscaling *u, dm_err *err)
{
    const dm_session *s = &u->m->s;
    int32_t *labels = NULL;
    int64_t n;
    dm_status rc;

    if (!u->o->class_name)
        return s->data.classes && dm_net_reads_labels(s->model)
                   ? dm_error(err, DM_EINVAL, "this model draws %d classes; say which one the images are of",
                              (int)s->data.classes)
                   : DM_OK;
    if ((rc = dm_classes_find(s, &u->o->class_name, 1, &labels, &n, err)))
        return rc;
    u->label = labels[0];
    if (n != 1)
        rc = dm_error(err, DM_EINVAL, "the images are of one class, not of all");
    free(labels);
    return rc;
}

/* ---- a prediction -------------------------------------------------------------------------- */

/* Where tile i begins, in the small image. */
static void place(const upscaling *u, int64_t i, int64_t at[2])
{
    at[0] = dm_tiles_begin(u->small[0], u->tile[0], u->n[0], i / u->n[1]);
    at[1] = dm_tiles_begin(u->small[1], u->tile[1], u->n[1], i % u->n[1]);
}

/* The part of an image of C channels and `of` rows and columns that begins at `at`, `size` rows and columns. */
static void take_tile(const float *from, int64_t C, const int64_t of[2], const int64_t at[2], const int64_t size[2],
                      float *to)
{
    for (int64_t k = 0; k < C; k++)
        for (int64_t y = 0; y < size[0]; y++, to += size[1])
            memcpy(to, from + (k * of[0] + at[0] + y) * of[1] + at[1], (size_t)size[1] * sizeof *to);
}

static void add_tile(upscaling *u, const int64_t at[2], const int64_t size[2], const float *said)
{
    const int64_t *of = &u->big.shape.dim[1];

    for (int64_t k = 0; k < u->out_channels; k++)
        for (int64_t y = 0; y < size[0]; y++)
            for (int64_t x = 0; x < size[1]; x++) {
                const float w = (float)(dm_tiles_weight(size[0], y) * dm_tiles_weight(size[1], x));
                const int64_t pixel = (at[0] + y) * of[1] + at[1] + x;

                u->F[k * of[0] * of[1] + pixel] += w * *said++;
                if (k == 0)
                    u->weight[pixel] += w;
            }
}

/* The network's output for `there` tiles from `first` on, added to the average. */
static dm_status ask(upscaling *u, int64_t first, int64_t there, const dm_point *p, const dm_affine *a, dm_err *err)
{
    const int64_t *of = &u->big.shape.dim[1], size[2] = {u->tile[0] * u->factor, u->tile[1] * u->factor},
                  pixels = size[0] * size[1];
    const float *small = u->o->images + u->image * u->C * u->small[0] * u->small[1];
    int64_t at[2], large[2];
    dm_forward *f;
    dm_status rc;

    if ((rc = dm_forwards_get(u->m->forwards, u->batch, NULL, u->steps, &f, err)))
        return rc;
    for (int64_t i = 0; i < there; i++) {
        place(u, first + i, at);
        take_tile(small, u->C, u->small, at, u->tile, u->told_tile);
        dm_told_set(&u->told, 0, i, u->told_tile, 0);
        for (int k = 0; k < 2; k++)
            large[k] = at[k] * u->factor;
        take_tile(u->x, u->C, of, large, size, u->tiles + i * u->C * pixels);
    }
    for (int64_t i = 0; i < u->batch; i++) {
        u->c_in[i] = a->c_in;
        u->c_noise[i] = a->c_noise;
    }
    if ((rc = dm_buf_write(dm_forward_input(f), 0, (size_t)(u->batch * u->C * pixels) * sizeof *u->tiles, u->tiles,
                           err)) ||
        (rc = dm_forward_level(f, p, a, err)) ||
        (rc = dm_forward_tell(f, &u->told, dm_forwards_serial(u->m->forwards), err)) ||
        (rc = dm_forward_run(f, u->c_in, u->c_noise, u->labels, err)) ||
        (rc = dm_buf_read(dm_forward_output(f), 0, (size_t)(u->batch * u->out_channels * pixels) * sizeof *u->said,
                          u->said, err)))
        return rc;
    for (int64_t i = 0; i < there; i++) {
        place(u, first + i, at);
        for (int k = 0; k < 2; k++)
            large[k] = at[k] * u->factor;
        add_tile(u, large, size, u->said + i * u->out_channels * pixels);
    }
    return DM_OK;
}

static dm_status network(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    upscaling *u = user;
    const int64_t plane = u->big.shape.dim[1] * u->big.shape.dim[2], tiles = u->n[0] * u->n[1];
    dm_status rc = dm_buf_read(x, 0, (size_t)(u->C * plane) * sizeof *u->x, u->x, err);

    memset(u->F, 0, (size_t)(u->out_channels * plane) * sizeof *u->F);
    memset(u->weight, 0, (size_t)plane * sizeof *u->weight);
    for (int64_t i = 0; i < tiles && !rc; i += u->batch)
        rc = ask(u, i, tiles - i < u->batch ? tiles - i : u->batch, p, a, err);
    for (int64_t i = 0; i < u->out_channels * plane && !rc; i++)
        u->F[i] /= u->weight[i % plane];
    *F = u->out;
    return rc ? rc : dm_buf_write(u->out, 0, (size_t)(u->out_channels * plane) * sizeof *u->F, u->F, err);
}

static dm_status after_step(void *user, int32_t i, int32_t n, dm_buf *x, dm_err *err)
{
    const upscaling *u = user;
    const dm_callbacks *cb = &u->m->s.callbacks;

    (void)x;
    if (cb->progress)
        cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info), .what = "sample",
                                                   .step = u->image * n + i, .steps = u->o->shape.dim[0] * n,
                                                   .per_step = 1.0 / n, .loss = NAN});
    if (cb->cancelled && cb->cancelled(cb->user))
        return dm_error(err, DM_ECANCELLED, "stopped at step %d of %d", (int)i, (int)n);
    return DM_OK;
}

/* ---- all of it ------------------------------------------------------------------------------ */

static dm_status open_sampling(upscaling *u, dm_err *err)
{
    const dm_session *s = &u->m->s;
    const dm_sampling_setup setup = {.experiment = s->experiment, .noise = s->noise, .device = s->device,
                                     .objective = dm_net_objective(s->model), .data = &u->big, .n = 1,
                                     .out_channels = dm_net_out_channels(s->model), .forward = network, .user = u};
    const int64_t plane = u->big.shape.dim[1] * u->big.shape.dim[2];
    dm_status rc;

    if ((rc = dm_sampling_new(&setup, &u->sampling, err)))
        return rc;
    u->steps = (double)dm_sampling_walk(u->sampling)->n * (double)(u->n[0] * u->n[1]) / (double)u->batch;
    return dm_buf_new(s->device, (size_t)(u->out_channels * plane) * sizeof(float), "the average of tiles", &u->out,
                      err);
}

/* As many tiles at once as fit. */
static dm_status fit(upscaling *u, dm_err *err)
{
    const int64_t tiles = u->n[0] * u->n[1], asked = u->m->s.experiment->sampler.batch,
                  most = asked ? asked : MOST_AT_ONCE;
    dm_forward *f;
    dm_err why = {0};
    bool again = false;
    dm_status rc;

    u->batch = tiles < most ? tiles : most;
    do {
        why = (dm_err){0};
        rc = dm_forwards_get(u->m->forwards, u->batch, NULL, 0, &f, &why);
    } while (rc && !asked && dm_batch_fit(&u->batch, &again, rc));
    return rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
}

static dm_status allocate(upscaling *u, dm_err *err)
{
    const int64_t plane = u->big.shape.dim[1] * u->big.shape.dim[2], small = u->tile[0] * u->tile[1],
                  pixels = small * u->factor * u->factor;

    u->x = dm_array(u->C, plane, sizeof *u->x);
    u->F = dm_array(u->out_channels, plane, sizeof *u->F);
    u->weight = dm_array(plane, 1, sizeof *u->weight);
    u->tiles = calloc((size_t)(u->batch * u->C * pixels), sizeof *u->tiles);
    u->said = dm_array(u->batch * u->out_channels, pixels, sizeof *u->said);
    u->told_tile = dm_array(u->C, small, sizeof *u->told_tile);
    u->labels = dm_array(u->batch, 1, sizeof *u->labels);
    u->c_in = dm_array(u->batch, 1, sizeof *u->c_in);
    u->c_noise = dm_array(u->batch, 1, sizeof *u->c_noise);
    if (!u->x || !u->F || !u->weight || !u->tiles || !u->said || !u->told_tile || !u->labels || !u->c_in ||
        !u->c_noise)
        return dm_error(err, DM_ENOMEM, "out of memory for images of %lld x %lld pixels",
                        (long long)u->big.shape.dim[2], (long long)u->big.shape.dim[1]);
    for (int64_t i = 0; i < u->batch; i++)
        u->labels[i] = u->label;
    return dm_told_init(&u->told, dm_net_conditions(u->m->s.model), u->batch, err);
}

static void free_all(upscaling *u)
{
    dm_sampling_free(u->sampling);
    dm_buf_free(u->out);
    dm_told_fini(&u->told);
    free(u->x);
    free(u->F);
    free(u->weight);
    free(u->tiles);
    free(u->said);
    free(u->told_tile);
    free(u->labels);
    free(u->c_in);
    free(u->c_noise);
}

static dm_status draw(upscaling *u, dm_images *out, dm_err *err)
{
    const int64_t example = dm_shape_count(&u->big.shape), count = u->o->shape.dim[0];
    dm_status rc = DM_OK;

    out->shape = dm_net_batch_shape(&u->big.shape, count, u->C);
    out->pixels = u->big.levels > 0;
    if ((rc = dm_check_array("what is asked for", &out->shape, sizeof *out->x, err)))
        return rc;
    if (!(out->x = dm_array(count, example, sizeof *out->x)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)count);
    for (u->image = 0; u->image < count && !rc; u->image++) {
        const dm_sampling_run_options run = {.first_index = u->image, .step = after_step, .step_user = u};

        rc = dm_sampling_run(u->sampling, &run, out->x + u->image * example, err);
    }
    out->steps = dm_sampling_steps(u->sampling);
    out->evaluations = dm_sampling_evaluations(u->sampling) * u->n[0] * u->n[1];
    return rc;
}

static dm_status upscale(dm_model *m, const dm_upscale_options *o, dm_images *out, dm_err *err)
{
    upscaling u = {.m = m, .o = o};
    const double began = dm_seconds();
    dm_status rc;

    if (!(rc = check_model(&u, err)) && !(rc = check_images(&u, err)) && !(rc = cut(&u, err)) &&
        !(rc = find_class(&u, err)) && !(rc = dm_session_warn_of_sampling(&m->s, m->s.model, err)) &&
        !(rc = fit(&u, err)) && !(rc = allocate(&u, err)) && !(rc = open_sampling(&u, err)) &&
        !(rc = draw(&u, out, err))) {
        out->seconds = dm_seconds() - began;
        dm_model_describe(m, out);
    }
    free_all(&u);
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
