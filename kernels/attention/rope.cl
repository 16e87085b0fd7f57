/* Rotary position: the elements j and j + d/2 of each head of x[N,L,D], d = D / heads, are turned by angle[L,d/2], or
 * back by -angle. x, y f32, or 16 bits wide with -DBF16 or -DF16; angle f32. Items: blocks of W pairs of each head.
 * Oracle tests/ops/rope.c; 2e-6. */
#include "vec.clh"

kernel void rope(global const T *x, global const float *angle, global T *y, int rows, int L, int heads, int pairs,
                 float sign)
{
    const size_t blocks = ((size_t)pairs + W - 1) / W, id = get_global_id(0), head = id / blocks, row = head / heads,
                 j = id % blocks * W, left = pairs - j, at = head * 2 * pairs + j;

    if (row >= rows)
        return;
    {
        const VF a = load(angle + row % L * pairs + j, left), s = sign * sin(a), c = cos(a), u = LOAD(x + at, left),
                 v = LOAD(x + at + pairs, left);

        STORE(u * c - v * s, y + at, left);
        STORE(u * s + v * c, y + at + pairs, left);
    }
}
