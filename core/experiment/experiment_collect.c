/* Layers of text into the keys that hold: a later layer's over an earlier one's, and without what only a
 * plugin took that is no longer used; see experiment_impl.h. */
#include "experiment/experiment_impl.h"

#include <string.h>


dm_kind dm_section_kind(dm_section_id id)
{
    for (int k = 0; k < DM_KIND_COUNT; k++)
        if (dm_kind_section((dm_kind)k) == id)
            return (dm_kind)k;
    return DM_KIND_COUNT;
}

const dm_said *dm_said_find(const dm_said_section *s, const char *key)
{
    for (size_t i = 0; i < s->n; i++)
        if (!strcmp(s->said[i].key, key))
            return &s->said[i];
    return NULL;
}

dm_mark dm_said_mark(const dm_reading *r, dm_section_id id, const char *key)
{
    const dm_said *said = dm_said_find(&r->s[id], key);
    return said ? said->value->at : r->s[id].at;
}

/* The section of a top-level key, or DM_SEC_COUNT. */
static dm_section_id section_of(const char *key)
{
    for (int id = DM_SEC_RUN + 1; id < DM_SEC_COUNT; id++)
        if (!strcmp(dm_settings[id].name, key))
            return (dm_section_id)id;
    return DM_SEC_COUNT;
}

static void put(dm_reading *r, dm_said_section *s, const dm_yaml_entry *e, int group)
{
    for (size_t i = 0; i < s->n; i++) {
        if (!strcmp(s->said[i].key, e->key)) {
            s->said[i] = (dm_said){e->key, e->at, e->value, group};
            return;
        }
    }
    if (!dm_grow((void **)&s->said, s->n, &s->cap, sizeof *s->said)) {
        r->failed = DM_ENOMEM;
        return;
    }
    s->said[s->n++] = (dm_said){e->key, e->at, e->value, group};
}

/* The section's map in a layer, or NULL: then nothing is said of it there. */
static const dm_yaml_entry *find_map(const dm_layer *l, dm_section_id id)
{
    const dm_yaml_entry *e = dm_yaml_find(l->root, dm_settings[id].name);

    return e && (e->value->kind == DM_YAML_MAP || dm_yaml_is_null(e->value)) ? e : NULL;
}

/* The last `use` that a group of layers has for a section. */
static const dm_yaml *find_use(dm_reading *r, dm_section_id id, int group)
{
    const dm_yaml *use = NULL;

    for (size_t i = 0; i < r->layers.n; i++) {
        const dm_layer *l = &r->layers.layer[i];
        const dm_yaml_entry *map = l->group == group ? find_map(l, id) : NULL;
        const dm_yaml_entry *e = map ? dm_yaml_find(map->value, "use") : NULL;

        if (e && e->value->kind == DM_YAML_SCALAR)
            use = e->value;
    }
    return use;
}

/* NULL where there is no such plugin, of which resolving tells; that it could not be looked for is a fault of its own,
 * since what follows from there being none would be wrong. */
static const dm_plugin *quiet_get(dm_reading *r, dm_section_id id, const dm_yaml *use)
{
    const dm_plugin *p;
    dm_err err;
    const dm_status rc = dm_registry_get(r->registry, dm_section_kind(id), use->text, &p, &err);

    if (rc == DM_ENOMEM)
        r->failed = rc;
    else if (rc == DM_EIO)
        dm_fault(r->faults, rc, use->at, "%s.use: %s", dm_settings[id].name, err.msg);
    return rc ? NULL : p;
}

/* What the row makes of a value, or of its default where y is NULL, as text; NULL where it does not take it. */
static const char *taken(dm_reading *r, const dm_plugin *p, const dm_param *row, const dm_yaml *y)
{
    const size_t n = y && y->kind == DM_YAML_LIST ? y->n : 1;
    dm_scalar *items = dm_alloc_n(r->arena, n, sizeof *items);
    void *cfg = dm_alloc(r->arena, p->cfg_size);
    dm_param_value v = {y && y->kind == DM_YAML_LIST, (int32_t)n, items};
    dm_err ignored;
    dm_status rc;

    if (!items || !cfg) {
        r->failed = DM_ENOMEM;
        return NULL;
    }
    for (size_t i = 0; y && i < n; i++) {
        const dm_yaml *item = v.list ? y->entry[i].value : y;

        if (item->kind != DM_YAML_SCALAR)
            return NULL;
        items[i] = (dm_scalar){item->text, item->quoted};
    }
    if (!y && !row->def)
        return NULL;
    rc = y ? dm_param_set(row, &v, y->at.source->dir, r->arena, cfg, NULL, &ignored)
           : dm_param_set_text(row, row->def, r->e->dir, r->arena, cfg, &ignored);
    return rc ? NULL : dm_param_print(row, cfg, r->arena);
}

