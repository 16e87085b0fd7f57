/* Parts of the optimizer's state; see shard.h. */
#include "train/shard.h"

#include "comm/share.h"

#include <stdlib.h>
#include <string.h>

/* Parts are of whole units, and what is exchanged has room for the last one. */
static size_t units(const dm_train_state *s) { return (s->layout->trained + s->unit - 1) / s->unit; }

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

void dm_shard_take(const dm_comm *c, dm_train_state *s)
{
    const size_t trained = s->layout->trained;
    dm_share mine;

    s->unit = s->layout->step;
    mine = dm_share_of((int64_t)units(s), 0, c->rank, c->size);
    s->first = least((size_t)mine.first * s->unit, trained);
    s->own = least((size_t)(mine.first + mine.n) * s->unit, trained) - s->first;
}

/* Room for all trained floats, or DM_ENOMEM on every rank. */
static dm_status room(dm_comm *c, const dm_train_state *s, float **x, dm_err *err)
{
    *x = calloc(units(s) * s->unit + 1, sizeof **x);
    return dm_comm_agree(c, *x ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the parts of other ranks"), NULL,
                         err);
}

static dm_status exchange(dm_comm *c, const dm_train_state *s, float *x, dm_err *err)
{
    return dm_share_collect(c, x, s->unit * sizeof *x, (int64_t)units(s), err);
}

dm_status dm_shard_gather(dm_comm *c, const dm_train_state *s, dm_wset *w, dm_err *err)
{
    const size_t end = s->first + s->own, size = sizeof(float);
    dm_buf *flat = dm_wset_flat(w);
    float *x;
    dm_status rc = room(c, s, &x, err);

    if (!rc && !(rc = dm_buf_read(flat, s->first * size, s->own * size, x + s->first, err)) &&
        !(rc = exchange(c, s, x, err)) && !(rc = dm_buf_write(flat, 0, s->first * size, x, err)))
        rc = dm_buf_write(flat, end * size, (s->layout->trained - end) * size, x + end, err);
    free(x);
    dm_wset_touch(w);
    return rc;
}

/* The parts of b, as *whole on rank 0. */
static dm_status collect(dm_comm *c, const dm_train_state *s, dm_buf *b, float **whole, dm_err *err)
{
    float *x;
    dm_status rc = room(c, s, &x, err);

    if (!rc && !(rc = dm_buf_read(b, 0, s->own * sizeof *x, x + s->first, err)))
        rc = exchange(c, s, x, err);
    if (!rc && c->rank == 0)
        *whole = x;
    else
        free(x);
    return rc;
}

dm_status dm_shard_collect(dm_comm *c, dm_train_state *s, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int i = 0; i < s->n_ema && !rc; i++)
        rc = dm_shard_gather(c, s, s->ema[i], err);
    if (!rc && !(rc = collect(c, s, s->m, &s->whole[0], err)))
        rc = collect(c, s, s->v, &s->whole[1], err);
    return rc;
}

static dm_status deal(dm_comm *c, const dm_train_state *s, float *whole, dm_buf *b, dm_err *err)
{
    float *x = whole;
    dm_status rc = c->rank ? DM_OK : dm_comm_agree(c, DM_OK, NULL, err);

    if (c->rank)
        rc = room(c, s, &x, err);
    if (!rc && !(rc = c->calls->broadcast(c, x, s->layout->trained * sizeof *x, 0, err)))
        rc = dm_buf_write(b, 0, s->own * sizeof *x, x + s->first, err);
    if (c->rank)
        free(x);
    return rc;
}

dm_status dm_shard_deal(dm_comm *c, dm_train_state *s, dm_err *err)
{
    uint32_t there = s->whole[0] != NULL;
    dm_status rc = c->calls->broadcast(c, &there, sizeof there, 0, err);

    if (!rc && there && !(rc = deal(c, s, s->whole[0], s->m, err)))
        rc = deal(c, s, s->whole[1], s->v, err);
    dm_shard_forget(s);
    return rc;
}

void dm_shard_forget(dm_train_state *s)
{
    for (int i = 0; i < 2; i++) {
        free(s->whole[i]);
        s->whole[i] = NULL;
    }
}
