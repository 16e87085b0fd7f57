/* demist cache: what is kept from run to run, and forgetting it. */
#include "options/cli.h"

#include <stdio.h>
#include <string.h>

#include "device/doctor.h"

static int run(int argc, char **argv);

const cli_command cmd_cache = {"cache", "cache [clear]",
                               "show or empty the cache of compiled programs and measured choices",
                               "  demist cache\n  demist cache clear\n\n"
                               "The folder is $DEMIST_CACHE, $XDG_CACHE_HOME/demist or ~/.cache/demist. demist check "
                               "EXP.yaml fills it with what that\n"
                               "experiment needs. Drivers that keep a cache of their own (PoCL, NVIDIA) are not "
                               "touched.\n",
                               run};

static int run(int argc, char **argv)
{
    cli_common common = {0};
    dm_err err = {0};
    bool clear;
    int code;

    if (cli_only_common(&cmd_cache, argc, argv, &common, &code))
        return code;
    clear = optind < argc && !strcmp(argv[optind], "clear");
    if (optind + clear != argc)
        return cli_usage(&cmd_cache, "'%s' is not known; there is clear", argv[optind]);
    return dm_cache_folder(stdout, clear, &err) ? cli_fail(&err) : 0;
}
