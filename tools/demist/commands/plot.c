/* demist plot: a run's log as curves. */
#include "run/plot.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "files/output.h"
#include "options/command.h"
#include "run/run_folder.h"

typedef struct request { const char *out; bool force; } request;

static const cli_option options[] = {
    CLI_FILE(request, out, "out", "F.png", ".png", "where (RUN/plots/loss.png)"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite F.png if it is there"), CLI_END};

static int run(cli_call *call)
{
    const request *q = call->options;
    const char *name = call->argument[0];
    dm_folder folder = {-1, NULL};
    char *path;
    dm_err err = {0};
    dm_status rc;

    if (output_check(&(const output_file){q->out, ".png", false}, 1, q->force, &err))
        return cli_fail(&err);
    if (!(rc = dm_folder_open(&folder, name, &err)) && !dm_folder_has(&folder, DM_RUN_LOG))
        rc = dm_error(&err, DM_ENOENT, "'%s' is not a run folder: it has no " DM_RUN_LOG, name);
    path = q->out ? strdup(q->out) : dm_run_path(name, DM_RUN_PLOT);
    if (!rc && !path)
        rc = dm_error(&err, DM_ENOMEM, "out of memory for a name");
    if (!rc && !q->out)
        rc = dm_folder_add(&folder, "plots", &err);
    if (!rc && !(rc = dm_plot_run(&folder, q->out ? NULL : &folder, q->out ? q->out : DM_RUN_PLOT, &err)))
        cli_print_path(path);
    dm_folder_close(&folder);
    free(path);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_plot = {
    .name = "plot",
    .summary = "draw loss, learning rate, gradient norm and throughput of a run",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "which run?", false}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist plot runs/fashion-mnist\n",
    .run = run};
