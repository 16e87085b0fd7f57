/* All implementations: one line a family of ops, each a list that ends in a row without a name, best guess first. */
#include "device/impl.h"

#include <stddef.h>

extern const dm_impl dm_impls_conv2d[];
extern const dm_impl dm_impls_conv2d_portable[];
extern const dm_impl dm_impls_conv2d_bf16[];
extern const dm_impl dm_impls_attention_bf16[];
extern const dm_impl dm_impls_attention_flash[];
extern const dm_impl dm_impls_matmul[];
extern const dm_impl dm_impls_eltwise[];
extern const dm_impl dm_impls_unary[];
extern const dm_impl dm_impls_reduce[];
extern const dm_impl dm_impls_reduce_rows[];
extern const dm_impl dm_impls_rms_norm[];
extern const dm_impl dm_impls_norm_vec16[];
extern const dm_impl dm_impls_norm[];
extern const dm_impl dm_impls_attention_vec16[];
extern const dm_impl dm_impls_attention[];
extern const dm_impl dm_impls_shape[];
extern const dm_impl dm_impls_embed[];
extern const dm_impl dm_impls_conv2d_grouped[];
extern const dm_impl dm_impls_rope[];
extern const dm_impl dm_impls_resize[];
extern const dm_impl dm_impls_random[];
extern const dm_impl dm_impls_loss[];
extern const dm_impl dm_impls_clblast[];
extern const dm_impl dm_impls_winograd[];
extern const dm_impl dm_impls_winograd_last[];
extern const dm_impl dm_impls_tiled_conv[];
extern const dm_impl dm_impls_tiled_matmul[];
extern const dm_impl dm_impls_mma[];
extern const dm_impl dm_impls_conv2d_bf16x3[];
extern const dm_impl dm_impls_matmul_bf16x3[];
extern const dm_impl dm_impls_matmul_bf16x3_last[];
extern const dm_impl dm_impls_matmul_rows[];
extern const dm_impl dm_impls_winograd_tiled[];
extern const dm_impl dm_impls_attention_bf16x3[];
extern const dm_impl dm_impls_fp16[];

static const dm_impl *const families[] = {
    dm_impls_mma,
    dm_impls_fp16,
    dm_impls_tiled_conv,
    dm_impls_winograd_tiled,
    dm_impls_clblast,
    dm_impls_tiled_matmul,
    dm_impls_conv2d_bf16,
    dm_impls_conv2d_bf16x3,
    dm_impls_matmul_rows,
    dm_impls_matmul_bf16x3,
    dm_impls_winograd,
    dm_impls_conv2d,
    dm_impls_winograd_last,
    dm_impls_conv2d_portable,
    dm_impls_matmul,
    dm_impls_matmul_bf16x3_last,
    dm_impls_eltwise,
    dm_impls_unary,
    dm_impls_reduce,
    dm_impls_reduce_rows,
    dm_impls_norm_vec16,
    dm_impls_norm,
    dm_impls_rms_norm,
    dm_impls_attention_flash,
    dm_impls_attention_bf16,
    dm_impls_attention_bf16x3,
    dm_impls_attention_vec16,
    dm_impls_attention,
    dm_impls_conv2d_grouped,
    dm_impls_rope,
    dm_impls_resize,
    dm_impls_shape,
    dm_impls_embed,
    dm_impls_random,
    dm_impls_loss,
};

const dm_impl *dm_impl_at(dm_op_kind kind, int i)
{
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        for (const dm_impl *p = families[f]; p->name; p++)
            if (p->kind == kind && i-- == 0)
                return p;
    return NULL;
}
