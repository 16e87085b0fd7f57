/* The directory at the end of a zip file: which entries it has, where they lie, and how much they are. */
#ifndef IMAGE_FOLDER_ZIP_DIRECTORY_H
#define IMAGE_FOLDER_ZIP_DIRECTORY_H

#include <demist/plugin.h>

/* name: its bytes in the directory, not ended by NUL; link: a symbolic link of Unix. */
typedef struct zip_entry { int64_t at, packed, size; const char *name; size_t name_bytes; bool link; } zip_entry;
/* entry: by where they lie, none over another. */
typedef struct zip_directory { zip_entry *entry; int64_t n; unsigned char *text; } zip_directory;

/* Of an open file of so many bytes; zeroed before. */
dm_status zip_directory_read(dm_ctx *c, const char *path, int fd, int64_t bytes, zip_directory *out);
void zip_directory_free(zip_directory *d);
/* What begins at `at`, or NULL. */
const zip_entry *zip_directory_find(const zip_directory *d, int64_t at);

#endif
