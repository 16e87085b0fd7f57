/* Products of bf16 by the tensor cores of NVIDIA GPUs, sums in f32: FORWARD, INPUTS and WEIGHTS of gather.clh, x and dy
 * in bf16, w rounded to it. Groups of four warps, two by two, each 16 MI x 32 sums; tiles of 32 k with the next one on
 * its way while one is summed. y and res are bf16 with -DBF16, else f32; parts of WEIGHTS are f32. Launch: {128 N/64,
 * M/(32 MI), 1 or slices} in groups of {128, 1, 1}. Oracles: tests/ops/matmul.c, conv2d.c. */
#include "bf16_one.clh"
#include "matmul/gather.clh"
#include "matmul/mma.clh"
#ifndef MI
#define MI 2                       /* tiles of 16 rows a warp: 2 or 4 */
#endif
#define NI 4                       /* tiles of 8 columns a warp */
#define TM (32 * MI)
#define TN (16 * NI)
#define TK 32
#define PITCH (TK / 2 + 4)         /* words of a row: what a warp reads at once lies in different banks */
#define GROUP 128
#define EACH_A (TM * TK / 8 / GROUP)
#define EACH_B (TN * TK / 8 / GROUP)
#ifdef PTX
#define UNROLL _Pragma("unroll")
#else
#define UNROLL
#endif

/* Eight elements are four words of two neighbours along k: of one row where those lie together, else of four rows. */
static uint4 pair_up(uint2 low, uint2 high)
{
    return (uint4)((low.x & 0xffffu) | high.x << 16, low.x >> 16 | (high.x & 0xffff0000u),
                   (low.y & 0xffffu) | high.y << 16, low.y >> 16 | (high.y & 0xffff0000u));
}

static uint at_or_zero(global const ushort *p, long at) { return at < 0 ? 0u : (uint)p[at]; }
static uint2 two_or_zero(global const ushort *p, long at)
{
    return at < 0 ? (uint2)(0u) : *(global const uint2 *)(p + at);
}
static uint4 four_or_zero(global const ushort *p, long at)
{
    return at < 0 ? (uint4)(0u) : *(global const uint4 *)(p + at);
}

static uint4 a_eight(global const ushort *a, extents e, image g, int m, int k)
{
#if VEC_A && A_ALONG_K
    return four_or_zero(a, a_at(e, g, m, k));
#elif VEC_A
    return pair_up(two_or_zero(a, a_at(e, g, m, k)), two_or_zero(a, a_at(e, g, m, k + 1)));
#else
    uint v[4];

    for (int i = 0; i < 4; i++) {
        const int row = A_ALONG_K ? m : m + i, from = A_ALONG_K ? k + 2 * i : k;

        v[i] = at_or_zero(a, a_at(e, g, row, from)) | at_or_zero(a, a_at(e, g, row, from + 1)) << 16;
    }
    return (uint4)(v[0], v[1], v[2], v[3]);
#endif
}

static uint4 b_eight(global const ushort *b, extents e, image g, int k, int n)
{
#if VEC_B && B_ALONG_K
    return four_or_zero(b, b_at(e, g, k, n));
#elif VEC_B
    return pair_up(two_or_zero(b, b_at(e, g, k, n)), two_or_zero(b, b_at(e, g, k + 1, n)));
#else
    uint v[4];

    for (int i = 0; i < 4; i++) {
        const int column = B_ALONG_K ? n : n + i, from = B_ALONG_K ? k + 2 * i : k;

        v[i] = at_or_zero(b, b_at(e, g, from, column)) | at_or_zero(b, b_at(e, g, from + 1, column)) << 16;
    }
    return (uint4)(v[0], v[1], v[2], v[3]);
#endif
}

/* Where the q-th eight of a tile lie: in row (m or n) and k. */
static int2 place(int q, int along_k, int rows)
{
    return along_k ? (int2)(q / (TK / 8), q % (TK / 8) * 8) : (int2)(q % (rows / 4) * 4, q / (rows / 4) * 2);
}

static void put(local uint *tile, int2 at, int along_k, uint4 v)
{
    local uint *p = tile + at.x * PITCH + at.y / 2;

    if (along_k) {
        *(local uint4 *)p = v;
    } else {
        p[0] = v.x;
        p[PITCH] = v.y;
        p[2 * PITCH] = v.z;
        p[3 * PITCH] = v.w;
    }
}

#ifdef BF16
#define OUT ushort
#define OUT_OF bf16_of
#define IN_OF f32_of
#else
#define OUT float
#define OUT_OF
#define IN_OF
#endif

