/* From f32 to bf16, or f16 with -DF16, and back: y[i] = x[i], n elements, `chunk` neighbours a work-item.
 * Oracle tests/ops/eltwise.c; exact. */
#include "vec.clh"

kernel void to_16bit(global const float *x, global ushort *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store_16bit(load(x + i, to - i), y + i, to - i);
}

kernel void to_f32(global const ushort *x, global float *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store(load_16bit(x + i, to - i), y + i, to - i);
}
