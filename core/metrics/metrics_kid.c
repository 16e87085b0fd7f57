/* KID: the unbiased squared maximum mean discrepancy under a cubic kernel, over random subsets. */
#include "metrics/metrics.h"

#include "data/shuffle.h"

#include <math.h>
#include <stdlib.h>

typedef struct kernel_sum { double d, all, diagonal; } kernel_sum;

static void add_kernel(void *user, int64_t i0, int64_t ni, int64_t j0, int64_t nj, const double *dot)
{
    kernel_sum *s = user;

    for (int64_t i = 0; i < ni; i++) {
        double row = 0;

        for (int64_t j = 0; j < nj; j++) {
            const double k = dot[i * nj + j] / s->d + 1;

            row += k * k * k;
            if (i0 + i == j0 + j)
                s->diagonal += k * k * k;
        }
        s->all += row;
    }
}

dm_status dm_metric_mmd2(const dm_metric_host *h, const dm_features *a, const int64_t *ia, const dm_features *b,
                         const int64_t *ib, int64_t m, double *out, dm_err *err)
{
    kernel_sum aa = {.d = (double)a->d}, ab = aa, bb = aa;
    const double n = (double)m;
    dm_status rc;

    if (m < 2 || m > a->n || m > b->n)
        return dm_error(err, DM_EINVAL,
                        "a subset of %lld of %lld and %lld images; 2 to the smaller of both are possible", (long long)m,
                        (long long)a->n, (long long)b->n);
    if ((rc = dm_metric_products(h, a, ia, m, a, ia, m, add_kernel, &aa, err)) ||
        (rc = dm_metric_products(h, a, ia, m, b, ib, m, add_kernel, &ab, err)) ||
        (rc = dm_metric_products(h, b, ib, m, b, ib, m, add_kernel, &bb, err)))
        return rc;
    *out = (aa.all - aa.diagonal + bb.all - bb.diagonal) / (n * (n - 1)) - 2 * ab.all / (n * n);
    return DM_OK;
}

static void spread(const double *values, dm_kid *k)
{
    k->mean = k->deviation = 0;
    for (int64_t i = 0; i < k->subsets; i++)
        k->mean += values[i] / (double)k->subsets;
    for (int64_t i = 0; i < k->subsets; i++)
        k->deviation += (values[i] - k->mean) * (values[i] - k->mean) / (double)k->subsets;
    k->deviation = sqrt(k->deviation);
    k->error = k->blocks > 1 ? k->deviation / sqrt((double)k->blocks) : NAN;
}

dm_status dm_metric_kid(const dm_metric_host *h, const dm_features *a, const dm_features *b, int64_t subsets,
                        int64_t size, uint64_t seed, dm_kid *out, dm_err *err)
{
    const int64_t smaller = a->n < b->n ? a->n : b->n;
    const dm_share part = dm_metric_part(h, subsets);
    int64_t *rows;
    double *values;
    dm_status rc = DM_OK;

    if (subsets < 1 || subsets > 1000000 || size < 2 || size > smaller)
        return dm_error(err, DM_EINVAL,
                        "%lld subsets of %lld of %lld images; 1 to 1000000 of 2 to all of them are possible",
                        (long long)subsets, (long long)size, (long long)smaller);
    rows = malloc((size_t)size * 2 * sizeof *rows);
    values = malloc((size_t)subsets * sizeof *values);
    if (!rows || !values)
        rc = dm_error(err, DM_ENOMEM, "out of memory for subsets of %lld images", (long long)size);
    for (int64_t s = part.first; s < part.first + part.n && !rc; s++) {
        for (int64_t i = 0; i < size; i++) {
            rows[i] = dm_shuffle(seed, (uint64_t)(2 * s), i, a->n);
            rows[size + i] = dm_shuffle(seed, (uint64_t)(2 * s + 1), i, b->n);
        }
        rc = dm_metric_mmd2(h, a, rows, b, rows + size, size, &values[s], err);
    }
    if (!(rc = dm_comm_agree(dm_metric_ranks(h), rc, NULL, err)) &&
        !(rc = dm_share_collect(dm_metric_ranks(h), values, sizeof *values, subsets, err))) {
        *out = (dm_kid){.subsets = subsets, .size = size,
                        .blocks = subsets < smaller / size ? subsets : smaller / size};
        spread(values, out);
    }
    free(rows);
    free(values);
    return rc;
}
