/* The command line program: what its commands share. Each command is a file in commands/ with one function;
 * all work is done by libdemist. Messages go to stderr, data that was asked for to stdout. */
#ifndef DEMIST_CLI_H
#define DEMIST_CLI_H

#include <getopt.h>
#include <stdbool.h>

#include <demist/demist.h>

typedef struct cli_command {
    const char *name, *usage, *summary, *help;
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit code */
} cli_command;

extern const cli_command cmd_resume, cmd_init, cmd_train, cmd_sample, cmd_predict, cmd_eval, cmd_sweep, cmd_export,
    cmd_convert, cmd_schedule, cmd_check, cmd_plot, cmd_plugins, cmd_devices, cmd_tune, cmd_doctor, cmd_selftest,
    cmd_inspect, cmd_new_plugin, cmd_cache, cmd_docs;
extern const cli_command cmd_report;

extern const cli_command *const cli_commands[];
extern const int cli_n_commands;
extern const char cli_exit_codes[];

/* Prints "demist: error: message" once; returns the exit code of the error. */
int cli_fail(const dm_err *err);
/* A usage error: prints it with the command's usage; returns 2. */
int cli_usage(const cli_command *c, const char *fmt, ...) DM_PRINTF(2, 3);
void cli_help(const cli_command *c);
/* A file that was written, as a line: as it is for programs, as plain text on a terminal. */
void cli_print_path(const char *path);

/* Options that all commands know. */
enum { CLI_PROGRESS = 1000, CLI_COLOR };
#define CLI_COMMON                                                                                            \
    {"help", no_argument, NULL, 'h'}, {"quiet", no_argument, NULL, 'q'}, {"verbose", no_argument, NULL, 'v'}, \
        {"progress", required_argument, NULL, CLI_PROGRESS}, {"color", required_argument, NULL, CLI_COLOR},   \
    {                                                                                                         \
        NULL, 0, NULL, 0                                                                                      \
    }
typedef struct cli_common {
    bool quiet, verbose;
    int progress, color;
} cli_common; /* places in the lists of main.c; 0 = auto */
/* Handles what getopt_long gave if it is common: true and *done set where the command is to return *code. */
bool cli_common_option(const cli_command *c, int opt, char **argv, cli_common *o, bool *done, int *code);

/* For commands without options of their own: true where the command is to return *code. */
bool cli_only_common(const cli_command *c, int argc, char **argv, cli_common *o, int *code);

/* The overrides behind the first argument, with `more` before them unless NULL; on the heap, NULL when memory is
 * exhausted. */
const char **cli_overrides(const char *more, int argc, char **argv, int32_t *n);

/* For --best: the best checkpoint of a run folder, on the heap also after an error; DM_EINVAL where the run has none.
 */
dm_status cli_best(const char *run, char **path, dm_err *err);

/* A whole number in [min, max]; a usage error is printed and false returned otherwise. */
bool cli_int(const cli_command *c, const char *what, const char *text, int64_t min, int64_t max, int64_t *out);

/* run(argc, argv), on a thread with enough stack where `ulimit -s` leaves the first one less. */
int cli_with_stack(int (*run)(int argc, char **argv), int argc, char **argv);

/* Before any driver is loaded: one that insists on a folder of its own gets one where the user has none. */
void cli_driver_folders(void);

/* Callbacks that draw the progress bar and print the log; SIGINT and SIGTERM set what `cancelled` asks. */
typedef struct cli_terminal cli_terminal;
cli_terminal *cli_terminal_new(const cli_common *o);
void cli_terminal_free(cli_terminal *t);
const dm_callbacks *cli_callbacks(cli_terminal *t); /* valid as long as t */
/* The signal that asked to stop, 0 if none did. */
int cli_signal(void);
/* From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask to stop; `first` says what that leads to once steps are made. */
void cli_catch_signals(const char *first);
/* From now on a plugin that crashes is named as the program ends, and one that does not return while it does not. */
void cli_watch_plugins(void);
/* Does a plugin not return? Then a first signal ends the program. */
bool cli_plugin_stuck(void);
/* Ends the program as this signal does. */
void cli_end_by(int sig);

#endif
