/* Which class each image has, and which classes there are. */
#ifndef IMAGE_FOLDER_LABELS_H
#define IMAGE_FOLDER_LABELS_H

#include "source.h"
#include "table.h"

/* name: NULL where the classes are numbers. */
typedef struct class_list { char **name; int32_t n; } class_list;

/* Writes what each image's class is called, and its row of the table: from there; else, if labels are wanted, from what
 * the archive says of them, or its subfolder. An archive's dataset.json becomes the table. */
dm_status labels_read(dm_ctx *c, source *s, table *t);
/* The classes of images so labelled, and those of folders without images. */
dm_status labels_list(dm_ctx *c, const source *s, const table *t, class_list *out);
/* Each image's number. */
dm_status labels_number(dm_ctx *c, const class_list *l, source *s);
void labels_free(class_list *l);

#endif
