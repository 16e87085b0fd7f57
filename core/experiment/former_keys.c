/* Keys of before there were grids as what they are now: sampler.spacing, offset, at and last are a section `grid`. The
 * trees of the texts are changed before the sections are read, each group of layers for itself, so that nothing after
 * this knows of them. Here too an experiment that says nothing of its grid gets one. The only place in core that names
 * plugins. */
#include "experiment/experiment_impl.h"

#include <string.h>

enum { SPACING, OFFSET, AT, LAST, KEYS };
static const struct { const char *name, *def; } keys[KEYS] = {{"spacing", "leading"}, {"offset", "0"}, {"at", NULL},
                                                             {"last", "data"}};
static const char sampler_key[] = "sampler", grid_key[] = "grid", uniform[] = "uniform", list[] = "list";

typedef struct former { const dm_yaml_entry *said[KEYS]; } former;

/* ---- trees -------------------------------------------------------------------------- */

static void *get_memory(dm_reading *r, size_t count, size_t size)
{
    void *p = dm_alloc_n(r->arena, count, size);

    if (!p)
        r->failed = DM_ENOMEM;
    return p;
}

static const dm_yaml *make(dm_reading *r, dm_yaml_kind kind, dm_mark at, const char *text, const dm_yaml_entry *entry,
                           size_t n)
{
    dm_yaml *y = get_memory(r, 1, sizeof *y);
    dm_yaml_entry *own = n ? get_memory(r, n, sizeof *own) : NULL;

    if (!y || (n && !own))
        return NULL;
    if (n)
        memcpy(own, entry, n * sizeof *own);
    *y = (dm_yaml){.kind = kind, .at = at, .text = text, .n = n, .entry = own, .nodes = n + 1};
    return y;
}

/* The map with one entry more, or another value where the key is there. */
static const dm_yaml *with_entry(dm_reading *r, const dm_yaml *map, const char *key, dm_mark at, const dm_yaml *value)
{
    dm_yaml_entry *entry = get_memory(r, map->n + 1, sizeof *entry);
    size_t n = 0;

    if (!entry || !value)
        return map;
    for (; n < map->n && strcmp(map->entry[n].key, key); n++)
        entry[n] = map->entry[n];
    entry[n] = (dm_yaml_entry){key, n < map->n ? map->entry[n].at : at, value};
    for (n++; n < map->n; n++)
        entry[n] = map->entry[n];
    return make(r, DM_YAML_MAP, map->at, NULL, entry, n);
}

typedef struct pairs { dm_yaml_entry entry[KEYS + 1]; size_t n; dm_mark at; } pairs;

static void add_text(dm_reading *r, pairs *m, const char *key, const char *text)
{
    m->entry[m->n++] = (dm_yaml_entry){key, m->at, make(r, DM_YAML_SCALAR, m->at, text, NULL, 0)};
}

static void add_entry(pairs *m, const char *key, const dm_yaml_entry *e)
{
    m->entry[m->n++] = (dm_yaml_entry){key, e->at, e->value};
}

/* ---- what was said --------------------------------------------------------------------- */

static int find_key(const char *name)
{
    int k = 0;

    while (k < KEYS && strcmp(name, keys[k].name))
        k++;
    return k;
}

bool dm_experiment_former_key(const char *key) { return find_key(key) < KEYS; }

/* A layer's former keys out of its sampler section. */
static bool take(dm_reading *r, dm_layer *l, former *f)
{
    const dm_yaml_entry *e = dm_yaml_find(l->root, sampler_key);
    const dm_yaml *map = e && e->value->kind == DM_YAML_MAP ? e->value : NULL;
    dm_yaml_entry *rest = map ? get_memory(r, map->n, sizeof *rest) : NULL;
    size_t n = 0;

    for (size_t i = 0; rest && i < map->n; i++) {
        const int k = find_key(map->entry[i].key);

        if (k < KEYS)
            f->said[k] = &map->entry[i];
        else
            rest[n++] = map->entry[i];
    }
    if (!rest || n == map->n)
        return false;
    l->root = with_entry(r, l->root, sampler_key, e->at, make(r, DM_YAML_MAP, map->at, NULL, rest, n));
    return true;
}

static bool is_default(int key, const dm_yaml *y)
{
    return key == AT ? y->kind == DM_YAML_LIST && !y->n : y->kind == DM_YAML_SCALAR && !strcmp(y->text, keys[key].def);
}

static bool differs(const former *f, int key) { return f->said[key] && !is_default(key, f->said[key]->value); }

/* Both at once, of which one has nothing to say. */
static void refuse_both(dm_reading *r, const former *f)
{
    for (int k = 0; k < KEYS; k++)
        if (differs(f, k))
            dm_fault(r->faults, DM_EINVAL, f->said[k]->value->at,
                     "sampler.%s: the section grid places the steps; use one or the other", keys[k].name);
}

/* ---- what it is now ---------------------------------------------------------------------- */

static const dm_plugin *continuous(const dm_reading *r)
{
    const dm_plugin *p = r->e->section[DM_SEC_SCHEDULE].plugin;

    return p && !p->schedule->fill ? p : NULL;
}

/* `at`, and the first level behind it where the last step went there. */
static const dm_yaml *points(dm_reading *r, const former *f, bool first)
{
    const dm_yaml *at = f->said[AT]->value;
    const size_t n = at->kind == DM_YAML_LIST ? at->n : 1;
    dm_yaml_entry *entry = first ? get_memory(r, n + 1, sizeof *entry) : NULL;

    if (!entry)
        return at;
    if (at->kind == DM_YAML_LIST)
        memcpy(entry, at->entry, n * sizeof *entry);
    else
        entry[0] = (dm_yaml_entry){NULL, at->at, at};
    entry[n] = (dm_yaml_entry){NULL, at->at, make(r, DM_YAML_SCALAR, at->at, "0", NULL, 0)};
    return entry[n].value ? make(r, DM_YAML_LIST, at->at, NULL, entry, n + 1) : at;
}

