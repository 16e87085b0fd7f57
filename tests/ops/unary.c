/* Functions of one element and their gradients, by kernel and through the graph. */
#include "graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static double f_exp(double x) { return exp(x); }
static double f_log(double x) { return log(x); }
static double f_sqrt(double x) { return sqrt(x); }
static double f_rsqrt(double x) { return 1 / sqrt(x); }
static double f_sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double f_tanh(double x) { return tanh(x); }
static double f_sin(double x) { return sin(x); }
static double f_cos(double x) { return cos(x); }
static double f_square(double x) { return x * x; }
static double f_abs(double x) { return fabs(x); }
static double f_relu(double x) { return x > 0 ? x : 0; }
static double f_clamp(double x) { return x < -0.75 ? -0.75 : x > 1.25 ? 1.25 : x; }
static double d_log(double x) { return 1 / x; }
static double d_sqrt(double x) { return 0.5 / sqrt(x); }
static double d_rsqrt(double x) { return -0.5 / (x * sqrt(x)); }
static double d_sigmoid(double x) { return f_sigmoid(x) * (1 - f_sigmoid(x)); }
static double d_tanh(double x) { return 1 - tanh(x) * tanh(x); }
static double d_cos(double x) { return -sin(x); }
static double d_square(double x) { return 2 * x; }
static double d_abs(double x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
static double d_relu(double x) { return x > 0; }
static double d_clamp(double x) { return x >= -0.75 && x <= 1.25; }

#define CALL(name) \
    static dm_val call_##name(const dm_graph *g, dm_val x) { return g->name(g, x); }
CALL(exp)
CALL(log)
CALL(sqrt)
CALL(rsqrt)
CALL(sigmoid)
CALL(tanh)
CALL(sin)
CALL(cos)
CALL(square)
CALL(abs)
CALL(relu)
static dm_val call_clamp(const dm_graph *g, dm_val x) { return g->clamp(g, x, -0.75, 1.25); }

static const struct {
    dm_op_kind kind, dx;
    double (*f)(double), (*slope)(double);
    dm_val (*call)(const dm_graph *g, dm_val x);
    bool positive;
    const char *name;
} ops[] = {
    {DM_OP_EXP, DM_OP_EXP_DX, f_exp, f_exp, call_exp, false, "exp"},
    {DM_OP_LOG, DM_OP_LOG_DX, f_log, d_log, call_log, true, "log"},
    {DM_OP_SQRT, DM_OP_SQRT_DX, f_sqrt, d_sqrt, call_sqrt, true, "sqrt"},
    {DM_OP_RSQRT, DM_OP_RSQRT_DX, f_rsqrt, d_rsqrt, call_rsqrt, true, "rsqrt"},
    {DM_OP_SIGMOID, DM_OP_SIGMOID_DX, f_sigmoid, d_sigmoid, call_sigmoid, false, "sigmoid"},
    {DM_OP_TANH, DM_OP_TANH_DX, f_tanh, d_tanh, call_tanh, false, "tanh"},
    {DM_OP_SIN, DM_OP_SIN_DX, f_sin, f_cos, call_sin, false, "sin"},
    {DM_OP_COS, DM_OP_COS_DX, f_cos, d_cos, call_cos, false, "cos"},
    {DM_OP_SQUARE, DM_OP_SQUARE_DX, f_square, d_square, call_square, false, "square"},
    {DM_OP_ABS, DM_OP_ABS_DX, f_abs, d_abs, call_abs, false, "abs"},
    {DM_OP_RELU, DM_OP_RELU_DX, f_relu, d_relu, call_relu, false, "relu"},
    {DM_OP_CLAMP, DM_OP_CLAMP_DX, f_clamp, d_clamp, call_clamp, false, "clamp"},
};
enum { N_OPS = sizeof ops / sizeof ops[0] };

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    for (int k = 0; k < N_OPS; k++)
        for (int64_t i = 0; i < dm_desc_count(&n->out[0]); i++)
            if (ops[k].kind == n->kind)
                out[0][i] = ops[k].f(in[0][i]);
            else if (ops[k].dx == n->kind)
                out[0][i] = in[0][i] * ops[k].slope(in[1][i]);
}

static void unary__odd_sizes(void **state)
{
    static const int64_t counts[] = {1, 16, 31, 33, 1000, 4097};
    static double positive[4097];

    for (int i = 0; i < 4097; i++)
        positive[i] = 0.0625 + i * 61 % 4097 / 512.0;
    for (int k = 0; k < 2 * N_OPS; k++)
        for (size_t i = 0; i < (ops_small() ? 3 : sizeof counts / sizeof counts[0]); i++) {
            const dm_desc d = OPS_DESC(counts[i]);
            const int dx = k % 2;
            ops_case c = {.name = dm_op_name(dx ? ops[k / 2].dx : ops[k / 2].kind),
                          .reference = reference, .tolerance = 2e-6, .scale = 2, .rounded = true};

            c.node = (dm_opnode){.kind = dx ? ops[k / 2].dx : ops[k / 2].kind, .n_in = 1 + dx, .n_out = 1,
                                 .in = {d, d}, .out = {d}};
            c.node.a.clamp.lo = ops[k / 2].kind == DM_OP_CLAMP ? -0.75 : 0;
            c.node.a.clamp.hi = ops[k / 2].kind == DM_OP_CLAMP ? 1.25 : 0;
            if (ops[k / 2].positive)
                c.given[dx] = positive;
            ops_check(*state, &c);
        }
}

/* Where exponentials overflow or vanish, and where slopes jump. */
static void unary__ends(void **state)
{
    static const double x[] = {-1000, -100, -87, -0.75, -0.0, 0, 1.25, 20, 88, 100, 1000};
    static const double ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    static const int which[] = {4, 5, 9, 10, 11};

    for (int k = 0; k < 10; k++) {
        const int dx = k % 2, o = which[k / 2];
        const dm_desc d = OPS_DESC(11);
        ops_case c = {.name = ops[o].name, .reference = reference, .tolerance = 2e-6};

        c.node =
            (dm_opnode){.kind = dx ? ops[o].dx : ops[o].kind, .n_in = 1 + dx, .n_out = 1, .in = {d, d}, .out = {d}};
        if (ops[o].kind == DM_OP_CLAMP) {
            c.node.a.clamp.lo = -0.75;
            c.node.a.clamp.hi = 1.25;
        }
        c.given[dx] = x;
        if (dx)
            c.given[0] = ones;
        ops_check(*state, &c);
    }
}

static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x) { return ops[c->k[0]].call(g, x[0]); }

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    for (int i = 0; i < 105; i++)
        y[i] = ops[c->k[0]].f(x[0][i]);
}

static void unary__in_a_graph(void **state)
{
    for (int k = 0; k < N_OPS; k++) {
        const graph_case c = {.name = ops[k].name, .build = build, .reference = of_graph, .x = {{3, {3, 5, 7}}},
                              .y = {3, {3, 5, 7}}, .lo = ops[k].positive ? 0.1 : -2, .hi = 2, .k = {k}};

        graph_check(*state, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary__odd_sizes),
        cmocka_unit_test(unary__ends),
        cmocka_unit_test(unary__in_a_graph),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
