/* Ops that move elements, against plain loops; most must be exact. */
#include "harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const int64_t strips[][4] = {{1, 1, 1, 0}, {3, 5, 2, 1}, {31, 16, 33, 16}, {65, 33, 31, 0},
                                    {2, 5000, 3000, 2000}, {1000, 3, 64, 30}, {700, 64, 64, 0}, {1, 1, 65, 64}};

static void rows(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t wa = n->a.concat.wa, wb = n->a.concat.wb, width = n->a.slice.width, first = n->a.slice.first,
                  count = n->a.slice.count;

    if (n->kind == DM_OP_CONCAT)
        for (int64_t i = 0; i < n->a.concat.outer * (wa + wb); i++) {
            const int64_t r = i / (wa + wb), c = i % (wa + wb);

            out[0][i] = c < wa ? in[0][r * wa + c] : in[1][r * wb + c - wa];
        }
    else if (n->kind == DM_OP_SLICE)
        for (int64_t i = 0; i < n->a.slice.outer * count; i++)
            out[0][i] = in[0][i / count * width + first + i % count];
    else
        for (int64_t i = 0; i < n->a.slice.outer * width; i++) {
            const int64_t c = i % width - first;

            out[0][i] = c >= 0 && c < count ? in[0][i / width * count + c] : 0;
        }
}

static void rows__concat_slice_pad(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 4 : sizeof strips / sizeof strips[0]); i++) {
        const int64_t outer = strips[i][0], a = strips[i][1], b = strips[i][2], first = strips[i][3];
        ops_case c = {.name = "concat", .reference = rows}, s = {.name = "slice", .reference = rows},
            p = {.name = "pad", .reference = rows};

        c.node = (dm_opnode){.kind = DM_OP_CONCAT, .n_in = 2, .n_out = 1,
                             .in = {OPS_DESC(outer, a), OPS_DESC(outer, b)}, .out = {OPS_DESC(outer, a + b)}};
        c.node.a.concat.outer = outer;
        c.node.a.concat.wa = a;
        c.node.a.concat.wb = b;
        ops_check(*state, &c);
        s.node = (dm_opnode){.kind = DM_OP_SLICE, .n_in = 1, .n_out = 1, .in = {OPS_DESC(outer, b)},
                             .out = {OPS_DESC(outer, b - first)}};
        s.node.a.slice.outer = outer;
        s.node.a.slice.width = b;
        s.node.a.slice.first = first;
        s.node.a.slice.count = b - first;
        if (b - first > 1)
            s.node.out[0].dim[1] = --s.node.a.slice.count;
        ops_check(*state, &s);
        p.node = s.node;
        p.node.kind = DM_OP_PAD;
        p.node.in[0] = s.node.out[0];
        p.node.out[0] = s.node.in[0];
        ops_check(*state, &p);
    }
}

static void permuted(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int32_t rank = n->in[0].rank;
    int64_t stride[8] = {0}, run = 1;

    for (int i = rank - 1; i >= 0; i--) {
        stride[i] = run;
        run *= n->in[0].dim[i];
    }
    for (int64_t e = 0; e < run; e++) {
        int64_t rest = e, at = 0;

        for (int i = rank - 1; i >= 0; i--) {
            at += rest % n->out[0].dim[i] * stride[n->a.perm.axes[i]];
            rest /= n->out[0].dim[i];
        }
        out[0][e] = in[0][at];
    }
}