__attribute__((reqd_work_group_size(GROUP, 1, 1))) kernel void
product(global const ushort *a, global const ushort *b, global const float *bias, global const float *temb,
        global const OUT *res, global OUT *y, int M, int N, int K, int slice, int H, int W, int C, int OH, int OW,
        int O, int k, int stride, int pad)
{
    local uint as[TM * PITCH] __attribute__((aligned(16))), bs[TN * PITCH] __attribute__((aligned(16))),
        shown[MMA_LOCAL(GROUP)];
    const int item = get_local_id(0), warp = item / 32, row = item % 32 / 4, pair = item % 4;
    const int m0 = get_group_id(1) * TM, n0 = get_group_id(0) * TN, layer = get_group_id(2);
    const int am = warp / 2 * 16 * MI, bn = warp % 2 * 8 * NI; /* of this warp in the tile */
    const image g = image_of(H, W, C, OH, OW, O, k, stride, pad);
    const int first = OP == WEIGHTS ? layer * slice : 0;
    const extents e = {M, N, OP == WEIGHTS ? min(K, first + slice) : K};
    uint4 next_a[EACH_A], next_b[EACH_B];
    float sum[MI][NI][4];

    UNROLL for (int i = 0; i < MI * NI * 4; i++)
        sum[i / (4 * NI)][i / 4 % NI][i % 4] = 0.0f;
    UNROLL for (int i = 0; i < EACH_A; i++) {
        const int2 at = place(item + GROUP * i, A_ALONG_K, TM);

        next_a[i] = a_eight(a, e, g, m0 + at.x, first + at.y);
    }
    UNROLL for (int i = 0; i < EACH_B; i++) {
        const int2 at = place(item + GROUP * i, B_ALONG_K, TN);

        next_b[i] = b_eight(b, e, g, first + at.y, n0 + at.x);
    }
    for (int k0 = first; k0 < e.K; k0 += TK) {
        barrier(CLK_LOCAL_MEM_FENCE);
        UNROLL for (int i = 0; i < EACH_A; i++)
            put(as, place(item + GROUP * i, A_ALONG_K, TM), A_ALONG_K, next_a[i]);
        UNROLL for (int i = 0; i < EACH_B; i++)
            put(bs, place(item + GROUP * i, B_ALONG_K, TN), B_ALONG_K, next_b[i]);
        barrier(CLK_LOCAL_MEM_FENCE);
        if (k0 + TK < e.K) {
            UNROLL for (int i = 0; i < EACH_A; i++) {
                const int2 at = place(item + GROUP * i, A_ALONG_K, TM);

                next_a[i] = a_eight(a, e, g, m0 + at.x, k0 + TK + at.y);
            }
            UNROLL for (int i = 0; i < EACH_B; i++) {
                const int2 at = place(item + GROUP * i, B_ALONG_K, TN);

                next_b[i] = b_eight(b, e, g, k0 + TK + at.y, n0 + at.x);
            }
        }
        UNROLL for (int step = 0; step < TK / 2; step += 8) {
            uint v[MI][4], w[NI][2];

            UNROLL for (int i = 0; i < MI; i++) {
                local const uint *p = as + (am + 16 * i + row) * PITCH + step + pair;

                v[i][0] = p[0];
                v[i][1] = p[8 * PITCH];
                v[i][2] = p[4];
                v[i][3] = p[8 * PITCH + 4];
            }
            UNROLL for (int j = 0; j < NI; j++) {
                local const uint *p = bs + (bn + 8 * j + row) * PITCH + step + pair;

                w[j][0] = p[0];
                w[j][1] = p[4];
            }
            UNROLL for (int i = 0; i < MI; i++)
                UNROLL for (int j = 0; j < NI; j++)
                    mma16x8x16(sum[i][j], v[i], w[j], shown);
        }
    }
    UNROLL for (int i = 0; i < MI * NI * 4; i++) {
        const int m = m0 + am + i / (4 * NI) * 16 + row + i % 4 / 2 * 8,
                  n = n0 + bn + i / 4 % NI * 8 + pair * 2 + i % 2;
        const long to = ((long)layer * M + m) * N + n;
        float s = sum[i / (4 * NI)][i / 4 % NI][i % 4];

        if (m >= M || n >= N)
            continue;
        if (bias)
            s += bias[n];
        if (temb)
            s += temb[(long)(m / (OH * OW)) * N + n];
        if (res)
            s += IN_OF(res[to]);
        y[to] = OUT_OF(s);
    }
}
