/* Functions of one element whose gradient is an op of their own: dy, x -> dx, the kind behind theirs. */
#include "graph/ops/families.h"
#include "graph/tape.h"

#include <math.h>

static dm_gnode *unary(const dm_graph *api, dm_op_kind kind, const char *name, dm_val x, dm_val *y)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);

    *y = DM_FAILED;
    return dm_graph_has(g, name, DM_DT_F32, &x, 1) ? dm_graph_op1(g, kind, &x, 1, &s, s.rank == 4, y) : NULL;
}

#define FUNCTION(name, kind)                                \
    static dm_val op_##name(const dm_graph *g, dm_val x)    \
    {                                                       \
        dm_val y;                                           \
                                                            \
        unary(g, kind, #name, x, &y);                       \
        return y;                                           \
    }
FUNCTION(exp, DM_OP_EXP)
FUNCTION(log, DM_OP_LOG)
FUNCTION(sqrt, DM_OP_SQRT)
FUNCTION(rsqrt, DM_OP_RSQRT)
FUNCTION(sigmoid, DM_OP_SIGMOID)
FUNCTION(tanh, DM_OP_TANH)
FUNCTION(sin, DM_OP_SIN)
FUNCTION(cos, DM_OP_COS)
FUNCTION(square, DM_OP_SQUARE)
FUNCTION(abs, DM_OP_ABS)
FUNCTION(relu, DM_OP_RELU)

static dm_val op_clamp(const dm_graph *api, dm_val x, double lo, double hi)
{
    dm_gnode *n;
    dm_val y;

    if (!(lo <= hi))
        return dm_graph_fail(dm_graph_of(api), DM_EINVAL, "clamp to [%g, %g]: the first must not be above the second",
                             lo, hi);
    if ((n = unary(api, DM_OP_CLAMP, "clamp", x, &y))) {
        n->op.a.clamp.lo = lo;
        n->op.a.clamp.hi = hi;
    }
    return y;
}

static void gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_tape_give_op(t, n->op.kind + 1, n, (dm_val[]){dy, n->in[0]}, 2, n->in[0]);
}

static const dm_op_attr clamp_attrs[] = {
    DM_ATTR(DM_ATTR_REAL, "lo", clamp.lo), DM_ATTR(DM_ATTR_REAL, "hi", clamp.hi), {0}};

/* text, its operations for an element, and those of its gradient */
#define ROWS(text, op, list, work, work_dx)                              \
    {.kind = op,                                                         \
     .name = text,                                                       \
     .in = {{"x", DM_ARG_16BIT}},                                        \
     .out = {{"y", DM_ARG_16BIT}},                                       \
     .attrs = list,                                                      \
     .each = work,                                                       \
     .flags = DM_OP_CHEAP,                                               \
     .gradient = gradient},                                              \
    {                                                                    \
        .kind = op##_DX, .name = text "_dx", .in = {{"dy", DM_ARG_16BIT}, {"x", DM_ARG_16BIT}}, \
        .out = {{"dx", DM_ARG_16BIT}}, .attrs = list, .each = work_dx, .flags = DM_OP_BACKWARD  \
    }

static const dm_op_def rows[] = {
    ROWS("exp", DM_OP_EXP, NULL, 4, 5),
    ROWS("log", DM_OP_LOG, NULL, 4, 1),
    ROWS("sqrt", DM_OP_SQRT, NULL, 4, 5),
    ROWS("rsqrt", DM_OP_RSQRT, NULL, 5, 7),
    ROWS("sigmoid", DM_OP_SIGMOID, NULL, 4, 8),
    ROWS("tanh", DM_OP_TANH, NULL, 8, 10),
    ROWS("sin", DM_OP_SIN, NULL, 8, 9),
    ROWS("cos", DM_OP_COS, NULL, 8, 10),
    ROWS("square", DM_OP_SQUARE, NULL, 1, 2),
    ROWS("abs", DM_OP_ABS, NULL, 1, 2),
    ROWS("relu", DM_OP_RELU, NULL, 1, 2),
    ROWS("clamp", DM_OP_CLAMP, clamp_attrs, 2, 3),
    {0},
};

static void fill(dm_graph *api)
{
    api->exp = op_exp;
    api->log = op_log;
    api->sqrt = op_sqrt;
    api->rsqrt = op_rsqrt;
    api->sigmoid = op_sigmoid;
    api->tanh = op_tanh;
    api->sin = op_sin;
    api->cos = op_cos;
    api->square = op_square;
    api->abs = op_abs;
    api->relu = op_relu;
    api->clamp = op_clamp;
}

const dm_op_family dm_family_unary = {rows, fill};
