/* The images of a split: a folder, one image, or an archive. */
#ifndef IMAGE_FOLDER_SOURCE_H
#define IMAGE_FOLDER_SOURCE_H

#include "folder.h"
#include "image_archive.h"
#include "image_file.h"

typedef struct source {
    const char *dir;
    image_archive archive;         /* none of a folder */
    image_list list;
    size_t below;                  /* where in a path the part below dir begins */
    image_list told;               /* an archive's files of a class each (webdataset's .cls) */
    int64_t labels;                /* where the archive has dataset.json; -1 if it has none */
} source;

/* All images of dir, which must outlive it. */
dm_status source_list(dm_ctx *c, const char *dir, const list_rules *rules, source *out);
void source_free(source *s);
/* As image_check() and image_open() with pixels. */
dm_status source_check(dm_ctx *c, const source *s, const image *m, const image_rules *rules, image_file *j);
dm_status source_read(dm_ctx *c, const source *s, const image *m, const image_rules *rules, image_file *j);
/* "cats/1.png" */
const char *source_name(const source *s, const image *m);

#endif
