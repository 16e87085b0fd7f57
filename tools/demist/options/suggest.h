/* What was meant by a word that is not known. */
#ifndef DEMIST_CLI_SUGGEST_H
#define DEMIST_CLI_SUGGEST_H

#include "options/command.h"

/* The nearest name of a command, NULL where none is near. */
const char *cli_nearest_command(const cli_program *program, const char *name);
/* The nearest of the words "a|b|c" as text for a message: "; did you mean 'a'?", "" where none is near. */
void cli_nearest_word(const char *words, const char *given, char *text, size_t n);
/* The same for an option "--name" or "--name=value": another option of the command, or the key that it is where the
 * command takes overrides. next is the word behind it, which may be its value; NULL = none. */
void cli_nearest_option(const cli_command *c, const char *given, const char *next, char *text, size_t n);

#endif
