/* Forward passes with one set of weights, kept from use to use: a plan for each batch and example shape that was asked
 * for, the last few of them. */
#ifndef DEMIST_CORE_FORWARDS_H
#define DEMIST_CORE_FORWARDS_H

#include "model/net.h"

typedef struct dm_forwards dm_forwards;

/* Both must outlive it. */
dm_status dm_forwards_new(dm_net *net, dm_wset *weights, dm_forwards **out, dm_err *err);
void dm_forwards_free(dm_forwards *f);
/* A number for the conditions of a batch (dm_forward_set_conditions) that none of these passes had before. */
uint64_t dm_forwards_serial(dm_forwards *f);
/* As dm_forward_new; *out is valid until the next call. runs: how often it is expected to run. Where memory is short,
 * the others go. */
dm_status dm_forwards_get(dm_forwards *f, int64_t n, const dm_shape *example, double runs, dm_forward **out,
                          dm_err *err);

#endif
