/* What a process needs before it works. */
#ifndef DEMIST_CLI_PROCESS_H
#define DEMIST_CLI_PROCESS_H

#include <stdbool.h>

/* run(argc, argv), on a thread with enough stack where `ulimit -s` leaves the first one less. */
int cli_with_stack(int (*run)(int argc, char **argv), int argc, char **argv);
/* Before any driver is loaded: one that insists on a folder of its own gets one where the user has none. */
void cli_driver_folders(void);
/* Before that: DEMIST_CPU. False, with a message, where it names no processor that this one can be held to. */
bool cli_hold_cpu(void);
/* Where PoCL keeps what it compiled; "" where that is not known. */
const char *cli_pocl_cache(void);
/* From now on a plugin that crashes is named as the program ends, and one that does not return while it does not. */
void cli_watch_plugins(void);
/* Again before kernels are built: a driver's compiler (LLVM) has put a handler of its own in place of that of aborts.
 */
void cli_watch_aborts(void);

#endif
