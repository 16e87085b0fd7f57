/* What a person sees while a command works: the log and the progress bar. */
#ifndef DEMIST_CLI_TERMINAL_H
#define DEMIST_CLI_TERMINAL_H

#include <stdbool.h>

#include <demist/demist.h>

/* How much is said, and how. */
typedef struct cli_common {
    bool quiet, verbose, help;
    const char *progress;          /* auto, bar, plain, json or none */
    const char *color;             /* auto, always or never */
} cli_common;

typedef struct cli_terminal cli_terminal;
/* NULL when memory is exhausted. */
cli_terminal *cli_terminal_new(const cli_common *o);
void cli_terminal_free(cli_terminal *t);
/* Callbacks that draw the progress bar, print the log and ask whether a signal came; valid as long as t. */
const dm_callbacks *cli_callbacks(cli_terminal *t);

#endif
