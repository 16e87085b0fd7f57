/* One set of features against the training data's; see quality.h. */
#include "quality/quality.h"

#include <stdlib.h>

dm_status dm_quality_reference_init(dm_quality_reference *r, dm_err *err)
{
    r->radii = NULL;
    r->n_radii = 0;
    return dm_gaussian_init(r->host, &r->features, &r->gaussian, err);
}

void dm_quality_reference_fini(dm_quality_reference *r)
{
    dm_gaussian_fini(&r->gaussian);
    free(r->radii);
    r->radii = NULL;
}

int64_t dm_quality_subset(int64_t size, int64_t count) { return size < count / 2 ? size : count / 2; }

static dm_status frechet(dm_quality_reference *r, const dm_features *set, dm_quality_row *out, dm_err *err)
{
    dm_gaussian g;
    dm_frechet f;
    dm_status rc;

    if ((rc = dm_gaussian_init(r->host, set, &g, err)))
        return rc;
    if (!(rc = dm_metric_frechet(r->host, &r->gaussian, &g, &f, err))) {
        out->frechet = f.distance;
        out->frechet_means = f.means;
    }
    dm_gaussian_fini(&g);
    return rc;
}

static dm_status kid(dm_quality_reference *r, const dm_features *set, dm_quality_row *out, dm_err *err)
{
    const int64_t smaller = set->n < r->features.n ? set->n : r->features.n;
    dm_kid k;
    const dm_status rc = dm_metric_kid(r->host, set, &r->features, r->subsets, dm_quality_subset(r->size, smaller),
                                       r->seed, &k, err);

    if (!rc) {
        out->kid = k.mean;
        out->kid_error = k.error;
        out->kid_deviation = k.deviation;
        out->kid_size = k.size;
    }
    return rc;
}

/* Room for how far each of the first n of the reference is from its neighbours, and each of the set. */
static dm_status make_room(dm_quality_reference *r, int64_t n, int64_t set, double **radii, dm_err *err)
{
    double *real = realloc(r->radii, (size_t)n * sizeof *real);
    dm_status rc = DM_OK;

    *radii = malloc((size_t)set * sizeof **radii);
    if (real)
        r->radii = real;
    if (!real || !*radii)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the neighbours of %lld images", (long long)set);
    return dm_comm_agree(dm_metric_ranks(r->host), rc, NULL, err);
}

static dm_status real_radii(dm_quality_reference *r, const dm_features *real, dm_err *err)
{
    dm_status rc;

    if (r->n_radii == real->n)
        return DM_OK;
    r->n_radii = 0;
    if (!(rc = dm_metric_radii(r->host, real, r->neighbours, r->radii, err)))
        r->n_radii = real->n;
    return rc;
}

static dm_status precision_recall(dm_quality_reference *r, const dm_features *set, dm_quality_row *out, dm_err *err)
{
    dm_features real = r->features;
    double *radii;
    dm_status rc;

    real.n = set->n < real.n ? set->n : real.n;
    if (!(rc = make_room(r, real.n, set->n, &radii, err)) && !(rc = real_radii(r, &real, err)) &&
        !(rc = dm_metric_covered(r->host, set, &real, r->radii, &out->precision, err)) &&
        !(rc = dm_metric_radii(r->host, set, r->neighbours, radii, err)))
        rc = dm_metric_covered(r->host, &real, set, radii, &out->recall, err);
    free(radii);
    return rc;
}

dm_status dm_quality_compare(dm_quality_reference *r, const dm_features *set, dm_quality_row *out,
                             void (*done)(void *user, int parts), void *user, dm_err *err)
{
    static dm_status (*const part[DM_QUALITY_PARTS])(dm_quality_reference *r, const dm_features *set,
                                                     dm_quality_row *out, dm_err *err) =
        {frechet, kid, precision_recall};
    dm_status rc;

    *out = (dm_quality_row){.count = set->n};
    if ((rc = dm_features_check(set, &r->features, r->neighbours + 1, err)))
        return rc;
    for (int i = 0; i < DM_QUALITY_PARTS && !rc; i++) {
        rc = part[i](r, set, out, err);
        if (!rc && done)
            done(user, i + 1);
    }
    return rc;
}
