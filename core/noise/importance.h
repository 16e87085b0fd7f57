/* Noise levels drawn by the losses that were seen: loss-second-moment resampling (Nichol & Dhariwal 2021, section
 * 3.3). The uniform number in (0,1) from which an objective makes a noise level falls in one of equal parts, for a
 * discrete schedule one a step; a part is drawn with a probability proportional to the root mean square of its last
 * ten losses, once each part has that many, and equally before. Knows no device. */
#ifndef DEMIST_CORE_IMPORTANCE_H
#define DEMIST_CORE_IMPORTANCE_H

#include "base/error.h"

enum { DM_IMPORTANCE_HISTORY = 10, DM_IMPORTANCE_MAX_PARTS = 4096 };

typedef struct dm_importance dm_importance;

dm_status dm_importance_new(int32_t parts, dm_importance **out, dm_err *err);
void dm_importance_free(dm_importance *m);
int32_t dm_importance_parts(const dm_importance *m);
/* u in (0,1), uniform, to v in (0,1) of the density that was learned, and 1 / density(v). */
void dm_importance_draw(const dm_importance *m, double u, double *v, double *weight);
/* The loss of an example whose number was v; one that is not finite is passed over. */
void dm_importance_see(dm_importance *m, double v, float loss);
/* After the last of a batch: the density follows. */
void dm_importance_update(dm_importance *m);

/* For checkpoints: losses f32[parts,HISTORY], the oldest first, and how many of each part there are, f32[parts]. After
 * writing to them: update. */
float *dm_importance_losses(dm_importance *m);
float *dm_importance_counts(dm_importance *m);

#endif
