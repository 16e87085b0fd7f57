/* exact_gaussians: what a perfect network would say of data that is a mixture of round Gaussians, whatever the
 * objective asks for: the truth that samplers, grids and likelihoods are measured against. */
#include <demist/plugin.h>

typedef struct { dm_reals means, deviations, weights; bool classes; } cfg;

enum { MOST = 64 };

static const dm_param params[] = {
    DM_REALS(cfg, means, "[0]", -1e4, 1e4, "",
             "of the components, one after the other: a value each, or one a channel, or one an element"),
    DM_REALS(cfg, deviations, "[0.5]", 0, 1e4, "", "standard deviation of each component"),
    DM_REALS(cfg, weights, "[]", 1e-9, 1e9, "", "share of each component, of any sum; [] = all the same"),
    DM_BOOL(cfg, classes, "false", "each component is a class of the data, and all of them are no class"),
    DM_END,
};

/* x f32[N,D] (times c_in) in, table f32[K,D+2] of means, deviations and weights, alpha, sigma, c_in, of_x0, of_eps
 * f32[N], with classes labels i32[N], of which K is none -> F f32[N,D]; one work-item an example. With
 * q_k = (x - alpha mean_k) / (alpha^2 s_k^2 + sigma^2) and the posterior w_k of a component: eps = sigma sum w_k q_k,
 * x0 = sum w_k (mean_k + alpha s_k^2 q_k).
 * Its gradient: with T_k = dF' (of_x0 (mean_k + alpha s_k^2 q_k) + of_eps sigma q_k) and v_k = alpha^2 s_k^2 + sigma^2,
 * dx += sum w_k (dF (of_x0 alpha s_k^2 + of_eps sigma) / v_k + (sum w_j T_j - T_k) q_k) / c_in. */
static const char source[] =
    "/* w_k, up to a factor. */\n"
    "static void weigh(global const float *x, global const float *table, float a, float g, float scale, int D,\n"
    "                  int first, int end, float *w)\n"
    "{\n"
    "  float best = -INFINITY;\n"
    "  for (int k = first; k < end; k++) {\n"
    "    global const float *mean = table + k * (D + 2);\n"
    "    const float s = mean[D], v = a * a * s * s + g * g;\n"
    "    float r = 0;\n"
    "    for (int d = 0; d < D; d++) {\n"
    "      const float e = x[d] * scale - a * mean[d];\n"
    "      r += e * e / v;\n"
    "    }\n"
    "    w[k] = log(mean[D + 1]) - (r + D * log(v)) / 2;\n"
    "    best = fmax(best, w[k]);\n"
    "  }\n"
    "  for (int k = first; k < end; k++)\n"
    "    w[k] = exp(w[k] - best);\n"
    "}\n"
    "kernel void exact_gaussians(global const float *x, global const float *table, global const float *alpha,\n"
    "                            global const float *sigma, global const float *c_in,\n"
    "                            global const float *of_x0, global const float *of_eps, global const int *labels,\n"
    "                            global float *F, int D, int K, int classes)\n"
    "{\n"
    "  const size_t n = get_global_id(0);\n"
    "  const float a = alpha[n], g = sigma[n], scale = 1 / c_in[n];\n"
    "  const int one = classes ? labels[n] : K, first = one < K ? one : 0, end = one < K ? one + 1 : K;\n"
    "  float w[MOST], sum = 0;\n"
    "  weigh(x + n * D, table, a, g, scale, D, first, end, w);\n"
    "  for (int k = first; k < end; k++)\n"
    "    sum += w[k];\n"
    "  for (int d = 0; d < D; d++) {\n"
    "    float x0 = 0, eps = 0;\n"
    "    for (int k = first; k < end; k++) {\n"
    "      const float s = table[k * (D + 2) + D], m = table[k * (D + 2) + d];\n"
    "      const float q = (x[n * D + d] * scale - a * m) / (a * a * s * s + g * g);\n"
    "      x0 += w[k] / sum * (m + a * s * s * q);\n"
    "      eps += w[k] / sum * g * q;\n"
    "    }\n"
    "    F[n * D + d] = of_x0[n] * x0 + of_eps[n] * eps;\n"
    "  }\n"
    "}\n"
    "kernel void exact_gradient(global const float *x, global const float *table, global const float *alpha,\n"
    "                           global const float *sigma, global const float *c_in,\n"
    "                           global const float *of_x0, global const float *of_eps, global const int *labels,\n"
    "                           global const float *dF, global float *dx, int D, int K, int classes)\n"
    "{\n"
    "  const size_t n = get_global_id(0);\n"
    "  const float a = alpha[n], g = sigma[n], scale = 1 / c_in[n], of_x = of_x0[n], of_e = of_eps[n];\n"
    "  const int one = classes ? labels[n] : K, first = one < K ? one : 0, end = one < K ? one + 1 : K;\n"
    "  float w[MOST], T[MOST], sum = 0, mean_T = 0;\n"
    "  weigh(x + n * D, table, a, g, scale, D, first, end, w);\n"
    "  for (int k = first; k < end; k++)\n"
    "    sum += w[k];\n"
    "  for (int k = first; k < end; k++) {\n"
    "    const float s = table[k * (D + 2) + D], v = a * a * s * s + g * g;\n"
    "    w[k] /= sum;\n"
    "    T[k] = 0;\n"
    "    for (int d = 0; d < D; d++) {\n"
    "      const float m = table[k * (D + 2) + d], q = (x[n * D + d] * scale - a * m) / v;\n"
    "      T[k] += dF[n * D + d] * (of_x * (m + a * s * s * q) + of_e * g * q);\n"
    "    }\n"
    "    mean_T += w[k] * T[k];\n"
    "  }\n"
    "  for (int d = 0; d < D; d++) {\n"
    "    float slope = 0;\n"
    "    for (int k = first; k < end; k++) {\n"
    "      const float s = table[k * (D + 2) + D], v = a * a * s * s + g * g;\n"
    "      const float q = (x[n * D + d] * scale - a * table[k * (D + 2) + d]) / v;\n"
    "      slope += w[k] * (dF[n * D + d] * (of_x * a * s * s + of_e * g) / v + (mean_T - T[k]) * q);\n"
    "    }\n"
    "    dx[n * D + d] += slope * scale;\n"
    "  }\n"
    "}\n";

