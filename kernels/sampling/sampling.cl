/* What samplers and predictions need, over f32 arrays in N,C,H,W order.
 * Oracle tests/ops/sampling.c; 1e-6 of the largest value. */
#include "vec.clh"

/* out = sum of k x, terms with k = 0 not read; out may be one of the x. */
kernel void weighted_sum(global float *out, global const float *x0, global const float *x1, global const float *x2,
                         global const float *x3, global const float *x4, global const float *x5, global const float *x6,
                         global const float *x7, float k0, float k1, float k2, float k3, float k4, float k5, float k6,
                         float k7, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);
    global const float *const x[8] = {x0, x1, x2, x3, x4, x5, x6, x7};
    const float k[8] = {k0, k1, k2, k3, k4, k5, k6, k7};

    for (size_t i = from; i < to; i += W) {
        VF s = 0.0f;

        for (int t = 0; t < 8; t++)
            if (k[t] != 0.0f)
                s = fma((VF)(k[t]), load(x[t] + i, to - i), s);
        store(s, out + i, to - i);
    }
}

/* x = m x + (1 - m) (alpha x0 + sigma z). */
kernel void keep(global float *x, global const float *m, global const float *x0, global const float *z, float alpha,
                 float sigma, int n, int chunk)
{
    const size_t from = get_global_id(0) * (size_t)chunk, to = min(from + (size_t)chunk, (size_t)n);

    for (size_t i = from; i < to; i += W) {
        const VF kept = fma((VF)(alpha), load(x0 + i, to - i), sigma * load(z + i, to - i)), k = load(m + i, to - i);

        store(fma(k, load(x + i, to - i), (1.0f - k) * kept), x + i, to - i);
    }
}

/* x f32[n,inner], F f32[n,stride] with V behind the first `inner`. x0 = c_skip x + c_out F, held within
 * +-limit if limit > 0; eps = e_x x + e_F F, which is (x - alpha x0) / sigma without its cancellation, and,
 * unless eps_first, ratio (= alpha / sigma) times what holding took from x0; log_var = k0 + k1 V. Null:
 * not wanted. Items: n strips of `chunk` elements. */
kernel void predict(global const float *x, global const float *F, global float *x0, global float *eps,
                    global float *log_var, int n, int inner, int stride, float c_skip, float c_out, float limit,
                    float e_x, float e_F, float ratio, float k0, float k1, int chunk)
{
    const size_t strips = ((size_t)inner + chunk - 1) / chunk, row = get_global_id(0) / strips;
    const size_t from = get_global_id(0) % strips * chunk, to = min(from + (size_t)chunk, (size_t)inner);

    if (row >= n)
        return;
    for (size_t i = from; i < to; i += W) {
        const size_t at = row * inner + i, left = to - i;

        if (x0 || eps) {
            const VF u = load(x + at, left), f = load(F + row * stride + i, left);
            const VF free = fma((VF)(c_skip), u, c_out * f), low = free < -limit ? (VF)(-limit) : free;
            const VF held = limit > 0.0f ? (low > limit ? (VF)(limit) : low) : free;

            if (x0)
                store(held, x0 + at, left);
            if (eps)
                store(fma((VF)(e_x), u, e_F * f) + ratio * (free - held), eps + at, left);
        }
        if (log_var)
            store(fma((VF)(k1), load(F + row * stride + inner + i, left), (VF)(k0)), log_var + at, left);
    }
}

/* ---- dynamic thresholding ---------------------------------------------------------------
 * One work-group of GROUP items an example: the rank-th smallest |x| by its bits, 8 at a time from
 * the top, and the next one, interpolated. Counts are integers: the order of adding does not matter. */
#ifndef GROUP
#define GROUP 1
#endif

static inline uint magnitude(global const float *x, size_t i) { return as_uint(fabs(x[i])); }

static void count_bytes(global const float *x, int inner, uint prefix, int shift, local uint *bins)
{
    for (int b = get_local_id(0); b < 256; b += GROUP)
        bins[b] = 0;
    barrier(CLK_LOCAL_MEM_FENCE);
    for (int i = get_local_id(0); i < inner; i += GROUP) {
        const uint v = magnitude(x, i);

        if (shift == 24 || v >> (shift + 8) == prefix)
            atomic_inc(&bins[v >> shift & 255]);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
}

__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void threshold(global float *x, int inner, int rank, float between, float most)
{
    local uint bins[256];
    local uint found[4]; /* prefix, rank left within it, values equal to the found one, least value above it */
    uint low, high;
    float s;

    x += get_group_id(0) * (size_t)inner;
    if (get_local_id(0) == 0) {
        found[0] = 0;
        found[1] = rank;
        found[3] = 0xFFFFFFFFu;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        barrier(CLK_LOCAL_MEM_FENCE);
        count_bytes(x, inner, found[0], shift, bins);
        if (get_local_id(0) == 0) {
            uint b = 0, left = found[1];

            while (b < 255 && left >= bins[b])
                left -= bins[b++];
            found[0] = found[0] << 8 | b;
            found[1] = left;
            found[2] = bins[b];
        }
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    low = found[0];
    for (int i = get_local_id(0); i < inner; i += GROUP) {
        const uint v = magnitude(x, i);

        if (v > low)
            atomic_min(&found[3], v);
    }
    barrier(CLK_LOCAL_MEM_FENCE);
    high = found[1] + 1 < found[2] || found[3] == 0xFFFFFFFFu ? low : found[3];
    s = fma(between, as_float(high) - as_float(low), as_float(low));
    s = fmin(fmax(s, 1.0f), most);
    for (int i = get_local_id(0); i < inner; i += GROUP)
        x[i] = (x[i] < -s ? -s : x[i] > s ? s : x[i]) / s;
}

/* x f32[N,inner], w the same or NULL -> sums f32[N], sums[n] = the sum of (w x)^2 over inner; one group an example.
 * Each work-item adds every GROUP-th square in PARTS partial sums, then all in the order of their places. */
__attribute__((reqd_work_group_size(GROUP, 1, 1)))
kernel void square_sums(global const float *x, global const float *w, global float *sums, int inner)
{
    enum { PARTS = 8 };
    local float of[GROUP];
    const size_t first = get_group_id(0) * (size_t)inner;
    float part[PARTS] = {0}, sum = 0;

    for (int i = get_local_id(0), lane = 0; i < inner; i += GROUP, lane = (lane + 1) % PARTS) {
        const float v = x[first + i] * (w ? w[first + i] : 1.0f);

        part[lane] += v * v;
    }
    for (int k = 0; k < PARTS; k++)
        sum += part[k];
    of[get_local_id(0)] = sum;
    barrier(CLK_LOCAL_MEM_FENCE);
    if (get_local_id(0) == 0) {
        for (int k = 1; k < GROUP; k++)
            sum += of[k];
        sums[get_group_id(0)] = sum;
    }
}
