/* The keys that hold, into structs: types and ranges by the rows, defaults for what is not said, names
 * of plugins into plugins; see experiment_impl.h. */
#include "experiment/experiment_impl.h"

#include <string.h>

#include "base/folder.h"
#include "text/suggest.h"

void *dm_section_settings(dm_experiment *e, dm_section_id id)
{
    switch (id) {
    case DM_SEC_RUN: return &e->run;
    case DM_SEC_DATA: return &e->data;
    case DM_SEC_CONDITION: return &e->condition;
    case DM_SEC_SCHEDULE: return &e->schedule;
    case DM_SEC_OBJECTIVE: return &e->objective;
    case DM_SEC_SAMPLER: return &e->sampler;
    case DM_SEC_GUIDANCE: return &e->guidance;
    case DM_SEC_TRAIN: return &e->train;
    default: return NULL;
    }
}

/* "section.key", or the key alone at the top level. */
static const char *full_key(dm_reading *r, dm_section_id id, const char *key)
{
    const char *section = dm_settings[id].name;
    const char *full = *section ? dm_sprintf(r->arena, "%s.%s", section, dm_show(key).text)
                                : dm_sprintf(r->arena, "%s", dm_show(key).text);

    if (!full)
        r->failed = DM_ENOMEM;
    return full ? full : "";
}

/* ---- unknown keys ---------------------------------------------------------------- */

typedef struct known { dm_nearest near; char names[400]; } known;

static void know(known *k, const char *name)
{
    const size_t used = strlen(k->names);

    dm_nearest_try(&k->near, name);
    if (used + strlen(name) + 3 < sizeof k->names)
        snprintf(k->names + used, sizeof k->names - used, "%s%s", used ? ", " : "", name);
}

/* The section whose own keys have this name, for a key that is out of place. */
static const char *owner_of(const char *key, dm_section_id not_this)
{
    for (int id = DM_SEC_RUN + 1; id < DM_SEC_COUNT; id++)
        if (id != (int)not_this && dm_param_find(dm_settings[id].rows, key))
            return dm_settings[id].name;
    return NULL;
}

static void fail_unknown(dm_reading *r, dm_section_id id, const dm_said *said)
{
    const dm_plugin *p = r->e->section[id].plugin;
    const char *key = full_key(r, id, said->key), *owner = owner_of(said->key, id);
    known k = {.names = ""};

    dm_nearest_init(&k.near, said->key);
    for (const dm_param *row = p ? p->params : NULL; row && row->type != DM_T_END; row++)
        know(&k, row->name);
    for (const dm_param *row = dm_settings[id].rows; row->type != DM_T_END; row++)
        know(&k, row->name);
    if (dm_settings[id].plugin)
        know(&k, "use");
    for (int other = DM_SEC_RUN + 1; id == DM_SEC_RUN && other < DM_SEC_COUNT; other++)
        know(&k, dm_settings[other].name);
    if (k.near.best)
        dm_fault(r->faults, DM_EINVAL, said->at, "%s: unknown key; did you mean '%s'?", key, k.near.best);
    else if (owner)
        dm_fault(r->faults, DM_EINVAL, said->at, "%s: unknown key; it belongs to section '%s'", key, owner);
    else
        dm_fault(r->faults, DM_EINVAL, said->at, "%s: unknown key%s%s; known keys: %s", key, p ? " of " : "",
                 p ? p->name : "", k.names);
}

/* ---- values ------------------------------------------------------------------------ */

/* False if y holds maps or lists where values belong; then the fault is recorded. */
static bool to_value(dm_reading *r, const char *key, const dm_yaml *y, dm_param_value *v)
{
    const size_t n = y->kind == DM_YAML_LIST ? y->n : 1;
    dm_scalar *items = dm_alloc_n(r->arena, n, sizeof *items);

    if (!items) {
        r->failed = DM_ENOMEM;
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const dm_yaml *item = y->kind == DM_YAML_LIST ? y->entry[i].value : y;

        if (item->kind != DM_YAML_SCALAR) {
            dm_fault(r->faults, DM_EINVAL, item->at, "%s: is a %s; a value is expected", key,
                     item->kind == DM_YAML_MAP ? "map" : "list");
            return false;
        }
        items[i] = (dm_scalar){item->text, item->quoted};
    }
    *v = (dm_param_value){y->kind == DM_YAML_LIST, (int32_t)n, items};
    return true;
}

