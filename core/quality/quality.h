/* Sets of images compared with the training data by their features: the figures of dm_eval_quality. */
#ifndef DEMIST_CORE_QUALITY_H
#define DEMIST_CORE_QUALITY_H

#include <demist/demist.h>

#include "data/data.h"
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

/* Images of classes: their features, and label[n] of them. */
typedef struct dm_labelled { dm_features features; const int32_t *label; } dm_labelled;
/* How many of n labels are of each class; those beyond the classes are left out. */
void dm_quality_tally(const int32_t *label, int64_t n, int64_t classes, int64_t *counts);
/* The images of class k against the real ones of that class alone, measured as those of `like` are. Both have at least
 * dm_quality_least of them. Fails on all ranks. */
dm_status dm_quality_compare_class(const dm_quality_reference *like, const dm_labelled *set, const dm_labelled *real,
                                   int32_t k, dm_quality_row *out, dm_err *err);
int64_t dm_quality_least(int32_t neighbours);
/* Rows for n classes, as the data name them; count is 0 and class_share NaN. One block of memory. */
dm_status dm_quality_classes_new(const dm_data *named, int64_t n, dm_quality_class **out, dm_err *err);
/* Fills count, and class_share of the images and of each class; found: what each is taken for, NULL = not known. */
void dm_quality_shares(const int32_t *asked, const int32_t *found, int64_t n, dm_quality *out);

#endif
