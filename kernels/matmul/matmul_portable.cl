/* c[i] = op(a[i]) op(b[i]) + bias, one work-item an element, for any device.
 *   a f32[m,k] ([k,m] if ta), b f32[k,n] ([n,k] if tb), c f32[m,n], each `batch` times at its step; bias f32[n] or
 * null. Launch: {n, m, batch}. Oracle: tests/ops/matmul.c. */
kernel void matmul(global const float *a, global const float *b, global const float *bias, global float *c, int m,
                   int n, int k, int ta, int tb, int step_a, int step_b, int accum)
{
    const int j = (int)get_global_id(0), i = (int)get_global_id(1);
    const long batch = (long)get_global_id(2), at = (batch * m + i) * n + j;
    global const float *pa = a + batch * step_a + (ta ? i : (long)i * k),
                       *pb = b + batch * step_b + (tb ? (long)j * k : j);
    float sum = 0.0f;

    for (int q = 0; q < k; q++)
        sum = fma(pa[ta ? (long)q * m : q], pb[tb ? q : (long)q * n], sum);
    if (bias)
        sum += bias[j];
    c[at] = accum ? c[at] + sum : sum;
}
