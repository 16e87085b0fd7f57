/* Finds plugins by kind and name along the search path; see registry.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "plugin/registry.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "base/folder.h"
#include "settings/faults.h"
#include "settings/param.h"
#include "plugin/plugin_file.h"
#include "plugin/plugin_path.h"
#include "text/suggest.h"

/* An opened file, also if it was refused. */
typedef struct loaded {
    struct loaded *next;
    const char *file;
    void *handle;
    const dm_plugin *plugin;       /* NULL: refused */
    dm_kind kind;
    dm_err refusal;
} loaded;

struct dm_registry {
    dm_arena *arena;
    dm_plugin_path path;
    loaded *files;
    dm_found *list;
    size_t n_list, cap_list;
    dm_faults notes;               /* only its notes are used */
};

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory"); }

dm_status dm_registry_new(const char *path, dm_registry **out, dm_err *err)
{
    dm_registry *r = calloc(1, sizeof *r);
    dm_status rc;

    if (!r || !(r->arena = dm_arena_new())) {
        free(r);
        return no_memory(err);
    }
    r->path = (dm_plugin_path){.arena = r->arena, .notes = &r->notes};
    if ((rc = dm_plugin_path_insert(&r->path, 0, path, "plugin_path", err)) ||
        (rc = dm_plugin_path_append_defaults(&r->path, err))) {
        dm_registry_free(r);
        return rc;
    }
    *out = r;
    return DM_OK;
}

dm_status dm_registry_add_path(dm_registry *r, const char *path, dm_err *err)
{
    return dm_plugin_path_insert(&r->path, 0, path, "plugin_path", err);
}

void dm_registry_free(dm_registry *r)
{
    if (!r)
        return;
    for (const loaded *l = r->files; l; l = l->next)
        if (l->plugin)
            dlclose(l->handle);
    free(r->list);
    dm_faults_fini(&r->notes);
    dm_arena_free(r->arena);
    free(r);
}

const char *dm_registry_warnings(const dm_registry *r) { return r->notes.notes ? r->notes.notes : ""; }

const dm_plugin_folder *dm_registry_folders(const dm_registry *r, int *n)
{
    *n = r->path.n;
    return r->path.folders;
}

/* ---- files ---------------------------------------------------------------------- */

/* Refuses what anyone may write, and warns once of what a group may. */
static dm_status check_writers(dm_registry *r, const char *folder, dm_err *err)
{
    char warning[PATH_MAX + 64];
    dm_writers w;
    const dm_status rc = dm_writers_of(folder, &w, err);

    if (rc)
        return rc;
    if (w == DM_WRITERS_ANYONE)
        return dm_error(err, DM_EABI, "its folder '%s' is writable by anyone; chmod o-w", folder);
    snprintf(warning, sizeof warning, "plugin folder '%s' is writable by its group", folder);
    if (w == DM_WRITERS_GROUP && !strstr(dm_registry_warnings(r), warning))
        dm_fault_note(&r->notes, "%s", warning);
    return DM_OK;
}

static dm_status open_checked(dm_registry *r, const char *root, loaded *l, dm_err *err)
{
    const char *slash = strrchr(l->file, '/');
    char *folder = dm_strndup(r->arena, l->file, slash == l->file ? 1 : (size_t)(slash - l->file));
    dm_writers w;
    dm_status rc;

    if (!folder)
        return no_memory(err);
    if ((root && (rc = check_writers(r, root, err))) || (rc = check_writers(r, folder, err)) ||
        (rc = dm_writers_of(l->file, &w, err)))
        return rc;
    if (w == DM_WRITERS_GROUP)
        dm_fault_note(&r->notes, "plugin '%s' is writable by its group", l->file);
    return dm_plugin_open(l->file, &l->handle, &l->plugin, &l->kind, err);
}

