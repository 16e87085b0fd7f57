/* One plugin from one shared object: what makes a file or a table unfit, found before anything in the
 * table is called. */
#ifndef DEMIST_CORE_PLUGIN_FILE_H
#define DEMIST_CORE_PLUGIN_FILE_H

#include "base/error.h"
#include "plugin/kind.h"

/* Who may write a file or folder. */
typedef enum dm_writers { DM_WRITERS_OWNER, DM_WRITERS_GROUP, DM_WRITERS_ANYONE } dm_writers;
/* DM_ENOENT if it is not there. */
dm_status dm_writers_of(const char *path, dm_writers *w, dm_err *err);

/* Whether the file is a shared object that this machine can load and that not anyone may write; DM_EABI says why not,
 * and does not name it. */
dm_status dm_plugin_check_file(const char *file, dm_err *err);
/* Whether the table can be used, and its kind. Reads abi and size first, and the rest only if they fit. */
dm_status dm_plugin_check(const dm_plugin *p, dm_kind *kind, dm_err *err);

/* file: absolute. It must be a shared object whose name without .so is the plugin's. Close *handle with
 * dlclose. Every refusal is DM_EABI and does not name the file. */
dm_status dm_plugin_open(const char *file, void **handle, const dm_plugin **out, dm_kind *kind, dm_err *err);

#endif
