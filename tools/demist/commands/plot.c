/* demist plot: the logs of runs as curves. */
#include "run/plot.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "files/output.h"
#include "files/runs.h"
#include "options/command.h"
#include "run/run_folder.h"

typedef struct request { const char *out; bool force; } request;

static const cli_option options[] = {
    CLI_FILE(request, out, "out", "F.png", ".png", "where (RUN/plots/loss.png; of several runs it must be given)"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite F.png if it exists"), CLI_END};

static dm_status open_run(const char *name, dm_folder *folder, dm_err *err)
{
    bool log;
    dm_status rc = dm_folder_open(folder, name, err);

    if (rc || (rc = dm_folder_has(folder, DM_RUN_LOG, &log, err)) || log)
        return rc;
    return dm_error(err, DM_ENOENT, "'%s' is not a run folder: it has no " DM_RUN_LOG, name);
}

static int plot_one(const request *q, const char *name)
{
    dm_folder folder = {-1, NULL};
    char *path;
    dm_err err = {0};
    dm_status rc = open_run(name, &folder, &err);

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

static int plot_several(const request *q, const char *const *names, int n)
{
    dm_folder folder[DM_PLOT_SERIES];
    dm_arena *a = dm_arena_new();
    const char **titles = a ? runs_titles(a, names, n) : NULL;
    dm_err err = {0};
    dm_status rc = titles ? DM_OK : dm_error(&err, DM_ENOMEM, "out of memory for names");
    int opened = 0;

    while (!rc && opened < n) {
        folder[opened] = (dm_folder){-1, NULL};
        rc = open_run(names[opened], &folder[opened], &err);
        opened++;
    }
    if (!rc && !(rc = dm_plot_runs(folder, titles, n, q->out, &err)))
        cli_print_path(q->out);
    while (opened > 0)
        dm_folder_close(&folder[--opened]);
    dm_arena_free(a);
    return rc ? cli_fail(&err) : 0;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    const int n = call->n_arguments;
    dm_err err = {0};

    if (n > DM_PLOT_SERIES)
        return cli_usage(call->command, "%d runs are given; at most %d fit into one plot", n, DM_PLOT_SERIES);
    if (n > 1 && !q->out)
        return cli_usage(call->command, "give --out F.png: a plot of several runs has no folder of its own");
    if (output_check(&(const output_file){q->out, ".png", false}, 1, q->force, &err))
        return cli_fail(&err);
    return n > 1 ? plot_several(q, call->argument, n) : plot_one(q, call->argument[0]);
}

const cli_command cmd_plot = {
    .name = "plot",
    .summary = "draw loss, learning rate, gradient norm and throughput of runs",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", true}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist plot runs/fashion-mnist\n  demist plot runs/a runs/b --out both.png\n",
    .details = "Of one run, its curves; of several, their curves over one another: the loss smoothed, the held-out "
               "loss where they have one.\n",
    .run = run};
