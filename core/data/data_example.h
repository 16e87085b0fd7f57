/* One example on its way from the plugin to the batch: cut, resized, in other channels, mirrored,
 * scaled. Nothing here knows of streams and threads: each thread brings its own scratch. */
#ifndef DEMIST_CORE_DATA_EXAMPLE_H
#define DEMIST_CORE_DATA_EXAMPLE_H

#include "settings/settings.h"
#include "plugin/instance.h"

typedef struct dm_example_rules {
    dm_shape largest, out;         /* as the plugin has them at most; as they shall be */
    double low, high;              /* of the plugin's values */
    int32_t levels, classes, crop;
    bool flip;
} dm_example_rules;

/* Working memory, grown as needed; zeroed is empty. */
typedef struct dm_example_scratch { float *raw, *plane; size_t raw_cap, plane_cap; } dm_example_scratch;
void dm_example_scratch_fini(dm_example_scratch *r);

/* The chances of one place in the training stream. */
typedef struct dm_example_draw { bool flip; double y, x; } dm_example_draw;
void dm_example_draw_init(dm_example_draw *d, uint64_t seed, uint64_t position);

/* The shape of example `index`, checked against the largest. */
dm_status dm_example_shape(const dm_instance *i, int64_t index, const dm_shape *largest, dm_shape *out, dm_err *err);
/* The example as the plugin has it, in scratch->raw. */
dm_status dm_example_raw(const dm_instance *i, const dm_example_rules *r, dm_example_scratch *scratch, int64_t index,
                         dm_shape *shape, int32_t *label, dm_err *err);
/* The example as the rules say; draw NULL: nothing is left to chance (crops are from the centre). label may be NULL. */
dm_status dm_example_make(const dm_instance *i, const dm_example_rules *r, dm_example_scratch *scratch, int64_t index,
                          const dm_example_draw *draw, float *x, int32_t *label, dm_err *err);
/* Left to right, in place, each of these rows. */
void dm_example_mirror(float *x, int64_t rows, int64_t w);

#endif
