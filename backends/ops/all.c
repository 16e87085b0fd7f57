/* All implementations: one line a family of ops, each a list that ends in NULL, best guess first. */
#include "impl.h"

#include <stddef.h>

extern const dm_impl *const dm_impls_conv2d[], *const dm_impls_matmul[], *const dm_impls_eltwise[], *const dm_impls_reduce[],
    *const dm_impls_norm[], *const dm_impls_attention[], *const dm_impls_shape[], *const dm_impls_embed[], *const dm_impls_random[],
    *const dm_impls_loss[], *const dm_impls_clblast_gpu[], *const dm_impls_clblast_last[];

static const dm_impl *const *const families[] = {
    dm_impls_clblast_gpu,
    dm_impls_conv2d,
    dm_impls_matmul,
    dm_impls_eltwise,
    dm_impls_reduce,
    dm_impls_norm,
    dm_impls_attention,
    dm_impls_shape,
    dm_impls_embed,
    dm_impls_random,
    dm_impls_loss,
    dm_impls_clblast_last,
};

const dm_impl *dm_impl_at(dm_op_kind kind, int i)
{
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        for (const dm_impl *const *p = families[f]; *p; p++)
            if ((*p)->kind == kind && i-- == 0)
                return *p;
    return NULL;
}
