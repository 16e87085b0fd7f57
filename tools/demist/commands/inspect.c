/* demist inspect: what is in a file, and what a network will see of a data set. */
#include "format/inspect.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/folder.h"
#include "files/images_in.h"
#include "files/output.h"
#include "files/runs.h"
#include "options/command.h"
#include "run/run_folder.h"

typedef struct request { const char *preview; bool test, force; int64_t count; } request;

static const cli_option options[] = {
    CLI_FILE(request, preview, "preview", "F.png", ".png",
             "some of them, cut, resized and in the channels that the network will see"),
    CLI_FLAG(request, test, "test", "of the test split"),
    CLI_NUMBER(request, count, "count", "N", 1, 4096, "64", "so many"),
    CLI_SHORT_FLAG(request, force, "force", 'f', "overwrite F.png if it exists"), CLI_END};

static dm_status look_at_data(const cli_call *call, const char *what, bool images, dm_err *err)
{
    const request *q = call->options;
    cli_terminal *t = cli_terminal_new(&call->common);
    dm_data_alone a;
    dm_status rc = t ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory");

    if (!rc && images)
        rc = images_in_open(&a, what, call->overrides, call->n_overrides, cli_callbacks(t), err);
    else if (!rc)
        rc = dm_data_alone_open(&a, what, NULL, call->overrides, call->n_overrides, cli_callbacks(t), err);
    if (!rc) {
        rc = dm_data_preview(&a, q->test ? "test" : "train", q->count, q->preview, cli_print_line, stdout, err);
        dm_data_alone_close(&a);
    }
    if (!rc && q->preview)
        cli_print_path(q->preview);
    cli_terminal_free(t);
    return rc;
}

/* Those of the experiment that the run was made of. */
static dm_status look_at_data_of_run(const cli_call *call, dm_err *err)
{
    char *config = dm_run_path(call->argument[0], DM_RUN_CONFIG);
    const dm_status rc = config ? look_at_data(call, config, false, err)
                                : dm_error(err, DM_ENOMEM, "out of memory for a name");

    free(config);
    return rc;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    const char *what = call->argument[0];
    dm_path_kind kind;
    dm_err err = {0};
    bool images, is_run;

    if (dm_path_look(what, &kind, &err) || images_in_look(what, &images, &err) || runs_is_one(what, &is_run, &err))
        return cli_fail(&err);
    if (images || output_ends_in(what, ".yaml") || output_ends_in(what, ".yml")) {
        if (output_check(&(const output_file){q->preview, ".png", false}, 1, q->force, &err) ||
            (is_run ? look_at_data_of_run(call, &err) : look_at_data(call, what, images, &err)))
            return cli_fail(&err);
        return 0;
    }
    if (kind != DM_PATH_NOTHING && (call->n_overrides || q->preview))
        return cli_usage(call->command, q->preview ? "--preview is for images and experiments"
                                                   : "key=value is for images and experiments");
    return dm_inspect(what, stdout, &err) ? cli_fail(&err) : 0;
}

const cli_command cmd_inspect = {
    .name = "inspect",
    .summary = "show what is in a safetensors, npy or idx file, or in data",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "FILE|FOLDER|RUN|EXP.yaml", NULL, "give a file or folder", false},
                                        {CLI_T_OVERRIDES, "key=value", "train|sampler|grid", NULL, true}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist inspect runs/fashion-mnist/checkpoints/best.safetensors\n"
                "  demist inspect photos data.size=64 data.crop=center --preview seen.png\n",
    .details = "Of a file names, types, shapes, ranges, and how many values are not finite. Nothing is executed. Of "
               "a folder of images, of a .zip or .tar file of them, or of the data of a run or an experiment: how "
               "many, of what size, which classes; keys of data may be given.\n",
    .run = run};
