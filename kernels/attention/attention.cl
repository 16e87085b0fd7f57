/* y = softmax(q k' / sqrt(d)) v for each head h of each example, and its gradient. q, y f32[N,L,D],
 * k, v f32[N,M,D]; the head is columns [h d, (h+1) d), d = D / heads; lse f32[N,heads,L].
 * A work-item takes ROWS queries (or keys) of one head against KEYS keys (or queries) at a time, W of them
 * in the lanes; the other side comes transposed from `transpose` as f32[count,heads,d,T rounded up to W]. n0: the
 * first example of the slice of `count`, to which what lies in scratch belongs, at the offsets given.
 * Oracle tests/ops/attention.c; 3e-6 of the largest output. */
#include "vec.clh"

#define ROWS 8
#define KEYS 64
#define ALL _Pragma("unroll") for (int r = 0; r < ROWS; r++)
/* Weights of ROWS rows against KEYS positions: aligned vectors, read one by one too. */
#define TILE (ROWS * KEYS / W)
#define AT(r, i) (((r) * KEYS + (i)) / W)

/* xt[to + (n,h,j,t)] = x[n0 + n, t, h d + j], 0 for t in [T, padded). An item: W positions of one head. By plain loops:
 * a network of shuffles is no faster where it counts, and PoCL compiles it for 0.7 s. */
kernel void transpose(global const float *x, global float *xt, int to, int n0, int count, int T, int padded,
                      int heads, int d)
{
    const int strips = padded / W, t = get_global_id(0) % strips * W, nh = get_global_id(0) / strips;
    const size_t D = (size_t)heads * d;
    float v[W * W];

    if (nh >= count * heads)
        return;
    x += (((size_t)n0 + nh / heads) * T + t) * D + nh % heads * d;
    xt += to + (size_t)nh * d * padded + t;
    for (int j = 0; j < d; j += W) {
        _Pragma("nounroll") for (int i = 0; i < W; i++) {
            const VF u = t + i < T ? load(x + i * D + j, d - j) : (VF)(0.0f);

            VSTORE(u, v + i * W);
        }
        _Pragma("nounroll") for (int k = 0; k < min(W, d - j); k++)
            for (int i = 0; i < W; i++)
                xt[(size_t)(j + k) * padded + i] = v[i * W + k];
    }
}

/* acc[r] = sum over j of row[r][j] * xt[j][lanes]; `dots2`: of two neighbouring vectors of lanes, so that the row's
 * values, of which one instruction can read one, are used twice. */
static inline void dots(VF *acc, global const float *const *row, global const float *xt, int padded, int d)
{
    ALL acc[r] = 0.0f;
    for (int j = 0; j < d; j++) {
        const VF v = VLOAD(xt + (size_t)j * padded);

        ALL acc[r] = fma((VF)(row[r][j]), v, acc[r]);
    }
}

static inline void dots2(VF *acc, VF *acc2, global const float *const *row, global const float *xt, int padded, int d)
{
    ALL acc[r] = acc2[r] = 0.0f;
    for (int j = 0; j < d; j++) {
        const VF v = VLOAD(xt + (size_t)j * padded), v2 = VLOAD(xt + (size_t)j * padded + W);

        ALL {
            const VF e = row[r][j];

            acc[r] = fma(e, v, acc[r]);
            acc2[r] = fma(e, v2, acc2[r]);
        }
    }
}

/* p[r][i] for n positions from xt: as many as there are vectors. */
static inline void all_dots(VF *p, global const float *const *row, global const float *xt, int n, int padded, int d)
{
    VF acc[ROWS], acc2[ROWS];
    int i = 0;

    for (; i + W < n; i += 2 * W) {
        dots2(acc, acc2, row, xt + i, padded, d);
        ALL p[AT(r, i)] = acc[r];
        ALL p[AT(r, i + W)] = acc2[r];
    }
    if (i < n) {
        dots(acc, row, xt + i, padded, d);
        ALL p[AT(r, i)] = acc[r];
    }
}

