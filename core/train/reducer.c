/* Sums over ranks; see reducer.h. */
#include "train/reducer.h"

#include "base/clock.h"
#include "train/micro_sums.h"
#include "train/sum_bf16.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BUCKET = 1 << 20 }; /* floats */

struct dm_reducer {
    dm_reducer_setup s;
    size_t floats;                 /* of a micro-batch: gradients, then numbers */
    float *numbers;
    float *last;                   /* f32[floats] of the last micro-batch, then the sums; NULL: no run is watched */
    dm_micro_spare spare;          /* what may be last, or of a micro-batch */
    dm_sum_bf16 *bf16;             /* NULL: f32 is sent */

    int buckets;
    int32_t *order;                /* of sums, the same on every rank */
    int32_t *after, *nth;          /* in this rank's order: the node that completes a bucket, and which bucket it is */
    dm_plan_watch watch;
    dm_fetch *reading;           /* of each bucket */

    dm_micro_row mine, *all;       /* with fixed: this rank's; each rank's, without sums */
    int64_t next;                  /* the number in the batch of the micro-batch that is added next */
    int64_t first;                 /* of this rank's first */
    int most;                      /* sums that a rank sends */
    float *sent, *got;             /* f32[most,BUCKET], f32[ranks,most,BUCKET] */
};

/* ---- making one ------------------------------------------------------------------------------ */

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
            dm_micro_push(&r->all[k], (dm_micro_sum){at + i, 0, NULL}, 0, 0, NULL);
        at += n;
        r->most = r->all[k].n > r->most ? r->all[k].n : r->most;
    }
    return DM_OK;
}

/* The gradients' bucket k is complete: it is read in its place among the device's commands. */
static dm_status reached(void *user, int i, dm_err *err);

static dm_status no_memory(dm_err *err)
{
    return dm_error(err, DM_ENOMEM, "out of memory for the sum of gradients over ranks");
}

