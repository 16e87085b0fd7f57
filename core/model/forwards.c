/* Forward passes that are kept; see forwards.h. */
#include "model/forwards.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT = 4 };

typedef struct kept {
    int64_t n;
    dm_shape example;
    dm_forward *forward;
} kept;

/* The last used first. */
struct dm_forwards {
    dm_net *net;
    dm_wset *weights;
    kept kept[KEPT];
    int count;
    uint64_t serial;
};

dm_status dm_forwards_new(dm_net *net, dm_wset *weights, dm_forwards **out, dm_err *err)
{
    dm_forwards *f = calloc(1, sizeof *f);

    if (!f)
        return dm_error(err, DM_ENOMEM, "out of memory for forward passes");
    f->net = net;
    f->weights = weights;
    *out = f;
    return DM_OK;
}

static void drop(dm_forwards *f, int from)
{
    while (f->count > from)
        dm_forward_free(f->kept[--f->count].forward);
}

uint64_t dm_forwards_serial(dm_forwards *f) { return ++f->serial; }

void dm_forwards_free(dm_forwards *f)
{
    if (!f)
        return;
    drop(f, 0);
    free(f);
}

static bool is(const kept *k, int64_t n, const dm_shape *example)
{
    return k->n == n && k->example.rank == example->rank &&
           !memcmp(k->example.dim, example->dim, (size_t)example->rank * sizeof example->dim[0]);
}

static void to_front(dm_forwards *f, int i)
{
    const kept k = f->kept[i];

    memmove(f->kept + 1, f->kept, (size_t)i * sizeof k);
    f->kept[0] = k;
}

dm_status dm_forwards_get(dm_forwards *f, int64_t n, const dm_shape *example, double runs, dm_forward **out,
                          dm_err *err)
{
    const dm_shape shape = example ? *example : dm_net_data(f->net)->shape;
    dm_forward *made = NULL;
    dm_err why = {0};
    dm_status rc;

    for (int i = 0; i < f->count; i++)
        if (is(&f->kept[i], n, &shape)) {
            to_front(f, i);
            *out = f->kept[0].forward;
            return DM_OK;
        }
    drop(f, KEPT - 1);
    dm_net_expect(f->net, runs);
    if ((rc = dm_forward_new(f->net, f->weights, n, &shape, &made, &why)) == DM_ENOMEM && f->count) {
        drop(f, 0);
        rc = dm_forward_new(f->net, f->weights, n, &shape, &made, &why);
    }
    dm_net_expect(f->net, 0);
    if (rc)
        return dm_error(err, rc, "%s", why.msg);
    f->kept[f->count] = (kept){n, shape, made};
    to_front(f, f->count++);
    *out = made;
    return DM_OK;
}
