/* Rows of one array copied to, or zeroed in, another: concat, slice, pad. y[r ys + yo + c] =
 * x[r xs + xo + c] (0 if x is null) for r in [0, rows), c in [0, width). A work-item takes `cols`
 * columns (a multiple of W) of `each` rows, column blocks first.
 * Oracle tests/ops/shape.c; exact. */
#include "vec.clh"

kernel void copy(global const T *x, global T *y, int rows, int width, int xs, int xo, int ys, int yo, int each,
                 int cols)
{
    const size_t blocks = ((size_t)width + cols - 1) / cols, id = get_global_id(0);
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)rows);
    const size_t left = id % blocks * cols, right = min(left + (size_t)cols, (size_t)width);

    for (size_t r = from; r < to; r++) {
        global T *q = y + r * ys + yo;
        size_t c = left;

        for (; x && c + W <= right; c += W)
            COPY(x + r * xs + xo + c, q + c);
        for (; !x && c + W <= right; c += W)
            STORE((VF)(0.0f), q + c, W);
        for (; c < right; c++)
            q[c] = x ? x[r * xs + xo + c] : 0;
    }
}