dm_status dm_reducer_new(const dm_reducer_setup *s, dm_reducer **out, dm_err *err)
{
    dm_reducer *r = calloc(1, sizeof *r);
    size_t n;
    dm_status rc = DM_OK;

    if (!r)
        return no_memory(err);
    r->s = *s;
    r->floats = s->count + s->numbers;
    r->buckets = (int)((s->count + BUCKET - 1) / BUCKET);
    n = (size_t)r->buckets + 1;
    r->numbers = calloc(s->numbers + 1, sizeof *r->numbers);
    r->order = calloc(n, sizeof *r->order);
    r->after = calloc(n, sizeof *r->after);
    r->nth = calloc(n, sizeof *r->nth);
    r->reading = calloc(n, sizeof *r->reading);
    if (!r->numbers || !r->order || !r->after || !r->nth || !r->reading)
        rc = no_memory(err);
    r->watch = (dm_plan_watch){r->after, r->buckets, reached, r};
    if (!rc && s->fixed && !(rc = make_rows(r, err))) {
        const size_t bytes = (size_t)r->most * BUCKET * sizeof *r->sent;

        r->next = r->first;
        r->sent = malloc(bytes);
        r->got = malloc(bytes * (size_t)s->comm->size);
        if (!r->sent || !r->got)
            rc = no_memory(err);
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
    if (r->reading)
        dm_reducer_drop(r);
    for (int i = 0; i < r->spare.n; i++)
        free(r->spare.x[i]);
    dm_sum_bf16_free(r->bf16);
    free(r->order);
    free(r->after);
    free(r->nth);
    free(r->reading);
    free(r->all);
    free(r->sent);
    free(r->got);
    free(r->numbers);
    free(r);
}

bool dm_reducer_fixed(const dm_reducer *r) { return r->s.fixed; }
float *dm_reducer_numbers(dm_reducer *r) { return r->numbers; }

/* nth by after; those of one node from the end, as the backward pass goes. */
static void sort(dm_reducer *r)
{
    for (int i = 0; i < r->buckets; i++) {
        const int32_t bucket = r->buckets - 1 - i, node = r->order[bucket];
        int at = i;

        for (; at && r->after[at - 1] > node; at--) {
            r->after[at] = r->after[at - 1];
            r->nth[at] = r->nth[at - 1];
        }
        r->after[at] = node;
        r->nth[at] = bucket;
    }
}

dm_status dm_reducer_follow(dm_reducer *r, const dm_plan *p, dm_err *err)
{
    const size_t bytes = (size_t)r->buckets * sizeof *r->order;

    dm_plan_last_writes(p, BUCKET, r->order, (size_t)r->buckets);
    sort(r);
    /* Unlike devices may have other plans: rank 0's order is that of all. */
    memcpy(r->order, r->nth, bytes);
    return r->s.comm->calls->broadcast(r->s.comm, r->order, bytes, 0, err);
}

/* ---- a step ---------------------------------------------------------------------------------- */

static size_t floats_of(const dm_reducer *r, int bucket)
{
    const size_t left = r->s.count - (size_t)bucket * BUCKET;

    return left < BUCKET ? left : BUCKET;
}

static float *take(dm_reducer *r, dm_err *err)
{
    float *x = r->spare.n ? r->spare.x[--r->spare.n] : malloc(r->floats * sizeof *x);

    if (!x)
        dm_error(err, DM_ENOMEM, "out of memory for the gradient of a micro-batch");
    return x;
}

void dm_reducer_drop(dm_reducer *r)
{
    dm_err ignored = {0};

    for (int k = 0; k < r->buckets; k++)
        dm_fetch_wait(&r->reading[k], &ignored);
    while (r->mine.n)
        r->spare.x[r->spare.n++] = r->mine.sum[--r->mine.n].x;
    if (r->last)
        r->spare.x[r->spare.n++] = r->last;
    r->last = NULL;
    r->next = r->first;
}

dm_status dm_reducer_add(dm_reducer *r, dm_err *err)
{
    float *x = take(r, err);
    dm_status rc;

    if (!x)
        return DM_ENOMEM;
    if ((rc = dm_buf_read(r->s.grads, 0, r->s.count * sizeof *x, x, err))) {
        r->spare.x[r->spare.n++] = x;
        return rc;
    }
    memcpy(x + r->s.count, r->numbers, r->s.numbers * sizeof *x);
    dm_micro_push(&r->mine, (dm_micro_sum){r->next++, 0, x}, 0, r->floats, &r->spare);
    return DM_OK;
}

dm_status dm_reducer_watch(dm_reducer *r, const dm_plan_watch **out, dm_err *err)
{
    *out = &r->watch;
    return (r->last = take(r, err)) ? DM_OK : DM_ENOMEM;
}

static dm_status reached(void *user, int i, dm_err *err)
{
    dm_reducer *r = user;
    const int k = r->nth[i];
    const size_t at = (size_t)k * BUCKET;

    return dm_buf_fetch(r->s.grads, at * sizeof *r->last, floats_of(r, k) * sizeof *r->last, r->last + at,
                             &r->reading[k], err);
}

/* Of the ranks' sums in r->got, n floats of each: the rest of the tree. */
static const float *sum_rows(dm_reducer *r, size_t n)
{
    dm_micro_row total = {.n = 0};

    for (int k = 0; k < r->s.comm->size; k++)
        for (int i = 0; i < r->all[k].n; i++) {
            const dm_micro_sum *of = &r->all[k].sum[i];

            dm_micro_push(&total, (dm_micro_sum){of->index, of->level, r->got + (size_t)(k * r->most + i) * n}, 0, n,
                          NULL);
        }
    return dm_micro_total(&total, n);
}

/* Numbers [at, at + n) of the last micro-batch become the sums of all; ranks take turns with the work. */
static dm_status sum_fixed(dm_reducer *r, size_t at, size_t n, int root, dm_err *err)
{
    dm_comm *c = r->s.comm;
    dm_micro_row row = r->mine;
    dm_status rc;

    dm_micro_push(&row, (dm_micro_sum){r->next, 0, r->last}, at, n, NULL);
    for (int i = 0; i < row.n; i++)
        memcpy(r->sent + (size_t)i * n, row.sum[i].x + at, n * sizeof *r->sent);
    if ((rc = c->calls->gather(c, r->sent, (size_t)r->most * n * sizeof *r->sent, r->got, root, err)))
        return rc;
    if (c->rank == root)
        memcpy(r->last + at, sum_rows(r, n), n * sizeof *r->last);
    return c->calls->broadcast(c, r->last + at, n * sizeof *r->last, root, err);
}

static dm_status sum(dm_reducer *r, int k, dm_err *err)
{
    dm_comm *c = r->s.comm;
    const size_t at = (size_t)k * BUCKET, n = floats_of(r, k);

    return r->s.fixed ? sum_fixed(r, at, n, k % c->size, err)
           : r->bf16  ? dm_sum_bf16_run(r->bf16, r->last + at, n, err)
                      : c->calls->all_reduce(c, r->last + at, n, err);
}

static bool device_works(const dm_reducer *r)
{
    return r->buckets && !dm_fetch_over(&r->reading[r->nth[r->buckets - 1]]);
}

/* Not by the driver's own waiting: Intel's CPU runtime takes the thread that waits into its work, and lets it go only
 * when all that was enqueued is done. */
static dm_status await(dm_reducer *r, int k, dm_err *err)
{
    while (!dm_fetch_over(&r->reading[k]))
        nanosleep(&(struct timespec){0, 50000}, NULL);
    return dm_fetch_wait(&r->reading[k], err);
}

/* What was summed while the device was at work is written when it is not: a write waits in the same queue, and few can
 * wait at once. */
static dm_status write_back(const dm_reducer *r, int *written, int summed, dm_err *err)
{
    dm_status rc = DM_OK;

    for (; *written < summed && !rc; ++*written) {
        const int k = r->order[*written];
        const size_t at = (size_t)k * BUCKET;

        rc = dm_buf_write(r->s.grads, at * sizeof *r->last, floats_of(r, k) * sizeof *r->last, r->last + at, err);
    }
    return rc;
}

dm_status dm_reducer_run(dm_reducer *r, dm_reduce_time *spent, dm_err *err)
{
    int written = 0;
    bool works = true;
    dm_status rc = DM_OK;

    *spent = (dm_reduce_time){0, 0};
    for (int i = 0; i < r->buckets && !rc; i++) {
        double began, took;

        if ((rc = await(r, r->order[i], err)))
            return rc;
        began = dm_seconds();
        if ((rc = sum(r, r->order[i], err)))
            return rc;
        took = dm_seconds() - began;
        spent->sum += took;
        if ((works = works && device_works(r)))
            spent->hidden += took;
        else
            rc = write_back(r, &written, i + 1, err);
    }
    return rc ? rc : write_back(r, &written, r->buckets, err);
}

dm_status dm_reducer_run_numbers(dm_reducer *r, dm_err *err)
{
    const size_t count = r->s.count, n = r->s.numbers;
    dm_comm *c = r->s.comm;
    dm_status rc = DM_OK;

    if (!r->s.fixed) {
        rc = c->calls->all_reduce(c, r->numbers, n, err);
    } else {
        memcpy(r->last + count, r->numbers, n * sizeof *r->numbers);
        for (size_t at = 0; at < n && !rc; at += BUCKET)
            rc = sum_fixed(r, count + at, n - at < BUCKET ? n - at : BUCKET, 0, err);
        memcpy(r->numbers, r->last + count, n * sizeof *r->numbers);
    }
    dm_reducer_drop(r);
    return rc;
}
