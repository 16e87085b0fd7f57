/* All implementations: one line a family of ops, each a list that ends in NULL, best guess first. */
#include "impl.h"

#include <stddef.h>
#include <string.h>

extern const dm_impl *const dm_impls_conv2d[], *const dm_impls_conv2d_portable[], *const dm_impls_conv2d_bf16[],
    *const dm_impls_attention_bf16[], *const dm_impls_matmul[], *const dm_impls_eltwise[], *const dm_impls_reduce[],
    *const dm_impls_norm[], *const dm_impls_attention_vec16[], *const dm_impls_attention[], *const dm_impls_shape[],
    *const dm_impls_embed[], *const dm_impls_random[],
    *const dm_impls_loss[], *const dm_impls_clblast_gpu[], *const dm_impls_clblast_last[], *const dm_impls_winograd[],
    *const dm_impls_winograd_last[],
    *const dm_impls_tiled_conv[], *const dm_impls_tiled_matmul[], *const dm_impls_tiled_last[];

/* varies: a library picks its kernels by the extents of the whole batch. */
static const struct { const dm_impl *const *list; bool varies; } families[] = {
    {dm_impls_tiled_conv, false},
    {dm_impls_clblast_gpu, true},
    {dm_impls_tiled_matmul, false},
    {dm_impls_conv2d_bf16, false},
    {dm_impls_winograd, false},
    {dm_impls_conv2d, false},
    {dm_impls_winograd_last, false},
    {dm_impls_conv2d_portable, false},
    {dm_impls_matmul, false},
    {dm_impls_eltwise, false},
    {dm_impls_reduce, false},
    {dm_impls_norm, false},
    {dm_impls_attention_bf16, false},
    {dm_impls_attention_vec16, false},
    {dm_impls_attention, false},
    {dm_impls_shape, false},
    {dm_impls_embed, false},
    {dm_impls_random, false},
    {dm_impls_loss, false},
    {dm_impls_clblast_last, true},
    {dm_impls_tiled_last, false},
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

/* Portable implementations whose kernels take bf16 as well as f32. */
static bool portable_bf16(dm_op_kind kind)
{
    switch (kind) {
    case DM_OP_CAST: case DM_OP_ADD: case DM_OP_MUL: case DM_OP_BROADCAST: case DM_OP_SCALE: case DM_OP_SILU: case DM_OP_SILU_DX:
    case DM_OP_GELU: case DM_OP_GELU_DX: case DM_OP_REDUCE: case DM_OP_CONCAT: case DM_OP_SLICE: case DM_OP_PAD: case DM_OP_PERMUTE:
    case DM_OP_UPSAMPLE: case DM_OP_UPSAMPLE_DX: case DM_OP_AVG_POOL: case DM_OP_AVG_POOL_DX: case DM_OP_GROUP_NORM:
    case DM_OP_GROUP_NORM_DX: return true;
    default: return false;
    }
}

bool dm_impl_serves(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n)
{
    const bool made = !strcmp(impl->name, "amx") || !strcmp(impl->name, "avx512_bf16") || !strcmp(impl->name, "bf16");
    const bool both = !strcmp(impl->name, "portable") && portable_bf16(n->kind);

    return (dm_op_bf16(n) ? made || both : !made) && (!impl->serves || impl->serves(dev, n));
}

bool dm_impl_varies(const dm_impl *impl)
{
    for (int f = 0; f < N_FAMILIES; f++)
        for (const dm_impl *const *p = families[f].list; *p; p++)
            if (*p == impl)
                return families[f].varies;
    return false;
}
