/* What may be typed next, from the tables of commands, options and keys. The shells' files call `demist complete`. */
#ifndef DEMIST_CLI_COMPLETE_H
#define DEMIST_CLI_COMPLETE_H

#include "options/command.h"

/* words: what is typed behind "demist", the last as far as it is typed. A line each to stdout: a word, a tab and what
 * it means; a word that ends in '=' has its value behind it. A last line ":files ENDS" or ":folders" says that names of
 * files (of those ends, "|" between them, or of any) or folders are wanted, ":value-files" and ":value-folders" that
 * they are wanted behind the '='. */
void complete(const cli_program *program, const char *const *words, int n);

#endif
