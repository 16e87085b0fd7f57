/* Memory planning: largest first, of those the one that lives longest, each at the lowest place that is free while it
 * is alive. */
#include "plan/plan.h"

#include <stdlib.h>

static int larger_first(const void *a, const void *b)
{
    const dm_place *x = *(const dm_place *const *)a, *y = *(const dm_place *const *)b;
    const int32_t lives = x->last - x->first, other = y->last - y->first;

    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    if (lives != other)
        return lives < other ? 1 : -1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x < y ? -1 : x > y);
}

/* The lowest offset for t in an arena among those already placed there, which are ordered by offset. */
static size_t lowest(const dm_place *t, dm_place *const *placed, size_t n, size_t align)
{
    size_t at = 0;

    for (size_t i = 0; i < n; i++) {
        const dm_place *p = placed[i];

        if (p->last < t->first || t->last < p->first)
            continue;
        if (p->offset >= at && p->offset - at >= t->bytes)
            return at;
        if (p->offset + p->bytes > at)
            at = (p->offset + p->bytes + align - 1) / align * align;
    }
    return at;
}

static void insert(dm_place **placed, size_t n, dm_place *t)
{
    size_t i = n;

    for (; i > 0 && placed[i - 1]->offset > t->offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = t;
}

int32_t dm_place_all(dm_place *things, size_t n, size_t align, size_t limit, size_t *arena_bytes, int32_t max_arenas)
{
    dm_place **order = malloc((n + 1) * sizeof(dm_place *)), **placed = malloc((n + 1) * sizeof(dm_place *));
    size_t left = n;
    int32_t arenas = 0;

    if (!order || !placed)
        arenas = -1;
    for (size_t i = 0; i < n && arenas >= 0; i++)
        order[i] = &things[i];
    if (arenas == 0)
        qsort(order, n, sizeof *order, larger_first);
    while (left > 0 && arenas >= 0 && arenas < max_arenas) {
        size_t in = 0, later = 0;

        arena_bytes[arenas] = 0;
        for (size_t i = 0; i < left; i++) {
            dm_place *t = order[i];
            const size_t at = lowest(t, placed, in, align);

            if (at > limit || t->bytes > limit - at) {
                order[later++] = t;
                continue;
            }
            t->arena = arenas;
            t->offset = at;
            insert(placed, in++, t);
            if (at + t->bytes > arena_bytes[arenas])
                arena_bytes[arenas] = at + t->bytes;
        }
        if (in == 0)
            break;
        left = later;
        arenas++;
    }
    free(order);
    free(placed);
    return left > 0 && arenas >= 0 ? 0 : arenas;
}
