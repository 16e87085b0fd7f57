/* Element-wise ops, with and without broadcasting, against double precision. */
#include "graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "goldens_misc.h"

static const int64_t counts[] = {1, 3, 16, 31, 33, 65, 1000, 4097, 100003};

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x * sigmoid(x); }
static double silu_slope(double x) { return sigmoid(x) * (1 + x * (1 - sigmoid(x))); }
static double gelu_u(double x) { return sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x); }
static double gelu(double x) { return 0.5 * x * (1 + tanh(gelu_u(x))); }
static double gelu_slope(double x)
{
    const double t = tanh(gelu_u(x)), du = sqrt(2 / acos(-1)) * (1 + 3 * 0.044715 * x * x);

    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * du;
}

static void flat_reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t count = dm_desc_count(&n->out[0]);

    for (int64_t i = 0; i < count; i++)
        switch (n->kind) {
        case DM_OP_SILU: out[0][i] = silu(in[0][i]); break;
        case DM_OP_SILU_DX: out[0][i] = in[0][i] * silu_slope(in[1][i]); break;
        case DM_OP_GELU: out[0][i] = gelu(in[0][i]); break;
        case DM_OP_GELU_DX: out[0][i] = in[0][i] * gelu_slope(in[1][i]); break;
        case DM_OP_SCALE: out[0][i] = n->a.scale.k * in[0][i] + n->a.scale.b; break;
        default: out[0][i] += in[0][i]; break;
        }
}

static void flat__odd_sizes(void **state)
{
    static const dm_op_kind kinds[] = {DM_OP_SILU, DM_OP_SILU_DX, DM_OP_GELU, DM_OP_GELU_DX, DM_OP_SCALE, DM_OP_ACCUM};

    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++)
        for (size_t i = 0; i < (ops_small() ? 5 : sizeof counts / sizeof counts[0]); i++) {
            const dm_desc d = OPS_DESC(counts[i]);
            ops_case c = {.name = dm_op_name(kinds[k]), .reference = flat_reference, .tolerance = 5e-7, .scale = 3};

            c.node = (dm_opnode){.kind = kinds[k], .n_in = 1 + (kinds[k] == DM_OP_SILU_DX || kinds[k] == DM_OP_GELU_DX),
                                 .n_out = 1, .in = {d, d}, .out = {d}, .accum = kinds[k] == DM_OP_ACCUM};
            if (kinds[k] == DM_OP_SCALE) {
                c.node.a.scale.k = -1.25;
                c.node.a.scale.b = 0.3;
            }
            ops_check(*state, &c);
        }
}

/* Where exponentials overflow or vanish. */
static void flat__extremes(void **state)
{
    static const double x[] = {-1000, -200, -104, -88, -87, -20, -1e-30, 0, 1e-30, 20, 87, 88, 89, 200, 1000, 3e38};
    static const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const dm_op_kind kinds[] = {DM_OP_SILU, DM_OP_SILU_DX};

    for (int k = 0; k < 2; k++) {
        const int64_t n = kinds[k] == DM_OP_SILU ? 16 : 15;
        const dm_desc d = OPS_DESC(n);
        ops_case c = {.name = dm_op_name(kinds[k]), .reference = flat_reference, .tolerance = 1e-6};

        c.node = (dm_opnode){.kind = kinds[k], .n_in = 1 + k, .n_out = 1, .in = {d, d}, .out = {d}};
        c.given[k] = x;
        if (k)
            c.given[0] = ones;
        ops_check(*state, &c);
    }
}

static void golden_reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const double *from = n->kind == DM_OP_SILU      ? golden_silu
                         : n->kind == DM_OP_SILU_DX ? golden_silu_dx
                         : n->kind == DM_OP_GELU    ? golden_gelu
                                                    : golden_gelu_dx;

    (void)in;
    for (int64_t i = 0; i < GOLDEN_ACT_N; i++)
        out[0][i] = from[i];
}

static void flat__as_pytorch(void **state)
{
    static const dm_op_kind kinds[] = {DM_OP_SILU, DM_OP_SILU_DX, DM_OP_GELU, DM_OP_GELU_DX};
    const dm_desc d = OPS_DESC(GOLDEN_ACT_N);

    for (int k = 0; k < 4; k++) {
        ops_case c = {.name = dm_op_name(kinds[k]), .reference = golden_reference, .tolerance = 1e-6};

        c.node = (dm_opnode){.kind = kinds[k], .n_in = 1 + k % 2, .n_out = 1, .in = {d, d}, .out = {d}};
        c.given[k % 2] = golden_act_x;
        if (k % 2)
            c.given[0] = golden_act_dy;
        ops_check(*state, &c);
    }
}

