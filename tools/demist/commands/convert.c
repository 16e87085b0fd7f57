/* demist convert: a model of another project as a checkpoint. */
#include "options/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "files/output.h"

static int run(int argc, char **argv);

const cli_command cmd_convert = {
    "convert", "convert IN.safetensors [key=value ...] --to OUT.safetensors [--size S] [--qkv ORDER]",
    "read a UNet of improved-diffusion or guided-diffusion",
    "  demist convert 64x64_diffusion.safetensors --size 64 --qkv new network.heads=0 network.head_dim=64 \\\n"
    "    schedule.use=cosine --to imagenet64.safetensors\n\n"
    "OUT is a checkpoint with its experiment: sample, predict, export and train.from take it. Levels, attention,\n"
    "scale-shift norm, residual blocks that resize, classes and a learned variance are seen in the tensors. What is\n"
    "not has those projects' defaults, and key=value changes it: network.heads=4 (or heads=0 and head_dim=N, their\n"
    "num_head_channels), schedule.use=linear, schedule.timesteps=1000, objective.predict=eps, and\n"
    "network.time_scale=1, which is 1000/T with rescale_timesteps.\n"
    "  --to F       the checkpoint\n"
    "  --size S     side of its images, or HEIGHTxWIDTH; without it the network runs and cannot be sampled\n"
    "  --qkv ORDER  legacy (default): query, key and value of each head together; new: use_new_attention_order\n"
    "  --force      overwrite the checkpoint if it is there\n",
    run};

static bool read_size(const char *text, dm_convert_options *o)
{
    const char *cross = strchr(text, 'x');
    char first[16];

    snprintf(first, sizeof first, "%.*s", (int)(cross ? cross - text : 15), text);
    if (!cli_int(&cmd_convert, "--size", first, 1, 16384, &o->height))
        return false;
    o->width = o->height;
    return !cross || cli_int(&cmd_convert, "--size", cross + 1, 1, 16384, &o->width);
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'},
                                            {"size", required_argument, NULL, 's'},
                                            {"qkv", required_argument, NULL, 'k'},
                                            {"force", no_argument, NULL, 'f'},
                                            CLI_COMMON};
    dm_convert_options o = {.size = sizeof o};
    const char *to = NULL, *order = "legacy";
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1) {
        if (opt == 't')
            to = optarg;
        else if (opt == 's' && !read_size(optarg, &o))
            return 2;
        else if (opt == 'k')
            order = optarg;
        else if (opt == 'f')
            o.overwrite = true;
        else if (cli_common_option(&cmd_convert, opt, argv, &common, &done, &code) && done)
            return code;
    }
    o.by_part = !strcmp(order, "new");
    if (optind >= argc || !to)
        return cli_usage(&cmd_convert, "%s", optind >= argc ? "which file?" : "--to is needed");
    if (!o.by_part && strcmp(order, "legacy"))
        return cli_usage(&cmd_convert, "--qkv is 'legacy' or 'new', not '%s'", order);
    if ((rc = output_check((const output_file[]){{to, ".safetensors", false}, {argv[optind], NULL, true}}, 2,
                           o.overwrite, &err)))
        return cli_fail(&err);
    if (!(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    o.overrides = (const char *const *)argv + optind + 1;
    o.n_overrides = argc - optind - 1;
    o.callbacks = cli_callbacks(t);
    rc = dm_convert(argv[optind], to, &o, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}
