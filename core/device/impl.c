/* What the row of an implementation answers; see impl.h. */
#include "device/impl.h"

#include <string.h>

static bool takes(const dm_impl *impl, dm_dtype type)
{
    return (impl->types ? impl->types : DM_TYPE(DM_DT_F32)) & DM_TYPE(type);
}

bool dm_impl_supports(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n)
{
    if (n->full_precision && impl->splits_f32)
        return false; /* not even where it is forced */
    return takes(impl, dm_op_16bit_type(n)) && (!impl->supports || impl->supports(dev, n)) &&
           (impl->reference || !impl->scratch || impl->scratch(dev, n) <= dev->max_alloc);
}

bool dm_impl_same(const dm_impl *a, const dm_impl *b)
{
    return a == b || (a->kind == b->kind && a->emit == b->emit && a->types == b->types);
}

const dm_impl *dm_impl_named(dm_op_kind kind, const char *name, size_t n, const dm_device_info *dev,
                             const dm_opnode *node)
{
    const dm_impl *impl;

    for (int i = 0; (impl = dm_impl_at(kind, i)); i++)
        if (strlen(impl->name) == n && !memcmp(impl->name, name, n) && (!node || dm_impl_supports(impl, dev, node)))
            return impl;
    return NULL;
}

static bool is_for(const dm_impl *impl, unsigned devices, const dm_device_info *dev, const dm_opnode *n, bool high)
{
    if (!high && impl->tolerance > 0 && dm_op_16bit_type(n) == DM_DT_F32)
        return false;
    if (high && impl->for_highest)
        return false;
    return (!impl->devices || impl->devices & devices) && (impl->needs & dev->capabilities) == impl->needs &&
           dm_impl_supports(impl, dev, n);
}

bool dm_impl_preferred(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n, bool high)
{
    return is_for(impl, dev->cpu ? DM_ON_CPUS : DM_ON_OTHERS, dev, n, high);
}

bool dm_impl_candidate(const dm_impl *impl, const dm_device_info *dev, const dm_opnode *n, bool high)
{
    const bool either = dev->cpu && dev->native_float == 1;

    return is_for(impl, either ? DM_ON_CPUS | DM_ON_OTHERS : dev->cpu ? DM_ON_CPUS : DM_ON_OTHERS, dev, n, high);
}

bool dm_impl_is_reference(const dm_impl *impl, const dm_opnode *n)
{
    return impl->reference && takes(impl, dm_op_16bit_type(n));
}