/* Opens a file that exists, or finds it among those that were. root: the search folder it lies below, or NULL. */
static dm_status load(dm_registry *r, const char *root, const char *file, loaded **out, dm_err *err)
{
    char real[PATH_MAX];
    loaded *l;

    if (!realpath(file, real))
        return dm_file_error(err, "open plugin", file);
    for (l = r->files; l; l = l->next)
        if (!strcmp(l->file, real))
            break;
    if (!l) {
        if (!(l = dm_alloc(r->arena, sizeof *l)) || !(l->file = dm_strdup(r->arena, real)))
            return no_memory(err);
        if (open_checked(r, root, l, &l->refusal))
            dm_error_prefix(&l->refusal, "plugin '%s': ", real);
        if (l->refusal.code == DM_ENOMEM)
            return no_memory(err);
        l->next = r->files;
        r->files = l;
    }
    *out = l;
    return l->plugin ? DM_OK : dm_error(err, l->refusal.code, "%s", l->refusal.msg);
}

dm_status dm_registry_open(dm_registry *r, const char *file, const dm_plugin **out, dm_kind *kind, dm_err *err)
{
    loaded *l;
    const dm_status rc = load(r, NULL, file, &l, err);

    if (rc)
        return rc;
    *out = l->plugin;
    *kind = l->kind;
    return DM_OK;
}

const char *dm_registry_file(const dm_registry *r, const dm_plugin *p)
{
    for (const loaded *l = r->files; l; l = l->next)
        if (l->plugin == p)
            return l->file;
    return "";
}

/* ---- scanning ---------------------------------------------------------------------- */

/* The files that may hold a kind: those in its own folders, and those beside these, which may be of any kind. */
static void each_candidate(const dm_registry *r, dm_kind kind, bool (*take)(void *, const char *, const char *),
                           bool (*take_beside)(void *, const char *, const char *), void *user)
{
    char path[PATH_MAX];

    for (int i = 0; i < r->path.n; i++) {
        const char *root = r->path.folders[i].path;

        if ((size_t)snprintf(path, sizeof path, "%s/%s", root, dm_kind_folder(kind)) < sizeof path)
            dm_plugin_path_each(path, take, user, NULL);
        dm_plugin_path_each(root, take_beside, user, NULL);
    }
}

typedef struct names { dm_registry *r; dm_kind kind; dm_nearest near; char known[400]; } names;

static bool take_name(void *user, const char *file, const char *stem)
{
    names *n = user;
    const size_t used = strlen(n->known);
    const char *kept;

    (void)file;
    if (!dm_name_ok(stem) || !(kept = dm_strdup(n->r->arena, stem)))
        return true;
    dm_nearest_try(&n->near, kept);
    if (used + strlen(stem) + 3 < sizeof n->known)
        snprintf(n->known + used, sizeof n->known - used, "%s%s", used ? ", " : "", stem);
    return true;
}

/* One that cannot be opened may be meant too. */
static bool take_name_of_kind(void *user, const char *file, const char *stem)
{
    names *n = user;
    loaded *l = NULL;
    dm_err err;

    if (dm_name_ok(stem) && load(n->r, NULL, file, &l, &err) == DM_OK && l->kind != n->kind)
        return true;
    return take_name(user, file, stem);
}

static bool is_wanted(const dm_plugin_folder *f)
{
    return !strcmp(f->origin, "plugin_path") || !strcmp(f->origin, "DEMIST_PLUGIN_PATH");
}

static bool take_any(void *user, const char *file, const char *stem)
{
    (void)file, (void)stem;
    *(bool *)user = true;
    return false;
}

static bool holds_plugins(const char *root)
{
    char path[PATH_MAX];
    bool any = false;

    dm_plugin_path_each(root, take_any, &any, NULL);
    for (int k = 0; k < DM_KIND_COUNT && !any; k++)
        if ((size_t)snprintf(path, sizeof path, "%s/%s", root, dm_kind_folder((dm_kind)k)) < sizeof path)
            dm_plugin_path_each(path, take_any, &any, NULL);
    return any;
}