/* out[r][0..d) = keep[r] * out[r] + sum over i < n of p[r][i] * x[i]; keep NULL: 0. Only `rows` rows are written. */
static inline void mix(global float *out, int rows, const float *keep, const VF *tile, global const float *x, int n,
                       size_t D, int d)
{
    const float *p = (const float *)tile;
    int j = 0;

    for (; j + 2 * W <= d; j += 2 * W) {
        VF acc[ROWS], acc2[ROWS];

        ALL acc[r] = keep && r < rows ? keep[r] * VLOAD(out + r * D + j) : (VF)(0.0f);
        ALL acc2[r] = keep && r < rows ? keep[r] * VLOAD(out + r * D + j + W) : (VF)(0.0f);
        for (int i = 0; i < n; i++) {
            const VF v = VLOAD(x + i * D + j), v2 = VLOAD(x + i * D + j + W);

            ALL {
                const VF e = p[r * KEYS + i];

                acc[r] = fma(e, v, acc[r]);
                acc2[r] = fma(e, v2, acc2[r]);
            }
        }
        for (int r = 0; r < rows; r++) {
            VSTORE(acc[r], out + r * D + j);
            VSTORE(acc2[r], out + r * D + j + W);
        }
    }
    for (; j < d; j += W) {
        VF acc[ROWS];

        ALL acc[r] = keep && r < rows ? keep[r] * load(out + r * D + j, d - j) : (VF)(0.0f);
        for (int i = 0; i < n; i++) {
            const VF v = load(x + i * D + j, d - j);

            ALL acc[r] = fma((VF)(p[r * KEYS + i]), v, acc[r]);
        }
        for (int r = 0; r < rows; r++)
            store(acc[r], out + r * D + j, d - j);
    }
}

/* Pointers to ROWS rows from `first`, those beyond the last repeated. */
static inline void take_rows(global const float **row, global const float *x, int first, int T, size_t D)
{
    ALL row[r] = x + min(first + r, T - 1) * D;
}

static inline float row_exp_sum(VF *p, int n, float top)
{
    VF sum = 0.0f;

    for (int i = 0; i < n; i += W) {
        const VF e = vexp(p[i / W] - top);

        p[i / W] = e;
        sum += e;
    }
    return lanes_sum(sum);
}

static inline float row_top(const VF *p, int n, float top)
{
    VF m = top;

    for (int i = 0; i < n; i += W)
        m = fmax(m, p[i / W]);
    return lanes_max(m);
}

/* p[r][i] = scaled scores of n keys from kt, -1e30 beyond the last of them. */
static inline void scores(VF *p, global const float *const *q, global const float *kt, int n, int padded, int d,
                          float scale)
{
    all_dots(p, q, kt, n, padded, d);
    for (int i = 0; i < n; i += W) {
        ALL p[AT(r, i)] *= scale;
        for (int e = n; e < i + W; e++)
            ALL ((float *)p)[r * KEYS + e] = -1e30f;
    }
}

kernel void forward(global const float *q, global const float *kt, global const float *v, global float *y,
                    global float *lse, int n0, int count, int L, int M, int padded, int heads, int d, float scale)
{
    const int blocks = (L + ROWS - 1) / ROWS, l0 = get_global_id(0) % blocks * ROWS, nh = get_global_id(0) / blocks;
    const int n = n0 + nh / heads, h = nh % heads, rows = min(ROWS, L - l0);
    const size_t D = (size_t)heads * d;
    global const float *row[ROWS];
    float top[ROWS], sum[ROWS], keep[ROWS];
    VF p[TILE];

    if (nh >= count * heads)
        return;
    take_rows(row, q + (size_t)n * L * D + h * d, l0, L, D);
    y += ((size_t)n * L + l0) * D + h * d;
    ALL {
        top[r] = -1e30f;
        sum[r] = 0.0f;
    }
    for (int m = 0; m < M; m += KEYS) {
        const int keys = min(KEYS, M - m);

        scores(p, row, kt + (size_t)nh * d * padded + m, keys, padded, d, scale);
        ALL {
            const float now = row_top(p + AT(r, 0), keys, top[r]);

            keep[r] = m ? exp(top[r] - now) : 0.0f;
            sum[r] = sum[r] * keep[r] + row_exp_sum(p + AT(r, 0), keys, now);
            top[r] = now;
        }
        mix(y, rows, m ? keep : 0, p, v + ((size_t)n * M + m) * D + h * d, keys, D, d);
    }
    for (int r = 0; r < rows; r++) {
        for (int j = 0; j < d; j += W)
            store(load(y + r * D + j, d - j) / sum[r], y + r * D + j, d - j);
        lse[((size_t)n * heads + h) * L + l0 + r] = top[r] + log(sum[r]);
    }
}

/* delta[to + (n,h,l)] = dy . y of the head; an item a row. */
kernel void deltas(global const float *dy, global const float *y, global float *delta, int to, int n0, int count,
                   int L, int heads, int d)
{
    const size_t id = get_global_id(0), l = id % L, nh = id / L;
    const size_t at = ((n0 + nh / heads) * L + l) * heads * d + nh % heads * d;
    VF s = 0.0f;

    if (nh >= (size_t)count * heads)
        return;
    for (int j = 0; j < d; j += W)
        s = fma(load(dy + at + j, d - j), load(y + at + j, d - j), s);
    delta[to + id] = lanes_sum(s);
}