static void as_list(dm_reading *r, const former *f, bool kept, pairs *m)
{
    const dm_yaml_entry *at = f->said[AT], *last = f->said[LAST];
    const bool first = last && last->value->kind == DM_YAML_SCALAR && !strcmp(last->value->text, "first");
    const dm_plugin *p = continuous(r);

    if (p)
        dm_fault(r->faults, DM_EINVAL, at->value->at,
                 "sampler.at: schedule %s is continuous and has no whole timesteps; give grid: {use: list, timesteps: "
                 "[...]}, each a t",
                 p->name);
    add_text(r, m, "use", list);
    m->entry[m->n++] = (dm_yaml_entry){"timesteps", at->at, points(r, f, first)};
    if (first)
        add_text(r, m, "last", "least");
    else if (last)
        add_entry(m, "last", last);
    r->steps_follow = r->steps_follow || kept;
}

/* What a continuous schedule never used is refused where it has another value than its default, but for a run that was
 * made when it was passed over. */
static void as_uniform(dm_reading *r, const former *f, bool whole, bool kept, pairs *m)
{
    const dm_plugin *p = continuous(r);

    add_text(r, m, "use", uniform);
    for (int k = SPACING; k <= OFFSET && p; k++)
        if (differs(f, k) && !kept)
            dm_fault(r->faults, DM_EINVAL, f->said[k]->value->at,
                     "sampler.%s: schedule %s is continuous; it is for the levels of a discrete one", keys[k].name,
                     p->name);
    if (!p && f->said[SPACING])
        add_entry(m, "spacing", f->said[SPACING]);
    else if (!p && whole)
        add_text(r, m, "spacing", keys[SPACING].def);
    /* Beside another spacing it was read and had no effect. */
    if (!p && f->said[OFFSET] &&
        !(kept && f->said[SPACING] && f->said[SPACING]->value->kind == DM_YAML_SCALAR &&
          strcmp(f->said[SPACING]->value->text, "leading")))
        add_entry(m, "offset", f->said[OFFSET]);
    if (f->said[LAST])
        add_entry(m, "last", f->said[LAST]);
}

static void put_grid(dm_reading *r, dm_layer *l, const pairs *m)
{
    l->root = with_entry(r, l->root, grid_key, m->at, make(r, DM_YAML_MAP, m->at, NULL, m->entry, m->n));
}

/* One group: layers from..end. so_far: what earlier groups said by these keys; over: one of them has a section grid. */
static void rewrite(dm_reading *r, size_t from, size_t end, former *so_far, bool *over)
{
    former own = {0};
    dm_layer *last = NULL;
    bool grid = false;

    for (size_t i = from; i < end; i++) {
        dm_layer *l = &r->layers.layer[i];

        grid = grid || dm_yaml_find(l->root, grid_key);
        last = take(r, l, &own) ? l : last;
    }
    if (grid) {
        refuse_both(r, &own);
        *over = true;
        *so_far = (former){0};
    } else if (last && !r->failed) {
        const bool kept = r->o->kept && !last->command_line;
        pairs m = {0};

        for (int k = 0; k < KEYS; k++) {
            so_far->said[k] = own.said[k] ? own.said[k] : so_far->said[k];
            m.at = own.said[k] && !m.at.source ? own.said[k]->at : m.at;
        }
        if (differs(so_far, AT))
            as_list(r, so_far, kept, &m);
        else
            as_uniform(r, so_far, !*over, kept, &m);
        put_grid(r, last, &m);
    }
}

/* ---- the default ------------------------------------------------------------------------------ */

/* Below all that is said: from the noisiest level to the data. In a text of before there were grids, as it was then. */
static void put_default(dm_reading *r)
{
    pairs m = {.at = r->s[DM_SEC_RUN].at};
    bool said = false;

    for (size_t i = 0; i < r->layers.n; i++) {
        const dm_yaml_entry *e = dm_yaml_find(r->layers.layer[i].root, grid_key);

        if (e && dm_yaml_find(e->value, "use"))
            return;
        said = said || e;
    }
    if (!dm_grow((void **)&r->layers.layer, r->layers.n, &r->layers.cap, sizeof *r->layers.layer)) {
        r->failed = DM_ENOMEM;
        return;
    }
    add_text(r, &m, "use", uniform);
    if (r->o->kept && !said && !continuous(r))
        add_text(r, &m, "spacing", keys[SPACING].def);
    memmove(r->layers.layer + 1, r->layers.layer, r->layers.n++ * sizeof *r->layers.layer);
    r->layers.layer[0] = (dm_layer){.root = make(r, DM_YAML_MAP, m.at, NULL, NULL, 0), .group = DM_LAYERS_BELOW};
    if (!r->failed)
        put_grid(r, &r->layers.layer[0], &m);
}

void dm_reading_former_keys(dm_reading *r)
{
    former so_far = {0};
    bool over = false;

    for (size_t from = 0, end; from < r->layers.n && !r->failed; from = end) {
        for (end = from; end < r->layers.n && r->layers.layer[end].group == r->layers.layer[from].group; end++)
            ;
        rewrite(r, from, end, &so_far, &over);
    }
    if (r->s[DM_SEC_SCHEDULE].present && !r->failed)
        put_default(r);
}
