/* What commands share; see command.h. */
#include "options/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_common_options[] = {
    CLI_SHORT_FLAG(cli_common, help, "help", 'h', "this text"),
    CLI_SHORT_FLAG(cli_common, quiet, "quiet", 'q', "errors and warnings alone"),
    CLI_SHORT_FLAG(cli_common, verbose, "verbose", 'v', "also what is compiled and chosen"),
    CLI_CHOICE(cli_common, progress, "progress", "HOW", "auto|bar|plain|json|none", "auto",
               "how the progress of long work is shown"),
    CLI_CHOICE(cli_common, color, "color", "WHEN", "auto|always|never", "auto",
               "whether it and the words error and warning are coloured"),
    CLI_END};

const cli_command *cli_find(const cli_program *program, const char *name)
{
    for (int i = 0; program->commands[i]; i++)
        if (!strcmp(program->commands[i]->name, name))
            return program->commands[i];
    return NULL;
}

bool cli_number(const char *given, int64_t min, int64_t max, int64_t *out, char *text, size_t n)
{
    char *end;

    errno = 0;
    *out = strtoll(given, &end, 10);
    if (!errno && end != given && !*end && *out >= min && *out <= max)
        return true;
    if (max == INT64_MAX)
        snprintf(text, n, "'%s'; it must be an integer, %lld or above", given, (long long)min);
    else
        snprintf(text, n, "'%s'; it must be an integer from %lld to %lld", given, (long long)min, (long long)max);
    return false;
}

void cli_put_override(cli_call *call, const char *override)
{
    memmove(call->overrides + 1, call->overrides, (size_t)call->n_overrides * sizeof *call->overrides);
    call->overrides[0] = override;
    call->n_overrides++;
}
