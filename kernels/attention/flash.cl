/* Attention on GPUs, and its gradient: y = softmax(q k' scale) v by head. No score leaves local memory, and there is no
 * private array. q, y, dy f32[N,L,D], k, v f32[N,M,D], D = heads hd, head h is columns [h hd, (h + 1) hd);
 * lse f32[N,heads,L] = ln sum exp of the scaled scores; delta f32[N,heads,L] = dy . y of the head.
 *
 * A work-group of TX x TY items has one head of one example and BQ = 4 TY rows (queries; keys in backward_kv); it walks
 * the other side in tiles of BK = 4 TX. Item (tx, ty) holds the scores of rows ty + TY r against tx + TX i (4 x 4, a
 * vector a row) and of the result rows ty + TY r the columns of vectors tx + TX c (4 x RC). Products run over chunks,
 * DK columns of both sides at a time for the scores, VK rows for the result: local memory does not grow with W.
 *
 * -DW=32, 64 or 128: the head's width hd rounded up; -DFULL: hd is W; -DVECTORS: hd is a multiple of 4; TX (W / TX is
 * 2 to 16) and TY; DK, VK as above. -DBACKWARD_Q, -DBACKWARD_KV, -DDELTAS: that kernel instead of `forward`. -DPACK:
 * scores in pairs, for AMD's packed FMA. -DSIMD=8: the lanes that Intel's compiler shall take. Launch: groups of
 * TX TY, heads N times one for each BQ rows; of `deltas` one for each 16 rows.
 * Oracle tests/ops/attention.c. */

#define HERE barrier(CLK_LOCAL_MEM_FENCE)
/* Else PoCL 3.1 crashes where a kernel calls one of them twice. */
#define INLINE static inline __attribute__((always_inline))

#ifdef DELTAS
#define DELTA 128

/* delta, by groups of DELTA items: as many rows as the 8 items that share one leave. */
kernel __attribute__((reqd_work_group_size(DELTA, 1, 1))) void deltas(global const float *dy, global const float *y,
                                                                      global float *delta, int rows, int L, int heads,
                                                                      int hd)
{
    local float part[DELTA];
    const int id = get_local_id(0), row = get_group_id(0) * (DELTA / 8) + id / 8, nh = row / L;
    float s = 0.0f;

    if (row < rows) {
        const size_t at = (((size_t)(nh / heads) * L + row % L) * heads + nh % heads) * hd;

        for (int j = id % 8; j < hd; j += 8)
            s = fma(dy[at + j], y[at + j], s);
    }
    part[id] = s;
    HERE;
    if (id % 8 == 0 && row < rows)
        delta[row] = ((part[id] + part[id + 1]) + (part[id + 2] + part[id + 3])) +
                     ((part[id + 4] + part[id + 5]) + (part[id + 6] + part[id + 7]));
}

#else
#ifdef FULL
#define HD W
#else
#define HD hd
#endif
#ifndef DK
#define DK 32
#endif
#ifndef VK
#define VK 16
#endif
#define GROUP (TX * TY)
#define BQ (4 * TY)
#define BK (4 * TX)
#define RC (W / TX)
#define UNROLL _Pragma("unroll")
#define NOUNROLL _Pragma("unroll 1")

/* Row number and component of each of an item's rows (or keys). */
#define ROWS(F) F(0, x) F(1, y) F(2, z) F(3, w)

/* A row of the result, read and written by VR; V is the item's columns of a row in local memory. */
#if RC == 2
#define VC 2
typedef float2 VR;
typedef float2 RESULT;
#define V(p) ((p)[0])
#elif RC == 4
#define VC 4
typedef float4 VR;
typedef float4 RESULT;
#define V(p) ((p)[0])
#elif RC == 8
#define VC 4
typedef float4 VR;
typedef float8 RESULT;
#define V(p) ((float8)((p)[0], (p)[TX]))
#elif RC == 16
#define VC 4
typedef float4 VR;
typedef float16 RESULT;
#define V(p) ((float16)((p)[0], (p)[TX], (p)[2 * TX], (p)[3 * TX]))
#else
#error "W / TX must be 2, 4, 8 or 16"
#endif

