/* Unit Gaussians and dropout by Philox counters (core/device/ops.h): {purpose << 24 | node, step,
 * draw << 28 | block, index} under the seed, index = first + n for example n of x f32[N,P,C], P pixels,
 * channels last; block = element / 4 in C,P order. state u32[16] begins
 * with the seed's low and high word, step and first index.
 * Oracle tests/ops/random.c: dropout exact, Gaussians 1e-5. */
#include "vec.clh"
#include "random/philox.clh"

#if W == 16
#define LANES ((VU)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#elif W == 8
#define LANES ((VU)(0, 1, 2, 3, 4, 5, 6, 7))
#elif W == 4
#define LANES ((VU)(0, 1, 2, 3))
#else
#define LANES 0u
#endif

static inline void draw(VU *x, uint4 state, uint stream, uint draw_no, VU block, uint n)
{
    x[0] = stream;
    x[1] = state.s2;
    x[2] = block | draw_no << 28;
    x[3] = state.s3 + n;
    philox(x, state.s0, state.s1);
}

/* An item: `each` blocks (a multiple of W) of 4 elements. */
static inline void gaussians(uint4 state, global float *y, int N, int P, int C, int stream, int draw_no, int each)
{
    const uint blocks = ((uint)P * C + 3) / 4, strips = (blocks + each - 1) / each;
    const uint n = get_global_id(0) / strips, from = get_global_id(0) % strips * each, to = min(from + each, blocks);

    if (n >= N)
        return;
    y += (size_t)n * P * C;
    for (uint b = from; b < to; b += W) {
        VU x[4];
        VF z[4];
        float t[4][W];

        draw(x, state, stream, draw_no, b + LANES, n);
        normals(x[0], x[1], &z[0], &z[1]);
        normals(x[2], x[3], &z[2], &z[3]);
        for (int k = 0; k < 4; k++)
            VSTORE(z[k], t[k]);
        for (uint i = 0; i < W && b + i < to; i++) {
            const uint e = 4 * (b + i);
            uint c, p;

            if (C == 1 && e + 4 <= P) {
                vstore4((float4)(t[0][i], t[1][i], t[2][i], t[3][i]), 0, y + e);
                continue;
            }
            c = e / P;
            p = e % P;
            for (int k = 0; k < 4 && c < C; k++) {
                y[(size_t)p * C + c] = t[k][i];
                if (++p == P) {
                    p = 0;
                    c++;
                }
            }
        }
    }
}

kernel void randn(global const uint *state, global float *y, int N, int P, int C, int stream, int draw_no, int each)
{
    gaussians(vload4(0, state), y, N, P, C, stream, draw_no, each);
}

/* The same with the state's words as arguments, P elements an example. */
kernel void randn_at(int seed_lo, int seed_hi, int step, int first, global float *y, int N, int P, int stream,
                     int draw_no, int each)
{
    gaussians((uint4)(seed_lo, seed_hi, step, first), y, N, P, 1, stream, draw_no, each);
}

static inline VF masked(VF x, VU word, float p, float k) { return uniform(word) < p ? (VF)(0.0f) : x * k; }

/* y = 0 where the element's uniform is below p, else k x. An item: W channels of `each` pixels, a
 * multiple of 4. Where P is one, the words of a block are 4 pixels of its channel. */
kernel void dropout(global const float *x, global const uint *state, global float *y, int N, int P, int C, int stream,
                    int draw_no, float p, float k, int each)
{
    const uint blocks = (C + W - 1) / W, strips = (P + each - 1) / each, row = get_global_id(0) / blocks,
               n = row / strips;
    const uint c = get_global_id(0) % blocks * W, from = row % strips * each, to = min(from + each, (uint)P);
    const VU first = (c + LANES) * (uint)P;
    VU w[4];

    if (n >= N)
        return;
    x += (size_t)n * P * C;
    y += (size_t)n * P * C;
    for (uint i = from; i < to; i++) {
        const VU e = first + i;
        VU word;

        if (P % 4) {
            draw(w, vload4(0, state), stream, draw_no, e / 4, n);
            word = (e & 3) == 0 ? w[0] : (e & 3) == 1 ? w[1] : (e & 3) == 2 ? w[2] : w[3];
        } else {
            if (i % 4 == 0)
                draw(w, vload4(0, state), stream, draw_no, e / 4, n);
            word = w[i & 3];
        }
        store(masked(load(x + (size_t)i * C + c, C - c), word, p, k), y + (size_t)i * C + c, C - c);
    }
}

/* The same with C = 1: an item takes `each` blocks of neighbours. */
kernel void dropout_rows(global const float *x, global const uint *state, global float *y, int N, int P, int stream,
                         int draw_no, float p, float k, int each)
{
    const uint blocks = ((uint)P + 3) / 4, strips = (blocks + each - 1) / each;
    const uint n = get_global_id(0) / strips, from = get_global_id(0) % strips * each, to = min(from + each, blocks);

    if (n >= N)
        return;
    x += (size_t)n * P;
    y += (size_t)n * P;
    for (uint b = from; b < to; b += W) {
        VU w[4];
        uint t[4 * W];
        float u[W];

        draw(w, vload4(0, state), stream, draw_no, b + LANES, n);
        for (int q = 0; q < 4; q++) {
            VSTORE(uniform(w[q]), u);
            for (int i = 0; i < W; i++)
                t[4 * i + q] = u[i] < p;
        }
        for (uint q = 0; q < 4 * W && 4 * b + q < P; q++)
            y[4 * b + q] = t[q] ? 0.0f : x[4 * b + q] * k;
    }
}
