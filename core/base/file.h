/* Files: whole reads at an offset, and writes that are there in full or not at all (a temporary
 * file beside the target, synced, renamed, its folder synced). Nothing here knows a format. */
#ifndef DEMIST_CORE_FILE_H
#define DEMIST_CORE_FILE_H

#include "base/folder.h"

/* Metadata of a file. */
typedef struct dm_pair { const char *key, *value; } dm_pair;

/* Opens a regular file for reading; its size comes back. DM_ENOENT where it is not there. */
dm_status dm_file_open(const char *path, int *fd, int64_t *size, dm_err *err);
/* All n bytes at `at`; DM_ECORRUPT where the file ends before. */
dm_status dm_file_read_at(int fd, const char *path, int64_t at, void *to, size_t n, dm_err *err);
/* All of a file of at most limit bytes, with a zero byte behind; on the heap. n may be NULL. */
dm_status dm_file_slurp(const char *path, size_t limit, char **out, size_t *n, dm_err *err);
/* The same of a file of a folder, as dm_folder_file opens it. */
dm_status dm_file_slurp_in(const dm_folder *f, const char *name, size_t limit, char **out, size_t *n, dm_err *err);
/* Writes all n bytes at the descriptor's position; DM_ENOSPC where the disk is full. */
dm_status dm_file_write(int fd, const char *path, const void *data, size_t n, dm_err *err);

/* A file in the making. After a failure, dm_file_put has removed the temporary file and further
 * calls fail too; the target is as it was. */
typedef struct dm_file_out {
    int fd;
    char *path;                    /* as it is called in messages */
    char *temp;                    /* its name in the making, within dir */
    const char *name;              /* its name within dir: the end of path */
    int dir;                       /* the folder that it lies in */
} dm_file_out;
/* The target must be a regular file or not there; a symbolic link is followed. Its mode is kept. */
dm_status dm_file_begin(dm_file_out *f, const char *path, dm_err *err);
/* The same in a folder, where a link is refused; f may be NULL: name is a path then. */
dm_status dm_file_begin_in(dm_file_out *out, const dm_folder *f, const char *name, dm_err *err);
dm_status dm_file_put(dm_file_out *f, const void *data, size_t n, dm_err *err);
/* Over what was put already. */
dm_status dm_file_put_at(dm_file_out *f, int64_t at, const void *data, size_t n, dm_err *err);
dm_status dm_file_commit(dm_file_out *f, dm_err *err);
void dm_file_abort(dm_file_out *f); /* fine after a commit and on a zeroed one */

dm_status dm_file_write_atomic(const char *path, const void *data, size_t n, dm_err *err);
dm_status dm_file_write_in(const dm_folder *f, const char *name, const void *data, size_t n, dm_err *err);

/* Creates the folder and those above it; fine if it is there. */
dm_status dm_folder_make(const char *path, dm_err *err);
/* Makes renames and removals inside a folder durable. */
dm_status dm_folder_sync(const char *path, dm_err *err);

/* Words to end a message with, of a file that begins so and is not what it should be: "" or what it is. */
const char *dm_file_hint(const void *begin, size_t n);

#endif
