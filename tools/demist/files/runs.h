/* The runs in a folder. */
#ifndef DEMIST_CLI_RUNS_H
#define DEMIST_CLI_RUNS_H

#include <stdbool.h>

#include <demist/demist.h>

#include "base/arena.h"

/* Is it a run's folder? */
dm_status runs_is_one(const char *folder, bool *is, dm_err *err);
/* The run in this folder that was last written to, on the heap; DM_ENOENT where there is none. */
dm_status runs_newest(const char *folder, char **run, dm_err *err);

typedef struct runs_list {
    char **path;
    int n;
    bool left_out;                 /* there is more than it looked at */
    int passed_over;               /* what could not be looked into, as what is gone meanwhile */
    dm_err first;                  /* why, of the first of it */
} runs_list;
/* The folder itself where it is a run, and the runs in it, four levels deep; of a run alone those of its sweep. A link
 * is followed where it leads to a run. */
dm_status runs_find(const char *folder, runs_list *l, dm_err *err);
void runs_list_free(runs_list *l);

/* What runs are called beside one another: the last part of the path, or the whole where two end alike. NULL when
 * memory is exhausted. */
const char **runs_titles(dm_arena *a, const char *const *paths, int n);

#endif
