/* demist edit: given images changed by a trained model. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "text/number.h"
#include "device/tensor.h"
#include "files/images_in.h"
#include "files/output.h"
#include "files/walk.h"
#include "options/command.h"
#include "sample/edit_request.h"
#include "terminal/signals.h"

typedef struct request {
    const char *in, *mask, *jumps, *mix, *strength, *out, *tensors, *trace, *class;
    cli_list asked;
    int64_t count, frames;
    int64_t overlap;
    bool invert, upscale, force;
    dm_model_options how;
    dm_sample_options o;
    dm_model_properties model;
    images_in from, second, masks;
    conditions_in conditions;
} request;

static const cli_option options[] = {
    CLI_STRING(request, in, CLI_T_FILE, "in", 0, "F", NULL,
               "the images: F.png (JPEG, WebP), a folder of them, .npy or .safetensors"),
    CLI_TEXT(request, strength, "strength", "S",
             "how much is redrawn, 0 to 1: 0 returns the image, 1 starts from pure noise (0.6; with --mask 1)"),
    CLI_STRING(request, mask, CLI_T_FILE, "mask", 0, "M.png", NULL,
               "white is redrawn, black stays; a model trained with condition.derive: [mask] is given these holes"),
    CLI_TEXT(request, jumps, "jumps", "L,N",
             "with --mask: each L steps are taken N times, which fits what is drawn to what stays (10,5)"),
    CLI_FLAG(request, invert, "invert", "the noise that the images come from, to --tensors; reports how closely it "
                                        "reproduces them"),
    CLI_FLAG(request, upscale, "upscale",
             "larger, by a model of condition.derive: [downscale]; images of any size, by tiles that overlap"),
    CLI_NUMBER(request, overlap, "overlap", "N", 1, 4096, NULL,
               "pixels of the small image that tiles share at least with --upscale (half a tile)"),
    CLI_STRING(request, mix, CLI_T_FILE, "mix", 0, "F", NULL, "another image, and what lies between both"),
    CLI_NUMBER(request, frames, "frames", "N", 2, 4096, NULL, "images from one to the other with --mix (16)"),
    CLI_NUMBER(request, count, "count", "N", 1, 1 << 24, NULL,
               "variants of a single image; of several images, the first N"),
    CLI_TEXT(request, class, "class", "K", "of this class, a number or a name"),
    CLI_LIST(request, asked, "condition", "NAME=F", DM_MAX_CONDITIONS, "as in demist sample"),
    CLI_FILE(request, out, "out", "F.png", ".png", "a grid, or one file an image where the name has %05d"),
    CLI_FILE(request, tensors, "tensors", "F.safetensors", ".safetensors", "the result as x f32[N,C,H,W]"),
    CLI_FILE(request, trace, "strip", "F", ".png|.safetensors",
             "from image to image: some of the steps as F.png, a row an image, or x after each as F.safetensors"),
    CLI_FLAG(request, how.raw, "raw", "the weights as trained, not their first average"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite existing files"),
    CLI_FOR_KEY("deterministic", "deterministic=true", "the same images bit for bit, whatever the batch size"),
    CLI_END};

/* Pixels of a mask, -1..1, to 0..1. */
static dm_status read_mask(request *r, dm_err *err)
{
    dm_status rc;

    if (!r->mask)
        return DM_OK;
    if ((rc = images_in_read(r->mask, 1, r->how.callbacks, &r->masks, err)))
        return rc;
    for (int64_t i = 0, n = dm_shape_count(&r->masks.shape); i < n && !output_ends_in(r->mask, ".safetensors"); i++)
        r->masks.x[i] = (r->masks.x[i] + 1) / 2;
    r->o.mask = r->masks.x;
    r->o.mask_shape = r->masks.shape;
    return DM_OK;
}

static dm_status check_sizes(const request *r, const dm_shape *have, const char *file, int64_t channels, dm_err *err)
{
    const dm_shape *want = &r->model.shape;

    if (have->rank == want->rank + 1 && have->dim[1] == channels &&
        !memcmp(have->dim + 2, want->dim + 1, (size_t)(want->rank - 1) * sizeof want->dim[0]))
        return DM_OK;
    return dm_error(err, DM_EINVAL, "'%s': %lld x %lld pixels; this model's images have %lld x %lld", file,
                    (long long)have->dim[3], (long long)have->dim[2], (long long)want->dim[2],
                    (long long)want->dim[1]);
}

