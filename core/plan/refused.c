/* What cannot run on a device; see refused.h. */
#include "plan/refused.h"

#include "base/arena.h"
#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

enum { KEY = 512 };

typedef struct entry { char key[KEY], why[768]; const dm_impl *impl; } entry;

struct dm_refused { entry *list; size_t n, cap; };

dm_refused *dm_refused_new(void) { return calloc(1, sizeof(dm_refused)); }

void dm_refused_free(dm_refused *r)
{
    if (r)
        free(r->list);
    free(r);
}

bool dm_refused_add(dm_refused *r, const dm_opnode *n, const dm_impl *impl, const char *why)
{
    entry *e;

    if (!dm_grow((void **)&r->list, r->n, &r->cap, sizeof *r->list))
        return false;
    e = &r->list[r->n++];
    dm_op_key(n, e->key, sizeof e->key);
    snprintf(e->why, sizeof e->why, "%s", why);
    e->impl = impl;
    return true;
}

bool dm_refused_has(const dm_refused *r, const dm_opnode *n, const dm_impl *impl)
{
    char key[KEY];

    if (!r || !dm_refused_known(r, impl))
        return false;
    dm_op_key(n, key, sizeof key);
    for (size_t i = 0; i < r->n; i++)
        if (dm_impl_same(r->list[i].impl, impl) && !strcmp(r->list[i].key, key))
            return true;
    return false;
}

bool dm_refused_known(const dm_refused *r, const dm_impl *impl)
{
    for (size_t i = 0; r && i < r->n; i++)
        if (dm_impl_same(r->list[i].impl, impl))
            return true;
    return false;
}

const char *dm_refused_last(const dm_refused *r, const dm_opnode *n, const char **name)
{
    char key[KEY];

    if (!r || !r->n)
        return NULL;
    dm_op_key(n, key, sizeof key);
    for (size_t i = r->n; i-- > 0;)
        if (!strcmp(r->list[i].key, key)) {
            *name = r->list[i].impl->name;
            return r->list[i].why;
        }
    return NULL;
}
