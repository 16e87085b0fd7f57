/* Weights on a device; see weights.h. */
#include "plan/weights.h"

#include "base/philox.h"

#include <stdlib.h>
#include <string.h>

#define MOST (SIZE_MAX / 64)       /* values of all weights */

typedef struct packed { int32_t weight; char key[64]; dm_buf *buf; } packed;

struct dm_wset {
    dm_device *device;
    const dm_layout *layout;
    dm_buf *flat, **window;
    packed *packed;
    size_t n_packed, cap_packed;
    dm_cmds *refresh;
    bool stale;
};

/* Where `room` floats lie that come after `at`: not on both sides of an end of an allocation, if one has room. */
static size_t place(const dm_layout *l, size_t at, size_t room)
{
    const size_t left = l->each - at % l->each;

    return room > left && room <= l->each ? at + left : at;
}

dm_status dm_layout_new(const dm_graph_core *g, size_t align, uint64_t most, dm_layout **out, dm_err *err)
{
    dm_arena *arena = dm_arena_new();
    const size_t step = align / sizeof(float) ? align / sizeof(float) : 1;
    dm_layout *l = arena ? dm_alloc(arena, sizeof *l) : NULL;
    dm_weight *w = l ? dm_alloc_n(arena, g->n_weights, sizeof *w) : NULL;
    size_t all = 0, *offset = w ? dm_alloc_n(arena, g->n_weights, sizeof *offset) : NULL;

    if (!offset)
        goto no_memory;
    *l = (dm_layout){.n = (int32_t)g->n_weights, .weights = w, .offset = offset, .step = step, .arena = arena};
    l->each = (size_t)(most / sizeof(float)) < MOST ? (size_t)(most / sizeof(float)) / step * step : MOST / step * step;
    l->each = l->each ? l->each : step;
    for (size_t i = 0; i < g->n_weights; i++) {
        size_t count = 1;

        w[i] = g->weights[i];
        if (!(w[i].key = dm_strdup(arena, w[i].key)) || !dm_names_add(&l->names, w[i].key, (int32_t)i))
            goto no_memory;
        for (int32_t k = 0; k < w[i].shape.rank; k++) {
            if (count > MOST / (size_t)w[i].shape.dim[k])
                goto no_memory;
            count *= (size_t)w[i].shape.dim[k];
        }
        if (count > MOST - all)
            goto no_memory;
        all += count + step;
        l->parameters += (int64_t)count;
        offset[i] = (count + step - 1) / step * step;
    }
    for (int trained = 1; trained >= 0; trained--) {
        for (size_t i = 0; i < g->n_weights; i++)
            if (w[i].trained == trained) {
                const size_t room = offset[i];

                offset[i] = place(l, l->total, room);
                l->total = offset[i] + room;
            }
        l->trained = trained ? l->total : l->trained;
    }
    *out = l;
    return DM_OK;
no_memory:
    if (l)
        dm_names_free(&l->names);
    dm_arena_free(arena);
    return dm_error(err, DM_ENOMEM, "out of memory for %zu weights", g->n_weights);
}

void dm_layout_free(dm_layout *l)
{
    if (!l)
        return;
    dm_names_free(&l->names);
    dm_arena_free(l->arena);
}

int32_t dm_layout_find(const dm_layout *l, const char *key) { return dm_names_find(&l->names, key); }

int64_t dm_layout_count(const dm_layout *l, int32_t i)
{
    int64_t n = 1;

    for (int32_t k = 0; k < l->weights[i].shape.rank; k++)
        n *= l->weights[i].shape.dim[k];
    return n;
}

void dm_layout_init_values(const dm_layout *l, uint64_t seed, float *host)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};

    memset(host, 0, l->total * sizeof *host);
    for (int32_t i = 0; i < l->n; i++) {
        const dm_weight *w = &l->weights[i];
        const uint64_t h = dm_name_hash(w->key);
        float *v = host + l->offset[i];

        for (int64_t k = 0, n = dm_layout_count(l, i); k < n; k++) {
            const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_INIT << 24, (uint32_t)h, (uint32_t)(h >> 32),
                                     (uint32_t)(k / 4)};
            uint32_t x[4];

            if (w->init == DM_INIT_CONSTANT) {
                v[k] = (float)w->initial;
                continue;
            }
            dm_philox(key, ctr, x);
            for (int j = 0; j < 4 && k + j < n; j++)
                v[k + j] = (float)((2 * dm_uniform(x[j]) - 1) * w->initial);
            k += 3;
        }
    }
}