/* Scores of a row against the item's four keys, while they are summed. */
#ifdef PACK
typedef float8 SUMS;
#define DOT(x, y, s) fma((x).hi, (y).hi, fma((x).lo, (y).lo, s))
#define DOTS(s, x)                                                                                                     \
    s.s01 = DOT(x, y0, s.s01);                                                                                         \
    s.s23 = DOT(x, y1, s.s23);                                                                                         \
    s.s45 = DOT(x, y2, s.s45);                                                                                         \
    s.s67 = DOT(x, y3, s.s67);
#define TOTAL(s) (s.even + s.odd)
#else
typedef float4 SUMS;
#define DOT(x, y, s) fma((x).s3, (y).s3, fma((x).s2, (y).s2, fma((x).s1, (y).s1, fma((x).s0, (y).s0, s))))
#define DOTS(s, x)                                                                                                     \
    s.s0 = DOT(x, y0, s.s0);                                                                                           \
    s.s1 = DOT(x, y1, s.s1);                                                                                           \
    s.s2 = DOT(x, y2, s.s2);                                                                                           \
    s.s3 = DOT(x, y3, s.s3);
#define TOTAL(s) s
#endif

/* Row strides in local memory, in float4: odd where lanes read different rows, so that 8 rows lie in 8 different groups
 * of 4 banks; BK + TX floats for weights, whose writers are TX neighbours of each row. */
#define SD (DK / 4 + 1)
#define SP ((BK + TX) / 4)
#define SV (W / 4)
#define SR (TX / 4)

#define SCORES4 ((BQ + BK) * SD)                          /* chunks of both sides of the scores */
#define MIX4 (BQ * SP + VK * SV)                          /* weights, and a chunk of what they weigh */
#define TILE4 (SCORES4 > MIX4 ? SCORES4 : MIX4)           /* one after the other in the same place */

/* Exponents are of 2, by exp2: native_exp2 may be as far off as a driver likes (3e-6 on Intel's CPU runtime). */
#define LOG2E 1.44269504088896341f
#define LN2 0.69314718055994531f

/* Intel: with more lanes the registers do not suffice. */
#ifdef SIMD
#define LANES __attribute__((intel_reqd_sub_group_size(SIMD)))
#else
#define LANES
#endif
#define KERNEL kernel __attribute__((reqd_work_group_size(GROUP, 1, 1))) LANES

/* x[row, j .. j+4) of a head, zero outside. */
INLINE float4 fetch(global const float *x, int row, int rows, int j, size_t D,
                    int hd)
{
    if (row >= rows || j >= hd)
        return (float4)(0.0f);
    x += row * D + j;
#ifdef VECTORS
    return *(global const float4 *)x;
#else
    return (float4)(x[0], j + 1 < hd ? x[1] : 0.0f, j + 2 < hd ? x[2] : 0.0f, j + 3 < hd ? x[3] : 0.0f);
#endif
}

/* to[r * stride + c] = vector c from column j of row first + r, for `count` rows of `width` vectors. */
INLINE void stage(local float4 *to, int stride, int count, int width, global const float *x, int first, int rows,
                         int j, size_t D, int hd)
{
    UNROLL for (int i = 0; i < count * width; i += GROUP) {
        const int at = i + (int)get_local_id(0), r = at / width, c = at % width;

        if (count * width % GROUP == 0 || at < count * width)
            to[r * stride + c] = fetch(x, first + r, rows, j + 4 * c, D, hd);
    }
}

/* s0 .. s3: rows a0 + ty + TY r of a times rows b0 + tx + TX i of b. Begins with a barrier; the reads of the last chunk
 * are not followed by one. */
