/* Finds plugins by kind and name, opens their shared objects, and refuses what is not fit before
 * anything in its table is called. */
#ifndef DEMIST_CORE_REGISTRY_H
#define DEMIST_CORE_REGISTRY_H

#include "error.h"

typedef enum dm_kind { DM_KIND_SCHEDULE, DM_KIND_SAMPLER, DM_KIND_NETWORK, DM_KIND_OBJECTIVE, DM_KIND_DATASET, DM_KIND_COUNT } dm_kind;
const char *dm_kind_name(dm_kind k);    /* "schedule"; the section of a dataset is "data" */
const char *dm_kind_folder(dm_kind k);  /* "schedules" */

typedef struct dm_registry dm_registry;

/* path: folders separated by ':', searched before $DEMIST_PLUGIN_PATH, the installed folder and the
 * build folder; may be NULL. Each folder holds NAME.so, or schedules/NAME.so and so on. */
dm_status dm_registry_new(const char *path, dm_registry **out, dm_err *err);
void dm_registry_free(dm_registry *r); /* closes the shared objects: no instance may be alive */
/* Puts folders first. */
dm_status dm_registry_add_path(dm_registry *r, const char *path, dm_err *err);

/* DM_ENOENT with the nearest known name, DM_EABI with what was found and what to do; name must
 * match [a-z0-9_]+. The plugin lives as long as the registry. */
dm_status dm_registry_get(dm_registry *r, dm_kind kind, const char *name, const dm_plugin **out, dm_err *err);
/* A plugin from its file, any kind: for `demist plugins FILE` and tests. */
dm_status dm_registry_open(dm_registry *r, const char *file, const dm_plugin **out, dm_kind *kind, dm_err *err);
/* The file a plugin came from. */
const char *dm_registry_file(const dm_registry *r, const dm_plugin *p);

typedef struct dm_found { dm_kind kind; const char *name, *file; const dm_plugin *plugin; /* NULL: refused */ const char *refusal; } dm_found;
/* All plugins on the path, sorted by kind and name; the first of a name wins. Valid until the registry goes. */
dm_status dm_registry_list(dm_registry *r, const dm_found **list, int *n, dm_err *err);

#endif