/* Folders that the user named, and where nothing can be found: most often the reason. */
static void tell_useless(const dm_registry *r, dm_kind kind, const char *name, dm_err *err)
{
    for (int i = 0; i < r->path.n && err; i++) {
        const dm_plugin_folder *f = &r->path.folders[i];
        const size_t used = strlen(err->msg);
        struct stat st;

        if (!is_wanted(f) || (f->exists && holds_plugins(f->path)))
            continue;
        if (f->exists)
            snprintf(err->msg + used, sizeof err->msg - used,
                     "; '%.200s' (%s) has no plugin of that name: neither %s.so nor %s/%s.so", f->path, f->origin, name,
                     dm_kind_folder(kind), name);
        else
            snprintf(err->msg + used, sizeof err->msg - used, "; '%.200s' (%s) %s", f->path, f->origin,
                     stat(f->path, &st) ? "does not exist" : "is not a folder");
    }
}

static dm_status fail_unknown(dm_registry *r, dm_kind kind, const char *name, const dm_plugin *other,
                              dm_kind other_kind, dm_err *err)
{
    names n = {.r = r, .kind = kind};

    if (other)
        return dm_error(err, DM_ENOENT, "'%s' is of kind %s, not %s", name, dm_kind_name(other_kind),
                        dm_kind_name(kind));
    dm_nearest_init(&n.near, name);
    each_candidate(r, kind, take_name, take_name_of_kind, &n);
    if (n.near.best)
        dm_error(err, DM_ENOENT, "there is no %s '%s'; did you mean '%s'?", dm_kind_name(kind), name, n.near.best);
    else if (*n.known)
        dm_error(err, DM_ENOENT, "there is no %s '%s'; available: %s", dm_kind_name(kind), name, n.known);
    else
        dm_error(err, DM_ENOENT, "there is no %s '%s', and no other was found; set plugin_path or DEMIST_PLUGIN_PATH",
                 dm_kind_name(kind), name);
    tell_useless(r, kind, name, err);
    return DM_ENOENT;
}

/* What other kind there is of that name, for the message. */
static const dm_plugin *find_other(dm_registry *r, dm_kind kind, const char *name, dm_kind *found)
{
    char file[PATH_MAX];
    struct stat st;
    loaded *l;
    dm_err err;

    for (int i = 0; i < r->path.n; i++)
        for (int k = 0; k < DM_KIND_COUNT; k++)
            if (k != (int)kind &&
                (size_t)snprintf(file, sizeof file, "%s/%s/%s.so", r->path.folders[i].path, dm_kind_folder((dm_kind)k),
                                 name) < sizeof file &&
                !stat(file, &st) && !load(r, r->path.folders[i].path, file, &l, &err)) {
                *found = l->kind;
                return l->plugin;
            }
    return NULL;
}

/* Is this one of demist's own folders, not of the user's? */
static bool is_own(const dm_plugin_folder *f) { return !strcmp(f->origin, "installed") || !strcmp(f->origin, "build"); }

/* Says once that a plugin of the user's is used in place of another file of its kind and name. */
static void tell_hidden(dm_registry *r, dm_kind kind, const char *name, const char *file, int from)
{
    for (int i = from; i < r->path.n; i++) {
        char other[PATH_MAX], real[PATH_MAX];
        const char *note;

        if ((size_t)snprintf(other, sizeof other, "%s/%s/%s.so", r->path.folders[i].path, dm_kind_folder(kind), name) >=
                sizeof other ||
            !realpath(other, real) || !strcmp(real, file))
            continue;
        note = dm_sprintf(r->arena, "%s plugin '%s' is '%s', which hides '%s'", dm_kind_name(kind), name, file, real);
        if (note && !strstr(dm_registry_warnings(r), note))
            dm_fault_note(&r->notes, "%s", note);
        return;
    }
}

