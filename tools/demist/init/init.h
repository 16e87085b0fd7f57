/* Experiments to begin with: what each template says, and what a folder of images adds to it. */
#ifndef DEMIST_CLI_INIT_H
#define DEMIST_CLI_INIT_H

#include <stdio.h>

#include <demist/demist.h>

#include "base/arena.h"
#include "settings/settings.h"

#define INIT_TEMPLATES "small|base|points|classes"

/* What is in a folder of images. */
typedef struct init_images {
    int64_t count, unreadable;     /* those that can be read; the others */
    int64_t least[2], most[2];     /* the smallest height and width, the largest */
    int64_t side;                  /* the median of the shorter sides */
    int64_t channels;              /* 1: all are grey; else 3 */
    int32_t classes;               /* with labels: the subfolders */
} init_images;

/* Reads the header of each image below the folder; labels: its subfolders are classes. */
dm_status init_look(const char *folder, bool labels, const dm_callbacks *cb, init_images *out, dm_err *err);
/* "120 images of 640 x 480 pixels in colour" */
const char *init_images_text(const init_images *images, dm_arena *a);

/* A key that is not at its default. */
typedef struct init_value { dm_section_id section; const char *key, *value; } init_value;
enum { INIT_MOST_VALUES = 48 };

/* An experiment: which plugin each section uses, NULL where it uses none, and what they are set to. */
typedef struct init_experiment {
    const char *use[DM_SEC_COUNT];
    init_value value[INIT_MOST_VALUES];
    int n;
    const char *about;             /* what the data are; NULL = not known */
} init_experiment;

/* One of INIT_TEMPLATES, called `name`; images and the path of their folder as it is written, or NULL where it is not
 * known what they are. Values lie on the arena; DM_ENOMEM is the only failure. */
dm_status init_template(const char *template, const char *name, const init_images *images, const char *folder,
                        dm_arena *a, init_experiment *out, dm_err *err);
/* With every key, its meaning and its range. */
dm_status init_print(FILE *to, const init_experiment *e, dm_arena *a, dm_err *err);

#endif
