/* demist docs: the reference of all keys, manual pages, the shells' completion: all made from the tables that the
 * program itself uses. */
#include <stdio.h>

#include "help/man.h"
#include "help/shells.h"
#include "options/suggest.h"
#include "plugin/describe.h"

typedef struct request { bool man, bash, zsh, fish; } request;

static const cli_option options[] = {
    CLI_FLAG(request, man, "man", "the manual page for man(1), of demist or of the command"),
    CLI_FLAG(request, bash, "bash", "completion for bash, to be sourced"),
    CLI_FLAG(request, zsh, "zsh", "completion for zsh, to lie as _demist in a folder of fpath"),
    CLI_FLAG(request, fish, "fish", "completion for fish, to lie as demist.fish among its completions"), CLI_END};

static int print_man(const cli_call *call)
{
    const char *name = call->argument[0], *near = name ? cli_nearest_command(call->program, name) : NULL;
    const cli_command *c = name ? cli_find(call->program, name) : NULL;

    if (name && !c && near)
        return cli_usage(call->command, "there is no command '%s'; did you mean '%s'?", name, near);
    if (name && !c)
        return cli_usage(call->command, "there is no command '%s'; demist --help lists them", name);
    if (c)
        man_command(call->program, c);
    else
        man_program(call->program);
    return 0;
}

static int run(cli_call *call)
{
    const request *q = call->options;
    dm_registry *r;
    dm_err err = {0};
    dm_status rc;

    if (q->man)
        return print_man(call);
    if (call->argument[0])
        return cli_usage(call->command, "unexpected argument '%s'", call->argument[0]);
    if (q->bash || q->zsh || q->fish) {
        fputs(q->bash ? shells_bash : q->zsh ? shells_zsh : shells_fish, stdout);
        return 0;
    }
    if (dm_registry_new(NULL, &r, &err))
        return cli_fail(&err);
    rc = dm_describe_reference(stdout, r, &err);
    dm_registry_free(r);
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_docs = {
    .name = "docs",
    .summary = "print the reference of all keys, a manual page, or a shell's completion",
    .arguments = (const cli_argument[]){{CLI_T_COMMAND, "COMMAND", NULL, NULL, false}, {0}},
    .options = options,
    .size = sizeof(request),
    .examples = "  demist docs > config.md\n  demist docs --man sample > demist-sample.1\n",
    .details = "Made from the tables that parse and check: docs/config.md is the output without an option.\n",
    .run = run};
