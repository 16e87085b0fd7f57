/* What --help says, from the rows; its pieces are those of the man pages too. */
#ifndef DEMIST_CLI_USAGE_H
#define DEMIST_CLI_USAGE_H

#include <stdio.h>

#include "options/command.h"

/* "sample RUN [key=value ...] --out F.png [OPTION ...]" */
void cli_put_synopsis(FILE *to, const cli_command *c);
/* "--count N", "-f, --force" */
void cli_option_text(const cli_option *o, char *text, size_t n);
/* The row's help with the words that may be given and the default. */
void cli_option_help(const cli_option *o, char *text, size_t n);
/* "a, b or c" of "a|b|c". */
void cli_words_text(const char *words, char *text, size_t n);
void cli_put_help(FILE *to, const cli_command *c);

#endif
