/* Implementations of ops: which device and shapes one supports, and how it is put into a plan as
 * recorded launches. What core has to know of one stands in its row. They live in backends/ops/, one family a
 * folder, listed in backends/ops/all.c; the portable one of each op supports every device and shape. */
#ifndef DEMIST_CORE_IMPL_H
#define DEMIST_CORE_IMPL_H

#include "device/device.h"
#include "device/ops.h"

typedef struct dm_emit dm_emit;

/* Sets of types and of devices. */
#define DM_TYPE(t) (1u << (t))
#define DM_ANY_TYPE (DM_TYPE(DM_DT_F32) | DM_TYPE(DM_DT_BF16) | DM_TYPE(DM_DT_F16))
enum { DM_ON_CPUS = 1, DM_ON_OTHERS = 2, DM_ON_NONE = 4 };

typedef struct dm_impl {
    /* "portable", "vec16", ...: for people and files; says nothing of what it is. Rows of one op that have the same are
     * one implementation, in places for other shapes. */
    const char *name;
    dm_op_kind kind;
    /* NULL: always. */
    bool (*supports)(const dm_device_info *dev, const dm_opnode *n);
    /* Scratch bytes while the op runs; NULL: none. */
    size_t (*scratch)(const dm_device_info *dev, const dm_opnode *n);
    /* Records the launches. */
    dm_status (*emit)(dm_emit *e);
    /* The largest error over the largest magnitude of an output that it may have; 0 = what sums in f32 have
     * (DM_TOLERANCE). One that is further from the reference's result on the device is not used. */
    double tolerance;
    unsigned types;                /* of activations, DM_TYPE(); 0 = f32 alone */
    unsigned devices;              /* that it is meant for; 0 = all. Elsewhere it is used only where it is forced */
    uint64_t needs;                /* capabilities of those devices, all of them */
    bool reference;                /* others of its types are compared with it */
    bool for_highest;              /* where products of f32 may not round more than f32 does: else another is faster */
    bool splits_f32;               /* products of f32 are sums of those of bf16 */
    bool batch_dependent;          /* the bits of one example's result depend on how many share the call */
} dm_impl;
#define DM_TOLERANCE 1e-5

struct dm_emit {
    dm_device *dev;
    const dm_opnode *node;
    dm_buf *in[DM_MAX_IN], *out[DM_MAX_OUT]; /* NULL where absent */
    dm_buf *scratch;               /* NULL if none was asked for */
    dm_cmds *cmds;                 /* run each time */
    const char *label;             /* for --profile: "op/impl" */
    dm_err *err;
    dm_work work;                  /* of the op, for --profile */
    bool counted;                  /* it has been put on a launch */
    /* Packed weights (reordered, rotated, transformed); set by every caller. See dm_emit_packed. */
    dm_status (*packed)(dm_emit *e, int in, const char *key, size_t bytes, dm_buf **out, dm_cmds **refresh);
    void *packed_user;
};

/* A packed form of input `in`, kept with the weight set and rebuilt by *refresh when the weight
 * changes: *refresh is where to record the launches that make it, NULL if that was already done
 * by another op with the same weight and key. Where `in` is no weight, *refresh is e->cmds and the
 * form is made each time. key: names the form, e.g. "conv_vec16_fwd". */
static inline dm_status dm_emit_packed(dm_emit *e, int in, const char *key, size_t bytes, dm_buf **out,
                                        dm_cmds **refresh)
{
    return e->packed(e, in, key, bytes, out, refresh);
}

/* Gets the kernel and records the launch with the op's label and work. cmds: e->cmds or a refresh list. */
dm_status dm_emit_launch(dm_emit *e, dm_cmds *cmds, const char *file, const char *name, const char *options,
                         const dm_range *r, const dm_karg *args, int n);

/* The i-th implementation of an op, best guess first, NULL past the last. */
const dm_impl *dm_impl_at(dm_op_kind kind, int i);
/* Are these rows of one implementation: of one op and its types, by the same launches? */
bool dm_impl_same(const dm_impl *a, const dm_impl *b);
/* Of a name out of a file or from a user, n bytes: its first row, that supports the node on this device where there is
 * a node. NULL where there is none. */
const dm_impl *dm_impl_named(dm_op_kind kind, const char *name, size_t n, const dm_device_info *dev,
                             const dm_opnode *node);
/* Does it support this device and node, of the types that the node has? Not one whose scratch is larger than a buffer
 * of the device, but for the reference: what that cannot do, a smaller batch may. */
bool dm_impl_supports(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n);
/* Does it, on a device that it is meant for? high: also where it rounds products of f32 more than f32 does. */
bool dm_impl_preferred(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n, bool high);
/* Is it worth measuring there? Those that are preferred and, on a CPU without vectors, those for GPUs. */
bool dm_impl_candidate(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n, bool high);
/* Is it what others are compared with for this node? */
bool dm_impl_is_reference(const dm_impl *impl, const dm_opnode *n);

#endif
