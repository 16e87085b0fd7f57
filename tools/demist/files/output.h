/* Where a command writes what it made: pictures and tensors. */
#ifndef DEMIST_CLI_OUTPUT_H
#define DEMIST_CLI_OUTPUT_H

#include <demist/demist.h>

#include "format/image.h"

/* A file that a command will write, or one that it reads and must not write over. */
typedef struct output_file {
    const char *path;              /* NULL or "" = not asked for */
    const char *end;               /* what its name must end in; NULL = anything */
    bool input;
} output_file;
/* Before any work: DM_EINVAL where a file is there and force is not set, is named twice, is also read or
 * ends in something else; its folder is made, and DM_EIO says where it cannot be written. */
dm_status output_check(const output_file *f, int n, bool force, dm_err *err);
/* The same for each of the files that a pattern such as out/%05d.png names; other names are fine. */
dm_status output_check_numbered(const char *path, int64_t first, int64_t count, bool force, dm_err *err);
/* Whether the name has a number such as %05d in it. */
bool output_is_pattern(const char *path);
bool output_ends_in(const char *path, const char *end);
/* F.png: one picture of all (a grid, or points as a scatter); DIR/%05d.png: one file an image, numbered
 * from first. rows: what stands beside the n_rows of the grid; none: it has about as many rows as columns. about goes
 * into the files. */
dm_status output_pictures(const char *path, const dm_images *im, int64_t first, const char *const *rows, int64_t n_rows,
                          dm_err *err);
/* One f32 tensor. */
dm_status output_tensor(const char *path, const char *name, const dm_shape *shape, const float *x, const char *about,
                        dm_err *err);

/* With what the images are about in it. */
dm_status output_picture(const char *path, const dm_picture *p, const dm_images *im, dm_err *err);

#endif
