/* From f32 to bf16 and back: y[i] = x[i], n elements, `chunk` neighbours a work-item.
 * Oracle tests/ops/bf16.c; exact. */
#include "vec.clh"

kernel void to_bf16(global const float *x, global ushort *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store_bf16(load(x + i, to - i), y + i, to - i);
}

kernel void to_f32(global const ushort *x, global float *y, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W)
        store(load_bf16(x + i, to - i), y + i, to - i);
}
