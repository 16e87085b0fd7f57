/* demist sample: draws images from a trained model. */
#include "options/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/output.h"
#include "format/safetensors.h"

static int run(int argc, char **argv);

const cli_command cmd_sample = {
    "sample", "sample RUN [key=value ...] --count N --out F.png", "draw images from a run folder or a checkpoint",
    "  demist sample runs/fashion-mnist --count 64 --out clothes.png\n"
    "  demist sample runs/fashion-mnist sampler.use=ddpm sampler.steps=1000 seed=7 --count 4 --out 'dir/%05d.png'\n"
    "  demist sample runs/fashion-mnist-classes --class all --count 8 guidance.use=cfg guidance.scale=3 --out "
    "all.png\n\n"
    "key=value: another sampler, number of steps, seed or device than in training. The data need not be there.\n"
    "  --count N                how many (1), with --class of each class\n"
    "  --class K,...            of these classes, numbers or names, or all; rows of the grid are classes;\n"
    "                           none: of no class, where it was trained with train.drop_condition\n"
    "  --first I                index of the first: image I of a seed is always the same (0)\n"
    "  --out F.png              a grid, or one file an image where the name has a number such as %05d\n"
    "  --tensors F.safetensors  the result as x f32[N,C,H,W]\n"
    "  --noise F.safetensors    begin with its x f32[N,C,H,W]; its z f32[D,N,C,H,W], if there, is taken in turn\n"
    "                           for each draw of fresh noise\n"
    "  --trace F                from noise to image: a strip as F.png, or x after each step as F.safetensors\n"
    "  --raw                    the weights as trained, not their first average\n"
    "  --best                   the run's best checkpoint by held-out loss (train.validate_every), not its last\n"
    "  --force                  overwrite files that are there\n"
    "  --deterministic          the same images bit for bit, whatever is drawn at once\n"
    "  --profile                time, FLOP/s and GB/s of each kernel\n",
    run};

typedef struct request {
    const char *out, *tensors, *noise, *trace;
    bool force;
    float *x, *z;
    char *classes;     /* as given, the commas gone */
    const char **each; /* the classes in it */
    int64_t n_classes; /* rows of the grid, where they are more than one; all of the model's too */
} request;

/* The classes between the commas. */
static dm_status split_classes(request *r, const char *given, dm_sample_options *o, dm_err *err)
{
    size_t n = 1;

    for (const char *p = given; *p; p++)
        n += *p == ',';
    free(r->classes);
    free(r->each);
    r->classes = strdup(given);
    r->each = calloc(n, sizeof *r->each);
    if (!r->classes || !r->each)
        return dm_error(err, DM_ENOMEM, "out of memory for classes");
    r->each[0] = r->classes;
    for (size_t i = 1; i < n; i++) {
        char *comma = strchr(r->each[i - 1], ',');

        *comma = 0;
        r->each[i] = comma + 1;
    }
    o->classes = r->each;
    o->n_classes = (int64_t)n;
    return DM_OK;
}

/* Which row of the picture is of which class. */
static void print_rows(const request *r, const dm_model_properties *what, const dm_images *im)
{
    const bool all = r->n_classes > 1 && !strcmp(r->each[0], "all");
    const char *names = what->class_names;

    fprintf(stderr, "rows, from the top:");
    for (int64_t i = 0; i < r->n_classes; i++) {
        const int n = names ? (int)strcspn(names, "/") : 0;

        if (all)
            fprintf(stderr, "%s %lld%s%.*s", i ? "," : "", (long long)i, n ? " " : "", n, names ? names : "");
        else
            fprintf(stderr, "%s %s", i ? "," : "", r->each[i]);
        names = names && names[n] ? names + n + 1 : NULL;
    }
    fprintf(stderr, " (%lld of each)\n", (long long)(im->shape.dim[0] / r->n_classes));
}

/* Noise from a file: x, and z if there. */
static dm_status read_noise(request *r, dm_sample_options *o, dm_err *err)
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
        o->noise = r->x;
        o->noise_shape = x->shape;
        o->z = r->z;
        o->draws = z ? z->shape.dim[0] : 0;
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
                        "this model draws latents, of which the network in '%s' makes pixels, and demist does not run "
                        "that; give --tensors F.safetensors, and decode them with diffusers",
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

static dm_status write_all(const request *r, const dm_images *im, const dm_sample_options *o, const output_trace *trace,
                           dm_err *err)
{
    dm_status rc = DM_OK;

    if (r->out)
        rc = output_pictures(r->out, im, o->first_index, r->n_classes > 1 ? im->shape.dim[0] / r->n_classes : 0, err);
    if (!rc && r->tensors)
        rc = output_tensor(r->tensors, "x", &im->shape, im->x, im->about, err);
    if (!rc && r->trace)
        rc = output_trace_write(r->trace, trace, im, err);
    return rc;
}

