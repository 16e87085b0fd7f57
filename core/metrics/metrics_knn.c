/* Improved precision and recall: which images of one set lie among those of the other, told by balls around each that
 * reach to its k-th nearest neighbour. */
#include "metrics/metrics.h"

#include <math.h>
#include <stdlib.h>

typedef struct search {
    dm_features a;                 /* this rank's part of the rows that are looked at */
    dm_share part;
    const dm_features *b;
    double *norm_a, *norm_b;
    int32_t k;
    double *nearest;               /* radii: [a.n,k], ascending */
    const double *squared;         /* covered: of the rows of b */
    bool *inside;
} search;

static void norms(const dm_features *f, double *to)
{
    for (int64_t i = 0; i < f->n; i++) {
        to[i] = 0;
        for (int64_t k = 0; k < f->d; k++)
            to[i] += (double)f->x[i * f->d + k] * f->x[i * f->d + k];
    }
}

/* |a_i - b_j|^2. Where the norms cancel it is summed anew, so that equal rows are at distance 0. */
static double between(const search *s, int64_t i, int64_t j, double dot)
{
    const double norms2 = s->norm_a[i] + s->norm_b[j], quick = norms2 - 2 * dot;
    const float *x = s->a.x + i * s->a.d, *y = s->b->x + j * s->b->d;
    double sum = 0;

    if (quick > 1e-6 * norms2)
        return quick;
    for (int64_t k = 0; k < s->a.d; k++)
        sum += ((double)x[k] - y[k]) * ((double)x[k] - y[k]);
    return sum;
}

static void keep_nearest(void *user, int64_t i0, int64_t ni, int64_t j0, int64_t nj, const double *dot)
{
    search *s = user;

    for (int64_t i = 0; i < ni; i++) {
        double *list = s->nearest + (i0 + i) * s->k;

        for (int64_t j = 0; j < nj; j++) {
            const double d = s->part.first + i0 + i == j0 + j ? INFINITY : between(s, i0 + i, j0 + j, dot[i * nj + j]);
            int32_t at = s->k - 1;

            if (!(d < list[at]))
                continue;
            for (; at > 0 && list[at - 1] > d; at--)
                list[at] = list[at - 1];
            list[at] = d;
        }
    }
}

static void mark_inside(void *user, int64_t i0, int64_t ni, int64_t j0, int64_t nj, const double *dot)
{
    search *s = user;

    for (int64_t i = 0; i < ni; i++)
        for (int64_t j = 0; j < nj && !s->inside[i0 + i]; j++)
            s->inside[i0 + i] = between(s, i0 + i, j0 + j, dot[i * nj + j]) <= s->squared[j0 + j];
}

static dm_status begin(search *s, const dm_metric_host *h, const dm_features *a, dm_err *err)
{
    s->part = dm_metric_part(h, a->n);
    s->a = (dm_features){.n = s->part.n, .d = a->d, .x = a->x + s->part.first * a->d, .what = a->what};
    s->norm_a = malloc((size_t)s->a.n * sizeof *s->norm_a + 1);
    s->norm_b = malloc((size_t)s->b->n * sizeof *s->norm_b);
    if (!s->norm_a || !s->norm_b)
        return dm_error(err, DM_ENOMEM, "out of memory for the neighbours of %lld images", (long long)a->n);
    norms(&s->a, s->norm_a);
    norms(s->b, s->norm_b);
    return DM_OK;
}

static void end(search *s)
{
    free(s->norm_a);
    free(s->norm_b);
    free(s->nearest);
    free(s->inside);
}

dm_status dm_metric_radii(const dm_metric_host *h, const dm_features *f, int32_t k, double *squared, dm_err *err)
{
    search s = {.b = f, .k = k};
    dm_status rc;

    if (k < 1 || k > DM_NEIGHBOURS_MAX || k >= f->n)
        return dm_error(err, DM_EINVAL,
                        "neighbour %d of %lld images; 1 to %d are allowed, fewer than there are images", (int)k,
                        (long long)f->n, DM_NEIGHBOURS_MAX);
    rc = begin(&s, h, f, err);
    if (!rc && !(s.nearest = malloc((size_t)(s.a.n * k) * sizeof *s.nearest + 1)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the neighbours of %lld images", (long long)f->n);
    for (int64_t i = 0; i < s.a.n * k && !rc; i++)
        s.nearest[i] = INFINITY;
    if (!rc && !(rc = dm_metric_products(h, &s.a, NULL, s.a.n, f, NULL, f->n, keep_nearest, &s, err)))
        for (int64_t i = 0; i < s.a.n; i++)
            squared[s.part.first + i] = s.nearest[i * k + k - 1];
    end(&s);
    rc = dm_comm_agree(dm_metric_ranks(h), rc, NULL, err);
    return rc ? rc : dm_share_collect(dm_metric_ranks(h), squared, sizeof *squared, f->n, err);
}

dm_status dm_metric_covered(const dm_metric_host *h, const dm_features *a, const dm_features *b, const double *squared,
                            double *share, dm_err *err)
{
    search s = {.b = b, .squared = squared};
    double inside = 0;
    dm_status rc;

    rc = begin(&s, h, a, err);
    if (!rc && !(s.inside = calloc((size_t)s.a.n + 1, sizeof *s.inside)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the neighbours of %lld images", (long long)a->n);
    if (!rc && !(rc = dm_metric_products(h, &s.a, NULL, s.a.n, b, NULL, b->n, mark_inside, &s, err)))
        for (int64_t i = 0; i < s.a.n; i++)
            inside += s.inside[i];
    end(&s);
    if ((rc = dm_comm_agree(dm_metric_ranks(h), rc, NULL, err)) ||
        (rc = dm_share_add(dm_metric_ranks(h), &inside, 1, err)))
        return rc;
    *share = inside / (double)a->n;
    return DM_OK;
}
