/* libdemist: the calls of <demist/demist.h>, all of which live in the files that do the work. */
#include <demist/demist.h>

const char *dm_version(void) { return DEMIST_VERSION; }
