/* Images that are changed instead of drawn: sampling that begins with them, keeps a part of them, or goes back to the
 * noise that they come from. */
#ifndef DEMIST_CORE_EDIT_H
#define DEMIST_CORE_EDIT_H

#include "model/sampling.h"

/* What a call asks for. */
typedef struct dm_editing {
    const float *from;             /* f32[n_from,...]; n_from is 1 or that of the call */
    const float *mask;             /* f32[n_mask,1,H,W], 1 where it is drawn, 0 where `from` stays; NULL: everywhere */
    int64_t n_from, n_mask;
    double strength;               /* above 0; 1 = from pure noise */
    dm_jumps jumps;
    bool inverts;
} dm_editing;

/* At work on batches of n examples. */
typedef struct dm_edit dm_edit;
dm_status dm_edit_new(dm_device *d, const dm_editing *e, const dm_shape *example, int64_t n, dm_edit **out,
                      dm_err *err);
void dm_edit_free(dm_edit *e);
/* Images first .. first + there of the call are the next batch. */
dm_status dm_edit_batch(dm_edit *e, const dm_editing *what, int64_t first, int64_t there, dm_err *err);
/* After i steps, at p: x as it goes on from there. index: of the first image, what the noise depends on. */
dm_status dm_edit_step(dm_edit *e, const dm_point *p, int32_t i, uint64_t seed, uint32_t index, dm_buf *x,
                       dm_err *err);

#endif