static void set_value(dm_reading *r, dm_section_id id, const dm_said *said, const dm_param *row, void *cfg)
{
    const char *key = full_key(r, id, said->key), *dir = said->value->at.source->dir;
    const bool from_here = row == dm_param_find(dm_settings[DM_SEC_RUN].rows, "output");
    dm_param_value v;
    dm_err err;
    int32_t bad;
    dm_status rc;

    /* Whatever is wrong with it, later checks find something sane. */
    if (row->def && dm_param_set_text(row, row->def, r->e->dir, r->arena, cfg, &err) == DM_ENOMEM)
        r->failed = DM_ENOMEM;
    if (!to_value(r, key, said->value, &v))
        return;
    if (!(rc = dm_param_set(row, &v, from_here ? r->cwd : dir, r->arena, cfg, &bad, &err)))
        return;
    if (rc == DM_ENOMEM)
        r->failed = rc;
    dm_fault(r->faults, rc, bad < 0 ? said->value->at : said->value->entry[bad].value->at, "%s: %s", key, err.msg);
}

/* The default, or, in a text of before there was this parameter, what stands for what the plugin did then. */
static const char *default_of(const dm_reading *r, dm_section_id id, const dm_param *row)
{
    const dm_plugin *p = r->e->section[id].plugin;
    const bool old = r->o->kept && p && !r->e->section[id].use_at.source->argument;

    for (const dm_earlier *e = old ? p->earlier : NULL; e && e->name; e++)
        if (dm_param_find(p->params, row->name) == row && !strcmp(e->name, row->name))
            return e->value;
    return row->def;
}

static void set_default(dm_reading *r, dm_section_id id, const dm_param *row, void *cfg)
{
    const dm_plugin *p = r->e->section[id].plugin;
    const char *text = default_of(r, id, row);
    dm_err err;
    dm_status rc;

    if (!row->def) {
        dm_fault(r->faults, DM_EINVAL, r->s[id].at, "%s: is missing; %s requires it (%s)", full_key(r, id, row->name),
                 p ? p->name : "demist", row->doc);
        return;
    }
    if ((rc = dm_param_set_text(row, text, r->e->dir, r->arena, cfg, &err))) {
        if (rc == DM_ENOMEM)
            r->failed = rc;
        dm_fault(r->faults, rc, r->s[id].at, "%s: default: %s", full_key(r, id, row->name), err.msg);
    }
}

/* Every row of a table gets its value; the section's marks from `first` on say where it came from. */
static void set_rows(dm_reading *r, dm_section_id id, const dm_param *rows, void *cfg, int32_t first)
{
    dm_section *s = &r->e->section[id];

    for (const dm_param *row = rows; row && row->type != DM_T_END; row++, first++) {
        const dm_said *said = dm_said_find(&r->s[id], row->name);
        const char *place = said ? dm_mark_text(r->arena, said->value->at) : "default";

        if (said)
            set_value(r, id, said, row, cfg);
        else
            set_default(r, id, row, cfg);
        s->from[first] = place ? place : "";
        s->marks[first] = said ? said->value->at : r->s[id].at;
    }
}

/* ---- sections ------------------------------------------------------------------------ */

/* The data's files must be there, unless nobody will read them. */
static void look_for_files(dm_reading *r, const dm_section *s)
{
    for (const dm_param *row = s->plugin->params; row && row->type != DM_T_END; row++) {
        dm_path_kind kind;
        const char *path;
        dm_err why;

        if (row->type != DM_T_PATH)
            continue;
        path = *(const char *const *)(const void *)((const char *)s->cfg + row->offset);
        if (!path || !*path)
            continue;
        if (dm_path_look(path, &kind, &why))
            dm_fault(r->faults, why.code, dm_said_mark(r, DM_SEC_DATA, row->name), "%s: %s",
                     full_key(r, DM_SEC_DATA, row->name), why.msg);
        else if (kind == DM_PATH_NOTHING)
            dm_fault(r->faults, DM_EINVAL, dm_said_mark(r, DM_SEC_DATA, row->name), "%s: there is no '%s'",
                     full_key(r, DM_SEC_DATA, row->name), path);
    }
}

