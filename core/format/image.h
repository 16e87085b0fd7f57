/* Pictures: what a tensor or points look like, and PNG files. Reading images is the work of data
 * set plugins. */
#ifndef DEMIST_CORE_IMAGE_H
#define DEMIST_CORE_IMAGE_H

#include "base/file.h"

/* 8-bit pixels, rows from the top, channels (1 grey, 3 RGB) together. */
typedef struct dm_picture { int32_t width, height, channels; uint8_t *pixels; } dm_picture;
void dm_picture_fini(dm_picture *p);

/* -1..1 to 0..255: half way goes to the even one, what is beyond is cut, NaN is 0. */
uint8_t dm_pixel(float x);

/* n images x[n,c,h,w] of range -1..1 side by side, `columns` in a row (0: about as many as rows),
 * `gap` black pixels between. One channel stays grey, three are colours; of any other number each is shown in grey,
 * side by side. */
dm_status dm_picture_grid(const float *x, int64_t n, int64_t c, int64_t h, int64_t w, int64_t columns, int32_t gap,
                          dm_picture *out, dm_err *err);
/* Points x[n,2] over points like[m,2], if any, in a square of `side` pixels whose axes go from -limit to
 * limit; limit 0: where 99 % of them fit. */
dm_status dm_picture_scatter(const float *x, int64_t n, const float *like, int64_t m, int32_t side, double limit,
                             dm_picture *out, dm_err *err);

/* n names in white on black to the left of as many rows of equal height, of which each is at least as high as a letter;
 * of lower rows none. Letters are those of Latin-1, at most 24 of a name. */
dm_status dm_picture_label_rows(dm_picture *p, const char *const *names, int32_t n, dm_err *err);

/* The picture as PNG with text chunks, in memory (on the heap) or to a file, whole or not at all. */
dm_status dm_png_encode(const dm_picture *p, const dm_pair *text, int n, uint8_t **out, size_t *size, dm_err *err);
dm_status dm_png_write(const char *path, const dm_picture *p, const dm_pair *text, int n, dm_err *err);

#endif
