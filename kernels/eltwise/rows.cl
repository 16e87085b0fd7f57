/* y = a + b, a b, a and others, with broadcasting. y f32[d0,d1,d2,inner] (all 16 bits wide with -DBF16 or -DF16) is
 * written; a and b are read at element strides sa*, sb* (0 = repeated). d0 is implied by `rows` = d0 d1 d2. Items are
 * numbered column block first: item i takes `cols` columns (a multiple of W) of `each` rows. Oracle
 * tests/ops/eltwise.c; exact but for one rounding. */
#include "vec.clh"

enum { ADD, MUL, BROADCAST, SUB, DIV, MAXIMUM, MINIMUM, STEP };

static inline VF fetch(global const T *p, size_t i, int stride, size_t n)
{
    T t[W];

    if (stride == 1)
        return LOAD(p + i, n);
    if (stride == 0)
        return (VF)(GET1(p));
    for (size_t j = 0; j < W; j++)
        t[j] = j < n ? p[(i + j) * stride] : 0;
    return WIDEN(VLOAD(t));
}

/* NaN of either stays NaN. */
static inline VF rarer(int op, VF a, VF b)
{
    switch (op) {
    case SUB: return a - b;
    case DIV: return a / b;
    case MAXIMUM: return a > b ? a : a != a ? a : b;
    case MINIMUM: return a < b ? a : a != a ? a : b;
    default: return a > b ? (VF)(1.0f) : a == b ? (VF)(0.5f) : (VF)(0.0f);
    }
}

kernel void rows(int op, global const T *a, global const T *b, global T *y, int4 extents, int4 of_a, int4 of_b,
                 int each, int cols)
{
    INTS4(extents, rows, inner, d1, d2);
    INTS4(of_a, sa0, sa1, sa2, sa3);
    INTS4(of_b, sb0, sb1, sb2, sb3);
    const size_t blocks = ((size_t)inner + cols - 1) / cols, id = get_global_id(0);
    const size_t from = id / blocks * each, to = min(from + (size_t)each, (size_t)rows);
    const size_t left = id % blocks * cols, right = min(left + (size_t)cols, (size_t)inner);

    for (size_t r = from; r < to; r++) {
        const size_t i2 = r % d2, i1 = r / d2 % d1, i0 = r / d2 / d1;
        global const T *pa = a + i0 * sa0 + i1 * sa1 + i2 * sa2;
        global const T *pb = op == BROADCAST ? pa : b + i0 * sb0 + i1 * sb1 + i2 * sb2;

        for (size_t c = left; c < right; c += W) {
            VF v = fetch(pa, c, sa3, right - c);

            if (op == ADD)
                v += fetch(pb, c, sb3, right - c);
            else if (op == MUL)
                v *= fetch(pb, c, sb3, right - c);
            else if (op != BROADCAST)
                v = rarer(op, v, fetch(pb, c, sb3, right - c));
            STORE(v, y + r * inner + c, right - c);
        }
    }
}
