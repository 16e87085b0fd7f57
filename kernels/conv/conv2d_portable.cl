/* Convolution and its gradients, one work-item an element, for any device.
 *   x f32[N,H,W,C], w f32[O,C,k,k], y and dy f32[N,OH,OW,O]; b f32[O], temb f32[N,O], res like y, or null.
 * Launch: one dimension over the elements of the result. Oracle: tests/ops/conv2d.c. */

kernel void conv2d(global const float *x, global const float *w, global const float *b, global const float *temb,
                   global const float *res, global float *y, int4 of_x, int4 of_y, int stride, int pad)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    const long id = (long)get_global_id(0);
    const int o = (int)(id % O), p = (int)(id / O), n = p / (OH * OW), h0 = p / OW % OH * stride - pad,
              v0 = p % OW * stride - pad;
    float sum = 0.0f;

    for (int r = 0; r < k; r++)
        for (int s = 0; s < k; s++) {
            const int h = h0 + r, v = v0 + s;

            if (h < 0 || h >= H || v < 0 || v >= W)
                continue;
            for (int c = 0; c < C; c++)
                sum = fma(x[(((long)n * H + h) * W + v) * C + c], w[(((long)o * C + c) * k + r) * k + s], sum);
        }
    if (b)
        sum += b[o];
    if (temb)
        sum += temb[(long)n * O + o];
    if (res)
        sum += res[id];
    y[id] = sum;
}

kernel void conv2d_dx(global const float *dy, global const float *w, global float *dx, int4 of_x, int4 of_y, int stride,
                      int pad)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    const long id = (long)get_global_id(0);
    const int c = (int)(id % C), q = (int)(id / C), n = q / (H * W), h0 = q / W % H + pad, v0 = q % W + pad;
    float sum = 0.0f;

    for (int r = 0; r < k; r++)
        for (int s = 0; s < k; s++) {
            const int h = h0 - r, v = v0 - s;

            if (h < 0 || v < 0 || h % stride || v % stride || h / stride >= OH || v / stride >= OW)
                continue;
            for (int o = 0; o < O; o++)
                sum = fma(dy[(((long)n * OH + h / stride) * OW + v / stride) * O + o],
                          w[(((long)o * C + c) * k + r) * k + s], sum);
        }
    dx[id] = sum;
}

kernel void conv2d_dw(global const float *x, global const float *dy, global float *dw, int4 of_x, int4 of_y, int stride,
                      int pad, int accum)
{
    INTS4(of_x, N, H, W, C);
    INTS4(of_y, OH, OW, O, k);
    const long id = (long)get_global_id(0);
    const int s = (int)(id % k), r = (int)(id / k % k), c = (int)(id / (k * k) % C), o = (int)(id / ((long)k * k * C));
    float total = 0.0f;

    for (int n = 0; n < N; n++) {
        float image = 0.0f; /* apart, so that a long sum loses less */

        for (int h = 0; h < OH; h++) {
            const int ih = h * stride - pad + r;

            if (ih < 0 || ih >= H)
                continue;
            for (int v = 0; v < OW; v++) {
                const int iv = v * stride - pad + s;

                if (iv >= 0 && iv < W)
                    image =
                        fma(x[(((long)n * H + ih) * W + iv) * C + c], dy[(((long)n * OH + h) * OW + v) * O + o], image);
            }
        }
        total += image;
    }
    dw[id] = accum ? dw[id] + total : total;
}
