/* demist sample: images from a trained model. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/best.h"
#include "files/images_in.h"
#include "files/output.h"
#include "files/walk.h"
#include "format/safetensors.h"
#include "options/command.h"
#include "terminal/signals.h"

typedef struct request {
    const char *out, *tensors, *noise, *trace;
    bool force, best;
    dm_model_options how;
    dm_sample_options o;
    float *x, *z;
    cli_list asked;                /* NAME=FILE of conditions */
    conditions_in conditions;
    const char *given;             /* the classes */
    char *classes;                 /* the same, the commas gone */
    const char **each;             /* the classes in it */
    int64_t n_classes;             /* rows of the grid, where they are more than one; all of the model's too */
    char *names;                   /* of these rows, each ended by NUL */
    const char **row;
} request;

static const cli_option options[] = {
    CLI_NUMBER(request, o.count, "count", "N", 1, 1 << 24, NULL, "how many (1), with --class of each class"),
    CLI_TEXT(request, given, "class", "K,...",
             "of these classes, numbers or names, or all; rows of the grid are classes; none: of no class, where it "
             "was trained with train.drop_condition"),
    CLI_LIST(request, asked, "condition", "NAME=F", DM_MAX_CONDITIONS,
             "another condition of the model (demist info): F.png, .npy or .safetensors, or a folder of images; one "
             "for each, or for all"),
    CLI_NUMBER(request, o.first_index, "first", "I", 0, INT32_MAX, "0",
               "index of the first: image I of a seed is always the same"),
    CLI_FILE(request, out, "out", "F.png", ".png",
             "a grid, or one file an image where the name has a number such as %05d"),
    CLI_FILE(request, tensors, "tensors", "F.safetensors", ".safetensors", "the result as x f32[N,C,H,W]"),
    CLI_FILE(request, noise, "noise", "F.safetensors", ".safetensors",
             "begin with its x f32[N,C,H,W]; its z f32[D,N,C,H,W], if there, is taken in turn for each draw of fresh "
             "noise"),
    CLI_FILE(request, trace, "trace", "F", ".png|.safetensors",
             "from noise to image: a strip as F.png, or x after each step as F.safetensors"),
    CLI_FLAG(request, how.raw, "raw", "the weights as trained, not their first average"),
    CLI_FLAG(request, best, "best", "the run's best checkpoint by held-out loss (train.validate_every), not its last"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite existing files"),
    CLI_FOR_KEY("deterministic", "deterministic=true", "the same images bit for bit, whatever the batch size"),
    CLI_FLAG(request, how.profile, "profile", "time, FLOP/s and GB/s of each kernel"), CLI_END};

/* The classes between the commas. */
static dm_status split_classes(request *r, dm_err *err)
{
    size_t n = 1;

    for (const char *p = r->given; *p; p++)
        n += *p == ',';
    r->classes = strdup(r->given);
    r->each = calloc(n, sizeof *r->each);
    if (!r->classes || !r->each)
        return dm_error(err, DM_ENOMEM, "out of memory for classes");
    r->each[0] = r->classes;
    for (size_t i = 1; i < n; i++) {
        char *comma = strchr(r->each[i - 1], ',');

        *comma = 0;
        r->each[i] = comma + 1;
    }
    r->o.classes = r->each;
    r->o.n_classes = r->n_classes = (int64_t)n;
    return DM_OK;
}

/* What stands beside each row: the class as it was given, or, of all, its name or its number. */
static dm_status name_rows(request *r, const dm_model_properties *what, dm_err *err)
{
    const bool all = !strcmp(r->each[0], "all");
    const char *known = all && what->class_names ? what->class_names : "";
    size_t room = strlen(known) + 32 * (size_t)r->n_classes;
    char *to;

    r->names = to = malloc(room);
    r->row = calloc((size_t)r->n_classes, sizeof *r->row);
    if (!to || !r->row)
        return dm_error(err, DM_ENOMEM, "out of memory for the names of %lld classes", (long long)r->n_classes);
    for (int64_t i = 0; i < r->n_classes; i++) {
        const size_t n = strcspn(known, "/");

        r->row[i] = all ? to : r->each[i];
        if (all) {
            if (n)
                snprintf(to, room, "%lld %.*s", (long long)i, (int)n, known);
            else
                snprintf(to, room, "%lld", (long long)i);
            room -= strlen(to) + 1;
            to += strlen(to) + 1;
        }
        known += n + (known[n] == '/');
    }
    return DM_OK;
}

/* Which row of the picture is of which class. */
static void print_rows(const request *r, const dm_images *im)
{
    fprintf(stderr, "rows, from the top:");
    for (int64_t i = 0; i < r->n_classes; i++)
        fprintf(stderr, "%s %s", i ? "," : "", r->row[i]);
    fprintf(stderr, " (%lld of each)\n", (long long)(im->shape.dim[0] / r->n_classes));
}

/* Noise from a file: x, and z if there. */
static dm_status read_noise(request *r, dm_err *err)
{
    const dm_st_tensor *x, *z;
    dm_st *f;
    dm_status rc;

    if ((rc = dm_st_open(r->noise, &f, err)))
        return rc;
    x = dm_st_find(f, "x");
    z = dm_st_find(f, "z");
    if (!x || x->count < 1 || x->shape.rank < 2)
        rc = dm_error(err, DM_EINVAL, "'%s' has no noise x f32[N,C,H,W]", r->noise);
    else if (z && (z->shape.rank != x->shape.rank + 1 ||
                   memcmp(z->shape.dim + 1, x->shape.dim, (size_t)x->shape.rank * sizeof x->shape.dim[0])))
        rc = dm_error(err, DM_EINVAL, "'%s': z must be f32[D,...] with the extents of x behind D", r->noise);
    if (!rc) {
        r->x = malloc((size_t)x->count * sizeof *r->x);
        r->z = z ? malloc((size_t)z->count * sizeof *r->z + 1) : NULL;
        if (!r->x || (z && !r->z))
            rc = dm_error(err, DM_ENOMEM, "out of memory for the noise in '%s'", r->noise);
        else if (!(rc = dm_st_read_f32(f, x, 0, x->count, r->x, err)) && z)
            rc = dm_st_read_f32(f, z, 0, z->count, r->z, err);
    }
    if (!rc) {
        r->o.noise = r->x;
        r->o.noise_shape = x->shape;
        r->o.z = r->z;
        r->o.draws = z ? z->shape.dim[0] : 0;
    }
    dm_st_close(f);
    return rc;
}

/* What will be drawn is known: can it be written as was asked? */
static dm_status check_kind(request *r, const dm_model *m, bool quiet, dm_model_properties *is, dm_err *err)
{
    dm_model_properties what = {.size = sizeof what};
    dm_status rc;

    if ((rc = dm_model_info(m, &what, err)))
        return rc;
    *is = what;
    if (r->n_classes == 1 && !strcmp(r->each[0], "all"))
        r->n_classes = what.classes;
    if (what.latents && (r->out || (r->trace && output_ends_in(r->trace, ".png"))))
        return dm_error(err, DM_EINVAL,
                        "this model draws latents, and demist does not run the network in '%s' that decodes them to "
                        "pixels; give --tensors F.safetensors, and decode them with diffusers",
                        what.latents);
    if (r->out && what.shape.rank == 3 && what.shape.dim[0] != 1 && what.shape.dim[0] != 3 && !quiet)
        fprintf(stderr, "the %lld channels of each image are drawn in grey, side by side\n",
                (long long)what.shape.dim[0]);
    if (r->out && output_is_pattern(r->out) && what.shape.rank != 3)
        return dm_error(err, DM_EINVAL, "'%s': one file an image needs images, and these are points; give one name",
                        r->out);
    if (r->out && what.shape.rank != 3 && what.shape.dim[0] != 2)
        return dm_error(err, DM_EINVAL, "'%s': points in %lld dimensions cannot be drawn as a picture; give --tensors",
                        r->out, (long long)what.shape.dim[0]);
    if (r->trace && output_ends_in(r->trace, ".png") && what.shape.rank != 3)
        return dm_error(err, DM_EINVAL, "'%s': the strip of points is not a picture; give --trace F.safetensors",
                        r->trace);
    return DM_OK;
}

static dm_status write_all(const request *r, const dm_images *im, output_walk *walk, dm_err *err)
{
    dm_status rc = DM_OK;

    if (r->out)
        rc = output_pictures(r->out, im, r->o.first_index, r->row, r->n_classes > 1 ? r->n_classes : 0, err);
    if (!rc && r->tensors)
        rc = output_tensor(r->tensors, "x", &im->shape, im->x, im->about, err);
    return rc ? rc : output_walk_write(walk, im, err);
}

/* How many images, of each class. */
static int64_t count_of(const request *r)
{
    int64_t most = r->o.noise ? r->o.noise_shape.dim[0] : 1;

    for (int k = 0; k < r->conditions.n; k++)
        most = r->conditions.value[k].shape.dim[0] > most ? r->conditions.value[k].shape.dim[0] : most;
    return r->o.count ? r->o.count : most;
}

/* What depends on the model, before the work. */
static dm_status prepare(request *r, const dm_model *m, bool quiet, dm_err *err)
{
    dm_model_properties what;
    dm_status rc;

    if ((rc = check_kind(r, m, quiet, &what, err)) ||
        (rc = conditions_in_read(r->asked.item, r->asked.n, &what, r->how.callbacks, &r->conditions, err)) ||
        (r->n_classes > 1 && (rc = name_rows(r, &what, err))))
        return rc;
    r->o.conditions = r->conditions.value;
    r->o.n_conditions = r->conditions.n;
    return output_check_numbered(r->out, r->o.first_index, (r->n_classes > 1 ? r->n_classes : 1) * count_of(r),
                                 r->force, err);
}

static dm_status sample(const char *run_path, request *r, const cli_common *common, dm_err *err)
{
    const output_file files[] = {
        {r->out, ".png", false}, {r->tensors, NULL, false}, {r->trace, NULL, false}, {r->noise, NULL, true}};
    dm_images im = {.size = sizeof im};
    output_walk walk;
    dm_model *m;
    dm_status rc;

    if ((rc = output_walk_begin(&walk, r->trace, &r->o, err)) || (rc = output_check(files, 4, r->force, err)) ||
        (r->noise && (rc = read_noise(r, err))) ||
        (rc = output_check_numbered(r->out, r->o.first_index, count_of(r), r->force, err)))
        return rc;
    if ((rc = dm_model_open(run_path, &r->how, &m, err)))
        return rc;
    if (!(rc = prepare(r, m, common->quiet || cli_is_silent(), err)) && !(rc = dm_model_sample(m, &r->o, &im, err)) &&
        !cli_is_silent()) {
        rc = write_all(r, &im, &walk, err);
        if (!rc && !common->quiet)
            fprintf(stderr, "%lld images in %.2f s, %lld evaluations (%s)\n", (long long)im.shape.dim[0], im.seconds,
                    (long long)im.evaluations, im.about);
        if (!rc && !common->quiet && r->out && !output_is_pattern(r->out) && r->n_classes > 1)
            print_rows(r, &im);
        if (!rc && r->out)
            cli_print_path(r->out);
    }
    output_walk_fini(&walk);
    dm_images_free(&im);
    dm_model_close(m);
    return rc;
}

static int run(cli_call *call)
{
    request *r = call->options;
    cli_terminal *t = NULL;
    dm_err err = {0};
    dm_status rc = DM_OK;
    char *path = NULL;

    if (!r->out && !r->tensors)
        return cli_usage(call->command, "give --out or --tensors");
    if (r->best)
        rc = best_checkpoint(call->argument[0], &path, &err);
    if (!rc && r->given)
        rc = split_classes(r, &err);
    if (!rc && !(t = cli_terminal_new(&call->common)))
        rc = dm_error(&err, DM_ENOMEM, "out of memory");
    if (!rc) {
        r->how.size = sizeof r->how;
        r->how.ranks = true;
        r->o.size = sizeof r->o;
        r->how.overrides = call->overrides;
        r->how.n_overrides = call->n_overrides;
        r->how.callbacks = cli_callbacks(t);
        cli_catch_signals("stopping after this step", 0);
        rc = sample(path ? path : call->argument[0], r, &call->common, &err);
    }
    cli_terminal_free(t);
    free(r->x);
    free(r->z);
    free(r->classes);
    free(r->each);
    free(r->names);
    free(r->row);
    conditions_in_fini(&r->conditions);
    free(path);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_sample = {
    .name = "sample",
    .summary = "draw images from a run folder or a checkpoint",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .shown = "count|out",
    .examples = "  demist sample runs/fashion-mnist --count 64 --out clothes.png\n"
                "  demist sample runs/fashion-mnist sampler.use=ddpm sampler.steps=1000 "
                "seed=7 --count 4 \\\n"
                "    --out 'dir/%05d.png'\n"
                "  demist sample runs/fashion-mnist-classes --class all --count 8 guidance.use=cfg \\\n"
                "    guidance.scale=3 --out all.png\n"
                "  demist sample runs/fashion-mnist-upscale --condition downscale=small.png --count 16 \\\n"
                "    --out large.png\n",
    .details = "key=value: another sampler, number of steps, seed or device than in training. The data need not be "
               "there.\n",
    .ranks = true,
    .run = run};
