/* Products by tiles in local memory, for GPUs, f32: groups of 16 x 16 work-items, each WM x 4 sums, tiles of 16 k with
 * the next one on its way while one is summed. With -DF16 a and b are f16 (with -DF16_OUT y and res too), and the sum
 * of a tile's 16 products is, which is added to an f32 one. What is multiplied: gather.clh; y is MATMUL [batch,M,N]
 * FORWARD [N,OH,OW,O]   INPUTS dx [N,H,W,C]   WEIGHTS parts [slices,O,k k,C], slice by slice of the pixels (of MATMUL,
 * a and y begin at elements a_at and y_at). Launch: {16 N/64, 16 M/(16 WM), batch or slices} in groups of {16, 16, 1}.
 * Oracles: tests/ops/matmul.c, conv2d.c. */
#include "matmul/gather.clh"

#ifndef WM
#define WM 4                       /* rows a work-item: 4 or 8 */
#endif
#define TM (16 * WM)
#define TN 64
#define TK 16
#define PAD 4                      /* values: rows of a tile begin in different banks */

#ifdef F16
typedef half value;
typedef half4 value4;
#else
typedef float value;
typedef float4 value4;
#endif
#ifdef F16_OUT
#define OUT half
#define PUT vstore_half_rte
#else
#define OUT float
#define PUT(v, at, to) ((to)[at] = (v))
#endif

static value4 a_four(global const value *a, extents e, image g, int m, int k)
{
#if VEC_A
    const long at = a_at(e, g, m, k);

    return at < 0 ? (value4)(0) : vload4(0, a + at);
#else
    value v[4];

    for (int i = 0; i < 4; i++) {
        const long at = A_ALONG_K ? a_at(e, g, m, k + i) : a_at(e, g, m + i, k);

        v[i] = at < 0 ? (value)0 : a[at];
    }
    return (value4)(v[0], v[1], v[2], v[3]);
#endif
}

static value4 b_four(global const value *b, extents e, image g, int k, int n)
{
#if VEC_B
    const long at = b_at(e, g, k, n);

    return at < 0 ? (value4)(0) : vload4(0, b + at);
#else
    value v[4];

    for (int i = 0; i < 4; i++) {
        const long at = B_ALONG_K ? b_at(e, g, k + i, n) : b_at(e, g, k, n + i);

        v[i] = at < 0 ? (value)0 : b[at];
    }
    return (value4)(v[0], v[1], v[2], v[3]);
#endif
}

/* Where the q-th four of a tile lie: in row (m or n) and k. */
static int2 place(int q, int along_k, int rows)
{
    return along_k ? (int2)(q / (TK / 4), q % (TK / 4) * 4) : (int2)(q % (rows / 4) * 4, q / (rows / 4));
}

static void put(local value *tile, int2 at, int along_k, int pitch, value4 v)
{
    local value *p = tile + at.y * pitch + at.x;

    if (along_k) {
        p[0] = v.x;
        p[pitch] = v.y;
        p[2 * pitch] = v.z;
        p[3 * pitch] = v.w;
    } else {
        vstore4(v, 0, p);
    }
}

__attribute__((reqd_work_group_size(16, 16, 1))) kernel void
product(global const value *a, global const value *b, global const float *bias, global const float *temb,
        global const OUT *res, global OUT *y, int M, int N, int K, int a_at, int y_at, int a_step, int b_step,
        int accum, int H, int W, int C, int OH, int OW, int O, int k, int stride, int pad)
{
    local value as[TK * (TM + PAD)] __attribute__((aligned(16))), bs[TK * (TN + PAD)] __attribute__((aligned(16)));
    const int tx = get_local_id(0), ty = get_local_id(1), item = ty * 16 + tx;
    const int m0 = get_group_id(1) * TM, n0 = get_group_id(0) * TN, layer = get_group_id(2);
    const image g = image_of(H, W, C, OH, OW, O, k, stride, pad);
#if OP == WEIGHTS
    const int first = layer * a_step; /* pixels of a slice */
    const extents e = {M, N, min(K, first + a_step)};
#else
    const int first = 0;
    const extents e = {M, N, K};
#endif
    value4 next_a[WM / 4], next_b;
    float4 sum[WM];
#ifdef F16
    value4 part[WM];
#else
#define part sum
#endif
    int2 at;

#if OP == MATMUL
    a += a_at + (long)layer * a_step;
    b += (long)layer * b_step;
    y += y_at;
#endif
    for (int i = 0; i < WM; i++)
        sum[i] = 0.0f;
    for (int i = 0; i < WM / 4; i++) {
        at = place(item + 256 * i, A_ALONG_K, TM);
        next_a[i] = a_four(a, e, g, m0 + at.x, first + at.y);
    }
    at = place(item, B_ALONG_K, TN);
    next_b = b_four(b, e, g, first + at.y, n0 + at.x);
    for (int k0 = first; k0 < e.K; k0 += TK) {
        barrier(CLK_LOCAL_MEM_FENCE);
        for (int i = 0; i < WM / 4; i++)
            put(as, place(item + 256 * i, A_ALONG_K, TM), A_ALONG_K, TM + PAD, next_a[i]);
        put(bs, place(item, B_ALONG_K, TN), B_ALONG_K, TN + PAD, next_b);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k0 + TK < e.K) {
            for (int i = 0; i < WM / 4; i++) {
                at = place(item + 256 * i, A_ALONG_K, TM);
                next_a[i] = a_four(a, e, g, m0 + at.x, k0 + TK + at.y);
            }
            at = place(item, B_ALONG_K, TN);
            next_b = b_four(b, e, g, k0 + TK + at.y, n0 + at.x);
        }
#ifdef F16
        for (int i = 0; i < WM; i++)
            part[i] = 0;
#endif
        for (int q = 0; q < TK; q++) {
            const value4 w = vload4(0, bs + q * (TN + PAD) + tx * 4);

            for (int i = 0; i < WM / 4; i++) {
                const value4 v = vload4(0, as + q * (TM + PAD) + ty * WM + 4 * i);

                part[4 * i] = fma((value4)(v.x), w, part[4 * i]);
                part[4 * i + 1] = fma((value4)(v.y), w, part[4 * i + 1]);
                part[4 * i + 2] = fma((value4)(v.z), w, part[4 * i + 2]);
                part[4 * i + 3] = fma((value4)(v.w), w, part[4 * i + 3]);
            }
        }
#ifdef F16
        for (int i = 0; i < WM; i++)
            sum[i] += convert_float4(part[i]);
#endif
    }
    for (int i = 0; i < WM; i++) {
        const float four[4] = {sum[i].x, sum[i].y, sum[i].z, sum[i].w};
        const int m = m0 + ty * WM + i;

        for (int j = 0; j < 4 && m < M; j++) {
            const int n = n0 + tx * 4 + j;
            const long to = ((long)layer * M + m) * N + n;
            float v = four[j];

            if (n >= N)
                break;
            if (bias)
                v += bias[n];
            if (temb)
                v += temb[(long)(m / (OH * OW)) * N + n];
            if (res)
                v += res[to];
            PUT(accum ? y[to] + v : v, to, y);
        }
    }
}
