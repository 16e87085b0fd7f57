/* The folders where plugins are looked for, in order; see registry.h for where they come from. */
#ifndef DEMIST_CORE_PLUGIN_PATH_H
#define DEMIST_CORE_PLUGIN_PATH_H

#include "settings/faults.h"
#include "plugin/registry.h"

enum { DM_MOST_PLUGIN_FOLDERS = 64 };

typedef struct dm_plugin_path {
    dm_arena *arena;               /* the owner's */
    dm_faults *notes;              /* the owner's; gets a line for each folder that is passed over */
    dm_plugin_folder folders[DM_MOST_PLUGIN_FOLDERS];
    int n;
} dm_plugin_path;

/* Puts folders, separated by ':', before the one at place `at`; one that is there before is left, one that
 * is there behind moves. origin: as in dm_plugin_folder. */
dm_status dm_plugin_path_insert(dm_plugin_path *p, int at, const char *folders, const char *origin, dm_err *err);
/* $DEMIST_PLUGIN_PATH, the user's folder if it is there, the installed folder and, if it is there, the build folder, at
 * the end. */
dm_status dm_plugin_path_append_defaults(dm_plugin_path *p, dm_err *err);

/* Calls take for each NAME.so of a folder in the order of names, until it returns false. */
dm_status dm_plugin_path_each(const char *folder, bool (*take)(void *user, const char *file, const char *stem),
                              void *user, dm_err *err);

#endif
