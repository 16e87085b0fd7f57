/* Sums over ranks; see reducer.h. */
#include "train/reducer.h"

#include "train/sum_bf16.h"

#include <stdlib.h>
#include <string.h>

enum { BUCKET = 1 << 20, DEPTH = 64 }; /* floats; no tree is as deep */

/* Of the tree over micro-batches: the sum of those from index << level on, 1 << level of them. */
typedef struct node { int64_t index; int level; float *x; } node;

/* Neighbours that are not siblings, from left to right. */
typedef struct row { node node[DEPTH]; int n; } row;

struct dm_reducer {
    dm_reducer_setup s;
    size_t floats;                 /* of a node: gradients, then numbers */
    float *bucket, *numbers;
    dm_sum_bf16 *bf16;             /* NULL: f32 is sent */
    row mine, *all;                /* with fixed: this rank's; each rank's, without sums */
    int64_t next;                  /* the number in the batch of the micro-batch that is added next */
    int64_t first;                 /* of this rank's first */
    int most;                      /* nodes of a rank */
    float *spare[DEPTH + 1];
    int n_spare;
    float *sent, *got;             /* f32[most,BUCKET], f32[ranks,most,BUCKET] */
};

static void add(float *to, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] += x[i];
}

/* Puts one at the end; siblings become their parent. spare gets what is no longer used; sums may be NULL. */
static void push(row *r, node next, size_t floats, float **spare, int *n_spare)
{
    while (r->n && next.index % 2 && r->node[r->n - 1].level == next.level) {
        node *left = &r->node[--r->n];

        if (next.x) {
            add(left->x, next.x, floats);
            if (spare)
                spare[(*n_spare)++] = next.x;
        }
        next = (node){next.index / 2, next.level + 1, left->x};
    }
    r->node[r->n++] = next;
}

/* The rows of all ranks, as they are once every rank has added its micro-batches. */
static dm_status make_rows(dm_reducer *r, dm_err *err)
{
    const int size = r->s.comm->size;
    int64_t at = 0;

    if (!(r->all = calloc((size_t)size, sizeof *r->all)))
        return dm_error(err, DM_ENOMEM, "out of memory for the sums of %d ranks", size);
    for (int k = 0; k < size; k++) {
        const int64_t n = r->s.micros(r->s.user, k);

        if (k == r->s.comm->rank)
            r->first = at;
        for (int64_t i = 0; i < n; i++)
            push(&r->all[k], (node){at + i, 0, NULL}, 0, NULL, NULL);
        at += n;
        r->most = r->all[k].n > r->most ? r->all[k].n : r->most;
    }
    return DM_OK;
}

dm_status dm_reducer_new(const dm_reducer_setup *s, dm_reducer **out, dm_err *err)
{
    dm_reducer *r = calloc(1, sizeof *r);
    dm_status rc = DM_OK;

    if (r) {
        r->s = *s;
        r->floats = s->count + s->numbers;
        r->bucket = malloc(BUCKET * sizeof *r->bucket);
        r->numbers = calloc(s->numbers + 1, sizeof *r->numbers);
    }
    if (!r || !r->bucket || !r->numbers)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the sum of gradients over ranks");
    if (!rc && s->fixed && !(rc = make_rows(r, err))) {
        const size_t bytes = (size_t)r->most * BUCKET * sizeof *r->sent;

        r->next = r->first;
        r->sent = malloc(bytes);
        r->got = malloc(bytes * (size_t)s->comm->size);
        if (!r->sent || !r->got)
            rc = dm_error(err, DM_ENOMEM, "out of memory for the sum of gradients over ranks");
    }
    if (!rc && s->bf16)
        rc = dm_sum_bf16_new(s->comm, BUCKET, &r->bf16, err);
    if (rc)
        dm_reducer_free(r);
    else
        *out = r;
    return rc;
}

void dm_reducer_free(dm_reducer *r)
{
    if (!r)
        return;
    dm_reducer_drop(r);
    for (int i = 0; i < r->n_spare; i++)
        free(r->spare[i]);
    dm_sum_bf16_free(r->bf16);
    free(r->all);
    free(r->sent);
    free(r->got);
    free(r->bucket);
    free(r->numbers);
    free(r);
}

