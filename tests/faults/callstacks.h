/* Calls of one kind that are known by their call stack, for modules that are loaded by LD_PRELOAD before demist and let
 * such calls fail. Only calls count that demist, its plugins or one of its libraries make. A stack is hashed by offsets
 * in these modules, so that the same one is found again in another process and another order of threads.
 *   FAULT_LIST=FILE   gets a line for each distinct stack, "HASH CALL N", for its first FAULT_EACH (1) calls
 *   FAULT_FAIL=HASH   the call of this stack that fails: the FAULT_NTH (1); FAULT_TRACE=FILE gets its frames */
#ifndef CALLSTACKS_H
#define CALLSTACKS_H

#include <stdbool.h>

/* Whether this call fails: `call` is its name, `caller` its return address. */
bool callstacks_hit(const char *call, const void *caller);
/* Whether that one was met. */
bool callstacks_met(void);
/* Whether the caller's code is one of those that count. */
bool callstacks_ours(const void *caller);

#endif
