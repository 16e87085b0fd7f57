/* UNets of improved-diffusion and guided-diffusion: their shape as their tensors tell it, and which tensor of
 * theirs is which of the unet network's. */
#ifndef DEMIST_INTEROP_ADM_H
#define DEMIST_INTEROP_ADM_H

#include "base/arena.h"
#include "format/safetensors.h"

enum { DM_ADM_LEVELS = 16 };

/* What is not seen in the tensors: heads, the size of the images, the noise process. */
typedef struct dm_adm {
    int64_t channels, outputs, classes, time_in, wide; /* of images, of the network's output; of the embeddings */
    int n, layers;                 /* levels, residual blocks of each */
    int64_t level[DM_ADM_LEVELS];  /* channels */
    bool attend[DM_ADM_LEVELS], attend_up[DM_ADM_LEVELS], down_resnet[DM_ADM_LEVELS], up_resnet[DM_ADM_LEVELS];
    bool scale_shift;
} dm_adm;

/* One tensor of ours, out of one of theirs. */
typedef struct dm_adm_tensor {
    const char *ours, *theirs;
    dm_shape shape, from;          /* ours; theirs */
    int part;                      /* 0, 1, 2: query, key, value out of all three; -1: the whole */
    bool loose;                    /* extents of 1 may follow in theirs */
    const dm_st_tensor *tensor;
} dm_adm_tensor;

/* DM_ECORRUPT where the file holds no such network, with what is odd. */
dm_status dm_adm_read(const dm_st *f, dm_adm *a, dm_err *err);
/* All tensors that such a network has, found in f: a line for each that is missing, of another shape or not of
 * this network, and DM_ECORRUPT if there is one. */
dm_status dm_adm_match(const dm_st *f, const dm_adm *a, dm_arena *arena, dm_adm_tensor **out, int64_t *n,
                       void (*line)(void *user, const char *text), void *user, dm_err *err);

#endif
