/* Checkpoints of a training run; see checkpoint.h. */
#include "model/checkpoint.h"

#include "text/number.h"
#include "text/suggest.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes into a flat array, which is on the host where ranks have parts of it. */
typedef struct piece { dm_buf *flat; const float *host; size_t offset; } piece;

static dm_status fill(void *user, uint64_t from, void *to, size_t n, dm_err *err)
{
    const piece *p = user;
    const size_t at = p->offset + (size_t)from;

    if (p->flat)
        return dm_buf_read(p->flat, at, n, to, err);
    memcpy(to, (const char *)p->host + at, n);
    return DM_OK;
}

typedef struct group { char prefix[16]; dm_buf *flat; float *const *host; } group;

/* The arrays of a state under their prefixes. */
static int groups_of(const dm_train_state *s, group *g)
{
    int n = 0;

    snprintf(g[n].prefix, sizeof g[n].prefix, "model.");
    g[n++].flat = dm_wset_flat(s->model);
    for (int i = 0; i < s->n_ema; i++) {
        snprintf(g[n].prefix, sizeof g[n].prefix, "ema.%d.", i);
        g[n++].flat = dm_wset_flat(s->ema[i]);
    }
    g[n++] = (group){"adam.m.", s->unit ? NULL : s->m, &s->whole[0]};
    g[n++] = (group){"adam.v.", s->unit ? NULL : s->v, &s->whole[1]};
    return n;
}

#define LOSSES "draw.losses"
#define COUNTS "draw.counts"
enum { MAX_GROUPS = DM_MAX_EMA + 3, MAX_META = 24 };
static const int64_t max_step = (int64_t)1 << 53; /* as train.steps allows */

static dm_status describe(const dm_train_state *s, dm_arena *arena, dm_st_source **out, int64_t *n, dm_err *err)
{
    const dm_layout *l = s->layout;
    group g[MAX_GROUPS];
    const int n_groups = groups_of(s, g);
    dm_st_source *t = dm_alloc_n(arena, (size_t)l->n * (size_t)n_groups + 2, sizeof *t);
    piece *p = dm_alloc_n(arena, (size_t)l->n * (size_t)n_groups, sizeof *p);

    *n = 0;
    for (int k = 0; k < n_groups && t && p; k++)
        for (int32_t i = 0; i < l->n; i++, ++*n) {
            p[*n] = (piece){g[k].flat, g[k].flat ? NULL : *g[k].host, l->offset[i] * sizeof(float)};
            t[*n] = (dm_st_source){.name = dm_sprintf(arena, "%s%s", g[k].prefix, l->weights[i].key), .type = DM_ST_F32,
                                   .shape = l->weights[i].shape, .fill = fill, .user = &p[*n]};
            if (!t[*n].name)
                return dm_error(err, DM_ENOMEM, "out of memory for a checkpoint");
        }
    if (s->importance && t && p) {
        const int64_t parts = dm_importance_parts(s->importance);

        t[(*n)++] = (dm_st_source){.name = LOSSES, .type = DM_ST_F32, .shape = {2, {parts, DM_IMPORTANCE_HISTORY}},
                                   .data = dm_importance_losses(s->importance)};
        t[(*n)++] = (dm_st_source){.name = COUNTS, .type = DM_ST_F32, .shape = {1, {parts}},
                                   .data = dm_importance_counts(s->importance)};
    }
    *out = t;
    return t && p ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for a checkpoint");
}

dm_status dm_checkpoint_save(const dm_folder *in, const char *name, const dm_train_state *s, const dm_st_pair *meta,
                             int n_meta, dm_err *err)
{
    dm_arena *arena = dm_arena_new();
    dm_st_pair pairs[MAX_META];
    char step[32], rate[DM_NUMBER_TEXT], rates[DM_MAX_EMA * (DM_NUMBER_TEXT + 1)] = "";
    dm_st_source *t = NULL;
    int64_t n = 0;
    int k = 0;
    dm_status rc;

    if (!arena)
        return dm_error(err, DM_ENOMEM, "out of memory for a checkpoint");
    snprintf(step, sizeof step, "%lld", (long long)s->step);
    for (int i = 0; i < s->n_ema; i++)
        snprintf(rates + strlen(rates), sizeof rates - strlen(rates), "%s%s", i ? "," : "",
                 dm_number_write(s->ema_rate[i], rate));
    pairs[k++] = (dm_st_pair){"format", "demist checkpoint 1"};
    pairs[k++] = (dm_st_pair){"version", DEMIST_VERSION};
    pairs[k++] = (dm_st_pair){DM_ST_CHECKSUM, ""};
    pairs[k++] = (dm_st_pair){"step", step};
    pairs[k++] = (dm_st_pair){"ema", rates};
    for (int i = 0; i < n_meta && k < MAX_META; i++)
        pairs[k++] = meta[i];
    if (!(rc = describe(s, arena, &t, &n, err)))
        rc = dm_st_write_in(in, name, t, n, pairs, k, err);
    dm_arena_free(arena);
    return rc;
}