/* ---- broadcasting ----------------------------------------------------------------------- */

static void bcast_reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const dm_attr_bcast *b = &n->a.bcast;
    int64_t at = 0;

    for (int64_t i = 0; i < b->dim[0]; i++)
        for (int64_t j = 0; j < b->dim[1]; j++)
            for (int64_t k = 0; k < b->dim[2]; k++)
                for (int64_t l = 0; l < b->dim[3]; l++) {
                    const double x = in[0][i * b->sa[0] + j * b->sa[1] + k * b->sa[2] + l * b->sa[3]];
                    const double y = n->n_in < 2 ? 0 : in[1][i * b->sb[0] + j * b->sb[1] + k * b->sb[2] + l * b->sb[3]];

                    out[0][at++] = n->kind == DM_OP_ADD       ? x + y
                                   : n->kind == DM_OP_MUL     ? x * y
                                   : n->kind == DM_OP_SUB     ? x - y
                                   : n->kind == DM_OP_DIV     ? x / y
                                   : n->kind == DM_OP_MAXIMUM ? fmax(x, y)
                                   : n->kind == DM_OP_MINIMUM ? fmin(x, y)
                                   : n->kind == DM_OP_STEP    ? (x > y ? 1 : x == y ? 0.5 : 0)
                                                              : x;
                }
}

/* Strides of an operand that has the axes of the mask. */
static int64_t strides_of(const int64_t *dim, int mask, int64_t *s)
{
    int64_t run = 1;

    for (int i = 3; i >= 0; i--) {
        s[i] = mask >> i & 1 ? run : 0;
        run *= mask >> i & 1 ? dim[i] : 1;
    }
    return run;
}

static void bcast__every_mask(void **state)
{
    static double divisors[45000];
    static const int64_t dims[][4] = {{2, 3, 2, 5}, {3, 7, 7, 16}, {2, 5, 3, 33}, {1, 1, 3, 1}, {2, 31, 1, 65},
                                      {2, 1, 1, 20000}, {300, 1, 50, 3}};
    static const dm_op_kind kinds[] = {DM_OP_ADD,     DM_OP_MUL,     DM_OP_BROADCAST, DM_OP_SUB, DM_OP_DIV,
                                       DM_OP_MAXIMUM, DM_OP_MINIMUM, DM_OP_STEP};

    for (int i = 0; i < 45000; i++)
        divisors[i] = (i % 2 ? -1 : 1) * (0.5 + i * 61 % 256 / 128.0);
    for (size_t i = 0; i < (ops_small() ? 1 : sizeof dims / sizeof dims[0]); i++)
        for (int mask = 0; mask < (i < 3 ? 256 : 64); mask++)
            for (int k = 0; k < 8; k++) {
                const int a = i < 3 ? mask & 15 : 15, b = i < 3 ? mask >> 4 : mask & 15;
                ops_case c = {.name = dm_op_name(kinds[k]), .reference = bcast_reference, .tolerance = 1e-7};

                if (((mask >> 4) % 5 && i) || (k > 2 && mask % 3)) /* a part of the pairs will do */
                    continue;
                c.node = (dm_opnode){.kind = kinds[k], .n_in = kinds[k] == DM_OP_BROADCAST ? 1 : 2, .n_out = 1,
                                     .out = {OPS_DESC(dims[i][0], dims[i][1], dims[i][2], dims[i][3])}};
                for (int j = 0; j < 4; j++)
                    c.node.a.bcast.dim[j] = dims[i][j];
                c.node.in[0] = OPS_DESC(strides_of(dims[i], k == 2 ? b : a, c.node.a.bcast.sa));
                c.node.in[1] = OPS_DESC(strides_of(dims[i], b, c.node.a.bcast.sb));
                c.given[1] = kinds[k] == DM_OP_DIV ? divisors : NULL;
                c.rounded = true;
                ops_check(*state, &c);
            }
}

