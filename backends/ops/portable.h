/* What the portable implementations share: how the work of an op is cut for a device, and how such an
 * implementation is named. One source serves all: CPUs take vectors of 16 and long chunks, others of 4. */
#ifndef DEMIST_OPS_PORTABLE_H
#define DEMIST_OPS_PORTABLE_H

#include "impl.h"

/* Lanes of a vector on this device, and the build option that says so. */
static inline int dm_lanes(const dm_device_info *d) { return d->cpu ? 16 : 4; }
static inline const char *dm_lanes_option(const dm_device_info *d) { return d->cpu ? "-DW=16" : "-DW=4"; }
/* The same for kernels whose activations may be bf16, as the first input of the op says. */
static inline const char *dm_typed_option(const dm_emit *e)
{
    const bool cpu = dm_device_about(e->dev)->cpu;

    return e->node->in[0].type != DM_DT_BF16 ? cpu ? "-DW=16" : "-DW=4" : cpu ? "-DW=16 -DBF16" : "-DW=4 -DBF16";
}
static inline int64_t dm_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* One-dimensional, at least `items` work-items: kernels leave out those beyond. */
dm_range dm_over(const dm_device_info *d, int64_t items);
/* Neighbouring elements that one work-item takes of n, a multiple of dm_lanes. */
int64_t dm_chunk(const dm_device_info *d, int64_t n);
/* A table of rows cut into `each` rows of `cols` columns (a multiple of dm_lanes) an item; `items` of them. */
typedef struct dm_cut { int64_t each, cols, items; } dm_cut;
dm_cut dm_cut_table(const dm_device_info *d, int64_t rows, int64_t width);

/* Kernels count in 32 bits: DM_EINVAL where an input, an output or the scratch has more elements. */
dm_status dm_fits(const dm_emit *e, int64_t scratch_elements);
/* Launches over `items` work-items with the device's lanes. */
dm_status dm_emit_items(dm_emit *e, const char *file, const char *name, int64_t items, const dm_karg *args, int n);
/* The same by a kernel whose activations may be bf16. */
dm_status dm_emit_typed(dm_emit *e, const char *file, const char *name, int64_t items, const dm_karg *args, int n);

#endif