enum { LISTED = 20, IN_MESSAGE = 4 }; /* misfits that are listed line by line, and in the message itself */

typedef struct comparing {
    const dm_st *f;
    const dm_layout *l;
    void (*line)(void *user, const char *text);
    void *user;
    int64_t bad;
    char first[600];               /* the first of them */
} comparing;

DM_PRINTF(2, 3) static void tell(comparing *c, const char *fmt, ...)
{
    char text[1200];
    const size_t used = strlen(c->first);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (c->line)
        c->line(c->user, text);
    if (c->bad < IN_MESSAGE)
        snprintf(c->first + used, sizeof c->first - used, "; %s", text);
}

/* The nearest of the file's names that the network does not have. */
static const char *nearest_in_file(const comparing *c, const char *key)
{
    dm_nearest near;

    dm_nearest_init(&near, key);
    for (int64_t i = 0; i < dm_st_count(c->f); i++)
        if (dm_layout_find(c->l, dm_st_at(c->f, i)->name) < 0)
            dm_nearest_try(&near, dm_st_at(c->f, i)->name);
    return near.best;
}

/* The nearest of the network's names that the file does not have. */
static const char *nearest_in_network(const comparing *c, const char *name)
{
    dm_nearest near;

    dm_nearest_init(&near, name);
    for (int32_t i = 0; i < c->l->n; i++)
        if (!dm_st_find(c->f, c->l->weights[i].key))
            dm_nearest_try(&near, c->l->weights[i].key);
    return near.best;
}

/* A weight of the network that the file does not have as it is. */
static void compare_weight(comparing *c, const char *prefix, const dm_weight *w)
{
    const char *near = NULL;
    const dm_st_tensor *t;
    dm_err why = {0};
    char key[512];

    snprintf(key, sizeof key, "%s%s", prefix, w->key);
    if (!dm_st_expect(c->f, key, &w->shape, &t, &why))
        return;
    if (c->bad < LISTED) {
        if (!*prefix && !dm_st_find(c->f, key))
            near = nearest_in_file(c, key);
        tell(c, "%s%s%s%s", why.msg, near ? "; it has '" : "", near ? near : "", near ? "'" : "");
    }
    c->bad++;
}

/* A tensor of the file that the network does not know. */
static void compare_tensor(comparing *c, const char *name)
{
    const char *near;

    if (dm_layout_find(c->l, name) >= 0)
        return;
    if (c->bad < LISTED) {
        near = nearest_in_network(c, name);
        tell(c, "'%s': this network has no tensor '%s'%s%s%s", dm_st_path(c->f), name, near ? "; it lacks '" : "",
             near ? near : "", near ? "'" : "");
    }
    c->bad++;
}

dm_status dm_checkpoint_compare(const dm_st *f, const char *prefix, const dm_layout *l,
                                void (*line)(void *user, const char *text), void *user, dm_err *err)
{
    comparing c = {.f = f, .l = l, .line = line, .user = user};
    char more[64];

    for (int32_t i = 0; i < l->n; i++)
        compare_weight(&c, prefix, &l->weights[i]);
    for (int64_t i = 0; !*prefix && i < dm_st_count(f); i++)
        compare_tensor(&c, dm_st_at(f, i)->name);
    if (!c.bad)
        return DM_OK;
    snprintf(more, sizeof more, "and %lld more", (long long)(c.bad - LISTED));
    if (line && c.bad > LISTED)
        line(user, more);
    return dm_error(err, DM_ECORRUPT, "'%s' does not fit this network of %d tensors in %lld%s%s", dm_st_path(f),
                    (int)l->n, (long long)c.bad, c.first, c.bad > IN_MESSAGE ? "; ..." : "");
}

