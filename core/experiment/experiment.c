/* An experiment out of its text; see experiment.h. */
#include "experiment/experiment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "experiment/experiment_impl.h"

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory"); }

void dm_experiment_free(dm_experiment *e)
{
    if (e)
        dm_arena_free(e->arena);
}

/* "" where the current directory is gone. NULL when memory is exhausted. */
static const char *current_folder(dm_arena *a)
{
    for (size_t n = 1024; n <= 1 << 20; n *= 2) {
        char *buf = dm_alloc(a, n);

        if (!buf)
            return NULL;
        if (getcwd(buf, n))
            return *buf == '/' ? buf : "";
        if (errno != ERANGE)
            break;
    }
    return "";
}

/* path from the folder dir, or "" where it would have to start from nowhere. */
static const char *absolute(dm_arena *a, const char *dir, const char *path)
{
    while (path[0] == '.' && (path[1] == '/' || !path[1]))
        path += path[1] ? 2 : 1;
    if (*path == '/' || !*dir)
        return *path == '/' ? path : "";
    return *path ? dm_sprintf(a, "%s%s%s", dir, dir[1] ? "/" : "", path) : dir;
}

static const char *folder_of(dm_arena *a, const char *path)
{
    const char *slash = strrchr(path, '/');
    return !slash ? "." : slash == path ? "/" : dm_strndup(a, path, (size_t)(slash - path));
}

/* ---- the top level ---------------------------------------------------------------- */

/* Its folders made absolute, so that the resolved experiment means the same anywhere. */
static void resolve_plugin_path(dm_reading *r)
{
    const dm_said *said = dm_said_find(&r->s[DM_SEC_RUN], "plugin_path");
    const char *dir = said ? said->value->at.source->dir : r->e->dir, *path = r->e->run.plugin_path, *all = "";
    dm_err err;

    for (const char *p = path ? path : ""; *p;) {
        const size_t n = strcspn(p, ":");
        const char *one = dm_strndup(r->arena, p, n);

        if (one && n && (one = absolute(r->arena, dir, one)))
            all = dm_sprintf(r->arena, "%s%s%s", all, *all ? ":" : "", one);
        if (!one || !all) {
            r->failed = DM_ENOMEM;
            return;
        }
        p += n + (p[n] == ':');
    }
    r->e->run.plugin_path = all;
    if (dm_registry_add_path(r->registry, all, &err))
        dm_fault(r->faults, err.code, dm_said_mark(r, DM_SEC_RUN, "plugin_path"), "plugin_path: %s", err.msg);
}

static void resolve_output(dm_reading *r)
{
    dm_experiment *e = r->e;

    if (r->faults->count)
        return;
    if (!*e->run.output && !*r->cwd)
        dm_fault(r->faults, DM_EINVAL, r->s[DM_SEC_RUN].at,
                 "output: the current directory is not known; write an absolute path");
    else if (!*e->run.output &&
             !(e->run.output = dm_sprintf(r->arena, "%s/runs/%s", r->cwd[1] ? r->cwd : "", e->run.name)))
        r->failed = DM_ENOMEM;
    e->output = e->run.output;
}

/* ---- the whole -------------------------------------------------------------------- */

static void read_sections(dm_reading *r)
{
    for (int id = DM_SEC_RUN; id < DM_SEC_COUNT && !r->failed; id++) {
        const int before = r->faults->count;

        if (id == DM_SEC_SAMPLER)
            dm_reading_former_keys(r);
        dm_reading_collect(r, (dm_section_id)id);
        if (r->failed)
            return;
        dm_reading_resolve(r, (dm_section_id)id);
        if (id == DM_SEC_RUN)
            resolve_plugin_path(r);
        r->e->section[id].faults += r->faults->count - before;
    }
    if (!r->failed)
        dm_reading_check(r);
    if (!r->failed)
        resolve_output(r);
}

/* How faults name override i; on the arena. */
static const char *place_of(const dm_reading *r, int i)
{
    const dm_experiment_options *o = r->o;
    const char *override = o->overrides[i];

    if (i < o->opened && i >= o->opened - o->n_options)
        return dm_strndup(r->arena, override, strcspn(override, "="));
    return dm_sprintf(r->arena, "%s %d", o->override_name ? o->override_name : "command line: argument",
                      i < o->opened ? i + 1 : i - o->opened + 1);
}

