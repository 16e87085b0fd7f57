/* What `demist selftest` expects: made by tools/make_selftest_values.py. */
#ifndef DEMIST_CLI_SELFTEST_H
#define DEMIST_CLI_SELFTEST_H

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

typedef struct dm_device dm_device;
typedef struct selftest_count { int passed, failed; } selftest_count;
/* Each prints a line a check. */
void selftest_run_ops(dm_device *d, selftest_count *n);
void selftest_run_random(dm_device *d, selftest_count *n);
void selftest_run_training(const char *device, selftest_count *n);
/* "OK    what" or "FAIL  what: why"; why NULL or "" = it passed. */
void selftest_say(selftest_count *n, const char *what, const char *why);

#endif
