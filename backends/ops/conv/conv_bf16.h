/* Convolutions by products of bf16 on CPUs, shared by conv2d nodes and linear layers; x, y as DM_OP_CONV2D has them. */
#ifndef DEMIST_OPS_CONV_BF16_H
#define DEMIST_OPS_CONV_BF16_H

#include "backends/capabilities.h"
#include "ops/conv/conv_args.h"

/* Of results that are stored as bf16, and weights that are rounded to it: 2^-8 each, errors of neighbours in a sum. */
#define DM_BF16_TOLERANCE 1.6e-2

/* What multiplies: tile registers, dot products of pairs, or f32 arithmetic on the same rounded numbers. The last two
 * multiply f32, each number split in two bf16 and three products of the four taken (bf16x3). */
typedef enum dm_bf16_unit {
    DM_BF16_TILES,
    DM_BF16_PAIRS,
    DM_BF16_PLAIN,
    DM_BF16X3_TILES,
    DM_BF16X3_PLAIN
} dm_bf16_unit;
static inline bool dm_bf16_split(dm_bf16_unit unit) { return unit >= DM_BF16X3_TILES; }

/* Can the device, a CPU, multiply so? Not one whose compiler has no vectors of its own: it makes each lane of the
 * kernels' vectors a number, and takes minutes. */
bool dm_bf16_able(const dm_device_info *dev, dm_bf16_unit unit);
bool dm_bf16_serves(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g, bool gradient);
dm_status dm_bf16_forward(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, int weight, dm_buf *b, dm_buf *temb,
                          dm_buf *res);
dm_status dm_bf16_dx(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, dm_buf *dy, int weight);
bool dm_bf16_dw_serves(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g);
size_t dm_bf16_dw_scratch(const dm_device_info *dev, dm_bf16_unit unit, const dm_conv_args *g);
dm_status dm_bf16_dw(dm_emit *e, dm_bf16_unit unit, const dm_conv_args *g, dm_buf *x, dm_buf *dy);

/* The three implementations of an op; the last one is what others are compared with, and slower than casts to f32 and
 * its own implementations: no device prefers it, and where pairs are slow none prefers these. From its supports(dev,
 * unit, node) and emit(e, unit). */
#define DM_BF16_UNITS(supports, emit)                                            \
    static bool supports##_tiles(const dm_device_info *d, const dm_opnode *n)    \
    {                                                                            \
        return supports(d, DM_BF16_TILES, n);                                    \
    }                                                                            \
    static bool supports##_pairs(const dm_device_info *d, const dm_opnode *n)    \
    {                                                                            \
        return supports(d, DM_BF16_PAIRS, n);                                    \
    }                                                                            \
    static bool supports##_plain(const dm_device_info *d, const dm_opnode *n)    \
    {                                                                            \
        return supports(d, DM_BF16_PLAIN, n);                                    \
    }                                                                            \
    static dm_status emit##_tiles(dm_emit *e) { return emit(e, DM_BF16_TILES); } \
    static dm_status emit##_pairs(dm_emit *e) { return emit(e, DM_BF16_PAIRS); } \
    static dm_status emit##_plain(dm_emit *e) { return emit(e, DM_BF16_PLAIN); }
#define DM_BF16_IMPL(n, op, predicate, bytes, run)                                                                     \
    {.name = n, .kind = op, .supports = predicate, .scratch = bytes, .emit = run, .tolerance = DM_BF16_TOLERANCE, \
     .types = DM_TYPE(DM_DT_BF16)
#define DM_BF16_IMPLS_OF(op, predicate, bytes, run)                                \
    DM_BF16_IMPL("amx", op, predicate##_tiles, bytes, run##_tiles)},               \
    DM_BF16_IMPL("avx512_bf16", op, predicate##_pairs, bytes, run##_pairs),        \
     .needs = DM_CAP_FAST_PAIRS},                                                  \
    DM_BF16_IMPL("bf16", op, predicate##_plain, bytes, run##_plain), .reference = true, \
     .devices = DM_ON_NONE}
#define DM_BF16_IMPLS(kind, scratch) DM_BF16_IMPLS_OF(kind, supports, scratch, emit)

/* bf16x3 of an op: on tiles, or, where it is forced, on any CPU. Of a product it leaves out less than 2^-16, either
 * way. */
#define DM_BF16X3_TOLERANCE 1e-5
#define DM_BF16X3(op, predicate, bytes, run, error)                                                          \
    {.name = "bf16x3", .kind = op, .supports = predicate, .scratch = bytes, .emit = run, .tolerance = error, \
     .needs = DM_CAP_AMX_BF16, .splits_f32 = true}
static inline dm_bf16_unit dm_bf16x3_unit(const dm_device_info *dev)
{
    return dev->capabilities & DM_CAP_AMX_BF16 ? DM_BF16X3_TILES : DM_BF16X3_PLAIN;
}

#endif
