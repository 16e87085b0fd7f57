/* Implementations of one op on one device, checked and timed. */
#ifndef DEMIST_CORE_MEASURE_H
#define DEMIST_CORE_MEASURE_H

#include "device/impl.h"

enum { DM_MAX_CANDIDATES = 8 };

/* What was found of one implementation. */
typedef struct dm_measured {
    const dm_impl *impl;           /* NULL: it was not measured */
    bool dropped;                  /* it failed, or is further from the portable result than its tolerance */
    double error;                  /* over the largest magnitude of an output; infinite where it failed or gave NaN */
    double run, refresh;           /* seconds: of one run, and of making its packed weights of weights */
} dm_measured;

typedef struct dm_measure_options {
    double until;                  /* by dm_seconds: it gives up then, also in the middle of an implementation */
    bool (*stopped)(void *user);   /* asked as often: it gives up too; may be NULL */
    void (*dropped)(void *user, const dm_opnode *n, const dm_impl *impl, const char *why);
    void *user;
} dm_measure_options;

/* The implementation that others are compared with: the portable one, and "bf16" of nodes with bf16, which computes in
 * f32. NULL where it does not support it. */
const dm_impl *dm_impl_reference(const dm_device_info *dev, const dm_opnode *n);
/* What may be chosen without being forced: those that are preferred, in their order, up to the reference; that one only
 * if it is alone or its work is small. high: also those that round products of f32 more than f32 does. */
int dm_candidates(const dm_device_info *dev, const dm_opnode *n, bool high, const dm_impl *list[DM_MAX_CANDIDATES]);
/* Compares each with the portable implementation on a small problem, times it on this one, and compares with the
 * others' results there. An entry of out that has an implementation is known and stays as it is. DM_ECANCELLED where
 * time ran out or a stop was wished for, DM_ENOMEM where the problem does not fit twice; entries of what was not
 * measured then have none. A driver's compiler is waited for. */
dm_status dm_measure(dm_device *d, const dm_opnode *n, const dm_impl *const *list, int count,
                     const dm_measure_options *o, dm_measured *out, dm_err *err);

#endif