/* Of a model that is conditioned on holes: what is known, and the holes. */
static dm_status tell_holes(request *r, dm_err *err)
{
    const int64_t C = r->model.shape.dim[0], plane = r->model.shape.dim[1] * r->model.shape.dim[2];
    conditions_in *c = &r->conditions;
    int64_t many = 1;
    float *x = NULL;
    dm_status rc = dm_edit_count(&r->o, &many, err);

    if (rc)
        return rc;
    for (int64_t k = 0; k < r->model.n_conditions && r->mask && !x; k++)
        if (!strcmp(r->model.conditions[k].name, "mask")) {
            if (!(x = dm_array(many, (C + 1) * plane, sizeof *x)))
                return dm_error(err, DM_ENOMEM, "out of memory for the holes of %lld images", (long long)many);
            for (int64_t i = 0; i < many; i++) {
                const float *from = r->from.x + (r->from.shape.dim[0] == 1 ? 0 : i) * C * plane,
                            *hole = r->masks.x + (r->masks.shape.dim[0] == 1 ? 0 : i) * plane;
                float *to = x + i * (C + 1) * plane;

                for (int64_t p = 0; p < C * plane; p++)
                    to[p] = hole[p % plane] > 0.5f ? 0 : from[p];
                for (int64_t p = 0; p < plane; p++)
                    to[C * plane + p] = hole[p] > 0.5f;
            }
            c->file[c->n] = (images_in){x, {4, {many, C + 1, r->model.shape.dim[1], r->model.shape.dim[2]}}};
            c->value[c->n] = (dm_condition_value){"mask", x, c->file[c->n].shape};
            c->n++;
        }
    return DM_OK;
}

static dm_status read_inputs(request *r, dm_err *err)
{
    const int64_t C = r->model.shape.dim[0];
    dm_status rc;

    if (r->model.shape.rank != 3 && !output_ends_in(r->in, ".safetensors") && !output_ends_in(r->in, ".npy"))
        return dm_error(err, DM_EINVAL, "this model's examples are points; give them as .npy or .safetensors");
    if ((rc = images_in_read(r->in, C, r->how.callbacks, &r->from, err)) || r->upscale)
        return rc;
    r->o.start = r->from.x;
    r->o.start_shape = r->from.shape;
    if ((rc = check_sizes(r, &r->from.shape, r->in, C, err)) || (rc = read_mask(r, err)) ||
        (r->mask && (rc = check_sizes(r, &r->masks.shape, r->mask, 1, err))) ||
        (rc = conditions_in_read(r->asked.item, r->asked.n, &r->model, r->how.callbacks, &r->conditions, err)) ||
        (rc = tell_holes(r, err)))
        return rc;
    if (r->mix && ((rc = images_in_read(r->mix, C, r->how.callbacks, &r->second, err)) ||
                   (rc = check_sizes(r, &r->second.shape, r->mix, C, err))))
        return rc;
    r->o.count = r->count;
    r->o.conditions = r->conditions.value;
    r->o.n_conditions = r->conditions.n;
    if (r->class) {
        r->o.classes = &r->class;
        r->o.n_classes = 1;
    }
    return DM_OK;
}

/* The root mean square of a difference. */
static double distance(const float *a, const float *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
    return sqrt(sum / (double)n);
}

/* The noise of the images, and what comes back from it. */
static dm_status invert(request *r, dm_model *m, const float *from, const dm_shape *shape, dm_images *noise,
                        dm_err *err)
{
    dm_sample_options o = r->o;
    dm_images back = {.size = sizeof back};
    dm_status rc;

    o.start = from;
    o.start_shape = *shape;
    o.mask = NULL;
    if (r->mix)
        o.trace = NULL; /* the strip shows the walk to what is written, and that is another */
    if ((rc = dm_model_invert(m, &o, noise, err)))
        return rc;
    o.trace = NULL;
    o.start = NULL;
    o.noise = noise->x;
    o.noise_shape = noise->shape;
    o.count = noise->shape.dim[0];
    if (!(rc = dm_model_sample(m, &o, &back, err))) {
        fprintf(stderr, "back from its noise: root mean square error %.4g",
                distance(back.x, from, dm_shape_count(shape)));
        if (r->model.high > r->model.low) /* else the data have no range of their own */
            fprintf(stderr, " of a range of %g", r->model.high - r->model.low);
        fputc('\n', stderr);
    }
    dm_images_free(&back);
    return rc;
}

