/* demist convert: a model of another project as a checkpoint. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "files/output.h"
#include "options/command.h"

typedef struct request { dm_convert_options o; const char *to, *size, *order; } request;

static const cli_option options[] = {
    CLI_FILE(request, to, "to", "F", ".safetensors", "the checkpoint"),
    CLI_TEXT(request, size, "size", "S",
             "side of its images, or HEIGHTxWIDTH; without it the network runs and cannot be sampled"),
    CLI_CHOICE(request, order, "qkv", "ORDER", "legacy|new", "legacy",
               "legacy is query, key and value of each head together, new is use_new_attention_order"),
    CLI_SHORT_FLAG(request, o.overwrite, "force", 'f', "overwrite the checkpoint if it exists"), CLI_END};

/* "64" or "64x48". */
static bool read_size(const char *text, dm_convert_options *o, char *why, size_t n)
{
    const char *cross = strchr(text, 'x');
    char first[16];

    snprintf(first, sizeof first, "%.*s", (int)(cross ? cross - text : 15), text);
    if (!cli_number(first, 1, 16384, &o->height, why, n))
        return false;
    o->width = o->height;
    return !cross || cli_number(cross + 1, 1, 16384, &o->width, why, n);
}

static int run(cli_call *call)
{
    request *q = call->options;
    cli_terminal *t;
    dm_err err = {0};
    char why[200];
    dm_status rc;

    q->o.size = sizeof q->o;
    q->o.by_part = !strcmp(q->order, "new");
    if (q->size && !read_size(q->size, &q->o, why, sizeof why))
        return cli_usage(call->command, "--size is %s", why);
    if ((rc = output_check((const output_file[]){{q->to, ".safetensors", false}, {call->argument[0], NULL, true}}, 2,
                           q->o.overwrite, &err)))
        return cli_fail(&err);
    if (!(t = cli_terminal_new(&call->common)))
        return cli_no_memory();
    q->o.overrides = call->overrides;
    q->o.n_overrides = call->n_overrides;
    q->o.callbacks = cli_callbacks(t);
    rc = dm_convert(call->argument[0], q->to, &q->o, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_convert = {
    .name = "convert",
    .summary = "read a UNet of improved-diffusion or guided-diffusion",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "IN.safetensors", ".safetensors", "give a file", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .needed = "to",
    .shown = "size",
    .examples = "  demist convert 64x64_diffusion.safetensors --size 64 --qkv new network.heads=0 network.head_dim=64 "
                "\\\n"
                "    schedule.use=cosine --to imagenet64.safetensors\n",
    .details = "The result is a checkpoint with its experiment: sample, predict, export and train.from take it. "
               "Levels, attention, scale-shift norm, residual blocks that resize, classes and a learned variance "
               "are seen in the tensors. What is not has those projects' defaults, and key=value changes it: "
               "network.heads=4 (or heads=0 and head_dim=N, their num_head_channels), schedule.use=linear, "
               "schedule.timesteps=1000, objective.predict=eps, and network.time_scale=1, which is 1000/T with "
               "rescale_timesteps.\n",
    .run = run};
