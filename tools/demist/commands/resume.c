/* demist resume: training goes on from a run folder alone. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/folder.h"
#include "files/runs.h"
#include "options/command.h"
#include "run/run_folder.h"
#include "training/training.h"

typedef struct request { dm_train_options o; } request;

static const cli_option options[] = {
    CLI_FLAG(request, o.data_changed, "data-changed", "continue although the data have changed"), CLI_END};

/* What resumes is read from the folder: refused here where it is no file of it. */
static dm_status check_config(const char *run, dm_err *err)
{
    dm_folder f = {-1, NULL};
    int fd;
    dm_status rc = dm_folder_open(&f, run, err);

    if (!rc && !(rc = dm_folder_file(&f, DM_RUN_CONFIG, O_RDONLY, &fd, NULL, err)))
        close(fd);
    dm_folder_close(&f);
    return rc == DM_ENOENT ? DM_OK : rc; /* training says what is not there */
}

/* The run that is meant: the one that is named, or the newest of a folder, which is said. */
static dm_status choose(const cli_call *call, char **run, dm_err *err)
{
    const char *given = call->argument[0], *folder = given ? given : "runs";
    bool is_run = false;
    dm_status rc = given ? runs_is_one(given, &is_run, err) : DM_OK;

    if (!rc && !is_run)
        rc = runs_newest(folder, run, err);
    if (given && (is_run || (rc && rc != DM_EIO))) {
        *run = strdup(given); /* what is wrong with it is said later */
        return *run ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for a name");
    }
    if (!rc && !call->common.quiet && !cli_is_silent())
        fprintf(stderr, "resuming %s, the newest run in %s\n", *run, folder);
    return rc;
}

/* What would not go on with the run that is named: another folder, in which training would begin anew, and a file. */
static dm_status check_given(const cli_call *call, dm_err *err)
{
    const char *given = call->argument[0];
    dm_path_kind kind = DM_PATH_NOTHING;
    dm_status rc;

    for (int i = 0; i < call->n_overrides; i++)
        if (!strncmp(call->overrides[i], "output=", 7))
            return dm_error(err, DM_EINVAL, "a run resumes in its own folder, without '%s'; copy the run, or "
                                            "begin a new one with train.from", call->overrides[i]);
    if (given && (rc = dm_path_look(given, &kind, err)))
        return rc;
    return kind == DM_PATH_FILE ? dm_error(err, DM_EINVAL, "'%s' is a file; give the run's folder, or begin a new run "
                                           "with train.from", given)
                                : DM_OK;
}

static int run(cli_call *call)
{
    dm_train_options *o = &((request *)call->options)->o;
    char *name = NULL, *file = NULL, *output = NULL;
    dm_err err = {0};
    int code;

    if (check_given(call, &err) || choose(call, &name, &err) || check_config(name, &err)) {
        free(name);
        return cli_fail(&err);
    }
    o->resume = true;
    file = dm_run_path(name, DM_RUN_CONFIG);
    if ((output = malloc(strlen(name) + sizeof "output=")))
        cli_put_override(call, strcat(strcpy(output, "output="), name));
    code = file && output ? training_run(call, file, o) : cli_no_memory();
    free(output);
    free(file);
    free(name);
    return code;
}

const cli_command cmd_resume = {
    .name = "resume",
    .summary = "resume a training run",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, NULL, false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist resume\n  demist resume runs/fashion-mnist\n"
                "  demist resume runs/fashion-mnist train.steps=20000\n",
    .details = "RUN is a run folder, or a folder of runs (default: runs), whose newest run is taken. It continues "
               "from its newest checkpoint, bit for bit as if it had not been stopped. Only keys that do not change "
               "what is computed may be given: how long it goes on (with train.decay: constant), what it logs and "
               "saves, how it samples. The data must be those it was trained on: as many examples, files of the same "
               "names below the data's folder and of the same sizes, the same contents where a sample of them is "
               "looked at, the same classes.\n",
    .ranks = true,
    .run = run};
