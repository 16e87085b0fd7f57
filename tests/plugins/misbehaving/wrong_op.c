/* A network whose own op goes wrong, in its shape rule, while a plan is made, or on the device. */
#define BEHAVIOURS(X)                                                                                                \
    X(no_op)                                                                                                         \
    X(on_stack) X(no_name) X(small) X(many_inputs) X(no_shape) X(no_forward) X(absent) X(shape_silent) X(shape_rank) \
        X(shape_empty) X(shape_unwritten) X(forward_silent) X(forward_sums) X(forward_empty) X(no_backward)          \
            X(backward_empty) X(backward_silent) X(few_arguments) X(wrong_argument) X(null_buffer) X(null_range)     \
                X(no_kernel) X(null_source) X(syntax) X(group) X(makes_nan) X(predicts) X(half_written)
#include "wrong.h"

static const char source[] =
    "__kernel void copy(__global const float *x, __global float *y) { int i = get_global_id(0); y[i] = x[i]; }\n"
    "__kernel void none(__global const float *x, __global float *y) { int i = get_global_id(0); y[i] = log(-1 - x[i] * "
    "x[i]); }\n"
    "__kernel void half_of(__global const float *x, __global float *y) { int i = get_global_id(0); if (i % 2) y[i] = "
    "x[i]; }\n"
    "__kernel void add(__global const float *x, __global float *y) { int i = get_global_id(0); y[i] += x[i]; }\n";

static dm_status shape(dm_ctx *c, const dm_shape *in, dm_shape *out)
{
    switch (wrong(c)) {
    case shape_silent: return DM_EINVAL;
    case shape_unwritten: return DM_OK;
    case shape_rank: out[0] = (dm_shape){9, {1, 1, 1, 1, 1, 1, 1, 1}}; return DM_OK;
    case shape_empty: out[0] = (dm_shape){2, {0, 16}}; return DM_OK;
    default: out[0] = in[0]; return DM_OK;
    }
}

static dm_status run(dm_ctx *c, const char *name, dm_tensor *x, dm_tensor *y)
{
    const dm_shape s = c->host->shape(y);
    const dm_range r = {1, {(size_t)(s.dim[0] * s.dim[1])}, {wrong(c) == group ? 7 : 0}};
    dm_kernel *k = c->host->kernel(c,
                                   wrong(c) == syntax        ? "__kernel void copy( {"
                                   : wrong(c) == null_source ? NULL
                                                             : source,
                                   wrong(c) == no_kernel ? "nothing" : name, NULL);

    if (!k)
        return c->err->code;
    switch (wrong(c)) {
    case few_arguments: return c->host->launch(c, k, &r, DM_ARGS({DM_BUF, x, 0}));
    case wrong_argument: return c->host->launch(c, k, &r, DM_ARGS({DM_BUF, x, 0}, {DM_F32, NULL, 0}));
    case null_buffer: return c->host->launch(c, k, &r, DM_ARGS({DM_BUF, x, 0}, {DM_BUF, NULL, 0}));
    case null_range: return c->host->launch(c, k, NULL, DM_ARGS({DM_BUF, x, 0}, {DM_BUF, y, 0}));
    default: return c->host->launch(c, k, &r, DM_ARGS({DM_BUF, x, 0}, {DM_BUF, y, 0}));
    }
}

static dm_status forward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out)
{
    switch (wrong(c)) {
    case forward_silent: return DM_EDEVICE;
    case forward_empty: return DM_OK;
    case forward_sums: return c->host->sum(c, out[0], DM_SUM({2, in[0]}));
    case predicts: return c->host->predict(c, in[0], NULL, NULL);
    case half_written: return run(c, "half_of", in[0], out[0]);
    case makes_nan: return run(c, "none", in[0], out[0]);
    default: return run(c, "copy", in[0], out[0]);
    }
}

static dm_status backward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out, dm_tensor *const *dout,
                          dm_tensor *const *din)
{
    (void)in, (void)out;
    switch (wrong(c)) {
    case backward_silent: return DM_EINVAL;
    case backward_empty: return DM_OK;
    default: return run(c, "add", dout[0], din[0]);
    }
}

#define OP(...) {.size = sizeof(dm_op), .n_in = 1, .n_out = 1, __VA_ARGS__}
static const dm_op
    whole = OP(.name = "whole", .shape = shape, .forward = forward, .backward = backward),
    nameless = OP(.shape = shape, .forward = forward, .backward = backward), early = {.size = 8, .name = "early"},
    wide = {.size = sizeof(dm_op), .name = "wide", .n_in = 9, .n_out = 1, .shape = shape, .forward = forward},
    shapeless = OP(.name = "shapeless", .forward = forward), idle = OP(.name = "idle", .shape = shape),
    one_way = OP(.name = "one_way", .shape = shape, .forward = forward);

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const dm_op on_the_stack = whole;
    const dm_op *op = wrong(c) == no_op ? NULL : wrong(c) == on_stack ? &on_the_stack : wrong(c) == no_name ? &nameless
                    : wrong(c) == small ? &early : wrong(c) == many_inputs ? &wide : wrong(c) == no_shape ? &shapeless
                    : wrong(c) == no_forward ? &idle : wrong(c) == no_backward ? &one_way : &whole;
    const dm_val x[9] = {wrong(c) == absent ? in->labels : g->linear(g, "in", in->x, 8, 0)};
    dm_val y = 0;

    if (wrong(c) == good && (y = x[0], g->custom(g, op, &y, &y))) /* input and output may be one array */
        return c->err->code;
    if (wrong(c) != good && g->custom(g, op, x, &y))
        return c->err->code;
    if (wrong(c) == half_written) /* diverges, whatever the memory held: infinite, or 0 times infinity */
        y = g->exp(g, g->scale(g, g->add(g, g->square(g, y), g->scale(g, y, 0, 1)), 1e30, 0));
    return g->linear(g, "out", y, in->out_channels, 0);
}

static const dm_network network = {.size = sizeof(dm_network), .build = build};
PLUGIN("wrong_op", .network = &network);
