/* demist resume: training goes on from a run folder alone. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/folder.h"
#include "options/command.h"
#include "run/run_folder.h"
#include "training/training.h"

typedef struct request { dm_train_options o; } request;

static const cli_option options[] = {
    CLI_FLAG(request, o.data_changed, "data-changed", "go on although the data are not those"), CLI_END};

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

static int run(cli_call *call)
{
    dm_train_options *o = &((request *)call->options)->o;
    const char *run = call->argument[0];
    char *file, *output;
    dm_err err = {0};
    int code;

    if (check_config(run, &err))
        return cli_fail(&err);
    o->resume = true;
    file = dm_run_path(run, DM_RUN_CONFIG);
    if ((output = malloc(strlen(run) + sizeof "output=")))
        cli_put_override(call, strcat(strcpy(output, "output="), run));
    code = file && output ? training_run(call, file, o) : cli_no_memory();
    free(output);
    free(file);
    return code;
}

const cli_command cmd_resume = {
    .name = "resume",
    .summary = "go on with a training run",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "which run?", false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist resume runs/fashion-mnist\n  demist resume runs/fashion-mnist train.steps=20000\n",
    .details = "From its newest checkpoint, bit for bit as if it had not been stopped. Only keys that do not change "
               "what is computed may be given: how long it goes on (with train.decay: constant), what it logs and "
               "saves, how it samples. The data must be those it was trained on: as many examples, files of the "
               "same names below the data's folder and of the same sizes, the same contents where a sample of them "
               "is looked at, the same classes.\n",
    .run = run};
