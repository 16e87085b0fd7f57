/* A folder that others may have written to, as a run folder that came from somewhere: its files are named relative to
 * its descriptor, and all of them are opened by dm_folder_file. Below the folder no symbolic link is followed, nothing
 * but regular files is opened, and nothing waits (a FIFO would). The folder itself may be reached through a link. */
#ifndef DEMIST_CORE_FOLDER_H
#define DEMIST_CORE_FOLDER_H

#include <dirent.h>

#include "base/error.h"

typedef struct dm_folder { int fd; char *path; } dm_folder;

dm_status dm_folder_open(dm_folder *f, const char *path, dm_err *err);
void dm_folder_close(dm_folder *f); /* fine on {-1, NULL} and after a failure */

/* How name in it is called, on the heap; f may be NULL. NULL when memory is exhausted. */
char *dm_folder_path(const dm_folder *f, const char *name);

/* A regular file, by flags as of open(2): DM_EINVAL for a link, for what is no file, and where it would be written for
 * a file that has another name (a hard link). size may be NULL. NULL as f: name is a path, links in it are followed. */
dm_status dm_folder_file(const dm_folder *f, const char *name, int flags, int *fd, int64_t *size, dm_err *err);
/* The folder that name lies in, with its last part in *base; f may be NULL. verb: what is not possible where it is not.
 */
dm_status dm_folder_parent(const dm_folder *f, const char *name, const char *verb, int *fd, const char **base,
                           dm_err *err);
/* Whether something of this name, a link too, is there. */
dm_status dm_folder_has(const dm_folder *f, const char *name, bool *there, dm_err *err);
/* A folder below it, made where it is not there. */
dm_status dm_folder_add(const dm_folder *f, const char *name, dm_err *err);
/* To read the names in a folder below it, "." for itself; DM_ENOENT where it is not there. */
dm_status dm_folder_list(const dm_folder *f, const char *name, DIR **out, dm_err *err);
/* The next name; *e is NULL behind the last. folder: what it is called in messages. */
dm_status dm_folder_next(DIR *d, const char *folder, struct dirent **e, dm_err *err);
/* Fine where it is not there. */
dm_status dm_folder_remove(const dm_folder *f, const char *name, dm_err *err);

/* What lies at a path, links followed. What cannot be looked at is an error, not nothing. */
typedef enum dm_path_kind { DM_PATH_NOTHING, DM_PATH_FILE, DM_PATH_FOLDER, DM_PATH_OTHER } dm_path_kind;
dm_status dm_path_look(const char *path, dm_path_kind *kind, dm_err *err);
/* Whether errno, after a call with a path, says that nothing can be reached by it, rather than that looking failed. */
bool dm_path_unreachable(void);

#endif
