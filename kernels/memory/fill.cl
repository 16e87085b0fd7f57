/* x[first, first + count) = 0, in words of 32 bits.
 *   x      uint[...]  out
 *   first, count      in words, count >= 1
 * zero_strips: for CPUs, one work-item a strip of 2^14 words, ceil(count / 2^14) of them.
 * zero_strided: for GPUs, any number of work-items, each every n-th word. */

__kernel void zero_strips(__global uint *x, ulong first, ulong count)
{
    const ulong strip = 1 << 14, from = get_global_id(0) * strip;
    const ulong n = min(strip, count - from);
    __global uint *p = x + first + from;
    ulong i = 0;

    for (; i + 16 <= n; i += 16)
        vstore16((uint16)0, 0, p + i);
    for (; i < n; i++)
        p[i] = 0;
}

__kernel void zero_strided(__global uint *x, ulong first, ulong count)
{
    for (ulong i = get_global_id(0); i < count; i += get_global_size(0))
        x[first + i] = 0;
}
