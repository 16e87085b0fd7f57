/* demist check: would this experiment run, and at what cost? */
#include <stdio.h>

#include "options/command.h"
#include "terminal/signals.h"

typedef struct request { dm_check_options o; bool data; } request;

static const cli_option options[] = {
    CLI_FLAG(request, o.explain, "explain", "a line for each op: implementation, extents, work"),
    CLI_FLAG(request, data, "data", "read every example once first, and report those that cannot be read"),
    CLI_END};

static int run(cli_call *call)
{
    request *r = call->options;
    dm_check_options *o = &r->o;
    cli_terminal *t = cli_terminal_new(&call->common);
    dm_err err = {0};
    dm_status rc;

    if (!t)
        return cli_no_memory();
    o->size = sizeof *o;
    o->overrides = call->overrides;
    o->n_overrides = call->n_overrides;
    o->data = r->data;
    o->line = cli_print_line;
    o->line_user = stdout;
    o->callbacks = cli_callbacks(t);
    cli_catch_signals("stopping after this image", 0);
    rc = dm_check(call->argument[0], o, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_check = {
    .name = "check",
    .summary = "check an experiment and show what it would cost",
    .arguments =
        (const cli_argument[]){{CLI_T_FILE, "EXP.yaml|DIR", ".yaml|.yml|.safetensors", "give an experiment", false},
                               {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                               {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist check configs/moons.yaml\n  demist check runs/moons\n"
                "  demist check photos.yaml network.width=128 --data\n",
    .details = "All faults at once, each with file:line:column. When there is none: the resolved experiment, "
               "parameters, work an image, device memory, kernels, the time that training will take (measured: one "
               "step to compile and warm up, then those of a quarter of a second, one at least) and disk space. Of a "
               "run's folder its experiment, of a checkpoint or a folder in diffusers' layout the model.\n",
    .run = run};
