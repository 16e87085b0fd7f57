/* What the tiles of bf16_tiles.clh are on a device, for one that may not have them: out f32[32][32] = 2 A B, of
 * a bf16[32][32] and b bf16[2][16][16][2] in. Launch: one item. Oracle: backends/opencl/probe.c. */
#include "conv/bf16_tiles.clh"

__kernel void probe(__global const ushort *a, __global const ushort *b, __global float *out)
{
    const ulong a0 = PTR(a), b0 = PTR(b);

    TILES_BEGIN;
    TILES_ZERO(out);
    tiles_dot(PTR(out), a0, a0 + 1024, 64, 0, 0, b0, b0 + 1024, 0, 0, 2, 1); /* two steps over the same */
    TILES_STORE(out);
    TILES_END;
}
