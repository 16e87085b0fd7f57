/* Signals that ask to stop. */
#ifndef DEMIST_CLI_SIGNALS_H
#define DEMIST_CLI_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

enum { CLI_PATIENCE = 10 };        /* seconds that a plugin's callback may take without asking the host for anything */

/* From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1 ask to stop; `first` says what that leads to once steps are made.
 * stopped: the exit code where that ends the program before; 0: that of the signal. */
void cli_catch_signals(const char *first, int stopped);
/* Kernels are built, and steps are made. */
void cli_steps_begun(void);
/* The signal that asked to stop, 0 if none did. */
int cli_signal(void);
/* Ends the program as this signal does. */
void cli_end_by(int sig);

#endif
