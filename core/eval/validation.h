/* The loss on held-out data: the objective's own, without dropout, on the first images of the test split, each at one
 * noise level of each band, with noise that is the same each time. The bands are equal parts of the uniform number from
 * which the objective draws its levels: of a discrete schedule equal parts of t, the least noise first. */
#ifndef DEMIST_CORE_VALIDATION_H
#define DEMIST_CORE_VALIDATION_H

#include "eval/eval_data.h"

typedef struct dm_validation dm_validation;

/* count: images, 0 = all of the split, at most that many; of weights, as they are when it runs. batch: at once, at
 * most. DM_ENOENT where the data has no test split. The ranks of an open session measure a part each; this much is done
 * by each alone. */
dm_status dm_validation_new(dm_session *s, dm_wset *weights, int64_t count, int64_t batch, dm_validation **out,
                            dm_err *err);
void dm_validation_free(dm_validation *v);
int64_t dm_validation_count(const dm_validation *v);
/* Fills all but name and rate. Where it is cancelled it ends at once if the rest would take `patience` seconds or
 * more: training ends a measurement that it began, so that a run that goes on has the same log, but not one of hours.
 * DM_EDIVERGED names the image and t whose loss is not finite. All ranks run it together: it gives each the same, or
 * fails on all. */
dm_status dm_validation_run(dm_validation *v, double patience, dm_loss_row *out, dm_err *err);
/* Bands, 1 of what does not diffuse, and the t where each begins; [bands]: where the last ends. */
int32_t dm_validation_bands(const dm_validation *v, double *from);

#endif
