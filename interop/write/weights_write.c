/* A run's weights as diffusers names them, in one file. */
#include "interop/write/diffusers_write.h"

#include "base/arena.h"
#include "format/safetensors.h"
#include "session/session.h"
#include "session/session_source.h"
#include "interop/write/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct piece {
    const dm_st *file;
    const dm_st_tensor *tensor;    /* NULL: zeros */
    const char *name;
    dm_shape shape;
    bool allow_nan;
} piece;

static dm_status fill(void *user, uint64_t from, void *to, size_t n, dm_err *err)
{
    const piece *p = user;
    float *v = to;
    dm_status rc;

    if (!p->tensor) {
        memset(to, 0, n);
        return DM_OK;
    }
    rc = dm_st_read_f32(p->file, p->tensor, (int64_t)(from / sizeof *v), (int64_t)(n / sizeof *v), v, err);
    for (size_t i = 0; i < n / sizeof *v && !rc && !p->allow_nan; i++)
        if (!isfinite(v[i]))
            return dm_error(err, DM_ECORRUPT,
                            "'%s': tensor '%s' has a value that is not finite; allow_nan=true takes it as it is",
                            dm_st_path(p->file), p->tensor->name);
    return rc;
}

static int by_name(const void *a, const void *b) { return strcmp(((const piece *)a)->name, ((const piece *)b)->name); }

typedef struct list {
    dm_arena *arena;
    piece *p;
    int64_t n, room;
    bool failed;                   /* memory is exhausted */
} list;

static void put(list *l, piece p)
{
    if (l->n == l->room) {
        piece *more = dm_alloc_n(l->arena, (size_t)l->room * 2 + 64, sizeof *more);

        if ((l->failed = l->failed || !more))
            return;
        if (l->n)
            memcpy(more, l->p, (size_t)l->n * sizeof *more);
        l->p = more;
        l->room = l->room * 2 + 64;
    }
    l->failed = l->failed || !p.name;
    l->p[l->n++] = p;
}

/* The same in each block, which has an embedding of its own in diffusers. */
static void put_in_blocks(list *l, piece p, int64_t blocks)
{
    const char *name = p.name;

    for (int64_t i = 0; i < blocks; i++) {
        p.name = dm_sprintf(l->arena, "transformer_blocks.%lld.norm1.emb.%s", (long long)i, name);
        put(l, p);
    }
}

static bool of_embedding(const char *name)
{
    return !strncmp(name, "timestep_embedder.", 18) || !strncmp(name, "class_embedder.", 15);
}

static void gather(list *l, const dm_session *s, const char *prefix)
{
    const dm_section *net = &s->experiment->section[DM_SEC_NETWORK];
    const int64_t blocks = dm_uses(net, "dit") ? dm_dit_blocks(net) : 0;
    const size_t skip = strlen(prefix);

    for (int64_t i = 0; i < dm_st_count(s->checkpoint); i++) {
        const dm_st_tensor *one = dm_st_at(s->checkpoint, i);
        piece p = {s->checkpoint, one, one->name + skip, one->shape, s->experiment->run.allow_nan};

        if (strncmp(one->name, prefix, skip))
            continue;
        if (!strcmp(p.name, "time_proj.weight") && dm_value_is(net, "time", "fourier"))
            p.shape.rank = 1;
        if (blocks && of_embedding(p.name))
            put_in_blocks(l, p, blocks);
        else
            put(l, p);
    }
    if (blocks && dm_dit_classless(net, &s->data))
        put_in_blocks(l, (piece){.name = "class_embedder.embedding_table.weight",
                                 .shape = {2, {2, dm_dit_width(net)}}}, blocks);
}

dm_status dm_weights_write(const dm_session *s, bool raw, const char *path, dm_err *err)
{
    const dm_pair meta = {"format", "pt"};
    list l = {.arena = dm_arena_new()};
    dm_st_source *t = NULL;
    dm_status rc = DM_OK;

    if (l.arena)
        gather(&l, s, dm_session_prefix(s->checkpoint, raw));
    if (l.arena && !l.failed)
        t = dm_alloc_n(l.arena, (size_t)l.n + 1, sizeof *t);
    if (!t)
        rc = dm_error(err, DM_ENOMEM, "out of memory for the weights");
    else if (l.n)
        qsort(l.p, (size_t)l.n, sizeof *l.p, by_name);
    for (int64_t i = 0; i < l.n && t; i++)
        t[i] = (dm_st_source){.name = l.p[i].name, .type = DM_ST_F32, .shape = l.p[i].shape, .fill = fill,
                              .user = &l.p[i]};
    if (!rc)
        rc = dm_st_write(path, t, l.n, &meta, 1, err);
    dm_arena_free(l.arena);
    return rc;
}
