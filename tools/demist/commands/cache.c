/* demist cache: what is kept from run to run, and forgetting it. */
#include <stdio.h>

#include "device/doctor.h"
#include "options/command.h"

static int run(cli_call *call)
{
    dm_err err = {0};

    return dm_cache_folder(stdout, call->n_arguments > 0, &err) ? cli_fail(&err) : 0;
}

const cli_command cmd_cache = {
    .name = "cache",
    .summary = "show or clear the cache of compiled programs and measured choices",
    .arguments = (const cli_argument[]){{CLI_T_CHOICE, "clear", "clear", NULL, false}, {0}},
    .examples = "  demist cache\n  demist cache clear\n",
    .details = "The folder is $DEMIST_CACHE, $XDG_CACHE_HOME/demist or ~/.cache/demist. demist check EXP.yaml fills "
               "it with what that experiment needs. The drivers' own caches (PoCL, NVIDIA) are not touched.\n",
    .run = run};
