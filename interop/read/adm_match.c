/* Which tensor of improved-diffusion or guided-diffusion is which of the unet network; see adm.h. */
#include "interop/read/adm.h"

#include "text/suggest.h"

#include <string.h>

enum { MOST_NEAR = 4096 };         /* names that the nearest is looked for among */

typedef struct list {
    dm_arena *arena;
    dm_adm_tensor *t;
    int64_t n, room;
    bool failed;                   /* memory is exhausted */
} list;

static void put(list *l, const char *ours, const char *theirs, const char *end, dm_shape shape, dm_shape from, int part,
                bool loose)
{
    if (l->n == l->room) {
        dm_adm_tensor *more = dm_alloc_n(l->arena, (size_t)l->room * 2 + 64, sizeof *more);

        if ((l->failed = l->failed || !more))
            return;
        if (l->n)
            memcpy(more, l->t, (size_t)l->n * sizeof *more);
        l->t = more;
        l->room = l->room * 2 + 64;
    }
    l->t[l->n] = (dm_adm_tensor){dm_sprintf(l->arena, "%s.%s", ours, end), dm_sprintf(l->arena, "%s.%s", theirs, end),
                                 shape, from, part, loose, NULL};
    l->failed = l->failed || !l->t[l->n].ours || !l->t[l->n].theirs;
    l->n += !l->failed;
}

/* A weight and a bias; the bias is as long as the weight's first extent. */
static void pair(list *l, const char *ours, const char *theirs, dm_shape shape)
{
    const dm_shape bias = {1, {shape.dim[0]}};

    put(l, ours, theirs, "weight", shape, shape, -1, false);
    put(l, ours, theirs, "bias", bias, bias, -1, false);
}

typedef struct place { list *l; char ours[96], theirs[96]; } place;

static void below(const place *p, const char *ours, const char *theirs, dm_shape shape)
{
    char a[160], b[160];

    snprintf(a, sizeof a, "%s.%s", p->ours, ours);
    snprintf(b, sizeof b, "%s.%s", p->theirs, theirs);
    pair(p->l, a, b, shape);
}

static dm_shape norm(int64_t c) { return (dm_shape){1, {c}}; }
static dm_shape conv(int64_t to, int64_t from, int64_t side) { return (dm_shape){4, {to, from, side, side}}; }
static dm_shape linear(int64_t to, int64_t from) { return (dm_shape){2, {to, from}}; }

static void resnet(const dm_adm *a, const place *p, int64_t from, int64_t to)
{
    below(p, "norm1", "in_layers.0", norm(from));
    below(p, "conv1", "in_layers.2", conv(to, from, 3));
    below(p, "time_emb_proj", "emb_layers.1", linear(a->scale_shift ? 2 * to : to, a->wide));
    below(p, "norm2", "out_layers.0", norm(to));
    below(p, "conv2", "out_layers.3", conv(to, to, 3));
    if (from != to)
        below(p, "conv_shortcut", "skip_connection", conv(to, from, 1));
}

/* A pair whose weight is a convolution over one dimension in their file. */
static void flat(const place *p, const char *ours, const char *theirs, int64_t c, int64_t rows, int part)
{
    char a[160], b[160];

    snprintf(a, sizeof a, "%s.%s", p->ours, ours);
    snprintf(b, sizeof b, "%s.%s", p->theirs, theirs);
    put(p->l, a, b, "weight", linear(c, c), linear(rows, c), part, true);
    put(p->l, a, b, "bias", norm(c), norm(rows), part, false);
}

static void attention(const place *p, int64_t c)
{
    static const char *const names[] = {"to_q", "to_k", "to_v"};

    below(p, "group_norm", "norm", norm(c));
    for (int i = 0; i < 3; i++)
        flat(p, names[i], "qkv", c, 3 * c, i);
    flat(p, "to_out.0", "proj_out", c, c, -1);
}

