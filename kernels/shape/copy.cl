/* Rows of arrays copied to, or zeroed in, another. A work-item takes `cols` columns (a multiple of W) of `each` rows,
 * column blocks first. Oracle tests/ops/shape.c; exact. */
#include "vec.clh"

/* Columns [left, right) of a row, or zeros. */
static inline void copy_row(global const T *x, global T *y, long left, long right)
{
    long c = left;

    for (; x && c + W <= right; c += W)
        COPY(x + c, y + c);
    for (; !x && c + W <= right; c += W)
        STORE((VF)(0.0f), y + c, W);
    for (; c < right; c++)
        y[c] = x ? x[c] : 0;
}

/* For slice and pad: y[r ys + yo + c] = x[r xs + xo + c] (0 if x is null) for r in [0, rows), c in [0, width). */
kernel void copy(global const T *x, global T *y, int4 from_x, int4 to_y)
{
    INTS4(from_x, rows, width, xs, xo);
    INTS4(to_y, ys, yo, each, cols);
    const size_t blocks = ((size_t)width + cols - 1) / cols, id = get_global_id(0);
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)rows);
    const long left = id % blocks * cols, right = min(left + cols, (long)width);

    for (size_t r = from; r < to; r++)
        copy_row(x ? x + r * xs + xo : x, y + r * ys + yo, left, right);
}

/* y[r] = a[r], then b[r]: rows of wa and wb. */
kernel void concat(global const T *a, global const T *b, global T *y, int4 extents, int cols)
{
    INTS4(extents, rows, wa, wb, each);
    const size_t blocks = ((size_t)wa + wb + cols - 1) / cols, id = get_global_id(0);
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)rows);
    const long left = id % blocks * cols, right = min(left + cols, (long)wa + wb);

    for (size_t r = from; r < to; r++) {
        global T *q = y + r * ((size_t)wa + wb);

        copy_row(a + r * wa, q, left, min(right, (long)wa));
        copy_row(b + r * wb, q + wa, max(left - wa, 0L), right - wa);
    }
}
