/* The runs in a folder. */
#ifndef DEMIST_CLI_RUNS_H
#define DEMIST_CLI_RUNS_H

#include <stdbool.h>

#include <demist/demist.h>

/* Is it a run's folder? */
bool runs_is_one(const char *folder);
/* The run in this folder that was last written to, on the heap; DM_ENOENT where there is none. */
dm_status runs_newest(const char *folder, char **run, dm_err *err);

#endif
