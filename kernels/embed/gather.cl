/* Elements along an axis by number, and its gradient: x and dx [outer,rows,inner], index i32[count], y and dy
 * [outer,count,inner]; f32, or 16 bits wide with -DBF16 or -DF16. A number outside [0, rows) gives zeros.
 * Items: blocks of W columns of each row of the result. Oracle tests/ops/embed.c; exact, the gradient 2e-6. */
#include "vec.clh"

kernel void gather(global const T *x, global const int *index, global T *y, int outer, int rows, int count, int inner)
{
    const size_t blocks = ((size_t)inner + W - 1) / W, id = get_global_id(0), row = id / blocks,
                 c = id % blocks * W, o = row / count, left = inner - c;
    int r;

    if (o >= outer)
        return;
    r = index[row % count];
    STORE(r >= 0 && r < rows ? LOAD(x + (o * rows + r) * inner + c, left) : (VF)(0.0f), y + row * inner + c, left);
}

kernel void gather_dx(global const T *dy, global const int *index, global T *dx, int outer, int rows, int count,
                      int inner)
{
    const size_t blocks = ((size_t)inner + W - 1) / W, id = get_global_id(0), row = id / blocks,
                 c = id % blocks * W, o = row / rows, left = inner - c;
    VF sum = 0.0f;

    if (o >= outer)
        return;
    for (int i = 0; i < count; i++)
        if (index[i] == (int)(row % rows))
            sum += LOAD(dy + (o * count + i) * inner + c, left);
    STORE(sum, dx + row * inner + c, left);
}