/* Whether it is the default of the plugin that it was for: a run's text has every key, those that nobody said too. */
static bool nobody_said(dm_reading *r, const dm_plugin *old, const dm_said *said)
{
    const dm_param *row = r->o->kept && old ? dm_param_find(old->params, said->key) : NULL;
    const char *value = row ? taken(r, old, row, said->value) : NULL, *def = value ? taken(r, old, row, NULL) : NULL;

    return def && !strcmp(value, def);
}

/* A host's row that the plugins of the section do not all read. */
static bool host_reads(dm_section_id id, const dm_plugin *p, const char *key)
{
    return dm_param_find(dm_settings[id].rows, key) &&
           (id != DM_SEC_GUIDANCE || strcmp(key, "guide") || p->guidance->uses & DM_USES(DM_OF_GUIDE));
}

typedef enum fate { STAYS, GOES, GOES_UNSAID } fate;

/* What becomes of a key where another plugin takes the place of its own. */
static fate fate_of(dm_reading *r, dm_section_id id, const dm_plugin *old, const dm_plugin *new, const dm_said *said)
{
    const dm_param *row = dm_param_find(new->params, said->key),
                   *before = old ? dm_param_find(old->params, said->key) : NULL;

    if (dm_param_find(dm_settings[id].rows, said->key))
        return host_reads(id, new, said->key) || (old && !host_reads(id, old, said->key)) ? STAYS : GOES;
    if (!strcmp(said->key, "use") || (old && !before))
        return STAYS;
    if (nobody_said(r, old, said))
        return GOES_UNSAID;
    if (!row)
        return GOES;
    /* What neither takes is wrong, and told at its key. */
    return !before || taken(r, new, row, said->value) || !taken(r, old, before, said->value) ? STAYS : GOES;
}

/* Another plugin: what the former alone took goes, and a note says so; of what both take the new one's defaults hold
 * but where something else was said. */
static void drop_former(dm_reading *r, dm_section_id id, const dm_yaml *use)
{
    dm_said_section *s = &r->s[id];
    const dm_said *said = dm_said_find(s, "use");
    const bool changes = said && said->value->kind == DM_YAML_SCALAR && strcmp(said->value->text, use->text);
    const char *former = changes ? said->value->text : "", *place;
    const dm_plugin *old = changes ? quiet_get(r, id, said->value) : NULL,
                    *new = changes ? quiet_get(r, id, use) : NULL;
    char names[400] = "";
    size_t kept = 0;

    if (!new)
        return;
    for (size_t i = 0; i < s->n; i++) {
        const char *key = s->said[i].key;
        const size_t used = strlen(names);
        const fate f = fate_of(r, id, old, new, &s->said[i]);

        if (f == STAYS)
            s->said[kept++] = s->said[i];
        else if (f == GOES)
            snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", dm_show(key).text);
    }
    s->n = kept;
    if (*names && (place = dm_mark_text(r->arena, use->at)))
        dm_fault_note(r->faults, "%s: %s.use = %s drops %s, which only %s takes", place, dm_settings[id].name,
                      dm_show(use->text).text, names, dm_show(former).text);
}

static void collect_section(dm_reading *r, dm_section_id id, const dm_layer *l)
{
    const dm_yaml_entry *e = dm_yaml_find(l->root, dm_settings[id].name), *map = find_map(l, id);
    dm_said_section *s = &r->s[id];

    if (!e || (id == DM_SEC_GUIDANCE && dm_yaml_is_null(e->value))) /* without it is a way to be */
        return;
    if (!s->present)
        s->at = e->at;
    s->present = true;
    if (!map) {
        s->spoiled = true;
        dm_fault(r->faults, DM_EINVAL, e->value->at, "%s: must be a map%s", e->key,
                 dm_settings[id].plugin ? ", like {use: NAME}" : ", like {key: value}");
        return;
    }
    for (size_t i = 0; map->value->kind == DM_YAML_MAP && i < map->value->n; i++)
        put(r, s, &map->value->entry[i], l->group);
}

static void collect_top(dm_reading *r, const dm_layer *l)
{
    r->s[DM_SEC_RUN].present = true;
    for (size_t i = 0; i < l->root->n; i++) {
        const dm_yaml_entry *e = &l->root->entry[i];

        if (section_of(e->key) == DM_SEC_COUNT && strcmp(e->key, "include"))
            put(r, &r->s[DM_SEC_RUN], e, l->group);
    }
}

void dm_reading_collect(dm_reading *r, dm_section_id id)
{
    int group = -1;

    for (size_t i = 0; i < r->layers.n; i++) {
        const dm_layer *l = &r->layers.layer[i];
        const dm_yaml *use;

        if (id == DM_SEC_RUN) {
            collect_top(r, l);
            continue;
        }
        if (l->group != group && dm_settings[id].plugin && (use = find_use(r, id, l->group)))
            drop_former(r, id, use);
        group = l->group;
        collect_section(r, id, l);
    }
}
