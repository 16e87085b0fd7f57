/* Checkpoints of a training run: safetensors with the raw weights ("model.KEY"), each average ("ema.0.KEY"),
 * AdamW's moments ("adam.m.KEY", "adam.v.KEY"), the losses by which noise levels are drawn ("draw.losses",
 * "draw.counts", with objective.draw: importance), and in the metadata the step, from which every random
 * number follows. */
#ifndef DEMIST_CORE_CHECKPOINT_H
#define DEMIST_CORE_CHECKPOINT_H

#include "settings/settings.h"
#include "noise/importance.h"
#include "format/safetensors.h"
#include "plan/weights.h"

/* What is in one: sets of weights and flat arrays laid out alike. */
typedef struct dm_train_state {
    const dm_layout *layout;
    dm_wset *model, *ema[DM_MAX_EMA];
    double ema_rate[DM_MAX_EMA];
    int n_ema;
    dm_buf *m, *v;
    /* Where ranks have parts of the moments: m and v are of the trained floats [first, first + own), in units; whole:
     * both of all ranks, on the host of rank 0, from loading on, and to be saved. unit 0: m and v are whole. */
    size_t unit, first, own;
    float *whole[2];
    dm_importance *importance;     /* NULL where noise levels are not drawn by losses */
    int64_t step;                  /* steps done */
} dm_train_state;

/* Durable when it returns; what was at path stays where it fails. meta: more pairs. */
dm_status dm_checkpoint_save(const dm_folder *in, const char *name, const dm_train_state *s, const dm_st_pair *meta,
                             int n_meta, dm_err *err);
/* All of it, back onto the device; DM_ECORRUPT lists what is missing or has another shape. */
dm_status dm_checkpoint_load(const dm_st *f, dm_train_state *s, dm_err *err);
/* One set of weights: prefix "model.", "ema.0.", or "" for a bare file. Values that are not finite are
 * refused with DM_ECORRUPT unless allow_nan. */
dm_status dm_checkpoint_load_weights(const dm_st *f, const char *prefix, bool allow_nan, dm_wset *to, dm_err *err);
/* A line for each tensor that is missing, of another shape or, with prefix "", not of this network, with the
 * nearest name; DM_ECORRUPT if there is one. */
dm_status dm_checkpoint_compare(const dm_st *f, const char *prefix, const dm_layout *l, void (*line)(void *user,
        const char *text), void *user,
                                dm_err *err);
/* Whether the file has tensors of this prefix. */
bool dm_checkpoint_has(const dm_st *f, const char *prefix);

#endif