static void permute__axes(void **state)
{
    static const struct { int32_t rank; int64_t dim[8]; int32_t axes[8]; } t[] = {
        {1, {7}, {0}},
        {2, {3, 5}, {1, 0}},
        {4, {2, 3, 5, 7}, {0, 2, 3, 1}},
        {4, {2, 5, 7, 3}, {0, 3, 1, 2}},
        {4, {2, 33, 31, 16}, {0, 2, 1, 3}},
        {6, {2, 4, 3, 5, 2, 8}, {0, 1, 3, 2, 4, 5}},
        {8, {2, 3, 1, 2, 4, 3, 2, 5}, {7, 0, 6, 1, 5, 2, 4, 3}},
        {8, {2, 2, 2, 2, 2, 2, 2, 2}, {7, 6, 5, 4, 3, 2, 1, 0}},
        {3, {65, 1, 33}, {2, 1, 0}},
        {3, {1, 1, 1}, {2, 1, 0}},
        {3, {2, 3000, 5}, {0, 2, 1}},
    };

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof t / sizeof t[0]); i++) {
        ops_case c = {.name = "permute", .reference = permuted};

        c.node = (dm_opnode){.kind = DM_OP_PERMUTE, .n_in = 1, .n_out = 1, .in = {ops_desc(t[i].rank, t[i].dim)}};
        c.node.out[0] = c.node.in[0];
        for (int k = 0; k < t[i].rank; k++) {
            c.node.a.perm.axes[k] = t[i].axes[k];
            c.node.out[0].dim[k] = t[i].dim[t[i].axes[k]];
        }
        ops_check(*state, &c);
    }
}

/* Where small pixel (h, w) of channel c and large pixel (h f + i, w f + j) lie; k: what goes from one to the other. */
static void resampled(const dm_opnode *n, const double *const *in, double *const *out)
{
    const bool grows = n->kind == DM_OP_UPSAMPLE || n->kind == DM_OP_AVG_POOL_DX, mean = n->kind == DM_OP_AVG_POOL ||
               n->kind == DM_OP_AVG_POOL_DX;
    const dm_desc *s = grows ? &n->in[0] : &n->out[0];
    const int64_t f = n->a.factor.factor, H = s->dim[1], W = s->dim[2], C = s->dim[3];
    const double k = mean ? 1 / (double)(f * f) : 1;

    for (int64_t i = 0; i < dm_desc_count(&n->out[0]); i++)
        out[0][i] = 0;
    for (int64_t b = 0; b < s->dim[0]; b++)
        for (int64_t h = 0; h < H * f; h++)
            for (int64_t w = 0; w < W * f; w++)
                for (int64_t c = 0; c < C; c++) {
                    const int64_t small = ((b * H + h / f) * W + w / f) * C + c,
                                  large = ((b * H * f + h) * W * f + w) * C + c;

                    out[0][grows ? large : small] += k * in[0][grows ? small : large];
                }
}

static void pixels__factors(void **state)
{
    static const int64_t t[][5] = {{1, 1, 1, 1, 2}, {2, 3, 2, 5, 2}, {1, 2, 3, 3, 3}, {2, 7, 7, 33, 2},
                                   {3, 4, 4, 65, 4}, {1, 16, 16, 128, 2}, {1, 32, 31, 1, 2}, {2, 5, 5, 16, 1}};
    static const dm_op_kind kinds[] = {DM_OP_UPSAMPLE, DM_OP_UPSAMPLE_DX, DM_OP_AVG_POOL, DM_OP_AVG_POOL_DX};

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof t / sizeof t[0]); i++)
        for (int k = 0; k < 4; k++) {
            const int64_t f = t[i][4];
            const dm_desc small = OPS_DESC(t[i][0], t[i][1], t[i][2], t[i][3]),
                          large = OPS_DESC(t[i][0], t[i][1] * f, t[i][2] * f, t[i][3]);
            const bool grows = kinds[k] == DM_OP_UPSAMPLE || kinds[k] == DM_OP_AVG_POOL_DX;
            ops_case c = {.name = dm_op_name(kinds[k]), .reference = resampled, .tolerance = 1e-6};

            c.node = (dm_opnode){.kind = kinds[k], .n_in = 1, .n_out = 1, .in = {grows ? small : large},
                                 .out = {grows ? large : small}};
            c.node.a.factor.factor = f;
            ops_check(*state, &c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows__concat_slice_pad), cmocka_unit_test(permute__axes),
                                       cmocka_unit_test(pixels__factors)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
