/* How near one set of images is to another, from the features that a network gives of each: Frechet distance
 * (Heusel et al. 2017), kernel distance KID (Binkowski et al. 2018), improved precision and recall
 * (Kynkaanniemi et al. 2019). All sums are in double precision, on the host. Ranks that have the same features share
 * the work and get the same, or fail together; but what is said to be refused, each refuses alone. */
#ifndef DEMIST_CORE_METRICS_H
#define DEMIST_CORE_METRICS_H

#include "comm/share.h"
#include "metrics/lapack.h"

/* n rows of d features each; what: "of the samples", for messages. */
typedef struct dm_features { int64_t n, d; const float *x; const char *what; } dm_features;

typedef struct dm_metric_host {
    const dm_lapack *lapack;
    bool (*cancelled)(void *user); /* asked now and then, DM_ECANCELLED where it says so; may be NULL */
    void *user;
    dm_comm *comm;                 /* the ranks that share the work; NULL = this process alone */
} dm_metric_host;

static inline dm_comm *dm_metric_ranks(const dm_metric_host *h) { return h->comm ? h->comm : dm_comm_one(); }
/* This rank's part of n. */
static inline dm_share dm_metric_part(const dm_metric_host *h, int64_t n)
{
    return dm_share_of(n, 0, dm_metric_ranks(h)->rank, dm_metric_ranks(h)->size);
}

enum { DM_FEATURES_MAX = 16384, DM_NEIGHBOURS_MAX = 64 };

/* DM_EINVAL unless both have the same number of features, 1 to DM_FEATURES_MAX, and at least `least` rows;
 * DM_EDIVERGED where a feature is not finite: which row, which feature. */
dm_status dm_features_check(const dm_features *a, const dm_features *b, int64_t least, dm_err *err);

/* Mean and covariance (over n - 1) of features; what a Frechet distance is between. Of ranks the first has them. */
typedef struct dm_gaussian { int64_t n; int32_t d; double *mean, *cov; } dm_gaussian;
dm_status dm_gaussian_init(const dm_metric_host *h, const dm_features *f, dm_gaussian *out, dm_err *err);
void dm_gaussian_fini(dm_gaussian *g);
/* |mean_a - mean_b|^2 + tr(A) + tr(B) - 2 tr((A B)^(1/2)). */
typedef struct dm_frechet { double distance, means, trace_a, trace_b, trace_root; } dm_frechet;
dm_status dm_metric_frechet(const dm_metric_host *h, const dm_gaussian *a, const dm_gaussian *b, dm_frechet *out,
                            dm_err *err);

/* Unbiased squared maximum mean discrepancy under k(x, y) = (x.y / d + 1)^3 of m rows of each, ia and ib
 * saying which; NULL = the first m. */
dm_status dm_metric_mmd2(const dm_metric_host *h, const dm_features *a, const int64_t *ia, const dm_features *b,
                         const int64_t *ib, int64_t m, double *out, dm_err *err);
/* Mean over `subsets` random subsets of `size` rows of each, and their standard deviation. error: standard error of
 * the mean, deviation / sqrt(blocks), where blocks is the number of subsets, but no more than subsets without a common
 * row can be cut from the smaller set: those that overlap are no independent measurements. */
typedef struct dm_kid { double mean, deviation, error; int64_t subsets, size, blocks; } dm_kid;
dm_status dm_metric_kid(const dm_metric_host *h, const dm_features *a, const dm_features *b, int64_t subsets,
                        int64_t size, uint64_t seed, dm_kid *out, dm_err *err);

/* Squared distance of each row to its k-th nearest other row. */
dm_status dm_metric_radii(const dm_metric_host *h, const dm_features *f, int32_t k, double *squared, dm_err *err);
/* The share of the rows of a that lie in a ball around a row of b of its squared radius. */
dm_status dm_metric_covered(const dm_metric_host *h, const dm_features *a, const dm_features *b, const double *squared,
                            double *share, dm_err *err);

/* Inner products of rows of a and b, tile by tile: dot[ni,nj] of rows i0.. of the na of a and j0.. of the nb of b;
 * ia, ib as above. */
typedef void dm_tile_fn(void *user, int64_t i0, int64_t ni, int64_t j0, int64_t nj, const double *dot);
dm_status dm_metric_products(const dm_metric_host *h, const dm_features *a, const int64_t *ia, int64_t na,
                             const dm_features *b,
                             const int64_t *ib, int64_t nb, dm_tile_fn *tile, void *user, dm_err *err);

#endif
