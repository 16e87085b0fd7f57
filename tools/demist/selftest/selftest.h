/* What `demist selftest` expects: made by tools/make_selftest_values.py. */
#ifndef DEMIST_CLI_SELFTEST_H
#define DEMIST_CLI_SELFTEST_H

#include <stdbool.h>
#include <stdio.h>

#include "device/ops.h"

typedef struct selftest_op {
    const char *name;
    dm_opnode node;
    const float *in[DM_MAX_IN], *out[DM_MAX_OUT]; /* NULL where absent */
} selftest_op;
extern const selftest_op selftest_ops[];
extern const int selftest_n_ops;

enum { SELFTEST_STEPS = 20 };
extern const double selftest_mlp_losses[SELFTEST_STEPS], selftest_unet_losses[SELFTEST_STEPS];

/* The checks so far. Each is shown before it runs, so that one that crashes or hangs is known. */
typedef struct selftest {
    FILE *out;                     /* what people read */
    struct json_t *checks;         /* NULL: no report is wanted */
    int (*signalled)(void);        /* whether to stop */
    int passed, failed, impossible;
    double since;                  /* when the check that runs began */
    char what[128];
    bool stopped;                  /* by a signal: no more of them begin */
} selftest;

typedef enum selftest_result { SELFTEST_PASSED, SELFTEST_FAILED, SELFTEST_IMPOSSIBLE } selftest_result;

/* False where a signal came: the check is not to run. */
bool selftest_begin(selftest *t, const char *what);
/* error: the largest, of the largest result; negative = none is known. why: NULL or "" where it passed. */
void selftest_end(selftest *t, selftest_result result, double error, const char *why);

typedef struct dm_device dm_device;
void selftest_run_ops(dm_device *d, selftest *t);
void selftest_run_random(dm_device *d, selftest *t);
void selftest_run_training(const char *device, selftest *t);

#endif