/* fmt gives both names, ours first, with a blank between. */
DM_PRINTF(2, 3) static place at(list *l, const char *fmt, ...)
{
    place p = {.l = l};
    char both[160];
    size_t n;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(both, sizeof both, fmt, ap);
    va_end(ap);
    n = strcspn(both, " ");
    snprintf(p.ours, sizeof p.ours, "%.*s", (int)n, both);
    snprintf(p.theirs, sizeof p.theirs, "%s", both + n + (both[n] == ' '));
    return p;
}

static void way_down(list *l, const dm_adm *a, int64_t *skip, int *n)
{
    int64_t c = a->level[0];
    int block = 1;

    skip[(*n)++] = c;
    for (int v = 0; v < a->n; v++) {
        for (int i = 0; i < a->layers; i++, block++) {
            const place r = at(l, "down_blocks.%d.resnets.%d input_blocks.%d.0", v, i, block);
            const place t = at(l, "down_blocks.%d.attentions.%d input_blocks.%d.1", v, i, block);

            resnet(a, &r, c, a->level[v]);
            c = skip[(*n)++] = a->level[v];
            if (a->attend[v])
                attention(&t, c);
        }
        if (v + 1 < a->n) {
            const place d = at(l, "down_blocks.%d.downsamplers.0 input_blocks.%d.0", v, block++);

            if (a->down_resnet[v])
                resnet(a, &d, c, c);
            else
                below(&d, "conv", "op", conv(c, c, 3));
            skip[(*n)++] = c;
        }
    }
}

static void way_up(list *l, const dm_adm *a, const int64_t *skip, int n)
{
    int64_t c = a->level[a->n - 1];
    int block = 0;

    for (int u = 0; u < a->n; u++) {
        const int v = a->n - 1 - u;

        for (int i = 0; i <= a->layers; i++, block++) {
            const place r = at(l, "up_blocks.%d.resnets.%d output_blocks.%d.0", u, i, block);
            const place t = at(l, "up_blocks.%d.attentions.%d output_blocks.%d.1", u, i, block);

            resnet(a, &r, c + skip[--n], a->level[v]);
            c = a->level[v];
            if (a->attend_up[v])
                attention(&t, c);
        }
        if (v > 0) {
            const place d =
                at(l, "up_blocks.%d.upsamplers.0 output_blocks.%d.%d", u, block - 1, a->attend_up[v] ? 2 : 1);

            if (a->up_resnet[v])
                resnet(a, &d, c, c);
            else
                below(&d, "conv", "conv", conv(c, c, 3));
        }
    }
}

static void expect(list *l, const dm_adm *a)
{
    const int64_t last = a->level[a->n - 1];
    const place first = at(l, "mid_block.resnets.0 middle_block.0"), second = at(l, "mid_block.resnets.1 "
                                                                                    "middle_block.2");
    const place mid = at(l, "mid_block.attentions.0 middle_block.1");
    int64_t skip[DM_ADM_LEVELS * 17];
    int n = 0;

    pair(l, "time_embedding.linear_1", "time_embed.0", linear(a->wide, a->time_in));
    pair(l, "time_embedding.linear_2", "time_embed.2", linear(a->wide, a->wide));
    if (a->classes)
        put(l, "class_embedding", "label_emb", "weight", linear(a->classes, a->wide), linear(a->classes, a->wide), -1,
            false);
    pair(l, "conv_in", "input_blocks.0.0", conv(a->level[0], a->channels, 3));
    way_down(l, a, skip, &n);
    resnet(a, &first, last, last);
    attention(&mid, last);
    resnet(a, &second, last, last);
    way_up(l, a, skip, n);
    pair(l, "conv_norm_out", "out.0", norm(a->level[0]));
    pair(l, "conv_out", "out.2", conv(a->outputs, a->level[0], 3));
}

/* ---- against the file ------------------------------------------------------------------------ */

typedef struct telling {
    void (*line)(void *user, const char *text);
    void *user;
    const char *path;
    int bad;
} telling;

