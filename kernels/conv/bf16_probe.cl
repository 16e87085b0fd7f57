/* What the tiles of bf16_tiles.clh are on a device, for one that may not have them: out f32[32][32] = 2 A B, of
 * a bf16[32][32] and b bf16[2][16][16][2] in. Launch: one item. Oracle: backends/opencl/opened/probe.c. */
#include "conv/bf16_tiles.clh"

TILES_OF(global, global)

__kernel void probe(__global const ushort *a, __global const ushort *b, __global float *out)
{
    TILES_BEGIN;
    TILES_ZERO(out);
    /* two steps over the same */
    TILES_DOT(global, global, out, a, a + 512, 64, 0, 0, b, b + 512, 0, 0, 2, 1);
    TILES_STORE(out);
    TILES_END;
}
