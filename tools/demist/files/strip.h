/* How images come about: some steps of the first images, a row each, from noise to the image. */
#ifndef DEMIST_CLI_STRIP_H
#define DEMIST_CLI_STRIP_H

#include <demist/demist.h>

#include "format/image.h"

enum { STRIP_ROWS = 8, STRIP_COLUMNS = 12, STRIP_FRAMES = 64 };

/* Zeroed; `rows`: how many images, at most STRIP_ROWS. */
typedef struct strip {
    int rows;
    int32_t stride[STRIP_ROWS];    /* each so many steps are kept, STRIP_FRAMES of an image at most */
    int64_t example;
    float *x;                      /* [rows][STRIP_FRAMES][example] */
    double signal[STRIP_ROWS][STRIP_FRAMES]; /* share of the image in x, 0 to 1 */
    int kept[STRIP_ROWS];
    int32_t last[STRIP_ROWS];      /* the image's last step */
    bool failed;
} strip;

/* dm_sample_options.trace; user is the strip. */
void strip_put(void *user, const dm_trace_info *now);
/* Those frames whose signal lies evenly between that of the noise and that of the image, which is the last. */
dm_status strip_picture(strip *s, const dm_images *im, dm_picture *out, dm_err *err);
void strip_fini(strip *s);

/* `columns` of the n frames, in order, each nearest to its share of the way from the first's signal to the last's. */
void strip_choose(const double *signal, int n, int columns, int *out);

#endif
