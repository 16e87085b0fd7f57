/* What a run folder tells of its run at a glance, without opening a checkpoint. */
#ifndef DEMIST_CLI_RUN_STATE_H
#define DEMIST_CLI_RUN_STATE_H

#include <stdio.h>

#include <demist/demist.h>

typedef struct run_state {
    char *path;
    const char *state;             /* running, done, stopped, empty (no checkpoint) or unreadable */
    int64_t step, steps;           /* of the newest checkpoint, or the last logged one while it runs; to be done */
    double loss, held_out;         /* last logged; NaN where there is none */
    int64_t written, bytes;        /* when its log was, in seconds since the epoch; of its files on the disk */
    char problem[300];             /* why it is unreadable */
} run_state;

/* Whatever the folder holds; DM_ENOMEM alone. path becomes the state's. */
dm_status run_state_look(char *path, run_state *s, dm_err *err);
void run_state_fini(run_state *s);
/* As a table, or as JSON. */
void run_state_print_table(const run_state *s, int n, FILE *to);
dm_status run_state_print_json(const run_state *s, int n, FILE *to, dm_err *err);

#endif