/* On the sphere through both, t of the way. */
static void between(const float *a, const float *b, int64_t n, double t, float *out)
{
    double aa = 0, bb = 0, ab = 0, angle, u, v;

    for (int64_t i = 0; i < n; i++) {
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
        ab += (double)a[i] * (double)b[i];
    }
    angle = aa > 0 && bb > 0 ? acos(fmin(fmax(ab / sqrt(aa * bb), -1), 1)) : 0;
    u = angle > 1e-6 ? sin((1 - t) * angle) / sin(angle) : 1 - t;
    v = angle > 1e-6 ? sin(t * angle) / sin(angle) : t;
    for (int64_t i = 0; i < n; i++)
        out[i] = (float)(u * (double)a[i] + v * (double)b[i]);
}

static dm_status mix(request *r, dm_model *m, dm_images *out, dm_err *err)
{
    const int64_t n = dm_shape_count(&r->model.shape);
    dm_images a = {.size = sizeof a}, b = {.size = sizeof b};
    dm_sample_options o = r->o;
    float *x = dm_array(r->frames, n, sizeof *x);
    dm_status rc = x ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)r->frames);

    if (!rc && (r->from.shape.dim[0] != 1 || r->second.shape.dim[0] != 1))
        rc = dm_error(err, DM_EINVAL, "--mix is of two images; '%s' has %lld, '%s' %lld", r->in,
                      (long long)r->from.shape.dim[0], r->mix, (long long)r->second.shape.dim[0]);
    if (!rc && !(rc = invert(r, m, r->from.x, &r->from.shape, &a, err)) &&
        !(rc = invert(r, m, r->second.x, &r->second.shape, &b, err))) {
        for (int64_t k = 0; k < r->frames; k++)
            between(a.x, b.x, n, (double)k / (double)(r->frames - 1), x + k * n);
        o.start = NULL;
        o.noise = x;
        o.noise_shape = a.shape;
        o.noise_shape.dim[0] = o.count = r->frames;
        rc = dm_model_sample(m, &o, out, err);
    }
    dm_images_free(&a);
    dm_images_free(&b);
    free(x);
    return rc;
}

static dm_status upscale(request *r, dm_model *m, dm_images *out, dm_err *err)
{
    const dm_upscale_options o = {.size = sizeof o, .images = r->from.x, .shape = r->from.shape,
                                  .overlap = r->overlap, .class_name = r->class};

    return dm_model_upscale(m, &o, out, err);
}

static dm_status write_all(const request *r, const dm_images *im, output_walk *walk, dm_err *err)
{
    dm_status rc = DM_OK;

    if (r->out)
        rc = output_pictures(r->out, im, 0, NULL, 0, err);
    if (!rc && r->tensors)
        rc = output_tensor(r->tensors, "x", &im->shape, im->x, im->about, err);
    if (!rc)
        rc = output_walk_write(walk, im, err);
    if (!rc && r->out)
        cli_print_path(r->out);
    return rc;
}

static dm_status edit(const char *run_path, request *r, dm_err *err)
{
    const output_file files[] = {{r->out, ".png", false}, {r->tensors, NULL, false}, {r->trace, NULL, false},
                                 {r->in, NULL, true},     {r->mask, NULL, true},     {r->mix, NULL, true}};
    dm_images im = {.size = sizeof im};
    output_walk walk;
    dm_model *m;
    dm_status rc;

    r->model.size = sizeof r->model;
    if ((rc = output_walk_begin(&walk, r->trace, &r->o, err)) || (rc = output_check(files, 6, r->force, err)) ||
        (rc = dm_model_open(run_path, &r->how, &m, err)))
        return rc;
    if (!(rc = dm_model_info(m, &r->model, err)) && !(rc = read_inputs(r, err)) &&
        !(rc = output_check_numbered(r->out, 0, r->mix ? r->frames : r->count ? r->count : r->from.shape.dim[0],
                                     r->force, err)))
        rc = r->invert    ? invert(r, m, r->from.x, &r->from.shape, &im, err)
             : r->mix     ? mix(r, m, &im, err)
             : r->upscale ? upscale(r, m, &im, err)
                          : dm_model_sample(m, &r->o, &im, err);
    if (!rc)
        rc = write_all(r, &im, &walk, err);
    output_walk_fini(&walk);
    dm_images_free(&im);
    dm_model_close(m);
    return rc;
}