static void find_plugin(dm_reading *r, dm_section_id id, dm_section *s)
{
    const dm_said *use = dm_said_find(&r->s[id], "use");
    const char *key = full_key(r, id, "use");
    dm_err err;
    dm_status rc;

    if (!use && r->s[id].spoiled)
        return;
    if (!use && id == DM_SEC_DATA && r->o->lenient_data) {
        dm_fault(r->faults, DM_EINVAL, r->s[id].at,
                 "%s: is missing: this model has no data section whose other keys could be changed",
                 key);
        return;
    }
    if (!use) {
        dm_fault(r->faults, DM_EINVAL, r->s[id].at, "%s: is missing; it names the %s", key,
                 dm_kind_name(dm_section_kind(id)));
        return;
    }
    if (use->value->kind != DM_YAML_SCALAR || dm_yaml_is_null(use->value)) {
        dm_fault(r->faults, DM_EINVAL, use->value->at, "%s: must be a plugin's name", key);
        return;
    }
    s->use_at = use->value->at;
    rc = dm_registry_get(r->registry, dm_section_kind(id), use->value->text, &s->plugin, &err);
    if (rc == DM_ENOMEM)
        r->failed = rc;
    else if (rc && rc != DM_EIO && id == DM_SEC_DATA && r->o->lenient_data)
        dm_fault_note(r->faults, "the data set's plugin is not used: %s", err.msg);
    else if (rc)
        dm_fault(r->faults, rc == DM_ENOENT ? DM_EINVAL : rc, use->value->at, "%s: %s", key, err.msg);
}

/* Keys that neither the host nor the plugin takes. Without the plugin nobody can tell. */
static void refuse_unknown(dm_reading *r, dm_section_id id)
{
    const dm_plugin *p = r->e->section[id].plugin;

    if (dm_settings[id].plugin && !p)
        return;
    for (size_t i = 0; i < r->s[id].n; i++) {
        const char *key = r->s[id].said[i].key;

        if (!(dm_settings[id].plugin && !strcmp(key, "use")) && !dm_param_find(dm_settings[id].rows, key) &&
            !(p && dm_param_find(p->params, key)))
            fail_unknown(r, id, &r->s[id].said[i]);
    }
}

void dm_reading_resolve(dm_reading *r, dm_section_id id)
{
    const dm_settings_table *t = &dm_settings[id];
    dm_section *s = &r->e->section[id];
    int32_t host = dm_param_count(t->rows), own;

    s->present = r->s[id].present;
    s->at = s->use_at = r->s[id].at;
    if (t->plugin && s->present)
        find_plugin(r, id, s);
    own = s->plugin ? dm_param_count(s->plugin->params) : 0;
    s->from = dm_alloc_n(r->arena, (size_t)(host + own), sizeof *s->from);
    s->marks = dm_alloc_n(r->arena, (size_t)(host + own), sizeof *s->marks);
    if (s->plugin && s->plugin->cfg_size)
        s->cfg = dm_alloc(r->arena, s->plugin->cfg_size);
    if (!s->marks || !s->from || (s->plugin && s->plugin->cfg_size && !s->cfg)) {
        r->failed = DM_ENOMEM;
        return;
    }
    set_rows(r, id, t->rows, dm_section_settings(r->e, id), 0);
    if (s->plugin && s->cfg)
        set_rows(r, id, s->plugin->params, s->cfg, host);
    refuse_unknown(r, id);
    if (id == DM_SEC_DATA && s->plugin && s->cfg && !r->o->lenient_data)
        look_for_files(r, s);
}
