/* Rows of features checked, and their inner products in tiles, which KID and the nearest neighbours share. */
#include "metrics/metrics.h"

#include <math.h>
#include <stdlib.h>

enum { ROWS = 256, COLUMNS = 512 };

static dm_status check(const dm_features *f, int64_t least, dm_err *err)
{
    if (f->d < 1 || f->d > DM_FEATURES_MAX)
        return dm_error(err, DM_EINVAL, "%lld features %s; 1 to %d are allowed", (long long)f->d, f->what,
                        DM_FEATURES_MAX);
    if (f->n < least || f->n > INT64_MAX / DM_FEATURES_MAX / 8)
        return dm_error(err, DM_EINVAL, "features %s are of %lld images; at least %lld are needed", f->what,
                        (long long)f->n, (long long)least);
    for (int64_t i = 0; i < f->n * f->d; i++)
        if (!isfinite(f->x[i]))
            return dm_error(err, DM_EDIVERGED, "feature %lld of image %lld %s is %s; all must be finite",
                            (long long)(i % f->d), (long long)(i / f->d), f->what, isnan(f->x[i]) ? "NaN" : "infinite");
    return DM_OK;
}

dm_status dm_features_check(const dm_features *a, const dm_features *b, int64_t least, dm_err *err)
{
    const dm_status rc = check(a, least, err);

    if (rc)
        return rc;
    if (a->d != b->d)
        return dm_error(err, DM_EINVAL, "%lld features %s and %lld %s; both must come from the same network",
                        (long long)a->d, a->what, (long long)b->d, b->what);
    return check(b, least, err);
}

/* Rows first.. of f in double precision. */
static void widen(const dm_features *f, const int64_t *index, int64_t first, int64_t n, double *to)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = f->x + (index ? index[first + i] : first + i) * f->d;

        for (int64_t k = 0; k < f->d; k++)
            to[i * f->d + k] = row[k];
    }
}

dm_status dm_metric_products(const dm_metric_host *h, const dm_features *a, const int64_t *ia, int64_t na,
                             const dm_features *b, const int64_t *ib, int64_t nb, dm_tile_fn *tile, void *user,
                             dm_err *err)
{
    double *x = malloc((size_t)(ROWS * a->d) * sizeof *x), *y = malloc((size_t)(COLUMNS * b->d) * sizeof *y);
    double *dot = malloc(sizeof *dot * ROWS * COLUMNS);
    dm_status rc = x && y && dot ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for products of %lld features",
                                                    (long long)a->d);

    for (int64_t j = 0; j < nb && !rc; j += COLUMNS) {
        const int64_t nj = nb - j < COLUMNS ? nb - j : COLUMNS;

        widen(b, ib, j, nj, y);
        for (int64_t i = 0; i < na && !rc; i += ROWS) {
            const int64_t ni = na - i < ROWS ? na - i : ROWS;

            widen(a, ia, i, ni, x);
            dm_lapack_multiply(h->lapack, false, true, (int32_t)ni, (int32_t)nj, (int32_t)a->d, x, y, 0, dot);
            tile(user, i, ni, j, nj, dot);
        }
        if (h->cancelled && h->cancelled(h->user))
            rc = dm_error(err, DM_ECANCELLED, "stopped while features were compared");
    }
    free(x);
    free(y);
    free(dot);
    return rc;
}