/* "10,5" */
static dm_status read_jumps(request *r, dm_err *err)
{
    const char *comma = r->jumps ? strchr(r->jumps, ',') : NULL;
    char length[24];

    if (!r->jumps)
        return DM_OK;
    if (!r->mask)
        return dm_error(err, DM_EINVAL, "--jumps is for --mask");
    if (!comma || snprintf(length, sizeof length, "%.*s", (int)(comma - r->jumps), r->jumps) >= (int)sizeof length ||
        dm_number_int(length, &r->o.jump_length) != DM_NUMBER_OK || r->o.jump_length < 1 ||
        dm_number_int(comma + 1, &r->o.resamplings) != DM_NUMBER_OK || r->o.resamplings < 1)
        return dm_error(err, DM_EINVAL, "--jumps %s; it must be two whole numbers of 1 or above: steps, and how many "
                                        "times they are taken, such as 10,5", r->jumps);
    return DM_OK;
}

static dm_status check_options(request *r, dm_err *err)
{
    if (!r->in)
        return dm_error(err, DM_EINVAL, "give the images with --in");
    if (!r->out && !r->tensors)
        return dm_error(err, DM_EINVAL, "give --out or --tensors");
    if (r->invert && r->out)
        return dm_error(err, DM_EINVAL, "--invert gives noise, which is not a picture: use --tensors instead of --out");
    if ((r->invert || r->mix) && (r->mask || r->strength))
        return dm_error(err, DM_EINVAL, "--%s takes neither --mask nor --strength", r->invert ? "invert" : "mix");
    if (r->upscale && (r->invert || r->mix || r->mask || r->strength || r->count || r->asked.n || r->trace))
        return dm_error(err, DM_EINVAL, "--upscale takes only --in, --overlap, --class, --out and --tensors");
    if (r->overlap && !r->upscale)
        return dm_error(err, DM_EINVAL, "--overlap is for --upscale");
    if (r->frames && !r->mix)
        return dm_error(err, DM_EINVAL, "--frames is for --mix");
    r->frames = r->frames ? r->frames : 16;
    r->o.strength = r->invert || r->mix ? 0 : r->mask ? 1 : 0.6;
    if (r->strength && (dm_number_real(r->strength, &r->o.strength) != DM_NUMBER_OK || !(r->o.strength >= 0) ||
                        !(r->o.strength <= 1)))
        return dm_error(err, DM_EINVAL, "--strength %s; it must be a number from 0 to 1", r->strength);
    return read_jumps(r, err);
}

static int run(cli_call *call)
{
    request *r = call->options;
    cli_terminal *t = NULL;
    dm_err err = {0};
    dm_status rc = check_options(r, &err);

    if (rc)
        return cli_usage(call->command, "%s", err.msg);
    if (!(t = cli_terminal_new(&call->common)))
        rc = dm_error(&err, DM_ENOMEM, "out of memory");
    if (!rc) {
        r->how.size = sizeof r->how;
        r->o.size = sizeof r->o;
        r->how.overrides = call->overrides;
        r->how.n_overrides = call->n_overrides;
        r->how.callbacks = cli_callbacks(t);
        cli_catch_signals("stopping after this step", 0);
        rc = edit(call->argument[0], r, &err);
    }
    cli_terminal_free(t);
    images_in_fini(&r->from);
    images_in_fini(&r->second);
    images_in_fini(&r->masks);
    conditions_in_fini(&r->conditions);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_edit = {
    .name = "edit",
    .summary = "change given images: redraw them, fill holes, mix two, enlarge",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .shown = "in|out",
    .examples = "  demist edit runs/fashion-mnist --in shirt.png --strength 0.5 --count 8 --out shirts.png\n"
                "  demist edit runs/fashion-mnist-inpaint --in shirt.png --mask hole.png --out whole.png\n"
                "  demist edit runs/fashion-mnist --in shirt.png --mix boot.png --frames 12 sampler.eta=0 \\\n"
                "    --out between.png\n"
                "  demist edit runs/fashion-mnist-upscale --in small.png --upscale --out large.png\n",
    .details = "Images must have the size that the model was trained with, but for --upscale. --invert and --mix need "
               "a sampler that goes both ways: sampler.use=ddim sampler.eta=0.\n",
    .run = run};