static dm_status read_overrides(dm_reading *r, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int i = 0; !rc && i < r->o->n_overrides; i++) {
        const char *place = place_of(r, i);

        rc = place ? dm_layers_override(&r->layers, r->o->overrides[i], i + 1, place, r->cwd, err)
                   : dm_error(err, DM_ENOMEM, "out of memory for overrides");
    }
    return rc;
}

/* text NULL: e->file is read. */
static dm_status read_layers(dm_reading *r, const char *text, size_t n, dm_err *err)
{
    dm_origin *whole = dm_alloc(r->arena, sizeof *whole);
    dm_status rc;

    if (!whole)
        return no_memory(err);
    *whole = (dm_origin){.name = r->e->file, .dir = r->e->dir};
    for (int id = 0; id < DM_SEC_COUNT; id++)
        r->s[id].at = (dm_mark){whole, 0, 0};
    r->layers.arena = r->arena;
    r->layers.faults = r->faults;
    if (text)
        rc = dm_layers_text(&r->layers, text, n, r->e->file, r->e->dir, err);
    else
        rc = dm_layers_file(&r->layers, r->e->file, r->e->dir, err);
    return rc ? rc : read_overrides(r, err);
}

/* What the search for plugins warned of meanwhile. */
static void note_warnings(dm_reading *r, size_t before)
{
    const char *w = dm_registry_warnings(r->registry) + before;

    for (size_t n; *w; w += n + 1) {
        n = strcspn(w, "\n");
        dm_fault_note(r->faults, "%.*s", (int)n, w);
    }
}

static dm_status read_experiment(dm_reading *r, const char *text, size_t n, dm_err *err)
{
    const size_t warned = strlen(dm_registry_warnings(r->registry));
    const dm_status rc = read_layers(r, text, n, err);

    if (rc)
        return rc;
    if (!r->layers.broken)
        read_sections(r);
    note_warnings(r, warned);
    if (r->failed || r->faults->lost)
        return no_memory(err);
    return r->faults->count ? dm_error(err, r->faults->first.code, "%s", r->faults->first.msg) : DM_OK;
}

static dm_status begin(dm_reading *r, const char *name, const char *dir, dm_err *err)
{
    dm_experiment *e = r->e;

    if (!(r->cwd = current_folder(r->arena)) || !(e->file = dm_strdup(r->arena, name)) ||
        !(dir = dm_strdup(r->arena, dir)) || !(e->dir = absolute(r->arena, r->cwd, dir)))
        return no_memory(err);
    return DM_OK;
}

static dm_status read_from(const char *text, size_t n, const char *name, const char *dir,
                           const dm_experiment_options *o, dm_registry *reg, dm_experiment **out, dm_faults *faults,
                           dm_err *err)
{
    static const dm_experiment_options none = {0};
    dm_faults mine = {0};
    dm_arena *a = dm_arena_new();
    dm_experiment *e = a ? dm_alloc(a, sizeof *e) : NULL;
    dm_reading r = {.e = e, .arena = a, .faults = faults ? faults : &mine, .registry = reg, .o = o ? o : &none};
    const char *folder = e ? dir ? dir : folder_of(a, name) : NULL;
    dm_status rc;

    if (!folder) {
        dm_arena_free(a);
        return no_memory(err);
    }
    e->arena = a;
    e->plugin_log = r.o->plugin_log;
    if (!(rc = begin(&r, name, folder, err)))
        rc = read_experiment(&r, text, n, err);
    for (int id = 0; id < DM_SEC_COUNT; id++)
        free(r.s[id].said);
    dm_faults_fini(&mine);
    if (!rc || (r.o->keep && rc != DM_ENOMEM && e->run.name && !r.layers.broken))
        *out = e;
    else
        dm_experiment_free(e);
    dm_layers_fini(&r.layers);
    return rc;
}

dm_status dm_experiment_load(const char *path, const dm_experiment_options *o, dm_registry *reg, dm_experiment **out,
                             dm_faults *faults, dm_err *err)
{
    return read_from(NULL, 0, path, NULL, o, reg, out, faults, err);
}

dm_status dm_experiment_parse(const char *text, size_t n, const char *name, const char *dir,
                              const dm_experiment_options *o, dm_registry *reg, dm_experiment **out,
                              dm_faults *faults, dm_err *err)
{
    return read_from(text, n, name, dir, o, reg, out, faults, err);
}