/* To flat, or where that is NULL as *kept. */
static dm_status load(const dm_st *f, const char *prefix, const dm_layout *l, bool allow_nan, dm_buf *flat,
                      float **kept, dm_err *err)
{
    float *host;
    dm_status rc;

    if ((rc = dm_checkpoint_compare(f, prefix, l, NULL, NULL, err)))
        return rc;
    if (!(host = calloc(l->total ? l->total : 1, sizeof *host)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld weights", (long long)l->parameters);
    for (int32_t i = 0; i < l->n && !rc; i++) {
        const int64_t n = dm_layout_count(l, i);
        char key[512];

        snprintf(key, sizeof key, "%s%s", prefix, l->weights[i].key);
        rc = dm_st_read_f32(f, dm_st_find(f, key), 0, n, host + l->offset[i], err);
        for (int64_t k = 0; k < n && !rc && !allow_nan; k++)
            if (!isfinite(host[l->offset[i] + (size_t)k]))
                rc = dm_error(err, DM_ECORRUPT,
                              "'%s': tensor '%s' has a value that is not finite; allow_nan=true takes it as it is",
                              dm_st_path(f), key);
    }
    if (!rc && !flat) {
        *kept = host;
        return DM_OK;
    }
    if (!rc && l->total)
        rc = dm_buf_write(flat, 0, l->total * sizeof *host, host, err);
    free(host);
    return rc;
}

dm_status dm_checkpoint_load_weights(const dm_st *f, const char *prefix, bool allow_nan, dm_wset *to, dm_err *err)
{
    dm_wset_touch(to);
    return load(f, prefix, dm_wset_layout(to), allow_nan, dm_wset_flat(to), NULL, err);
}

bool dm_checkpoint_has(const dm_st *f, const char *prefix)
{
    for (int64_t i = 0; i < dm_st_count(f); i++)
        if (!strncmp(dm_st_at(f, i)->name, prefix, strlen(prefix)))
            return true;
    return false;
}

static dm_status load_importance(const dm_st *f, dm_importance *m, dm_err *err)
{
    const int64_t parts = dm_importance_parts(m), H = DM_IMPORTANCE_HISTORY;
    float *losses = dm_importance_losses(m), *counts = dm_importance_counts(m);
    const dm_st_tensor *l, *c;
    bool sound = true;
    dm_status rc;

    if ((rc = dm_st_expect(f, LOSSES, &(dm_shape){2, {parts, H}}, &l, err)) ||
        (rc = dm_st_expect(f, COUNTS, &(dm_shape){1, {parts}}, &c, err)) ||
        (rc = dm_st_read_f32(f, l, 0, parts * H, losses, err)) || (rc = dm_st_read_f32(f, c, 0, parts, counts, err)))
        return rc;
    for (int64_t i = 0; i < parts; i++)
        sound = sound && counts[i] >= 0 && counts[i] <= (float)H && counts[i] == floorf(counts[i]);
    for (int64_t i = 0; i < parts * H; i++)
        sound = sound && isfinite(losses[i]);
    if (!sound)
        return dm_error(err, DM_ECORRUPT, "'%s': " LOSSES " and " COUNTS " hold numbers that cannot be", dm_st_path(f));
    dm_importance_update(m);
    return DM_OK;
}

dm_status dm_checkpoint_load(const dm_st *f, dm_train_state *s, dm_err *err)
{
    const char *text = dm_st_meta(f, "step");
    group g[MAX_GROUPS];
    const int n = groups_of(s, g);
    char *end;
    dm_status rc;

    errno = 0;
    s->step = text ? strtoll(text, &end, 10) : -1;
    if (!text || errno || *end || end == text || s->step < 0 || s->step > max_step)
        return dm_error(err, DM_ECORRUPT, "'%s' is not a checkpoint of a training run: it has no step", dm_st_path(f));
    for (int i = 0; i < n; i++)
        if ((rc = load(f, g[i].prefix, s->layout, false, g[i].flat, &s->whole[i == n - 1], err)))
            return rc;
    if (s->importance && (rc = load_importance(f, s->importance, err)))
        return rc;
    dm_wset_touch(s->model);
    for (int i = 0; i < s->n_ema; i++)
        dm_wset_touch(s->ema[i]);
    return DM_OK;
}
