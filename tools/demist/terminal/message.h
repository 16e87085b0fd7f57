/* What the program says: faults on standard error, files that it wrote on standard output. */
#ifndef DEMIST_CLI_MESSAGE_H
#define DEMIST_CLI_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>

#include <demist/demist.h>
#include <jansson.h>

/* Whether "error" and "warning" are coloured on standard error: "always", "never", or "auto", where it is a terminal
 * that has colours and NO_COLOR does not ask for none. It is "auto" until this is called. */
void cli_set_color(const char *when);
/* From now on nothing is said: another rank of the job says it. */
void cli_be_silent(void);
bool cli_is_silent(void);
/* The line with its first such word coloured, where they are; in text, or line itself. */
const char *cli_colored(const char *line, char *text, size_t n);
/* "demist: error: message" or "demist: warning: message" as a line. Whatever was formatted is plain text. */
void cli_error(const char *fmt, ...) DM_PRINTF(1, 2);
void cli_warning(const char *fmt, ...) DM_PRINTF(1, 2);
/* The same of an error; the exit code that it leads to. */
int cli_fail(const dm_err *err);
/* cli_fail of DM_ENOMEM. */
int cli_no_memory(void);
/* A file that was written, as a line: as it is for programs, as plain text on a terminal. */
void cli_print_path(const char *path);
/* A report that was built since dm_json_begin, on standard output, and its end; 0 or the exit code. */
int cli_print_json(json_t *report);
/* A line of a report; user is the FILE * that it goes to. */
void cli_print_line(void *user, const char *text);

#endif
