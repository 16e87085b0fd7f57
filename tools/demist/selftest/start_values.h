/* Values to begin with that need no random numbers, as the scripts have them that make expected values with PyTorch
 * (tools/make_selftest_values.py): for `demist selftest`, and for the tests of gradients and objectives. */
#ifndef DEMIST_TOOLS_START_VALUES_H
#define DEMIST_TOOLS_START_VALUES_H

#include "plan/weights.h"

/* In [-0.5, 0.5): of element i of what is called key. */
double start_value(const char *key, size_t i);
/* Gives each weight of the set its values: scaled by its inputs, near 1 in the gains of norms. */
dm_status start_weights(dm_wset *set, dm_err *err);
/* The largest magnitude, 0 of none. */
double largest_of(const float *x, int64_t n);

#endif
