/* What the portable implementations share: how the work of an op is cut for a device, and how such an
 * implementation is named. One source supports all: CPUs take vectors of 16 and long chunks, others of 4. */
#ifndef DEMIST_OPS_PORTABLE_H
#define DEMIST_OPS_PORTABLE_H

#include "device/impl.h"

/* Lanes of a vector on this device, and the build option that says so. */
static inline int dm_lanes(const dm_device_info *d) { return d->cpu ? 16 : 4; }
static inline const char *dm_lanes_option(const dm_device_info *d) { return d->cpu ? "-DW=16" : "-DW=4"; }
/* The same for kernels whose activations are of this type. */
static inline const char *dm_lanes_typed(const dm_device_info *d, dm_dtype type)
{
    static const char *const cpu[] = {"-DW=16", "-DW=16", "-DW=16 -DBF16", "-DW=16 -DF16"};
    static const char *const others[] = {"-DW=4", "-DW=4", "-DW=4 -DBF16", "-DW=4 -DF16"};

    return (d->cpu ? cpu : others)[type];
}
static inline int64_t dm_div_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/* The beginning of a row of such an implementation. */
#define DM_PORTABLE(op, run) .name = "portable", .kind = DM_OP_##op, .emit = run, .reference = true

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
/* The same by a kernel whose activations may be 16 bits wide, as the first input of the op says. */
dm_status dm_emit_typed(dm_emit *e, const char *file, const char *name, int64_t items, const dm_karg *args, int n);
/* One value from one, or two, of the same extents: (in..., out, n, chunk), so many neighbouring elements an item. */
dm_status dm_emit_flat(dm_emit *e, const char *file, const char *name);

#endif
