/* A zip or tar file, read in place: its entries in turn, and one by where it begins. Of a zip these are the ones that
 * its directory has. */
#ifndef IMAGE_FOLDER_IMAGE_ARCHIVE_H
#define IMAGE_FOLDER_IMAGE_ARCHIVE_H

#include "zip_directory.h"

/* fd + 1, so that zeroed is none. */
typedef struct image_archive {
    const char *path;
    int fd;
    int64_t bytes;
    bool zip;
    zip_directory directory;
} image_archive;

/* path must outlive it. */
dm_status image_archive_open(dm_ctx *c, const char *path, image_archive *out);
void image_archive_close(image_archive *a);

typedef dm_status image_archive_each(dm_ctx *c, void *user, const char *name, int64_t at);
/* Each entry that is a file, in the order in which they lie. */
dm_status image_archive_walk(dm_ctx *c, const image_archive *a, image_archive_each *each, void *user);
/* All bytes, at most `most`, of the entry at `at`, which must be called so; on the heap, with a zero byte behind.
 * Several threads may read. DM_ECORRUPT says nothing of the machine. */
dm_status image_archive_read(dm_ctx *c, const image_archive *a, int64_t at, const char *name, int64_t most,
                             unsigned char **bytes, size_t *n);

#endif
