/* Sets of images compared with the training data by their features: what dm_eval_quality is made of. */
#ifndef DEMIST_CORE_QUALITY_H
#define DEMIST_CORE_QUALITY_H

#include <demist/demist.h>

#include "experiment/experiment.h"
#include "metrics/metrics.h"

/* What all sets are compared with. features: all of the training split, in an order without meaning, owned by the
 * caller. */
typedef struct dm_quality_reference {
    const dm_metric_host *host;
    dm_features features;
    dm_gaussian gaussian;
    double *radii;                 /* squared, of the first n_radii */
    int64_t n_radii;
    int64_t subsets, size;         /* of KID; size: at most */
    int32_t neighbours;
    uint64_t seed;
} dm_quality_reference;

/* All but host, features, subsets, size, neighbours and seed is made here. */
dm_status dm_quality_reference_init(dm_quality_reference *r, dm_err *err);
void dm_quality_reference_fini(dm_quality_reference *r);
/* Frechet distance to all of the reference, KID against all of it, precision and recall against as many of it as the
 * set has. done: called after each part of DM_QUALITY_PARTS; may be NULL. */
enum { DM_QUALITY_PARTS = 3 };
dm_status dm_quality_compare(dm_quality_reference *r, const dm_features *set, dm_quality_row *out,
                             void (*done)(void *user, int parts), void *user, dm_err *err);
/* Subsets of at most `size`, but two of them must fit beside each other. */
int64_t dm_quality_subset(int64_t size, int64_t count);

/* key: of what it was made; see dm_quality_key. */
struct dm_quality_kept { char *key; float *train; dm_quality_row floor, ceiling; };
/* Everything that the training images' features, floor and ceiling follow from: the resolved experiment's seed and
 * data, the features' layer and weights, counts. On the heap, NULL when memory is exhausted. */
char *dm_quality_key(const dm_experiment *e, const dm_quality *q, int64_t count, int64_t subset_size);

#endif
