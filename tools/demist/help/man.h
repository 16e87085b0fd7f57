/* Manual pages from the tables of commands and options. */
#ifndef DEMIST_CLI_MAN_H
#define DEMIST_CLI_MAN_H

#include "options/command.h"

/* demist(1) */
void man_program(const cli_program *program);
/* demist-COMMAND(1) */
void man_command(const cli_program *program, const cli_command *c);

#endif
