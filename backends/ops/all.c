/* All implementations: one line a family of ops, each a list that ends in NULL, best guess first. */
#include "device/impl.h"

#include <stddef.h>
#include <string.h>

extern const dm_impl *const dm_impls_conv2d[];
extern const dm_impl *const dm_impls_conv2d_portable[];
extern const dm_impl *const dm_impls_conv2d_bf16[];
extern const dm_impl *const dm_impls_attention_bf16[];
extern const dm_impl *const dm_impls_matmul[];
extern const dm_impl *const dm_impls_eltwise[];
extern const dm_impl *const dm_impls_reduce[];
extern const dm_impl *const dm_impls_norm_vec16[];
extern const dm_impl *const dm_impls_norm[];
extern const dm_impl *const dm_impls_attention_vec16[];
extern const dm_impl *const dm_impls_attention[];
extern const dm_impl *const dm_impls_shape[];
extern const dm_impl *const dm_impls_embed[];
extern const dm_impl *const dm_impls_random[];
extern const dm_impl *const dm_impls_loss[];
extern const dm_impl *const dm_impls_clblast[];
extern const dm_impl *const dm_impls_winograd[];
extern const dm_impl *const dm_impls_winograd_last[];
extern const dm_impl *const dm_impls_tiled_conv[];
extern const dm_impl *const dm_impls_tiled_matmul[];
extern const dm_impl *const dm_impls_mma[];
extern const dm_impl *const dm_impls_conv2d_bf16x3[];
extern const dm_impl *const dm_impls_matmul_bf16x3[];
extern const dm_impl *const dm_impls_matmul_bf16x3_last[];
extern const dm_impl *const dm_impls_matmul_rows[];
extern const dm_impl *const dm_impls_winograd_tiled[];
extern const dm_impl *const dm_impls_attention_bf16x3[];
extern const dm_impl *const dm_impls_fp16[];

static bool cpu(const dm_device_info *dev) { return dev->cpu; }
static bool no_cpu(const dm_device_info *dev) { return !dev->cpu; }
static bool tiles(const dm_device_info *dev) { return dev->amx_bf16; }
static bool tensor_cores(const dm_device_info *dev) { return dev->mma_bf16; }

/* preferred: devices that a family is meant for, NULL = all. batch_invariant: false where a library picks its kernels
 * by the extents of the whole batch. */
static const struct {
    const dm_impl *const *list;
    bool (*preferred)(const dm_device_info *dev);
    bool batch_invariant;
} families[] = {
    {dm_impls_mma, tensor_cores, true},
    {dm_impls_fp16, no_cpu, true},
    {dm_impls_tiled_conv, no_cpu, true},
    {dm_impls_winograd_tiled, no_cpu, true},
    {dm_impls_clblast, no_cpu, false},
    {dm_impls_tiled_matmul, no_cpu, true},
    {dm_impls_conv2d_bf16, NULL, true},
    {dm_impls_conv2d_bf16x3, tiles, true},
    {dm_impls_matmul_rows, cpu, true},
    {dm_impls_matmul_bf16x3, tiles, true},
    {dm_impls_winograd, NULL, true},
    {dm_impls_conv2d, NULL, true},
    {dm_impls_winograd_last, NULL, true},
    {dm_impls_conv2d_portable, NULL, true},
    {dm_impls_matmul, NULL, true},
    {dm_impls_matmul_bf16x3_last, tiles, true},
    {dm_impls_eltwise, NULL, true},
    {dm_impls_reduce, NULL, true},
    {dm_impls_norm_vec16, cpu, true},
    {dm_impls_norm, NULL, true},
    {dm_impls_attention_bf16, NULL, true},
    {dm_impls_attention_bf16x3, tiles, true},
    {dm_impls_attention_vec16, NULL, true},
    {dm_impls_attention, NULL, true},
    {dm_impls_shape, NULL, true},
    {dm_impls_embed, NULL, true},
    {dm_impls_random, NULL, true},
    {dm_impls_loss, NULL, true},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

const dm_impl *dm_impl_at(dm_op_kind kind, int i)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const dm_impl *const *p = families[f].list; *p; p++)
            if ((*p)->kind == kind && i-- == 0)
                return *p;
    return NULL;
}

/* Portable implementations whose kernels take 16-bit types as well as f32. */
static bool portable_16bit(dm_op_kind kind)
{
    switch (kind) {
    case DM_OP_CAST:
    case DM_OP_ADD:
    case DM_OP_MUL:
    case DM_OP_BROADCAST:
    case DM_OP_SCALE:
    case DM_OP_SILU:
    case DM_OP_SILU_DX:
    case DM_OP_GELU:
    case DM_OP_GELU_DX:
    case DM_OP_REDUCE:
    case DM_OP_CONCAT:
    case DM_OP_SLICE:
    case DM_OP_PAD:
    case DM_OP_PERMUTE:
    case DM_OP_UPSAMPLE: case DM_OP_UPSAMPLE_DX: case DM_OP_AVG_POOL: case DM_OP_AVG_POOL_DX: case DM_OP_GROUP_NORM:
    case DM_OP_GROUP_NORM_DX: return true;
    default: return false;
    }
}

/* Made for a 16-bit type, and for it alone; DM_DT_F32: not so. */
static dm_dtype made_for(const dm_impl *impl)
{
    static const struct {
        const char *name;
        dm_dtype type;
    } made[] = {{"amx", DM_DT_BF16},
                {"avx512_bf16", DM_DT_BF16},
                {"bf16", DM_DT_BF16},
                {"mma", DM_DT_BF16},
                {"fp16", DM_DT_F16}};

    for (size_t i = 0; i < sizeof made / sizeof made[0]; i++)
        if (!strcmp(impl->name, made[i].name))
            return made[i].type;
    return DM_DT_F32;
}

bool dm_impl_supports(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n)
{
    const bool any = !strcmp(impl->name, "portable") && portable_16bit(n->kind);
    const bool norm = (n->kind == DM_OP_GROUP_NORM || n->kind == DM_OP_GROUP_NORM_DX) && dm_op_bf16(n);

    if (n->full_precision && !strcmp(impl->name, "bf16x3"))
        return false; /* not even where it is forced */
    return (any || norm || made_for(impl) == dm_op_16bit_type(n)) && (!impl->supports || impl->supports(dev, n));
}

static int family_of(const dm_impl *impl)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const dm_impl *const *p = families[f].list; *p; p++)
            if (*p == impl)
                return f;
    return -1;
}

bool dm_impl_preferred(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n)
{
    const int f = family_of(impl);

    if (!dev->high && impl->tolerance > 0 && dm_op_16bit_type(n) == DM_DT_F32)
        return false;
    return dm_impl_supports(impl, dev, n) && (f < 0 || !families[f].preferred || families[f].preferred(dev));
}

bool dm_impl_batch_invariant(const dm_impl *impl)
{
    const int f = family_of(impl);

    return f < 0 || families[f].batch_invariant;
}
