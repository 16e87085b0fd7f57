/* Finds plugins by kind and name, opens their shared objects, and refuses what is not fit before
 * anything in its table is called. */
#ifndef DEMIST_CORE_REGISTRY_H
#define DEMIST_CORE_REGISTRY_H

#include "plugin/kind.h"

typedef struct dm_registry dm_registry;

/* path: folders separated by ':', searched before $DEMIST_PLUGIN_PATH, the user's folder (dm_plugin_user_folder), the
 * installed folder and the build folder; may be NULL. Each folder holds schedules/NAME.so and so on, or NAME.so of any
 * kind. A folder that is not there is passed over; one that anyone may write is refused with all that is in it. */
dm_status dm_registry_new(const char *path, dm_registry **out, dm_err *err);
void dm_registry_free(dm_registry *r); /* closes the shared objects: no instance may be alive */
/* Puts folders first. */
dm_status dm_registry_add_path(dm_registry *r, const char *path, dm_err *err);

/* DM_ENOENT with the nearest known name, DM_EABI with what was found and what to do, DM_EINVAL where the
 * name is none ([a-z0-9_]+). The first file of the name and kind decides, also when it is refused. The plugin
 * lives as long as the registry. */
dm_status dm_registry_get(dm_registry *r, dm_kind kind, const char *name, const dm_plugin **out, dm_err *err);
/* A plugin from its file, any kind: for `demist plugins FILE` and tests. */
dm_status dm_registry_open(dm_registry *r, const char *file, const dm_plugin **out, dm_kind *kind, dm_err *err);
/* The file a plugin came from. */
const char *dm_registry_file(const dm_registry *r, const dm_plugin *p);
/* Where a user's own plugins are put: $XDG_DATA_HOME/demist/plugins, or ~/.local/share/demist/plugins; false where
 * neither is known, or it is too long. */
bool dm_plugin_user_folder(char *path, size_t n);
/* What was passed over, hides another or may be written by a group, one line each; "" if nothing. Valid until the next
 * call into the registry. */
const char *dm_registry_warnings(const dm_registry *r);

/* The folders in the order of the search. origin: "plugin_path", "DEMIST_PLUGIN_PATH", "user", "installed", "build". */
typedef struct dm_plugin_folder { const char *path, *origin; bool exists; } dm_plugin_folder;
const dm_plugin_folder *dm_registry_folders(const dm_registry *r, int *n);

typedef struct dm_found {
    dm_kind kind;
    const char *name, *file;
    const dm_plugin *plugin;       /* NULL: refused */
    const char *refusal;
    dm_status code;                /* of the refusal */
    const char *hides;             /* a file of the same kind and name that is not used because of it; NULL = none */
    bool own;                      /* it is not from the user's folders, but demist's */
} dm_found;
/* All plugins on the path, sorted by kind and name; the first of a name wins. The kind of a refused file is
 * that of its folder, or DM_KIND_COUNT. Valid until the registry goes. */
dm_status dm_registry_list(dm_registry *r, const dm_found **list, int *n, dm_err *err);

#endif
