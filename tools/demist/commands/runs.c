/* demist runs: what runs there are, and how far they are. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "files/run_state.h"
#include "files/runs.h"
#include "options/command.h"

typedef struct request { bool json; } request;

static const cli_option options[] = {CLI_FLAG(request, json, "json", "as a JSON array"), CLI_END};

static int newest_first(const void *a, const void *b)
{
    const run_state *x = a, *y = b;

    return x->written != y->written ? (x->written < y->written ? 1 : -1) : strcmp(x->path, y->path);
}

/* Takes the paths out of the list. */
static dm_status look(runs_list *l, run_state *s, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int i = 0; i < l->n && !rc; i++) {
        rc = run_state_look(l->path[i], &s[i], err);
        l->path[i] = NULL;
    }
    if (!rc)
        qsort(s, (size_t)l->n, sizeof *s, newest_first);
    return rc;
}

static dm_status print(const request *q, const char *folder, const runs_list *l, const run_state *s, dm_err *err)
{
    for (int i = 0; i < l->n; i++)
        if (*s[i].problem)
            cli_warning("%s", s[i].problem);
    if (l->passed_over)
        cli_warning("'%s': folders that could not be read were skipped: %d; the first: %s", folder,
                    l->passed_over, l->first.msg);
    if (l->left_out)
        cli_warning("'%s' has more than is looked at: not all of its runs are listed", folder);
    if (q->json)
        return run_state_print_json(s, l->n, stdout, err);
    if (l->n)
        run_state_print_table(s, l->n, stdout);
    else
        cli_warning("there is no run in '%s'", folder);
    return DM_OK;
}

static int run(cli_call *call)
{
    const char *folder = call->argument[0] ? call->argument[0] : "runs";
    runs_list l = {0};
    run_state *s = NULL;
    dm_err err = {0};
    dm_status rc = runs_find(folder, &l, &err);

    if (!rc && !(s = calloc((size_t)l.n + 1, sizeof *s)))
        rc = dm_error(&err, DM_ENOMEM, "out of memory for the list of runs");
    if (!rc && !(rc = look(&l, s, &err)))
        rc = print(call->options, folder, &l, s, &err);
    for (int i = 0; i < l.n && s; i++)
        run_state_fini(&s[i]);
    free(s);
    runs_list_free(&l);
    if (rc == DM_ENOENT && !call->argument[0])
        rc = dm_error(&err, rc, "there is no folder 'runs' here; give the folder that holds the runs");
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_runs = {
    .name = "runs",
    .summary = "list runs: how far, how good, how large",
    .arguments = (const cli_argument[]){{CLI_T_FOLDER, "FOLDER", NULL, NULL, false}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist runs\n  demist runs experiments --json\n",
    .details = "The runs in FOLDER (runs, where nothing is given) and in the folders in it, those of sweeps too, the "
               "newest first. State: running, done, stopped, empty (without a checkpoint), unreadable. The step is "
               "that of the newest checkpoint, of a run that is running the last one in its log; the loss is the "
               "last in its log; the age is the time since that was written; the size is that of its files on the "
               "disk.\n",
    .run = run};
