/* Predictions of an image that is larger than a network's: the network sees tiles of x that overlap, and its outputs
 * are averaged where several speak (MultiDiffusion, Bar-Tal et al. 2023). */
#ifndef DEMIST_CORE_TILING_H
#define DEMIST_CORE_TILING_H

#include "sample/guide.h"
#include "sample/model_handle.h"

/* The first part is the caller's, who zeroes the rest. */
typedef struct dm_tiling {
    dm_model *m;                   /* of one condition, the small image */
    dm_data_info big;              /* of what comes out */
    int64_t factor;
    int64_t small[2], tile[2], n[2]; /* rows and columns: of the small image, of a small tile, tiles */
    int32_t label;
    const float *image;            /* the small one at work, f32[channels,small] */
    double passes;                 /* over a whole image that are to be expected */

    int64_t batch;                 /* tiles at once */
    int64_t channels, most;        /* of the image; of a network's output, at most */
    dm_condition_batch conditions[2];               /* of a batch: tiles of the image, and null */
    int32_t *labels[2];
    double *c_in, *c_noise;
    float *x, *F[DM_OF_COUNT];     /* the whole image, as it is and as each guess averages it */
    float *weight;                 /* of all tiles of a pixel */
    float *tiles, *said;           /* a batch, of x and of outputs */
    dm_guide *guide;               /* NULL without */
    dm_buf *out[DM_OF_COUNT];
    dm_buf *guide_tiles, *guide_x; /* for it: a batch, and all of x as its schedule has it */
} dm_tiling;

/* As many tiles at once as fit. */
dm_status dm_tiling_open(dm_tiling *t, dm_err *err);
void dm_tiling_close(dm_tiling *t);
int64_t dm_tiling_tiles(const dm_tiling *t);
/* For dm_sampling_setup, user: a dm_tiling. */
dm_status dm_tiling_forward(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err);
dm_status dm_tiling_guesses(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, uint32_t uses,
                            dm_said said[DM_OF_COUNT], dm_err *err);

#endif