/* dq of ROWS queries: ds = p (dy v' - delta) scale against all keys, dq = ds k. */
kernel void backward_q(global const float *dy, global const float *q, global const float *k, global const float *lse,
                       global const float *scratch, global float *dq, int kt, int vt, int delta, int n0, int count,
                       int L, int M, int padded, int heads, int d, float scale)
{
    const int blocks = (L + ROWS - 1) / ROWS, l0 = get_global_id(0) % blocks * ROWS, nh = get_global_id(0) / blocks;
    const int n = n0 + nh / heads, h = nh % heads, rows = min(ROWS, L - l0);
    const size_t D = (size_t)heads * d, plane = (size_t)nh * d * padded;
    global const float *row[ROWS], *drow[ROWS];
    float one[ROWS], row_lse[ROWS], row_delta[ROWS];
    VF p[TILE], ds[TILE];

    if (nh >= count * heads)
        return;
    take_rows(row, q + (size_t)n * L * D + h * d, l0, L, D);
    take_rows(drow, dy + (size_t)n * L * D + h * d, l0, L, D);
    ALL {
        one[r] = 1.0f;
        row_lse[r] = lse[((size_t)n * heads + h) * L + min(l0 + r, L - 1)];
        row_delta[r] = scratch[delta + (size_t)nh * L + min(l0 + r, L - 1)];
    }
    for (int m = 0; m < M; m += KEYS) {
        const int keys = min(KEYS, M - m);

        all_dots(p, row, scratch + kt + plane + m, keys, padded, d);
        all_dots(ds, drow, scratch + vt + plane + m, keys, padded, d);
        for (int i = 0; i < keys; i += W)
            ALL ds[AT(r, i)] =
                scale * vexp(fma((VF)(scale), p[AT(r, i)], (VF)(-row_lse[r]))) * (ds[AT(r, i)] - row_delta[r]);
        mix(dq + ((size_t)n * L + l0) * D + h * d, rows, m ? one : 0, ds, k + ((size_t)n * M + m) * D + h * d, keys,
            D, d);
    }
}

/* dk and dv of ROWS keys against all queries: dv = p' dy, dk = ds' q. */
kernel void backward_kv(global const float *dy, global const float *q, global const float *k, global const float *v,
                        global const float *lse, global const float *scratch, global float *dk, global float *dv,
                        int qt, int dyt, int delta, int n0, int count, int L, int M, int padded, int heads, int d,
                        float scale)
{
    const int blocks = (M + ROWS - 1) / ROWS, m0 = get_global_id(0) % blocks * ROWS, nh = get_global_id(0) / blocks;
    const int n = n0 + nh / heads, h = nh % heads, rows = min(ROWS, M - m0);
    const size_t D = (size_t)heads * d, plane = (size_t)nh * d * padded, out = ((size_t)n * M + m0) * D + h * d;
    global const float *krow[ROWS], *vrow[ROWS];
    float one[ROWS];
    VF p[TILE], ds[TILE];

    if (nh >= count * heads)
        return;
    take_rows(krow, k + (size_t)n * M * D + h * d, m0, M, D);
    take_rows(vrow, v + (size_t)n * M * D + h * d, m0, M, D);
    lse += ((size_t)n * heads + h) * L;
    ALL one[r] = 1.0f;
    for (int l = 0; l < L; l += KEYS) {
        const int queries = min(KEYS, L - l);
        const size_t at = ((size_t)n * L + l) * D + h * d;

        all_dots(p, krow, scratch + qt + plane + l, queries, padded, d);
        all_dots(ds, vrow, scratch + dyt + plane + l, queries, padded, d);
        for (int i = 0; i < queries; i += W) {
            const VF less = load(lse + l + i, L - l - i);
            const VF d0 = load(scratch + delta + (size_t)nh * L + l + i, L - l - i);

            ALL p[AT(r, i)] = vexp(fma((VF)(scale), p[AT(r, i)], -less));
            ALL ds[AT(r, i)] = scale * p[AT(r, i)] * (ds[AT(r, i)] - d0);
        }
        mix(dv + out, rows, l ? one : 0, p, dy + at, queries, D, d);
        mix(dk + out, rows, l ? one : 0, ds, q + at, queries, D, d);
    }
}