dm_status dm_registry_get(dm_registry *r, dm_kind kind, const char *name, const dm_plugin **out, dm_err *err)
{
    const dm_plugin *other = NULL;
    dm_kind other_kind = DM_KIND_COUNT;

    if (!dm_name_ok(name))
        return dm_error(err, DM_EINVAL, "'%s' cannot be a plugin's name: a-z, 0-9 and _ are allowed, no path",
                        dm_show(name).text);
    for (int i = 0; i < r->path.n; i++) {
        for (int flat = 0; flat < 2; flat++) {
            char file[PATH_MAX];
            struct stat st;
            loaded *l;
            dm_status rc;

            if ((size_t)snprintf(file, sizeof file, "%s/%s%s%s.so", r->path.folders[i].path,
                                 flat ? "" : dm_kind_folder(kind), flat ? "" : "/", name) >= sizeof file)
                continue;
            if (lstat(file, &st)) {
                if (dm_path_unreachable())
                    continue;
                return dm_file_error(err, "access plugin", file);
            }
            if ((rc = load(r, r->path.folders[i].path, file, &l, err)))
                return rc;
            if (l->kind == kind) {
                *out = l->plugin;
                if (!is_own(&r->path.folders[i]))
                    tell_hidden(r, kind, name, l->file, i + 1);
                return DM_OK;
            }
            other = l->plugin;
            other_kind = l->kind;
        }
    }
    if (!other)
        other = find_other(r, kind, name, &other_kind);
    return fail_unknown(r, kind, name, other, other_kind, err);
}

typedef struct scan { dm_registry *r; const char *root; dm_kind kind; bool own, no_memory; } scan;

static bool take_found(void *user, const char *file, const char *stem)
{
    scan *s = user;
    dm_registry *r = s->r;
    dm_found f = {.kind = s->kind, .own = s->own};
    dm_err err;
    loaded *l = NULL;

    dm_status rc = load(r, s->root, file, &l, &err);

    if (rc == DM_ENOMEM) {
        s->no_memory = true;
        return false;
    }
    if (!rc) {
        f.kind = l->kind;
        f.plugin = l->plugin;
    } else {
        f.refusal = dm_strdup(r->arena, err.msg);
        f.code = err.code;
    }
    f.name = dm_strdup(r->arena, stem);
    f.file = dm_strdup(r->arena, l ? l->file : file);
    for (size_t i = 0; f.name && i < r->n_list; i++)
        if (r->list[i].kind == f.kind && !strcmp(r->list[i].name, f.name)) {
            if (f.file && strcmp(r->list[i].file, f.file) && !r->list[i].hides)
                r->list[i].hides = f.file;
            return true;
        }
    if (!f.name || !f.file || (!f.plugin && !f.refusal) ||
        !dm_grow((void **)&r->list, r->n_list, &r->cap_list, sizeof *r->list)) {
        s->no_memory = true;
        return false;
    }
    r->list[r->n_list++] = f;
    return true;
}

static int by_kind_and_name(const void *a, const void *b)
{
    const dm_found *p = a, *q = b;
    return p->kind != q->kind ? (p->kind > q->kind) - (p->kind < q->kind) : strcmp(p->name, q->name);
}

dm_status dm_registry_list(dm_registry *r, const dm_found **list, int *n, dm_err *err)
{
    scan s = {.r = r};
    char path[PATH_MAX];
    dm_status rc = DM_OK;

    r->n_list = 0;
    for (int i = 0; i < r->path.n && !s.no_memory && !rc; i++) {
        s.root = r->path.folders[i].path;
        s.own = is_own(&r->path.folders[i]);
        for (int k = 0; k < DM_KIND_COUNT && !s.no_memory && !rc; k++) {
            s.kind = (dm_kind)k;
            if ((size_t)snprintf(path, sizeof path, "%s/%s", s.root, dm_kind_folder((dm_kind)k)) < sizeof path)
                rc = dm_plugin_path_each(path, take_found, &s, err);
        }
        s.kind = DM_KIND_COUNT;
        if (!rc && !s.no_memory)
            rc = dm_plugin_path_each(s.root, take_found, &s, err);
    }
    if (rc || s.no_memory)
        return rc ? rc : no_memory(err);
    if (r->n_list)
        qsort(r->list, r->n_list, sizeof *r->list, by_kind_and_name);
    *list = r->list;
    *n = (int)r->n_list;
    return DM_OK;
}
