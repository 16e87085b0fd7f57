/* demist complete: what may be typed next, for the shells. */
#include "help/complete.h"

static int run(cli_call *call)
{
    complete(call->program, (const char *const *)call->argument, call->n_arguments);
    return 0;
}

const cli_command cmd_complete = {
    .name = "complete",
    .summary = "list what may be typed next",
    .arguments = (const cli_argument[]){{CLI_T_TEXT, "WORD", NULL, NULL, true}, {0}},
    .examples = "  demist complete -- sample runs/fashion-mnist sampler.use=\n",
    .details = "For the shells' completion: the words behind \"demist\", the last as far as it is typed.\n",
    .hidden = true,
    .run = run};
