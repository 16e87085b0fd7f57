/* A network whose own op, the square with a scratch output, works but for what the host cannot see. */
#define BEHAVIOURS(X) \
    X(beyond) X(unwritten) X(wrong_gradient) X(writes_gradient) X(changes_input) X(reads_output) X(gradient_beyond)
#include "wrong.h"

static const char source[] =
    "kernel void square(global float *x, global float *y, global float *scratch, int n, int wrong)\n"
    "{\n"
    "  const int i = get_global_id(0);\n"
    "  if (i >= n + (wrong == BEYOND))\n"
    "    return;\n"
    "  if (wrong == UNWRITTEN && i == n - 1)\n"
    "    return;\n"
    "  if (wrong == READS_OUTPUT)\n"
    "    y[i] = x[i] * x[i] + (isnan(y[i]) ? 0 : 1);\n"
    "  else\n"
    "    y[i] = i < n ? x[i] * x[i] : 0;\n"
    "  if (wrong == CHANGES_INPUT && i == 3)\n"
    "    x[i] += 1;\n"
    "  if (i < n)\n"
    "    scratch[i] = 2 * x[i];\n"
    "}\n"
    "kernel void slope(global const float *scratch, global const float *dy, global float *dx, int n, int wrong)\n"
    "{\n"
    "  const int i = get_global_id(0);\n"
    "  if (i >= n + (wrong == GRADIENT_BEYOND))\n"
    "    return;\n"
    "  if (wrong == GRADIENT_BEYOND && i == n)\n"
    "    dx[i] = 0;\n"
    "  else if (wrong == WRITES_GRADIENT)\n"
    "    dx[i] = scratch[i] * dy[i];\n"
    "  else\n"
    "    dx[i] += (wrong == WRONG_GRADIENT ? 0.5f : 1) * scratch[i] * dy[i];\n"
    "}\n";

static dm_status shape(dm_ctx *c, const dm_shape *in, dm_shape *out)
{
    (void)c;
    out[0] = out[1] = in[0];
    return DM_OK;
}

static dm_kernel *kernel(dm_ctx *c, const char *name)
{
    char options[256];

    snprintf(options, sizeof options, "-DBEYOND=%d -DUNWRITTEN=%d -DREADS_OUTPUT=%d -DCHANGES_INPUT=%d "
             "-DGRADIENT_BEYOND=%d -DWRITES_GRADIENT=%d -DWRONG_GRADIENT=%d", beyond, unwritten, reads_output,
             changes_input, gradient_beyond, writes_gradient, wrong_gradient);
    return c->host->kernel(c, source, name, options);
}

static dm_status forward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out)
{
    const dm_shape s = c->host->shape(in[0]);
    const double n = (double)(s.dim[0] * s.dim[1]);
    dm_kernel *k = kernel(c, "square");

    return k ? c->host->launch(c, k, &(dm_range){1, {(size_t)n + 1}, {0}},
                               DM_ARGS({DM_BUF, in[0], 0}, {DM_BUF, out[0], 0},
                                       {DM_BUF, out[1], 0}, {DM_I32, NULL, n},
                                       {DM_I32, NULL, wrong(c)})) : c->err->code;
}

static dm_status backward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out, dm_tensor *const *dout,
                          dm_tensor *const *din)
{
    const dm_shape s = c->host->shape(in[0]);
    const double n = (double)(s.dim[0] * s.dim[1]);
    dm_kernel *k = kernel(c, "slope");

    if (dout[1])
        return dm_fail(c, DM_EINVAL, "there is a gradient of what nothing uses");
    return k ? c->host->launch(c, k, &(dm_range){1, {(size_t)n + 1}, {0}},
                               DM_ARGS({DM_BUF, out[1], 0}, {DM_BUF, dout[0], 0}, {DM_BUF, din[0], 0},
                                       {DM_I32, NULL, n}, {DM_I32, NULL, wrong(c)})) : c->err->code;
}

static const dm_op square = {.size = sizeof(dm_op), .name = "square_of", .n_in = 1, .n_out = 2, .shape = shape,
                             .forward = forward, .backward = backward};

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const dm_val x = g->linear(g, "in", in->x, 7, 0);
    dm_val y[2];

    return g->custom(g, &square, &x, y) ? c->err->code : g->linear(g, "out", y[0], in->out_channels, 0);
}

PLUGIN("quiet_op", .network = &(const dm_network){.size = sizeof(dm_network), .build = build});