INLINE void dots(float4 *s0, float4 *s1, float4 *s2, float4 *s3, local float4 *tile, global const float *a,
                        int a0, int as, global const float *b, int b0, int bs, size_t D, int hd)
{
    local const float4 *ra = tile + get_local_id(0) / TX * SD, *rb = tile + BQ * SD + get_local_id(0) % TX * SD;
    SUMS t0 = 0.0f, t1 = 0.0f, t2 = 0.0f, t3 = 0.0f;

    NOUNROLL for (int d = 0; d < W; d += DK) {
        HERE;
        stage(tile, SD, BQ, DK / 4, a, a0, as, d, D, hd);
        stage(tile + BQ * SD, SD, BK, DK / 4, b, b0, bs, d, D, hd);
        HERE;
        _Pragma("unroll 2") for (int j = 0; j < DK / 4; j++) {
            const float4 y0 = rb[j], y1 = rb[TX * SD + j], y2 = rb[2 * TX * SD + j], y3 = rb[3 * TX * SD + j];
            float4 x;

#define F(r, c)                                                                                                        \
    x = ra[r * TY * SD + j];                                                                                           \
    DOTS(t##r, x)
            ROWS(F)
#undef F
        }
    }
    *s0 = TOTAL(t0);
    *s1 = TOTAL(t1);
    *s2 = TOTAL(t2);
    *s3 = TOTAL(t3);
}

/* The item's weights to local memory, where `mix` of all reads them. */
INLINE void put(local float4 *tile, float4 p0, float4 p1, float4 p2, float4 p3)
{
    local float *to = (local float *)tile + get_local_id(0) / TX * (4 * SP) + get_local_id(0) % TX;

#define F(r, c)                                                                                                        \
    to[r * TY * 4 * SP] = p##r.x;                                                                                      \
    to[r * TY * 4 * SP + TX] = p##r.y;                                                                                 \
    to[r * TY * 4 * SP + 2 * TX] = p##r.z;                                                                             \
    to[r * TY * 4 * SP + 3 * TX] = p##r.w;
    ROWS(F)
#undef F
}

/* Rows o0 .. o3 += weights times x[x0 .. x0 + BK), the weights as put. No barrier lies between that and this. */
INLINE void mix(RESULT *o0, RESULT *o1, RESULT *o2, RESULT *o3, local float4 *tile, global const float *x,
                       int x0, int xs, size_t D, int hd)
{
    local float4 *tv = tile + BQ * SP;
    local const float4 *rp = tile + get_local_id(0) / TX * SP;
    local const VR *rv = (local const VR *)tv + get_local_id(0) % TX;
    RESULT a0 = *o0, a1 = *o1, a2 = *o2, a3 = *o3;

    NOUNROLL for (int m = 0; m < BK; m += VK) {
        if (m)
            HERE;
        stage(tv, SV, VK, W / 4, x, x0 + m, xs, 0, D, hd);
        HERE;
        NOUNROLL for (int k = 0; k < VK; k += 4) {
            const float4 p0 = rp[(m + k) / 4], p1 = rp[TY * SP + (m + k) / 4], p2 = rp[2 * TY * SP + (m + k) / 4],
                         p3 = rp[3 * TY * SP + (m + k) / 4];
            RESULT u;

#define F(n, c)                                                                                                        \
    u = V(rv + (k + n) * (W / VC));                                                                                    \
    a0 = fma((RESULT)(p0.c), u, a0);                                                                                   \
    a1 = fma((RESULT)(p1.c), u, a1);                                                                                   \
    a2 = fma((RESULT)(p2.c), u, a2);                                                                                   \
    a3 = fma((RESULT)(p3.c), u, a3);
            ROWS(F)
#undef F
        }
    }
    *o0 = a0;
    *o1 = a1;
    *o2 = a2;
    *o3 = a3;
}

INLINE void store(global float *y, int j, VR u, int hd)
{
#ifdef VECTORS
    if (j < hd)
        *(global VR *)(y + j) = u;
#else
    if (j < hd)
        y[j] = u.s0;
    if (j + 1 < hd)
        y[j + 1] = u.s1;
#if VC == 4
    if (j + 2 < hd)
        y[j + 2] = u.s2;
    if (j + 3 < hd)
        y[j + 3] = u.s3;
#endif
#endif
}

/* The item's columns of its row r to y if that has the row. */
INLINE void finish(global float *y, int r, int rows, size_t D, RESULT a, int hd)
{
    const int row = get_local_id(0) / TX + TY * r, j = get_local_id(0) % TX * VC;

    if (row >= rows)
        return;
    y += row * D;
#if RC <= 4
    store(y, j, a, hd);
#elif RC == 8
    store(y, j, a.lo, hd);
    store(y, j + TX * VC, a.hi, hd);
#else
    store(y, j, a.lo.lo, hd);
    store(y, j + TX * VC, a.lo.hi, hd);
    store(y, j + 2 * TX * VC, a.hi.lo, hd);
    store(y, j + 3 * TX * VC, a.hi.hi, hd);
#endif
}

#if !defined(BACKWARD_Q) && !defined(BACKWARD_KV)
/* Component r of v joined with what the others of row ty + TY r have: all get the result. A barrier in the middle. */
#define SEND(r, c) ((local float *)part)[(ty + TY * r) * TX + tx] = v.c;
#define JOINED(r, c, op)                                                                                               \
    t = part[(ty + TY * r) * SR];                                                                                      \
    UNROLL for (int i = 1; i < SR; i++)                                                                                \
        t = op(t, part[(ty + TY * r) * SR + i]);                                                                       \
    v.c = op(op(t.x, t.y), op(t.z, t.w));
#define PLUS(a, b) ((a) + (b))
#define RECEIVE_MAX(r, c) JOINED(r, c, fmax)
#define RECEIVE_SUM(r, c) JOINED(r, c, PLUS)

INLINE float4 row_max(float4 v, local float4 *part, int tx, int ty)
{
    float4 t;

    ROWS(SEND)
    HERE;
    ROWS(RECEIVE_MAX)
    return v;
}

INLINE float4 row_sum(float4 v, local float4 *part, int tx, int ty)
{
    float4 t;

    ROWS(SEND)
    HERE;
    ROWS(RECEIVE_SUM)
    return v;
}

KERNEL void forward(global const float *q, global const float *k, global const float *v, global float *y,
                          global float *lse, int L, int M, int heads, int hd, float scale)
{
    local float4 tile[TILE4 + BQ * SR];
    local float4 *part = tile + TILE4;
    const int tx = get_local_id(0) % TX, ty = get_local_id(0) / TX, blocks = (L + BQ - 1) / BQ;
    const int l0 = get_group_id(0) % blocks * BQ, nh = get_group_id(0) / blocks, n = nh / heads, h = nh % heads;
    const size_t D = (size_t)heads * HD;
    const float unit = scale * LOG2E; /* exponents are of 2 */
    float4 top = -1e30f, sum = 0.0f; /* of the four rows */
    RESULT a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;

    q += (size_t)n * L * D + h * HD;
    k += (size_t)n * M * D + h * HD;
    v += (size_t)n * M * D + h * HD;
    NOUNROLL for (int m = 0; m < M; m += BK) {
        const int4 key = m + tx + (int4)(0, TX, 2 * TX, 3 * TX);
        float4 s0, s1, s2, s3, best, now, keep;

        dots(&s0, &s1, &s2, &s3, tile, q, l0, L, k, m, M, D, HD);
#define F(r, c)                                                                                                        \
    s##r = select((float4)(-1e30f), s##r, key < M);                                                                    \
    best.c = fmax(fmax(s##r.x, s##r.y), fmax(s##r.z, s##r.w));
        ROWS(F)
#undef F
        now = fmax(top, row_max(best, part, tx, ty) * unit); /* and all reads of the scores' chunks are done */
        keep = exp2(top - now);
        top = now;
#define F(r, c)                                                                                                        \
    s##r = exp2(fma(s##r, (float4)(unit), -(float4)(now.c)));                                                          \
    sum.c = sum.c * keep.c + ((s##r.x + s##r.y) + (s##r.z + s##r.w));                                                  \
    a##r *= keep.c;
        ROWS(F)
#undef F
        put(tile, s0, s1, s2, s3);
        mix(&a0, &a1, &a2, &a3, tile, v, m, M, D, HD);
    }
    sum = row_sum(sum, part, tx, ty); /* the reads of the last row_max lie before mix's barriers */
    y += ((size_t)n * L + l0) * D + h * HD;
#define F(r, c)                                                                                                        \
    if (!tx && l0 + ty + TY * r < L)                                                                                   \
        lse[(size_t)nh * L + l0 + ty + TY * r] = LN2 * (top.c + log2(sum.c));                                          \
    finish(y, r, L - l0, D, a##r * (1.0f / sum.c), HD);
    ROWS(F)
#undef F
}

#endif

#ifdef BACKWARD_Q
/* dq of BQ queries: ds = p (dy v' - delta) scale against all keys, dq = ds k. */
KERNEL void backward_q(global const float *dy, global const float *q, global const float *k, global const float *v,
                             global const float *lse, global const float *delta, global float *dq, int L, int M,
                             int heads, int hd, float scale)
{
    local float4 tile[TILE4];
    const int tx = get_local_id(0) % TX, ty = get_local_id(0) / TX, blocks = (L + BQ - 1) / BQ;
    const int l0 = get_group_id(0) % blocks * BQ, nh = get_group_id(0) / blocks, n = nh / heads, h = nh % heads;
    const size_t D = (size_t)heads * HD;
    float4 less, mean; /* of the four rows */
    RESULT a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f;

    q += (size_t)n * L * D + h * HD;
    dy += (size_t)n * L * D + h * HD;
    k += (size_t)n * M * D + h * HD;
    v += (size_t)n * M * D + h * HD;
#define F(r, c)                                                                                                        \
    less.c = lse[(size_t)nh * L + min(l0 + ty + TY * r, L - 1)] * -LOG2E;                                              \
    mean.c = delta[(size_t)nh * L + min(l0 + ty + TY * r, L - 1)];
    ROWS(F)
#undef F
    NOUNROLL for (int m = 0; m < M; m += BK) {
        const int4 key = m + tx + (int4)(0, TX, 2 * TX, 3 * TX);
        float4 s0, s1, s2, s3, g0, g1, g2, g3;

        dots(&s0, &s1, &s2, &s3, tile, q, l0, L, k, m, M, D, HD);
        dots(&g0, &g1, &g2, &g3, tile, dy, l0, L, v, m, M, D, HD);
#define F(r, c)                                                                                                        \
    s##r = exp2(fma(s##r, (float4)(scale * LOG2E), (float4)(less.c))) * scale * (g##r - mean.c);                       \
    s##r = select((float4)(0.0f), s##r, key < M);
        ROWS(F)
#undef F
        HERE;
        put(tile, s0, s1, s2, s3);
        mix(&a0, &a1, &a2, &a3, tile, k, m, M, D, HD);
    }
    dq += ((size_t)n * L + l0) * D + h * HD;
#define F(r, c) finish(dq, r, L - l0, D, a##r, HD);
    ROWS(F)
#undef F
}

#endif

#ifdef BACKWARD_KV
/* dk and dv of BQ keys against all queries: dv = p' dy, dk = ds' q. */
KERNEL void backward_kv(global const float *dy, global const float *q, global const float *k, global const float *v,
                              global const float *lse, global const float *delta, global float *dk, global float *dv,
                              int L, int M, int heads, int hd, float scale)
{
    local float4 tile[TILE4];
    const int tx = get_local_id(0) % TX, blocks = (M + BQ - 1) / BQ;
    const int m0 = get_group_id(0) % blocks * BQ, nh = get_group_id(0) / blocks, n = nh / heads, h = nh % heads;
    const size_t D = (size_t)heads * HD;
    RESULT a0 = 0.0f, a1 = 0.0f, a2 = 0.0f, a3 = 0.0f, b0 = 0.0f, b1 = 0.0f, b2 = 0.0f, b3 = 0.0f;

    q += (size_t)n * L * D + h * HD;
    dy += (size_t)n * L * D + h * HD;
    k += (size_t)n * M * D + h * HD;
    v += (size_t)n * M * D + h * HD;
    NOUNROLL for (int l = 0; l < L; l += BK) {
        const int4 query = l + tx + (int4)(0, TX, 2 * TX, 3 * TX), at = min(query, (int4)(L - 1));
        float4 s0, s1, s2, s3, g0, g1, g2, g3, less, mean; /* the last two of the four queries */

        dots(&s0, &s1, &s2, &s3, tile, k, m0, M, q, l, L, D, HD);
        dots(&g0, &g1, &g2, &g3, tile, v, m0, M, dy, l, L, D, HD);
#define F(r, c)                                                                                                        \
    less.c = lse[(size_t)nh * L + at.c] * -LOG2E;                                                                      \
    mean.c = delta[(size_t)nh * L + at.c];
        ROWS(F)
#undef F
#define F(r, c)                                                                                                        \
    s##r = select((float4)(0.0f), exp2(fma(s##r, (float4)(scale * LOG2E), less)), query < L);                          \
    g##r = s##r * scale * (g##r - mean);
        ROWS(F)
#undef F
        HERE;
        put(tile, s0, s1, s2, s3);
        mix(&a0, &a1, &a2, &a3, tile, dy, l, L, D, HD);
        HERE;
        put(tile, g0, g1, g2, g3);
        mix(&b0, &b1, &b2, &b3, tile, q, l, L, D, HD);
    }
    dv += ((size_t)n * M + m0) * D + h * HD;
    dk += ((size_t)n * M + m0) * D + h * HD;
#define F(r, c)                                                                                                        \
    finish(dv, r, M - m0, D, a##r, HD);                                                                                \
    finish(dk, r, M - m0, D, b##r, HD);
    ROWS(F)
#undef F
}
#endif
#endif
