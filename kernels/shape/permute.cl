/* y = x with its axes in another order. y f32 (16 bits wide with -DBF16 or -DF16) [d0..d6,inner] is written row by row;
 * s* are x's element strides along y's axes. A work-item takes `each` rows of `cols` columns, column blocks first.
 * Oracle tests/ops/shape.c; exact. */
#include "vec.clh"

kernel void permute(global const T *x, global T *y, int4 extents, int4 more_extents, int4 steps, int4 more_steps,
                    int each, int cols)
{
    INTS4(extents, rows, inner, d1, d2);
    INTS4(more_extents, d3, d4, d5, d6);
    INTS4(steps, s0, s1, s2, s3);
    INTS4(more_steps, s4, s5, s6, stride);
    const int d[6] = {d6, d5, d4, d3, d2, d1}, s[7] = {s6, s5, s4, s3, s2, s1, s0};
    const size_t blocks = ((size_t)inner + cols - 1) / cols, id = get_global_id(0);
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)rows);
    const size_t left = id % blocks * cols, right = min(left + (size_t)cols, (size_t)inner);

    for (size_t r = from; r < to; r++) {
        global T *q = y + r * inner;
        size_t rest = r, at = 0, c = left;

        for (int i = 0; i < 6 && rest; i++) {
            at += rest % d[i] * s[i];
            rest /= d[i];
        }
        at += rest * s[6];
        if (stride == 1)
            for (; c + W <= right; c += W)
                COPY(x + at + c, q + c);
        for (; c < right; c++)
            q[c] = x[at + c * stride];
    }
}
