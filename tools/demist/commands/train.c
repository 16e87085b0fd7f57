/* demist train and resume: training of an experiment. */
#include "options/cli.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/run_folder.h"

static int run(int argc, char **argv), run_resume(int argc, char **argv);

const cli_command cmd_train = {
    "train", "train EXP.yaml [key=value ...] [--resume [--data-changed] | --overwrite] [--deterministic] [--profile]",
    "train an experiment",
    "  demist train configs/moons.yaml\n"
    "  demist train configs/fashion-mnist.yaml schedule.use=cosine train.steps=5000 output=runs/cosine\n"
    "  demist train configs/fashion-mnist.yaml --resume\n\n"
    "key=value changes a key of the file, by its dotted path, with the same checks.\n"
    "  --resume      go on from the newest checkpoint of the run folder, or begin if there is none\n"
    "  --data-changed  with --resume: go on although the data are not those it was trained on so far\n"
    "  --overwrite   remove what an earlier run left in the run folder\n"
    "  --deterministic  the same as deterministic=true\n"
    "  --profile     at the end, time, FLOP/s and GB/s of each kernel (slower)\n"
    "  --quiet       errors and warnings alone\n"
    "  --verbose     also what is compiled and chosen\n\n"
    "Ctrl-C saves a checkpoint and stops (exit code 75); a second one stops at once.\n",
    run};

const cli_command cmd_resume = {
    "resume", "resume RUN [key=value ...] [--data-changed]", "go on with a training run",
    "  demist resume runs/fashion-mnist\n  demist resume runs/fashion-mnist train.steps=20000\n\n"
    "From its newest checkpoint, bit for bit as if it had not been stopped. Only keys that do not change what is "
    "computed may\n"
    "be given: how long it goes on (with train.decay: constant), what it logs and saves, how it samples. The data must "
    "be\n"
    "those it was trained on: as many examples, files of the same names below the data's folder and of the same sizes, "
    "the\n"
    "same contents where a sample of them is looked at, the same classes.\n"
    "  --data-changed  go on although they are not\n",
    run_resume};

/* Trains file with these overrides; the exit code. */
static int train(const char *file, dm_train_options *o, const cli_common *common)
{
    cli_terminal *t = cli_terminal_new(common);
    dm_err err = {0};
    dm_status rc;

    if (!t)
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    o->callbacks = cli_callbacks(t);
    cli_catch_signals("a checkpoint is saved after this step");
    rc = dm_train(file, o, &err);
    cli_terminal_free(t);
    if (rc == DM_ECANCELLED) {
        fprintf(stderr, "demist: %s\n", err.msg);
        return 75;
    }
    return rc ? cli_fail(&err) : 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"resume", no_argument, NULL, 'r'},
                                            {"overwrite", no_argument, NULL, 'o'},
                                            {"data-changed", no_argument, NULL, 'c'},
                                            {"deterministic", no_argument, NULL, 'd'},
                                            {"profile", no_argument, NULL, 'p'},
                                            CLI_COMMON};
    dm_train_options o = {.size = sizeof o, .argc = argc, .argv = (const char *const *)argv};
    const char **overrides, *deterministic = NULL;
    cli_common common = {0};
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'r')
            o.resume = true;
        else if (opt == 'o')
            o.overwrite = true;
        else if (opt == 'c')
            o.data_changed = true;
        else if (opt == 'd')
            deterministic = "deterministic=true";
        else if (opt == 'p')
            o.profile = true;
        else if (cli_common_option(&cmd_train, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind >= argc)
        return cli_usage(&cmd_train, "which experiment?");
    if (o.resume && o.overwrite)
        return cli_usage(&cmd_train, "--resume and --overwrite exclude each other");
    if (o.data_changed && !o.resume)
        return cli_usage(&cmd_train, "--data-changed is for --resume");
    if (!(overrides = cli_overrides(deterministic, argc, argv, &o.n_overrides)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    o.overrides = overrides;
    code = train(argv[optind], &o, &common);
    free(overrides);
    return code;
}

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

static int run_resume(int argc, char **argv)
{
    dm_train_options o = {.size = sizeof o, .resume = true, .argc = argc, .argv = (const char *const *)argv};
    static const struct option options[] = {{"data-changed", no_argument, NULL, 'c'}, CLI_COMMON};
    cli_common common = {0};
    const char **overrides;
    char *file, *output;
    dm_err err = {0};
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'c')
            o.data_changed = true;
        else if (cli_common_option(&cmd_resume, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind >= argc)
        return cli_usage(&cmd_resume, "which run?");
    if (check_config(argv[optind], &err))
        return cli_fail(&err);
    file = dm_run_path(argv[optind], DM_RUN_CONFIG);
    if ((output = malloc(strlen(argv[optind]) + sizeof "output=")))
        strcat(strcpy(output, "output="), argv[optind]);
    overrides = output ? cli_overrides(output, argc, argv, &o.n_overrides) : NULL;
    o.overrides = overrides;
    code = file && overrides ? train(file, &o, &common) : cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    free(overrides);
    free(output);
    free(file);
    return code;
}
