/* Nearest upsampling, average pooling and their gradients, channels last, by factor f.
 * spread: y[n,h,w,c] = k x[n,h/f,w/f,c], y f32[N,H,W,C] f times as large as x.
 * gather: y[n,h,w,c] = k sum of the f x f block of x, y f32[N,H,W,C] f times as small as x.
 * A work-item takes `each` pixels of y in channels [c0, c0 + cols), channel blocks first.
 * f32, or 16 bits wide with -DBF16 or -DF16. Oracle tests/ops/shape.c; exact, gather 1e-6. */
#include "vec.clh"

kernel void spread(global const T *x, global T *y, int pixels, int width, int C, int f, float k, int each,
                   int cols)
{
    const size_t blocks = ((size_t)C + cols - 1) / cols, id = get_global_id(0);
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)pixels);
    const size_t left = id % blocks * cols, right = min(left + (size_t)cols, (size_t)C);

    for (size_t p = from; p < to; p++) {
        global const T *q = x + (p / width / f * (width / f) + p % width / f) * C;
        size_t c = left;

        for (; c < right; c += W)
            STORE(k * LOAD(q + c, right - c), y + p * C + c, right - c);
    }
}

kernel void gather(global const T *x, global T *y, int pixels, int width, int C, int f, float k, int each,
                   int cols)
{
    const size_t blocks = ((size_t)C + cols - 1) / cols, id = get_global_id(0), wide = (size_t)width * f;
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)pixels);
    const size_t left = id % blocks * cols, right = min(left + (size_t)cols, (size_t)C);

    for (size_t p = from; p < to; p++) {
        global const T *q = x + (p / width * f * wide + p % width * f) * C;

        for (size_t c = left; c < right; c += W) {
            VF s = 0.0f;

            for (int i = 0; i < f; i++)
                for (int j = 0; j < f; j++)
                    s += LOAD(q + (i * wide + j) * C + c, right - c);
            STORE(k * s, y + p * C + c, right - c);
        }
    }
}
