/* OpenCL calls that fail on request, and a count of the objects that are alive. Compiled into a
 * test, or loaded before a program (LD_PRELOAD) that is then steered by CLFAULT_CALL (the first call
 * is 1) and CLFAULT_CODE (default -5, CL_OUT_OF_RESOURCES). */
#ifndef DEMIST_TESTS_CLFAULT_H
#define DEMIST_TESTS_CLFAULT_H

/* The call-th of the watched calls from now on returns code; 0 = none. */
void clfault_arm(long call, int code);
/* Name of the call that was made to fail, NULL if none was yet. */
const char *clfault_hit(void);
/* Objects made and not yet released. */
long clfault_live(void);

#endif
