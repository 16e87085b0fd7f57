/* All implementations: one line a family of ops, each a list that ends in NULL, best guess first. */
#include "impl.h"

#include <stddef.h>

extern const dm_impl *const dm_impls_conv2d[], *const dm_impls_matmul[];

static const dm_impl *const *const families[] = {
    dm_impls_conv2d,
    dm_impls_matmul,
};

const dm_impl *dm_impl_at(dm_op_kind kind, int i)
{
    for (size_t f = 0; f < sizeof families / sizeof families[0]; f++)
        for (const dm_impl *const *p = families[f]; *p; p++)
            if ((*p)->kind == kind && i-- == 0)
                return *p;
    return NULL;
}