static dm_status shape(dm_ctx *c, const dm_shape *in, dm_shape *out)
{
    (void)c;
    out[0] = in[0];
    return DM_OK;
}

/* dF NULL: the prediction. */
static dm_status launch(dm_ctx *c, const char *kernel, dm_tensor *const *in, dm_tensor *dF, dm_tensor *out)
{
    const cfg *p = c->cfg;
    const dm_shape x = c->host->shape(in[0]), table = c->host->shape(in[1]);
    dm_kernel *k = c->host->kernel(c, source, kernel, "-DMOST=64");
    dm_arg args[13] = {{DM_BUF, in[0], 0}, {DM_BUF, in[1], 0}, {DM_BUF, in[2], 0}, {DM_BUF, in[3], 0},
                       {DM_BUF, in[4], 0}, {DM_BUF, in[5], 0}, {DM_BUF, in[6], 0}, {DM_BUF, in[p->classes ? 7 : 0], 0}};
    int32_t n = 8;
    double D = 1;

    if (!k)
        return c->err->code;
    for (int32_t i = 1; i < x.rank; i++)
        D *= (double)x.dim[i];
    if (dF)
        args[n++] = (dm_arg){DM_BUF, dF, 0};
    args[n++] = (dm_arg){DM_BUF, out, 0};
    args[n++] = (dm_arg){DM_I32, NULL, D};
    args[n++] = (dm_arg){DM_I32, NULL, (double)table.dim[0]};
    args[n++] = (dm_arg){DM_I32, NULL, p->classes};
    return c->host->launch(c, k, &(dm_range){1, {(size_t)x.dim[0]}, {0}}, args, n);
}

static dm_status forward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out)
{
    return launch(c, "exact_gaussians", in, NULL, out[0]);
}

static dm_status backward(dm_ctx *c, dm_tensor *const *in, dm_tensor *const *out, dm_tensor *const *dout,
                          dm_tensor *const *din)
{
    (void)out;
    return launch(c, "exact_gradient", in, dout[0], din[0]);
}

