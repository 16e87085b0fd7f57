/* demist export: a trained model in another program's format. */
#include "options/cli.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

static int run(int argc, char **argv);

const cli_command cmd_export = {
    "export", "export RUN [key=value ...] --to diffusers DIR", "write a trained model for another program",
    "  demist export runs/fashion-mnist --to diffusers clothes\n\n"
    "DIR gets what diffusers' from_pretrained opens: unet/, scheduler/ and model_index.json. RUN is a run folder, a\n"
    "checkpoint or such a folder. key=value: another sampler than in training, for the scheduler.\n"
    "  --to FORMAT  diffusers\n"
    "  --raw        the weights as trained, not their first average\n"
    "  --force      write into a folder that is there\n",
    run};

static int run(int argc, char **argv)
{
    static const struct option options[] = {{"to", required_argument, NULL, 't'}, {"raw", no_argument, NULL, 'w'},
                                            {"force", no_argument, NULL, 'f'}, CLI_COMMON};
    dm_export_options o = {.size = sizeof o};
    const char *to = NULL;
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    int opt, code;
    bool done;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1) {
        if (opt == 't')
            to = optarg;
        else if (opt == 'w')
            o.raw = true;
        else if (opt == 'f')
            o.overwrite = true;
        else if (cli_common_option(&cmd_export, opt, argv, &common, &done, &code) && done)
            return code;
    }
    if (argc - optind < 2 || !to)
        return cli_usage(&cmd_export, "%s", optind >= argc ? "which run?" : !to ? "--to is needed"
                         : "into which folder?");
    if (strchr(argv[argc - 1], '='))
        return cli_usage(&cmd_export, "the folder comes last, not '%s'", argv[argc - 1]);
    if (!(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    o.overrides = (const char *const *)argv + optind + 1;
    o.n_overrides = argc - optind - 2;
    o.callbacks = cli_callbacks(t);
    rc = dm_export(argv[optind], to, argv[argc - 1], &o, &err);
    cli_terminal_free(t);
    return rc ? cli_fail(&err) : 0;
}
