/* A command is a file in commands/ with one row of this kind, which main.c's table lists. */
#ifndef DEMIST_CLI_COMMAND_H
#define DEMIST_CLI_COMMAND_H

#include <stddef.h>

#include "options/option.h"
#include "terminal/message.h"
#include "terminal/terminal.h"

typedef struct cli_command cli_command;

/* All commands; main.c has it. */
typedef struct cli_program {
    const cli_command *const *commands; /* ends with NULL */
    const char *exit_codes;
} cli_program;

/* A command as it was called. All of it is gone after the command returns. */
typedef struct cli_call {
    const cli_program *program;
    const cli_command *command;
    void *options;                 /* the command's struct, filled by its rows; the rest of it is 0 */
    cli_common common;
    const char **argument; /* by the rows, NULL where one may be missing and is; those of a row with `many` last */
    int n_arguments;               /* how many there are in all */
    const char **overrides;        /* key=value */
    int32_t n_overrides;
    int argc;                      /* all words, the command's name first */
    char **argv;
} cli_call;

struct cli_command {
    const char *name;
    const char *summary;           /* one line, lower case */
    const cli_argument *arguments; /* ends with CLI_T_END; NULL = none */
    const cli_option *options;     /* ends with CLI_END; NULL = none but those of every command */
    size_t size;                   /* of the struct of its options */
    const char *needed;            /* options that must be given, "in|out"; NULL = none */
    const char *shown;             /* further ones that its line of usage names */
    const char *examples;          /* lines that can be typed */
    const char *details;           /* paragraphs, which are filled; a line that begins with a blank stays */
    bool hidden;                   /* for programs, not in the list of commands */
    bool ranks;                    /* several ranks may work together: the first alone says something */
    int (*run)(cli_call *call);    /* returns the exit code */
};

/* Options that every command has; the struct is cli_common. */
extern const cli_option cli_common_options[];

/* Reads argv (the command's name first) by the command's rows and runs it; returns the exit code. Faults of usage are
 * said, with 2. */
int cli_run(const cli_program *program, const cli_command *c, int argc, char **argv);
/* NULL where there is none of this name. */
const cli_command *cli_find(const cli_program *program, const char *name);

/* A usage fault: prints it with the command's usage; returns 2. */
int cli_usage(const cli_command *c, const char *fmt, ...) DM_PRINTF(2, 3);
/* Whether an argument that may be missing is: the word given is that of the choice behind it. */
bool cli_is_left_out(const cli_argument *a, const char *given);
/* Puts an override before the others; once in a call. */
void cli_put_override(cli_call *call, const char *override);
/* A whole number in [min, max]; false, with what is wrong in text, otherwise. */
bool cli_number(const char *given, int64_t min, int64_t max, int64_t *out, char *text, size_t n);

#endif