/* An operand read across its rows, as a permuted one. */
static void bcast__strided(void **state)
{
    ops_case c = {.name = "add", .reference = bcast_reference, .tolerance = 1e-7};

    c.node = (dm_opnode){.kind = DM_OP_ADD, .n_in = 2, .n_out = 1, .in = {OPS_DESC(3, 33), OPS_DESC(33, 3)},
                         .out = {OPS_DESC(3, 33)}};
    c.node.a.bcast = (dm_attr_bcast){{1, 1, 3, 33}, {0, 0, 33, 1}, {0, 0, 1, 3}};
    ops_check(*state, &c);
}

/* Equal numbers, and NaN. */
static void bcast__equal(void **state)
{
    static const double a[] = {1, 2, 3, -1, 0}, b[] = {1, 3, 2, -1, -2};
    static const dm_op_kind kinds[] = {DM_OP_MAXIMUM, DM_OP_MINIMUM, DM_OP_STEP};

    for (int k = 0; k < 3; k++) {
        const dm_desc d = OPS_DESC(5);
        ops_case c = {.name = dm_op_name(kinds[k]), .reference = bcast_reference, .given = {a, b}};

        c.node = (dm_opnode){.kind = kinds[k], .n_in = 2, .n_out = 1, .in = {d, d}, .out = {d}};
        c.node.a.bcast = (dm_attr_bcast){{1, 1, 1, 5}, {0, 0, 0, 1}, {0, 0, 0, 1}};
        ops_check(*state, &c);
    }
}

static dm_val binary(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    dm_val (*const f[])(const dm_graph *, dm_val, dm_val) = {g->sub, g->div, g->maximum, g->minimum};

    return f[c->k[0]](g, x[0], x[1]);
}

/* [3,4,5] and, by the first axis and the second, [3,4]. */
static void binary_reference(const graph_case *c, const double *const *x, double *y)
{
    for (int i = 0; i < 60; i++) {
        const double a = x[0][i], b = x[1][i / 5];

        y[i] = c->k[0] == 0 ? a - b : c->k[0] == 1 ? a / b : c->k[0] == 2 ? fmax(a, b) : fmin(a, b);
    }
}

static void binary__in_a_graph(void **state)
{
    static const char *const names[] = {"sub", "div", "maximum", "minimum"};

    for (int k = 0; k < 4; k++) {
        const graph_case c = {.name = names[k], .build = binary, .reference = binary_reference,
                              .x = {{3, {3, 4, 5}}, {2, {3, 4}}}, .y = {3, {3, 4, 5}}, .lo = 0.3, .hi = 2, .k = {k}};

        graph_check(*state, &c);
    }
}

/* ---- casts -------------------------------------------------------------------------------- */

static void cast_reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    for (int64_t i = 0; i < dm_desc_count(&n->out[0]); i++)
        out[0][i] = (double)ops_rounded(n->out[0].type, (float)in[0][i]);
}

static void cast__narrow_and_back(void **state)
{
    /* halves between two of f16 and of bf16 go to the even one; the largest of f16, its least and what rounds to them
     */
    static const double x[] = {0,     1,       -1,          2049,    2051,       -4098,   257,  259, 65504,
                               65519, 0x1p-14, 0x1.ffcp-15, 0x1p-24, -0x1.8p-24, 0x1p-25, 1e-9, 0.1};
    static const int64_t lengths[] = {17, 1, 33, 16, 20000};
    static const dm_dtype types[] = {DM_DT_BF16, DM_DT_F16};

    for (int k = 0; k < 20; k++) {
        ops_case c = {.name = "cast", .reference = cast_reference, .given = {k < 4 ? x : NULL}};
        dm_desc half = OPS_DESC(lengths[k / 4]), wide = half;

        half.type = types[k % 2];
        c.node = (dm_opnode){.kind = DM_OP_CAST,
                             .n_in = 1,
                             .n_out = 1,
                             .in = {k / 2 % 2 ? half : wide},
                             .out = {k / 2 % 2 ? wide : half}};
        ops_check(*state, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flat__odd_sizes),    cmocka_unit_test(flat__extremes),
        cmocka_unit_test(flat__as_pytorch),   cmocka_unit_test(bcast__every_mask),
        cmocka_unit_test(bcast__strided),     cmocka_unit_test(bcast__equal),
        cmocka_unit_test(binary__in_a_graph), cmocka_unit_test(cast__narrow_and_back),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
