/* Which files of a run folder are the run's own, by their names: only these are ever removed. */
#ifndef DEMIST_CORE_RUN_FILES_H
#define DEMIST_CORE_RUN_FILES_H

#include "base/folder.h"
#include "run/run_paths.h"

/* The first of the run's own files that is in f, "" where there is none; at most n bytes. */
dm_status dm_run_files_first(const dm_folder *f, char *name, size_t n, dm_err *err);
/* Removes them, or only what interrupted writes of them left. Folders and all other files stay. */
dm_status dm_run_files_remove(const dm_folder *f, bool leftovers, dm_err *err);

#endif
