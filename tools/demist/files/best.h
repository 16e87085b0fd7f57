/* The best checkpoint of a run, for --best. */
#ifndef DEMIST_CLI_BEST_H
#define DEMIST_CLI_BEST_H

#include <demist/demist.h>

/* On the heap, also after an error; DM_EINVAL where the run has none. */
dm_status best_checkpoint(const char *run, char **path, dm_err *err);

#endif
