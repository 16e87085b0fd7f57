/* The Frechet distance between the Gaussians of two sets of features. tr((A B)^(1/2)) is the sum of the roots of the
 * eigenvalues of A^(1/2) B A^(1/2), which is symmetric: two symmetric decompositions, and none of the complex numbers
 * that a root of A B itself brings. */
#include "metrics/metrics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 512 };

void dm_gaussian_fini(dm_gaussian *g)
{
    free(g->mean);
    free(g->cov);
    *g = (dm_gaussian){0};
}

static void accumulate(const dm_metric_host *h, const dm_features *f, dm_gaussian *g, double *rows)
{
    const int64_t d = f->d;

    for (int64_t i = 0; i < f->n; i++)
        for (int64_t k = 0; k < d; k++)
            g->mean[k] += f->x[i * d + k];
    for (int64_t k = 0; k < d; k++)
        g->mean[k] /= (double)f->n;
    for (int64_t first = 0; first < f->n; first += ROWS) {
        const int64_t n = f->n - first < ROWS ? f->n - first : ROWS;

        for (int64_t i = 0; i < n * d; i++)
            rows[i] = f->x[first * d + i] - g->mean[i % d];
        dm_lapack_multiply(h->lapack, true, false, (int32_t)d, (int32_t)d, (int32_t)n, rows, rows, 1, g->cov);
    }
    for (int64_t k = 0; k < d * d; k++)
        g->cov[k] /= (double)(f->n - 1);
}

dm_status dm_gaussian_init(const dm_metric_host *h, const dm_features *f, dm_gaussian *out, dm_err *err)
{
    const size_t d = (size_t)f->d;
    double *rows;
    dm_status rc;

    *out = (dm_gaussian){.n = f->n, .d = (int32_t)f->d};
    if ((rc = dm_features_check(f, f, 2, err)))
        return rc;
    rows = malloc(ROWS * d * sizeof *rows);
    out->mean = calloc(d, sizeof *out->mean);
    out->cov = calloc(d * d, sizeof *out->cov);
    if (!rows || !out->mean || !out->cov)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the covariance of %lld features", (long long)f->d);
    rc = dm_comm_agree(dm_metric_ranks(h), rc, NULL, err);
    /* A sum in parts would be rounded elsewhere, and the roots of eigenvalues near 0 make much of that. */
    if (!rc && !dm_metric_ranks(h)->rank)
        accumulate(h, f, out, rows);
    if (rc)
        dm_gaussian_fini(out);
    free(rows);
    return rc;
}

static double trace(const dm_gaussian *g)
{
    double sum = 0;

    for (int64_t k = 0; k < g->d; k++)
        sum += g->cov[k * g->d + k];
    return sum;
}

/* root := A^(1/2) = V w^(1/2) V', scratch for two more matrices and d numbers behind. */
static dm_status square_root(const dm_metric_host *h, const dm_gaussian *a, double *root, double *v, double *scaled,
                             double *w, dm_err *err)
{
    const int32_t d = a->d;
    dm_status rc;

    memcpy(v, a->cov, (size_t)d * (size_t)d * sizeof *v);
    if ((rc = dm_lapack_eigen(h->lapack, d, v, true, w, err)))
        return rc;
    for (int64_t i = 0; i < d; i++)
        for (int64_t k = 0; k < d; k++)
            scaled[i * d + k] = v[i * d + k] * sqrt(fmax(w[k], 0));
    dm_lapack_multiply(h->lapack, false, true, d, d, d, scaled, v, 0, root);
    return DM_OK;
}

static dm_status trace_of_root(const dm_metric_host *h, const dm_gaussian *a, const dm_gaussian *b, double *out,
                               dm_err *err)
{
    const int32_t d = a->d;
    const size_t nn = (size_t)d * (size_t)d;
    double *scratch = malloc((3 * nn + (size_t)d) * sizeof *scratch), *root = scratch, *x, *y, *w;
    dm_status rc;

    if (!scratch)
        return dm_error(err, DM_ENOMEM, "out of memory for the covariance of %d features", (int)d);
    x = root + nn;
    y = x + nn;
    w = y + nn;
    if (!(rc = square_root(h, a, root, x, y, w, err))) {
        dm_lapack_multiply(h->lapack, false, false, d, d, d, root, b->cov, 0, x);
        dm_lapack_multiply(h->lapack, false, false, d, d, d, x, root, 0, y);
        rc = dm_lapack_eigen(h->lapack, d, y, false, w, err);
        *out = 0;
        for (int64_t k = 0; k < d && !rc; k++)
            *out += sqrt(fmax(w[k], 0));
    }
    free(scratch);
    return rc;
}

dm_status dm_metric_frechet(const dm_metric_host *h, const dm_gaussian *a, const dm_gaussian *b, dm_frechet *out,
                            dm_err *err)
{
    dm_comm *c = dm_metric_ranks(h);
    dm_status rc;

    *out = (dm_frechet){.trace_a = trace(a), .trace_b = trace(b)};
    if (a->d != b->d)
        return dm_error(err, DM_EINVAL, "%d and %d features; both sets must come from the same network", (int)a->d,
                        (int)b->d);
    rc = c->rank ? DM_OK : trace_of_root(h, a, b, &out->trace_root, err);
    for (int64_t k = 0; k < a->d; k++)
        out->means += (a->mean[k] - b->mean[k]) * (a->mean[k] - b->mean[k]);
    out->distance = out->means + out->trace_a + out->trace_b - 2 * out->trace_root;
    rc = dm_comm_agree(c, rc, NULL, err);
    return rc ? rc : c->calls->broadcast(c, out, sizeof *out, 0, err);
}
