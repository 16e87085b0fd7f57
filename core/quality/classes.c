/* What quality says of each class; see quality.h. */
#include "quality/quality.h"

#include "base/arena.h"
#include "text/plain_text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void dm_quality_tally(const int32_t *label, int64_t n, int64_t classes, int64_t *counts)
{
    memset(counts, 0, (size_t)classes * sizeof *counts);
    for (int64_t i = 0; i < n; i++)
        if (label[i] >= 0 && label[i] < classes)
            counts[label[i]]++;
}

/* KID takes two subsets of two, and a ball has neighbours besides its middle. */
int64_t dm_quality_least(int32_t neighbours) { return neighbours + 1 > 4 ? neighbours + 1 : 4; }

static dm_status rows_of(const dm_labelled *set, int32_t k, dm_features *out, dm_err *err)
{
    const dm_features *f = &set->features;
    float *x;

    *out = (dm_features){.d = f->d, .what = f->what};
    for (int64_t i = 0; i < f->n; i++)
        out->n += set->label[i] == k;
    if (!(x = dm_array(out->n, f->d, sizeof *x)))
        return dm_error(err, DM_ENOMEM, "out of memory for the features %s of class %d", f->what, (int)k);
    out->x = x;
    for (int64_t i = 0; i < f->n; i++)
        if (set->label[i] == k) {
            memcpy(x, f->x + i * f->d, (size_t)f->d * sizeof *x);
            x += f->d;
        }
    return DM_OK;
}

dm_status dm_quality_compare_class(const dm_quality_reference *like, const dm_labelled *set, const dm_labelled *real,
                                   int32_t k, dm_quality_row *out, dm_err *err)
{
    dm_quality_reference r = {.host = like->host, .subsets = like->subsets, .size = like->size,
                              .neighbours = like->neighbours, .seed = like->seed};
    dm_features of_set = {0};
    dm_status rc = rows_of(set, k, &of_set, err);

    if (!rc)
        rc = rows_of(real, k, &r.features, err);
    if (!(rc = dm_comm_agree(dm_metric_ranks(like->host), rc, NULL, err)) &&
        !(rc = dm_quality_reference_init(&r, err)))
        rc = dm_quality_compare(&r, &of_set, out, NULL, NULL, err);
    dm_quality_reference_fini(&r);
    free((float *)(uintptr_t)of_set.x);
    free((float *)(uintptr_t)r.features.x);
    return rc;
}

static const char *name_of(const dm_data *named, int64_t k)
{
    const char *name = dm_data_class_name(named, (int32_t)k);

    return name ? name : "";
}

dm_status dm_quality_classes_new(const dm_data *named, int64_t n, dm_quality_class **out, dm_err *err)
{
    size_t text = 0;
    dm_quality_class *c;
    char *to;

    for (int64_t k = 0; k < n; k++)
        text += strlen(name_of(named, k)) + 1;
    if (!(c = calloc(1, (size_t)n * sizeof *c + text)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld classes", (long long)n);
    to = (char *)(c + n);
    for (int64_t k = 0; k < n; k++) {
        c[k].class_share = NAN;
        c[k].name = strcpy(to, name_of(named, k));
        dm_plain_text(to);
        to += strlen(to) + 1;
    }
    *out = c;
    return DM_OK;
}

void dm_quality_shares(const int32_t *asked, const int32_t *found, int64_t n, dm_quality *out)
{
    int64_t right = 0;

    for (int64_t k = 0; k < out->classes; k++)
        out->by_class[k].class_share = 0;
    for (int64_t i = 0; i < n; i++) {
        dm_quality_class *c = &out->by_class[asked[i]];

        c->count++;
        if (found && found[i] == asked[i]) {
            c->class_share++;
            right++;
        }
    }
    for (int64_t k = 0; k < out->classes; k++) {
        dm_quality_class *c = &out->by_class[k];

        c->class_share = found && c->count ? c->class_share / (double)c->count : NAN;
    }
    if (found) {
        out->class_share = (double)right / (double)n;
        out->class_share_error = sqrt(out->class_share * (1 - out->class_share) / (double)n);
    }
}

void dm_quality_free(dm_quality *q)
{
    if (!q || !DM_HAS(dm_quality, q, by_class))
        return;
    free(q->by_class);
    q->by_class = NULL;
    q->classes = 0;
}
