/* What ranks have alike; see spread.h. */
#include "train/spread.h"

#include "train/shard.h"

#include <stdlib.h>
#include <string.h>

dm_status dm_spread_unlike(dm_comm *c, const dm_device *d, bool *unlike, dm_err *err)
{
    const dm_device_info *i = dm_device_get_info(d);
    struct { char name[sizeof i->name], platform[sizeof i->platform_name], driver[sizeof i->driver]; } mine, *all;
    dm_status rc;

    *unlike = false;
    memset(&mine, 0, sizeof mine);
    snprintf(mine.name, sizeof mine.name, "%s", i->name);
    snprintf(mine.platform, sizeof mine.platform, "%s", i->platform_name);
    snprintf(mine.driver, sizeof mine.driver, "%s", i->driver);
    if (!(all = calloc((size_t)c->size, sizeof *all)))
        return dm_error(err, DM_ENOMEM, "out of memory for %d ranks", c->size);
    rc = c->calls->all_gather(c, &mine, sizeof mine, all, err);
    for (int k = 0; k < c->size && !rc; k++)
        *unlike |= memcmp(&all[k], &all[0], sizeof mine) != 0;
    free(all);
    return rc;
}

static dm_status spread(dm_comm *c, dm_buf *b, float *host, dm_err *err)
{
    const size_t bytes = dm_buf_bytes(b);
    dm_status rc = DM_OK;

    if (c->rank == 0)
        rc = dm_buf_read(b, 0, bytes, host, err);
    if (rc || (rc = c->calls->broadcast(c, host, bytes, 0, err)))
        return rc;
    return c->rank ? dm_buf_write(b, 0, bytes, host, err) : DM_OK;
}

static float *room(const dm_buf *b, dm_err *err)
{
    float *host = malloc(dm_buf_bytes(b) + 1);

    if (!host)
        dm_error(err, DM_ENOMEM, "out of memory for the weights of another rank");
    return host;
}

dm_status dm_spread_weights(dm_comm *c, dm_wset *w, dm_err *err)
{
    float *host = room(dm_wset_flat(w), err);
    dm_status rc = host ? spread(c, dm_wset_flat(w), host, err) : DM_ENOMEM;

    free(host);
    dm_wset_touch(w);
    return rc;
}

dm_status dm_spread_state(dm_comm *c, dm_train_state *s, dm_err *err)
{
    float *host;
    dm_status rc;

    if (c->size == 1)
        return DM_OK;
    if (!(host = room(dm_wset_flat(s->model), err)))
        return DM_ENOMEM;
    rc = spread(c, dm_wset_flat(s->model), host, err);
    if (!rc && s->unit)
        rc = dm_shard_deal(c, s, err);
    else if (!rc && !(rc = spread(c, s->m, host, err)))
        rc = spread(c, s->v, host, err);
    dm_wset_touch(s->model);
    for (int i = 0; i < s->n_ema && !rc; i++) {
        rc = spread(c, dm_wset_flat(s->ema[i]), host, err);
        dm_wset_touch(s->ema[i]);
    }
    free(host);
    if (!rc && s->importance) {
        const size_t n = (size_t)dm_importance_parts(s->importance) * sizeof(float);

        if (!(rc = c->calls->broadcast(c, dm_importance_losses(s->importance), n * DM_IMPORTANCE_HISTORY, 0, err)))
            rc = c->calls->broadcast(c, dm_importance_counts(s->importance), n, 0, err);
        dm_importance_update(s->importance);
    }
    return rc ? rc : c->calls->broadcast(c, &s->step, sizeof s->step, 0, err);
}

/* FNV-1a over words. */
static uint64_t hash(const float *x, int64_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (int64_t i = 0; i < n; i++) {
        uint32_t word;

        memcpy(&word, x + i, sizeof word);
        h = (h ^ word) * 0x100000001b3u;
    }
    return h;
}

static dm_status compare(dm_comm *c, const dm_layout *l, const float *x, uint64_t *theirs, dm_err *err)
{
    dm_status rc;

    if (c->rank == 0)
        for (int32_t i = 0; i < l->n; i++)
            theirs[i] = hash(x + l->offset[i], dm_layout_count(l, i));
    if ((rc = c->calls->broadcast(c, theirs, (size_t)l->n * sizeof *theirs, 0, err)))
        return rc;
    for (int32_t i = 0; i < l->n && c->rank; i++)
        if (theirs[i] != hash(x + l->offset[i], dm_layout_count(l, i)))
            return dm_error(err, DM_EDEVICE,
                            "its weights are no longer those of rank 0: tensor '%s' differs; its device or its memory "
                            "may be at fault. The last checkpoint is whole",
                            l->weights[i].key);
    return DM_OK;
}

dm_status dm_spread_check(dm_comm *c, const dm_train_state *s, dm_err *err)
{
    const dm_layout *l = s->layout;
    float *x = room(dm_wset_flat(s->model), err);
    uint64_t *theirs = calloc((size_t)l->n, sizeof *theirs);
    dm_status rc = !x        ? DM_ENOMEM
                   : !theirs ? dm_error(err, DM_ENOMEM, "out of memory for %d tensors", (int)l->n)
                             : dm_buf_read(dm_wset_flat(s->model), 0, l->total * sizeof *x, x, err);

    if (!rc)
        rc = compare(c, l, x, theirs, err);
    free(theirs);
    free(x);
    return rc;
}