/* Each weight in one allocation, as is its gradient and what the optimizer keeps of it. */
static dm_status fits(const dm_device *d, const dm_layout *l, dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(d);

    for (int32_t i = 0; i < l->n; i++) {
        const size_t bytes = (size_t)dm_layout_count(l, i) * sizeof(float);

        if (bytes > l->each * sizeof(float) && bytes <= about->max_alloc)
            return dm_error(err, DM_ENOMEM, "weight '%s' takes %zu bytes (%.2f GiB) in one buffer, and another rank's "
                            "device gives at most %zu (%.2f GiB): use a smaller network or other devices",
                            l->weights[i].key, bytes, (double)bytes / (1 << 30), l->each * sizeof(float),
                            (double)(l->each * sizeof(float)) / (1 << 30));
        if (bytes > l->each * sizeof(float))
            return dm_error(err, DM_ENOMEM, "weight '%s' takes %zu bytes (%.2f GiB) in one buffer, and device '%d:%d "
                            "%s' gives at most %llu (%.2f GiB): use a smaller network or another device",
                            l->weights[i].key, bytes, (double)bytes / (1 << 30), about->platform, about->device,
                            about->name, (unsigned long long)about->max_alloc, (double)about->max_alloc / (1 << 30));
    }
    return DM_OK;
}

dm_status dm_layout_buf(dm_device *d, const dm_layout *l, const char *what, dm_buf **out, dm_err *err)
{
    return dm_buf_new_split(d, l->total ? l->total * sizeof(float) : sizeof(float), l->each * sizeof(float), what, out,
                            err);
}

dm_status dm_wset_new(dm_device *d, const dm_layout *l, dm_wset **out, dm_err *err)
{
    dm_wset *s = calloc(1, sizeof *s);
    dm_status rc;

    if (!s || !(s->window = calloc((size_t)l->n + 1, sizeof(dm_buf *)))) {
        free(s);
        return dm_error(err, DM_ENOMEM, "out of memory for weights");
    }
    s->device = d;
    s->layout = l;
    s->stale = true;
    if ((rc = fits(d, l, err)) ||
        (rc = dm_layout_buf(d, l, "weights", &s->flat, err)) ||
        (rc = dm_cmds_new(d, &s->refresh, err)) || (rc = dm_buf_zero(s->flat, 0, dm_buf_bytes(s->flat), err)))
        goto failed;
    for (int32_t i = 0; i < l->n; i++)
        if ((rc = dm_buf_window(s->flat, l->offset[i] * sizeof(float), (size_t)dm_layout_count(l, i) * sizeof(float),
                                &s->window[i], err)))
            goto failed;
    *out = s;
    return DM_OK;
failed:
    dm_wset_free(s);
    return rc;
}

void dm_wset_free(dm_wset *s)
{
    if (!s)
        return;
    dm_cmds_free(s->refresh);
    for (size_t i = 0; i < s->n_packed; i++)
        dm_buf_free(s->packed[i].buf);
    for (int32_t i = 0; i < s->layout->n; i++)
        dm_buf_free(s->window[i]);
    dm_buf_free(s->flat);
    free(s->window);
    free(s->packed);
    free(s);
}

dm_buf *dm_wset_flat(const dm_wset *s) { return s->flat; }
dm_buf *dm_wset_weight(const dm_wset *s, int32_t i) { return s->window[i]; }
const dm_layout *dm_wset_layout(const dm_wset *s) { return s->layout; }

dm_status dm_wset_packed(dm_wset *s, int32_t i, const char *key, size_t bytes, dm_buf **out, dm_cmds **refresh,
                          dm_err *err)
{
    packed *f;
    dm_status rc;

    for (size_t k = 0; k < s->n_packed; k++)
        if (s->packed[k].weight == i && dm_buf_bytes(s->packed[k].buf) == bytes && !strcmp(s->packed[k].key, key)) {
            *out = s->packed[k].buf;
            *refresh = NULL;
            return DM_OK;
        }
    if (!dm_grow((void **)&s->packed, s->n_packed, &s->cap_packed, sizeof *s->packed))
        return dm_error(err, DM_ENOMEM, "out of memory for packed weights of '%s'", s->layout->weights[i].key);
    f = &s->packed[s->n_packed];
    f->weight = i;
    snprintf(f->key, sizeof f->key, "%s", key);
    if ((rc = dm_buf_new(s->device, bytes, "packed weights", &f->buf, err)))
        return rc;
    s->n_packed++;
    s->stale = true;
    *out = f->buf;
    *refresh = s->refresh;
    return DM_OK;
}

dm_wset_mark dm_wset_here(const dm_wset *s)
{
    return (dm_wset_mark){s->n_packed, dm_cmds_count(s->refresh)};
}

void dm_wset_back(dm_wset *s, dm_wset_mark to)
{
    dm_cmds_shorten(s->refresh, to.refresh);
    while (s->n_packed > to.packed)
        dm_buf_free(s->packed[--s->n_packed].buf);
}

void dm_wset_touch(dm_wset *s) { s->stale = true; }

dm_status dm_wset_refresh(dm_wset *s, dm_err *err)
{
    const dm_status rc = s->stale ? dm_cmds_run(s->refresh, err) : DM_OK;

    s->stale = s->stale && rc;
    return rc;
}

size_t dm_wset_packed_bytes(const dm_wset *s)
{
    size_t n = 0;

    for (size_t i = 0; i < s->n_packed; i++)
        n += dm_buf_bytes(s->packed[i].buf);
    return n;
}
