/* demist export: a trained model in another program's format. */
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "options/command.h"

typedef struct request { dm_export_options o; const char *to; } request;

static const cli_option options[] = {
    CLI_CHOICE(request, to, "to", "FORMAT", "diffusers", NULL, "what is written"),
    CLI_FLAG(request, o.raw, "raw", "the weights as trained, not their first average"),
    CLI_SHORT_FLAG(request, o.overwrite, "force", 'f', "write into an existing folder"), CLI_END};

static int run(cli_call *call)
{
    request *q = call->options;
    dm_path_kind there;
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;

    if (strchr(call->argument[1], '='))
        return cli_usage(call->command, "the folder comes last, not '%s'", call->argument[1]);
    if (dm_path_look(call->argument[1], &there, &err))
        return cli_fail(&err);
    if (!q->o.overwrite && there != DM_PATH_NOTHING) {
        dm_error(&err, DM_EINVAL, "'%s' already exists; choose another folder, or use --force to write into it",
                 call->argument[1]);
        return cli_fail(&err);
    }
    if (!(t = cli_terminal_new(&call->common)))
        return cli_no_memory();
    q->o.size = sizeof q->o;
    q->o.overrides = call->overrides;
    q->o.n_overrides = call->n_overrides;
    q->o.callbacks = cli_callbacks(t);
    rc = dm_export(call->argument[0], q->to, call->argument[1], &q->o, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_export = {
    .name = "export",
    .summary = "write a trained model for another program",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true},
                                        {CLI_T_FOLDER, "DIR", NULL, "give the folder to write to", false}, {0}},
    .options = options,
    .size = sizeof(request),
    .needed = "to",
    .examples = "  demist export runs/fashion-mnist --to diffusers clothes\n",
    .details = "DIR receives what diffusers' from_pretrained opens: unet/, scheduler/ and model_index.json. RUN is a "
               "run folder, a checkpoint or a folder in diffusers' layout. key=value overrides the sampler, for the "
               "scheduler.\n",
    .run = run};
