/* demist train: training of an experiment. */
#include "options/command.h"
#include "training/training.h"

typedef struct request { dm_train_options o; } request;

static const cli_option options[] = {
    CLI_FLAG(request, o.resume, "resume",
             "continue from the newest checkpoint of the run folder, or start if there is none"),
    CLI_FLAG(request, o.data_changed, "data-changed",
             "with --resume: continue although the data have changed"),
    CLI_FLAG(request, o.overwrite, "overwrite", "remove an earlier run from the run folder"),
    CLI_FOR_KEY("deterministic", "deterministic=true", "the same as deterministic=true"),
    CLI_FLAG(request, o.profile, "profile", "at the end, time, FLOP/s and GB/s of each kernel (slower)"), CLI_END};

static int run(cli_call *call)
{
    dm_train_options *o = &((request *)call->options)->o;

    if (o->resume && o->overwrite)
        return cli_usage(call->command, "--resume and --overwrite exclude each other");
    if (o->data_changed && !o->resume)
        return cli_usage(call->command, "--data-changed is for --resume");
    return training_run(call, call->argument[0], o);
}

const cli_command cmd_train = {
    .name = "train",
    .summary = "train an experiment",
    .arguments = (const cli_argument[]){{CLI_T_FILE, "EXP.yaml", ".yaml|.yml", "give an experiment", false},
                                        {CLI_T_OVERRIDES, "key=value", NULL, NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist train configs/moons.yaml\n"
                "  demist train configs/fashion-mnist.yaml schedule.use=cosine train.steps=5000 output=runs/cosine\n"
                "  demist train configs/fashion-mnist.yaml --resume\n",
    .details = "key=value changes a key of the file, by its dotted path, with the same checks. Ctrl-C saves a "
               "checkpoint and stops (exit code 75); a second one stops at once.\n",
    .ranks = true,
    .run = run};
