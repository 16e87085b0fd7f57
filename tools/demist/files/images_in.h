/* Images that a command reads: one file, a folder of them, or an array of numbers. */
#ifndef DEMIST_CLI_IMAGES_IN_H
#define DEMIST_CLI_IMAGES_IN_H

#include <demist/demist.h>

#include "data/data_alone.h"

typedef struct images_in { float *x; dm_shape shape; } images_in; /* f32[N,...] */

/* F.safetensors (its only tensor, or x) and F.npy are read as they are, bytes as pixels; else PNG, JPEG and WebP, a
 * file or all below a folder in the order of their names, in so many channels, as -1..1. All must be of one size. */
dm_status images_in_read(const char *path, int64_t channels, const dm_callbacks *cb, images_in *out, dm_err *err);
void images_in_fini(images_in *in);

/* Whether images lie in it: a folder, or F.zip or F.tar. */
dm_status images_in_look(const char *path, bool *holds, dm_err *err);
/* A folder or archive of images, one image or F.npy as data alone, with overrides of the section data. */
dm_status images_in_open(dm_data_alone *a, const char *path, const char *const *overrides, int n,
                         const dm_callbacks *cb, dm_err *err);

/* n conditions that were given as NAME=FILE. */
typedef struct conditions_in { dm_condition_value *value; images_in *file; char **name; int n; } conditions_in;
dm_status conditions_in_read(const char *const *given, int n, const dm_model_properties *model, const dm_callbacks *cb,
                             conditions_in *out, dm_err *err);
void conditions_in_fini(conditions_in *in);

#endif
