/* Linear layers of few rows (time embeddings) and their gradient by the input, for CPU devices: each weight is read
 * once for R rows, as it lies, in f32 throughout. Rows beyond the last are computed again as the last one and not
 * stored. x f32[m,k], w f32[n,k], bias f32[n] or null -> y f32[m,n];  dy f32[m,n], w -> dx f32[m,k] Oracle:
 * tests/ops/matmul.c. */
#include "vec.clh"

enum { R = 8, OUTPUTS = 2, VECTORS = 2 };

/* y = x w' + bias: OUTPUTS neighbouring outputs an item. Launch: {n / OUTPUTS}. */
kernel void matmul_rows(global const float *x, global const float *w, global const float *bias, global float *y, int m,
                        int n, int k)
{
    const int first = (int)get_global_id(0) * OUTPUTS;

    if (first >= n)
        return;
    for (int r = 0; r < m; r += R) {
        VF sum[OUTPUTS][R];

        _Pragma("unroll") for (int o = 0; o < OUTPUTS; o++)
            _Pragma("unroll") for (int i = 0; i < R; i++)
                sum[o][i] = 0.0f;
        for (int q = 0; q < k; q += W) {
            VF u[OUTPUTS];

            _Pragma("unroll") for (int o = 0; o < OUTPUTS; o++) u[o] =
                load(w + (size_t)min(first + o, n - 1) * k + q, k - q);
            _Pragma("unroll") for (int i = 0; i < R; i++) {
                const VF v = load(x + (size_t)min(r + i, m - 1) * k + q, k - q);

                _Pragma("unroll") for (int o = 0; o < OUTPUTS; o++) sum[o][i] = fma(u[o], v, sum[o][i]);
            }
        }
        _Pragma("unroll") for (int o = 0; o < OUTPUTS; o++)
            _Pragma("unroll") for (int i = 0; i < R; i++)
                if (first + o < n && r + i < m)
                    y[(size_t)(r + i) * n + first + o] = lanes_sum(sum[o][i]) + (bias ? bias[first + o] : 0.0f);
    }
}

/* dx = dy w: VECTORS vectors of neighbouring columns an item. Launch: {k / (VECTORS W)}. */
kernel void matmul_rows_dx(global const float *dy, global const float *w, global float *dx, int m, int n, int k)
{
    const int first = (int)get_global_id(0) * VECTORS * W;

    if (first >= k)
        return;
    for (int r = 0; r < m; r += R) {
        VF sum[VECTORS][R];

        _Pragma("unroll") for (int o = 0; o < VECTORS; o++)
            _Pragma("unroll") for (int i = 0; i < R; i++)
                sum[o][i] = 0.0f;
        for (int j = 0; j < n; j++) {
            VF u[VECTORS];

            _Pragma("unroll") for (int o = 0; o < VECTORS; o++) {
                const int at = first + o * W;

                u[o] = at < k ? load(w + (size_t)j * k + at, k - at) : (VF)(0.0f);
            }
            _Pragma("unroll") for (int i = 0; i < R; i++) {
                const VF v = dy[(size_t)min(r + i, m - 1) * n + j];

                _Pragma("unroll") for (int o = 0; o < VECTORS; o++) sum[o][i] = fma(u[o], v, sum[o][i]);
            }
        }
        _Pragma("unroll") for (int o = 0; o < VECTORS; o++)
            _Pragma("unroll") for (int i = 0; i < R; i++)
                if (first + o * W < k && r + i < m)
                    store(sum[o][i], dx + (size_t)(r + i) * k + first + o * W, k - first - o * W);
    }
}