static dm_status sample(const char *run_path, request *r, const dm_model_options *how, dm_sample_options *o,
                        const cli_common *common, dm_err *err)
{
    const output_file files[] = {
        {r->out, ".png", false}, {r->tensors, NULL, false}, {r->trace, NULL, false}, {r->noise, NULL, true}};
    dm_images im = {.size = sizeof im};
    output_trace trace = {0};
    dm_model_properties what;
    dm_model *m;
    dm_status rc;

    if (r->trace && (output_is_pattern(r->trace) ||
                     !(output_ends_in(r->trace, ".png") || output_ends_in(r->trace, ".safetensors"))))
        return dm_error(err, DM_EINVAL, "'%s': the trace is one file, F.png or F.safetensors", r->trace);
    if ((rc = output_check(files, 4, r->force, err)) || (r->noise && (rc = read_noise(r, o, err))) ||
        (rc = output_check_numbered(r->out, o->first_index,
                                    o->count   ? o->count
                                    : r->noise ? o->noise_shape.dim[0]
                                               : 1,
                                    r->force, err)))
        return rc;
    if (r->trace) {
        o->trace = output_trace_put;
        o->trace_user = &trace;
    }
    if ((rc = dm_model_open(run_path, how, &m, err)))
        return rc;
    if (!(rc = check_kind(r, m, common->quiet, &what, err)) &&
        !(rc = output_check_numbered(r->out, o->first_index,
                                     r->n_classes > 1 ? r->n_classes * (o->count ? o->count : 1) : 0, r->force, err)) &&
        !(rc = dm_model_sample(m, o, &im, err))) {
        rc = write_all(r, &im, o, &trace, err);
        if (!rc && !common->quiet)
            fprintf(stderr, "%lld images in %.2f s (%s)\n", (long long)im.shape.dim[0], im.seconds, im.about);
        if (!rc && !common->quiet && r->out && !output_is_pattern(r->out) && r->n_classes > 1)
            print_rows(r, &what, &im);
        if (!rc && r->out)
            cli_print_path(r->out);
    }
    free(trace.x);
    dm_images_free(&im);
    dm_model_close(m);
    return rc;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"count", required_argument, NULL, 'n'},
                                            {"class", required_argument, NULL, 'c'},
                                            {"first", required_argument, NULL, 'i'},
                                            {"out", required_argument, NULL, 'o'},
                                            {"tensors", required_argument, NULL, 't'},
                                            {"noise", required_argument, NULL, 'x'},
                                            {"trace", required_argument, NULL, 'r'},
                                            {"raw", no_argument, NULL, 'w'},
                                            {"best", no_argument, NULL, 'b'},
                                            {"force", no_argument, NULL, 'f'},
                                            {"deterministic", no_argument, NULL, 'd'},
                                            {"profile", no_argument, NULL, 'p'},
                                            CLI_COMMON};
    const char **overrides, *deterministic = NULL;
    dm_model_options how = {.size = sizeof how};
    dm_sample_options o = {.size = sizeof o};
    request r = {0};
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    char *path = NULL;
    int opt, code;
    bool done, best = false;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1)
        switch (opt) {
        case 'n': if (!cli_int(&cmd_sample, "--count", optarg, 1, 1 << 24, &o.count)) return 2; break;
        case 'c': if (split_classes(&r, optarg, &o, &err)) return cli_fail(&err); break;
        case 'i': if (!cli_int(&cmd_sample, "--first", optarg, 0, INT32_MAX, &o.first_index)) return 2; break;
        case 'o': r.out = optarg; break;
        case 't': r.tensors = optarg; break;
        case 'x': r.noise = optarg; break;
        case 'r': r.trace = optarg; break;
        case 'w': how.raw = true; break;
        case 'b': best = true; break;
        case 'f': r.force = true; break;
        case 'd': deterministic = "deterministic=true"; break;
        case 'p': how.profile = true; break;
        default:
            if (cli_common_option(&cmd_sample, opt, argv, &common, &done, &code) && done)
                return code;
        }
    if (optind >= argc || (!r.out && !r.tensors))
        return cli_usage(&cmd_sample, "%s", optind >= argc ? "which run?" : "where to? give --out or --tensors");
    if (best && cli_best(argv[optind], &path, &err)) {
        free(path);
        return cli_fail(&err);
    }
    r.n_classes = o.n_classes;
    overrides = cli_overrides(deterministic, argc, argv, &how.n_overrides);
    if (!overrides || !(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    how.overrides = overrides;
    how.callbacks = cli_callbacks(t);
    cli_catch_signals("stopping after this step");
    rc = sample(best ? path : argv[optind], &r, &how, &o, &common, &err);
    cli_terminal_free(t);
    free(r.x);
    free(r.z);
    free(r.classes);
    free(r.each);
    free(overrides);
    free(path);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : 0;
}
