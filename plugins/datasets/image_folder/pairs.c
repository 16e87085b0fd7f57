/* Pairs by name; see pairs.h. */
#define _POSIX_C_SOURCE 200809L
#include "pairs.h"

#include <stdlib.h>
#include <string.h>

/* A name without its end. */
typedef struct stem { const char *name; size_t n; int64_t at; } stem;

static stem stem_of(const source *s, int64_t at)
{
    const char *name = source_name(s, &s->list.image[at]);

    return (stem){name, (size_t)(strrchr(name, '.') - name), at};
}

static int by_stem(const void *a, const void *b)
{
    const stem *x = a, *y = b;
    const int d = memcmp(x->name, y->name, x->n < y->n ? x->n : y->n);

    return d ? d : x->n < y->n ? -1 : x->n > y->n;
}

dm_status pairs_match(dm_ctx *c, source *images, source *pairs)
{
    const int64_t n = pairs->list.n;
    stem *stems = malloc((size_t)(n + 1) * sizeof *stems);
    dm_status rc = DM_OK;

    if (!stems)
        return dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", pairs->dir);
    for (int64_t i = 0; i < n; i++)
        stems[i] = stem_of(pairs, i);
    qsort(stems, (size_t)n, sizeof *stems, by_stem);
    for (int64_t i = 1; i < n && !rc; i++)
        if (!by_stem(&stems[i - 1], &stems[i]))
            rc = dm_fail(c, DM_EINVAL, "'%s' and '%s' would be paired with the same image",
                         pairs->list.image[stems[i - 1].at].path, pairs->list.image[stems[i].at].path);
    for (int64_t i = 0; i < images->list.n && !rc; i++) {
        const stem key = stem_of(images, i), *found = bsearch(&key, stems, (size_t)n, sizeof *stems, by_stem);

        if (found)
            images->list.image[i].pair = found->at;
        else
            rc = dm_fail(c, DM_EINVAL, "'%s' has no image that is paired with '%s'", pairs->dir,
                         images->list.image[i].path);
    }
    free(stems);
    return rc;
}

dm_status pairs_check(dm_ctx *c, source *pairs, int64_t at, const image_rules *rules)
{
    image *m = &pairs->list.image[at];
    image_file j;

    if (source_check(c, pairs, m, rules, &j))
        return c->err->code;
    m->w = j.w, m->h = j.h, m->c = j.c;
    return DM_OK;
}

dm_status pairs_same_size(dm_ctx *c, const source *pairs, const image_list *images)
{
    const image *first = images->n ? &pairs->list.image[images->image[0].pair] : NULL;

    for (int64_t i = 1; i < images->n; i++) {
        const image *m = &pairs->list.image[images->image[i].pair];

        if (m->w != first->w || m->h != first->h || m->c != first->c)
            return dm_fail(c, DM_EINVAL, "'%s' is %d x %d pixels of %d channels and '%s' %d x %d of %d; paired images "
                                         "must have one size and number of channels", first->path, first->w, first->h,
    first->c,
                           m->path, m->w, m->h, m->c);
    }
    return DM_OK;
}