static const dm_op op = {.size = sizeof(dm_op), .name = "exact_gaussians", .n_in = 7, .n_out = 1,
    .shape = shape, .forward = forward, .backward = backward};
static const dm_op op_of_classes = {.size = sizeof(dm_op), .name = "exact_gaussians", .n_in = 8, .n_out = 1,
    .shape = shape, .forward = forward, .backward = backward};

static dm_val constants(dm_ctx *c, const dm_graph *g, const float *v, int64_t rows, int64_t columns)
{
    (void)c;
    return g->constant(g, v, &(dm_shape){2, {rows, columns}});
}

/* [K,D], each value repeated over what it stands for. */
static dm_val means_of(dm_ctx *c, const dm_graph *g, int64_t K, int64_t D, int64_t each)
{
    const cfg *p = c->cfg;
    float few[4096];
    dm_val parts = DM_NONE;

    for (int64_t done = 0, n = 0; done < K * D; done += n) {
        dm_val part;

        n = K * D - done < 4096 ? K * D - done : 4096;
        for (int64_t i = 0; i < n; i++)
            few[i] = (float)p->means.v[(done + i) / each];
        part = constants(c, g, few, 1, n);
        parts = parts == DM_NONE ? part : g->concat(g, parts, part, 1);
    }
    return g->reshape(g, parts, &(dm_shape){2, {K, D}});
}

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    const cfg *p = c->cfg;
    const dm_shape x = g->shape(g, in->x);
    const int32_t K = p->deviations.n;
    int64_t inner = 1, D;
    float table[2 * MOST];
    dm_val means, y, unused;

    for (int32_t i = 2; i < x.rank; i++)
        inner *= x.dim[i];
    D = x.dim[1] * inner;
    if (in->alpha == DM_NONE)
        return dm_fail(c, DM_EINVAL, "is for objectives that diffuse");
    if (in->out_channels != x.dim[1])
        return dm_fail(c, DM_EINVAL, "has as many outputs as the data has channels, %d; the objective wants %d",
                       (int)x.dim[1], (int)in->out_channels);
    if (K < 1 || K > MOST)
        return dm_fail(c, DM_EINVAL, "deviations: has %d values; 1 to %d components are possible", (int)K, MOST);
    if (p->classes && in->labels == DM_NONE)
        return dm_fail(c, DM_EINVAL, "classes: the data has none");
    if (p->classes && in->classes != K)
        return dm_fail(c, DM_EINVAL, "classes: the data has %d for %d components", (int)in->classes, (int)K);
    if (p->weights.n && p->weights.n != K)
        return dm_fail(c, DM_EINVAL, "weights: has %d values for %d deviations", (int)p->weights.n, (int)K);
    if (p->means.n != K && p->means.n != K * x.dim[1] && p->means.n != K * D)
        return dm_fail(c, DM_EINVAL, "means: has %d values; %d components need %d, %d or %d", (int)p->means.n, (int)K,
                       (int)K, (int)(K * x.dim[1]), (int)(K * D));
    for (int32_t k = 0; k < K; k++) {
        table[2 * k] = (float)p->deviations.v[k];
        table[2 * k + 1] = p->weights.n ? (float)p->weights.v[k] : 1;
    }
    means = means_of(c, g, K, D, p->means.n == K ? D : p->means.n == K * D ? 1 : inner);
    means = g->concat(g, means, constants(c, g, table, K, 2), 1);
    if (g->custom(g, p->classes ? &op_of_classes : &op,
                  (dm_val[]){in->x, means, in->alpha, in->sigma, in->c_in, in->of_x0, in->of_eps, in->labels}, &y))
        return DM_NONE;
    /* Training needs a weight, and may not change the prediction by it. */
    unused = g->reshape(g, g->weight(g, "unused", &(dm_shape){1, {1}}, 0), &(dm_shape){x.rank, {1, 1, 1, 1}});
    return g->add(g, y, g->scale(g, unused, 0, 0));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "exact_gaussians", .version = "1", .license = "Apache-2.0",
    .doc = "the exact prediction for a mixture of Gaussians, to measure samplers with",
    .params = params, .cfg_size = sizeof(cfg),
    .network = &(const dm_network){.size = sizeof(dm_network), .build = build},
};
