/* demist train: trains an experiment. */
#include "cli.h"

#include <stdio.h>

static int run(int argc, char **argv);

const cli_command cmd_train = {
    "train", "train EXP.yaml [key=value ...] [--resume | --overwrite] [--profile]", "train an experiment",
    "  demist train configs/moons.yaml\n"
    "  demist train configs/fashion-mnist.yaml schedule.use=cosine train.steps=5000 output=runs/cosine\n"
    "  demist train configs/fashion-mnist.yaml --resume\n\n"
    "key=value changes a key of the file, by its dotted path, with the same checks.\n"
    "  --resume      go on from the newest checkpoint of the run folder, or begin if there is none\n"
    "  --overwrite   remove what an earlier run left in the run folder\n"
    "  --profile     at the end, time, FLOP/s and GB/s of each kernel (slower)\n"
    "  --quiet       errors and warnings alone\n"
    "  --verbose     also what is compiled and chosen\n\n"
    "Ctrl-C saves a checkpoint and stops (exit code 75); a second one stops at once.\n",
    run};

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"resume", no_argument, NULL, 'r'}, {"overwrite", no_argument, NULL, 'o'},
                                            {"profile", no_argument, NULL, 'p'}, CLI_COMMON};
    dm_train_options o = {.size = sizeof o, .argc = argc, .argv = (const char *const *)argv};
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqv", options, NULL)) != -1) {
        if (opt == 'r')
            o.resume = true;
        else if (opt == 'o')
            o.overwrite = true;
        else if (opt == 'p')
            o.profile = true;
        else if (cli_common_option(&cmd_train, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (optind >= argc)
        return cli_usage(&cmd_train, "which experiment?");
    if (o.resume && o.overwrite)
        return cli_usage(&cmd_train, "--resume and --overwrite exclude each other");
    if (!(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    o.overrides = (const char *const *)argv + optind + 1;
    o.n_overrides = argc - optind - 1;
    o.callbacks = cli_callbacks(t);
    cli_catch_signals();
    rc = dm_train(argv[optind], &o, &err);
    cli_terminal_free(t);
    if (rc == DM_ECANCELLED) {
        fprintf(stderr, "demist: %s\n", err.msg);
        return 75;
    }
    return rc ? cli_fail(&err) : 0;
}
