/* How work is cut for a device; see portable.h. */
#include "ops/launch/portable.h"

enum { GPU_GROUP = 64, CPU_LEAST = 256, CPU_MOST = 16384, CPU_ITEMS = 16 };

dm_range dm_over(const dm_device_info *d, int64_t items)
{
    const size_t n = d->cpu ? (size_t)items : (size_t)(dm_div_up(items, GPU_GROUP) * GPU_GROUP);

    return (dm_range){.dim = 1, .global = {n}};
}

int64_t dm_chunk(const dm_device_info *d, int64_t n)
{
    int64_t c;

    if (!d->cpu)
        return dm_lanes(d);
    c = n / (CPU_ITEMS * (int64_t)(d->compute_units ? d->compute_units : 1));
    c = c < CPU_LEAST ? CPU_LEAST : c > CPU_MOST ? CPU_MOST : c;
    return dm_div_up(c, dm_lanes(d)) * dm_lanes(d);
}

dm_cut dm_cut_table(const dm_device_info *d, int64_t rows, int64_t width)
{
    const int64_t chunk = dm_chunk(d, rows * width);
    dm_cut c = {1, width, 0};

    if (width >= chunk)
        c.cols = chunk;
    else if (d->cpu)
        c.each = chunk / width;
    c.items = dm_div_up(rows, c.each) * dm_div_up(width, c.cols);
    return c;
}

dm_status dm_fits(const dm_emit *e, int64_t scratch_elements)
{
    int64_t most = scratch_elements;

    for (int i = 0; i < e->node->n_in; i++)
        most = dm_desc_count(&e->node->in[i]) > most ? dm_desc_count(&e->node->in[i]) : most;
    for (int i = 0; i < e->node->n_out; i++)
        most = dm_desc_count(&e->node->out[i]) > most ? dm_desc_count(&e->node->out[i]) : most;
    if (most > INT32_MAX - 65536)
        return dm_error(e->err, DM_EINVAL,
                        "%s of %lld elements is too large; at most %d are allowed, take a smaller micro-batch",
                        e->label, (long long)most, INT32_MAX - 65536);
    return DM_OK;
}

dm_status dm_emit_items(dm_emit *e, const char *file, const char *name, int64_t items, const dm_karg *args, int n)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const dm_range r = dm_over(d, items);

    return dm_emit_launch(e, e->cmds, file, name, dm_lanes_option(d), &r, args, n);
}

dm_status dm_emit_typed(dm_emit *e, const char *file, const char *name, int64_t items, const dm_karg *args, int n)
{
    const dm_range r = dm_over(dm_device_get_info(e->dev), items);

    return dm_emit_launch(e, e->cmds, file, name, dm_lanes_typed(dm_device_get_info(e->dev), e->node->in[0].type), &r,
                          args, n);
}

dm_status dm_emit_flat(dm_emit *e, const char *file, const char *name)
{
    const dm_device_info *d = dm_device_get_info(e->dev);
    const int64_t n = dm_desc_count(&e->node->out[0]), chunk = dm_chunk(d, n);
    const dm_status s = dm_fits(e, 0);

    if (s != DM_OK)
        return s;
    if (e->node->n_in == 2)
        return dm_emit_typed(e, file, name, dm_div_up(n, chunk),
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(n), DM_KI(chunk)));
    return dm_emit_typed(e, file, name, dm_div_up(n, chunk),
                         DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), DM_KI(n), DM_KI(chunk)));
}