bool dm_reducer_fixed(const dm_reducer *r) { return r->s.fixed; }
float *dm_reducer_numbers(dm_reducer *r) { return r->numbers; }

void dm_reducer_drop(dm_reducer *r)
{
    while (r->mine.n)
        r->spare[r->n_spare++] = r->mine.node[--r->mine.n].x;
    r->next = r->first;
}

dm_status dm_reducer_add(dm_reducer *r, dm_err *err)
{
    float *x = r->n_spare ? r->spare[--r->n_spare] : malloc(r->floats * sizeof *x);
    dm_status rc;

    if (!x)
        return dm_error(err, DM_ENOMEM, "out of memory for the gradient of a micro-batch");
    if ((rc = dm_buf_read(r->s.grads, 0, r->s.count * sizeof *x, x, err))) {
        r->spare[r->n_spare++] = x;
        return rc;
    }
    memcpy(x + r->s.count, r->numbers, r->s.numbers * sizeof *x);
    push(&r->mine, (node){r->next++, 0, x}, r->floats, r->spare, &r->n_spare);
    return DM_OK;
}

/* Of the ranks' nodes in r->got, n floats of each: the rest of the tree. What has no sibling is added from the right.
 */
static const float *sum_nodes(dm_reducer *r, size_t n)
{
    row total = {.n = 0};

    for (int k = 0; k < r->s.comm->size; k++)
        for (int i = 0; i < r->all[k].n; i++) {
            const node *of = &r->all[k].node[i];

            push(&total, (node){of->index, of->level, r->got + (size_t)(k * r->most + i) * n}, n, NULL, NULL);
        }
    while (total.n > 1) {
        total.n--;
        add(total.node[total.n - 1].x, total.node[total.n].x, n);
    }
    return total.node[0].x;
}

/* Floats [at, at + n) of the sum, to where they belong. */
static dm_status put(dm_reducer *r, size_t at, size_t n, dm_err *err)
{
    const size_t count = r->s.count, grads = at >= count ? 0 : at + n > count ? count - at : n;

    if (grads < n)
        memcpy(r->numbers + (at + grads - count), r->bucket + grads, (n - grads) * sizeof *r->bucket);
    return grads ? dm_buf_write(r->s.grads, at * sizeof *r->bucket, grads * sizeof *r->bucket, r->bucket, err) : DM_OK;
}

static dm_status run_fixed(dm_reducer *r, dm_err *err)
{
    dm_comm *c = r->s.comm;
    int root = 0;
    dm_status rc = DM_OK;

    for (size_t at = 0, n; at < r->floats && !rc; at += n, root = (root + 1) % c->size) {
        n = r->floats - at < BUCKET ? r->floats - at : BUCKET;
        for (int i = 0; i < r->mine.n; i++)
            memcpy(r->sent + (size_t)i * n, r->mine.node[i].x + at, n * sizeof *r->sent);
        if ((rc = c->calls->gather(c, r->sent, (size_t)r->most * n * sizeof *r->sent, r->got, root, err)))
            return rc;
        if (c->rank == root)
            memcpy(r->bucket, sum_nodes(r, n), n * sizeof *r->bucket);
        if (!(rc = c->calls->broadcast(c, r->bucket, n * sizeof *r->bucket, root, err)))
            rc = put(r, at, n, err);
    }
    dm_reducer_drop(r);
    return rc;
}

static dm_status sum(dm_reducer *r, size_t n, dm_err *err)
{
    dm_comm *c = r->s.comm;

    return r->bf16 ? dm_sum_bf16_run(r->bf16, r->bucket, n, err) : c->calls->all_reduce(c, r->bucket, n, err);
}

dm_status dm_reducer_run(dm_reducer *r, dm_err *err)
{
    dm_comm *c = r->s.comm;
    dm_status rc = DM_OK;

    if (r->s.fixed)
        return run_fixed(r, err);
    for (size_t at = 0, n; at < r->s.count && !rc; at += n) {
        n = r->s.count - at < BUCKET ? r->s.count - at : BUCKET;
        if (!(rc = dm_buf_read(r->s.grads, at * sizeof *r->bucket, n * sizeof *r->bucket, r->bucket, err)) &&
            !(rc = sum(r, n, err)))
            rc = put(r, at, n, err);
    }
    return rc ? rc : c->calls->all_reduce(c, r->numbers, r->s.numbers, err);
}
