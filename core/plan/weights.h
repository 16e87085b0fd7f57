/* Weights on a device: where each lies in one flat array, which may be in several allocations; sets of them (raw, each
 * EMA, imported), and the packed weights (packed, rotated) that implementations keep of a set. */
#ifndef DEMIST_CORE_WEIGHTS_H
#define DEMIST_CORE_WEIGHTS_H

#include "graph/graph.h"

/* Keys, shapes and places, the same for the raw weights, their gradients, moments and averages. */
typedef struct dm_layout {
    int32_t n;
    const dm_weight *weights;      /* copied: keys, shapes, initial values */
    const size_t *offset;          /* in floats, multiples of step */
    size_t total, trained;         /* floats, padding included; those of trained weights come first */
    size_t step;                   /* floats; each weight begins at a multiple of it, as a window may */
    size_t each;                   /* floats that one allocation has room for; each weight lies in one of them */
    int64_t parameters;            /* floats, without padding */
    dm_names names;                /* the keys */
    dm_arena *arena;
} dm_layout;

/* align, most: bytes (dm_device_info.align, max_alloc). */
dm_status dm_layout_new(const dm_graph_core *g, size_t align, uint64_t most, dm_layout **out, dm_err *err);
void dm_layout_free(dm_layout *l);
/* Index of a key; -1 if there is none. */
int32_t dm_layout_find(const dm_layout *l, const char *key);
int64_t dm_layout_count(const dm_layout *l, int32_t i);
/* Fresh values into host[total]: drawn by each weight's key, so that the order of declarations means nothing. */
void dm_layout_init_values(const dm_layout *l, uint64_t seed, float *host);

/* Memory for all of it: weights, gradients, moments. */
dm_status dm_layout_buf(dm_device *d, const dm_layout *l, const char *what, dm_buf **out, dm_err *err);

typedef struct dm_wset dm_wset;
dm_status dm_wset_new(dm_device *d, const dm_layout *l, dm_wset **out, dm_err *err);
void dm_wset_free(dm_wset *s);
dm_buf *dm_wset_flat(const dm_wset *s);
dm_buf *dm_wset_weight(const dm_wset *s, int32_t i);
const dm_layout *dm_wset_layout(const dm_wset *s);
/* The packed form of weight i under this key; *refresh is where to record the launches that make it,
 * NULL if they have been recorded. */
/* What has been packed so far, to go back to where making more of it failed half-way. */
typedef struct dm_wset_mark { size_t packed; int refresh; } dm_wset_mark;
dm_wset_mark dm_wset_here(const dm_wset *s);
void dm_wset_back(dm_wset *s, dm_wset_mark to);
dm_status dm_wset_packed(dm_wset *s, int32_t i, const char *key, size_t bytes, dm_buf **out, dm_cmds **refresh,
                          dm_err *err);
/* The values changed: packed weights are made anew before the next run. */
void dm_wset_touch(dm_wset *s);
dm_status dm_wset_refresh(dm_wset *s, dm_err *err); /* does nothing when nothing changed */
size_t dm_wset_packed_bytes(const dm_wset *s);

#endif