DM_PRINTF(2, 3) static void tell(telling *t, const char *fmt, ...)
{
    char text[1200];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    t->bad++;
    t->line(t->user, text);
}

static bool fits(const dm_st_tensor *t, const dm_adm_tensor *want)
{
    if (t->shape.rank < want->from.rank || (t->shape.rank > want->from.rank && !want->loose))
        return false;
    for (int32_t i = 0; i < t->shape.rank; i++)
        if (t->shape.dim[i] != (i < want->from.rank ? want->from.dim[i] : 1))
            return false;
    return true;
}

static const char *shape_text(const dm_shape *s, char to[160])
{
    size_t at = 0;

    to[0] = '\0';
    for (int32_t i = 0; i < s->rank && at < 140; i++)
        at += (size_t)snprintf(to + at, 160 - at, "%s%lld", i ? ", " : "", (long long)s->dim[i]);
    return to;
}

/* The file's tensors that no part of the network is. */
typedef struct rest { const char **name; int64_t n; } rest;

static bool find_tensors(const dm_st *f, dm_arena *arena, dm_adm_tensor *t, int64_t n, rest *out)
{
    const int64_t all = dm_st_count(f);
    bool *taken = dm_alloc_n(arena, (size_t)all + 1, sizeof *taken);

    out->name = dm_alloc_n(arena, (size_t)all + 1, sizeof *out->name);
    out->n = 0;
    if (!taken || !out->name)
        return false;
    memset(taken, 0, (size_t)all * sizeof *taken);
    for (int64_t i = 0; i < n; i++)
        if ((t[i].tensor = dm_st_find(f, t[i].theirs)))
            taken[t[i].tensor - dm_st_at(f, 0)] = true;
    for (int64_t i = 0; i < all; i++)
        if (!taken[i])
            out->name[out->n++] = dm_st_at(f, i)->name;
    return true;
}

static const char *nearest(const rest *r, const char *name)
{
    dm_nearest near;

    dm_nearest_init(&near, name);
    for (int64_t i = 0; i < r->n && i < MOST_NEAR; i++)
        dm_nearest_try(&near, r->name[i]);
    return near.best;
}

static void compare(const dm_adm_tensor *t, int64_t n, const rest *r, telling *say)
{
    char is[160], must[160];

    for (int64_t i = 0; i < n; i++) {
        const dm_adm_tensor *const one = &t[i];
        const char *near = one->tensor ? NULL : nearest(r, one->theirs);

        if (one->part > 0) /* told with the first part */
            continue;
        if (!one->tensor)
            tell(say, "'%s' has no tensor '%s'%s%s%s", say->path, one->theirs, near ? "; it has '" : "",
                 near ? near : "", near ? "'" : "");
        else if (!fits(one->tensor, one))
            tell(say, "'%s': tensor '%s' is [%s]; [%s] is needed", say->path, one->theirs,
                 shape_text(&one->tensor->shape, is), shape_text(&one->from, must));
    }
    for (int64_t i = 0; i < r->n; i++)
        tell(say, "'%s': this network has no tensor '%s'", say->path, r->name[i]);
}

dm_status dm_adm_match(const dm_st *f, const dm_adm *a, dm_arena *arena, dm_adm_tensor **out, int64_t *n,
                       void (*line)(void *user, const char *text), void *user, dm_err *err)
{
    list l = {.arena = arena};
    telling say = {.line = line, .user = user, .path = dm_st_path(f)};
    rest left;

    expect(&l, a);
    if (l.failed || !find_tensors(f, arena, l.t, l.n, &left))
        return dm_error(err, DM_ENOMEM, "out of memory for the tensors of '%s'", say.path);
    compare(l.t, l.n, &left, &say);
    *out = l.t;
    *n = l.n;
    return !say.bad
               ? DM_OK
               : dm_error(err, DM_ECORRUPT, "'%s' does not fit the network that its blocks describe, in %d tensors",
                          say.path, say.bad);
}
