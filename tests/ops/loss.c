/* Losses and their gradients against double precision, against differences and against PyTorch. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "goldens_misc.h"

/* ---- cross entropy ------------------------------------------------------------------------- */

static double row_lse(const double *z, int64_t K)
{
    double top = z[0], s = 0;

    for (int64_t k = 1; k < K; k++)
        top = fmax(top, z[k]);
    for (int64_t k = 0; k < K; k++)
        s += exp(z[k] - top);
    return top + log(s);
}

static void cross_entropy(const dm_opnode *n, const double *const *in, double *const *out)
{
    const bool back = n->kind == DM_OP_CROSS_ENTROPY_DX;
    const double *z = in[back], *label = in[back + 1];
    const int64_t N = n->in[back].dim[0], K = n->in[back].dim[1];

    for (int64_t i = 0; i < N; i++) {
        const double lse = row_lse(z + i * K, K);
        const int64_t l = (int64_t)label[i];
        const bool counts = l >= 0 && l < K;

        if (!back)
            out[0][i] = counts ? lse - z[i * K + l] : 0;
        for (int64_t k = 0; k < K && back; k++)
            out[0][i * K + k] = counts ? in[0][i] * (exp(z[i * K + k] - lse) - (k == l)) : 0;
    }
}

static void cross_entropy__sizes(void **state)
{
    static const int64_t t[][2] = {{1, 2}, {3, 7}, {33, 10}, {65, 31}, {2, 1000}};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof t / sizeof t[0]); i++)
        for (int back = 0; back < 2; back++) {
            const dm_desc label = {.type = DM_DT_I32, .rank = 1, .dim = {t[i][0]}}, z = OPS_DESC(t[i][0], t[i][1]),
                          y = OPS_DESC(t[i][0]);
            ops_case c = {.name = "cross_entropy", .reference = cross_entropy, .tolerance = 2e-6, .scale = 5,
                          .levels = (int32_t)t[i][1] + (i > 1)};

            c.node = back ? (dm_opnode){.kind = DM_OP_CROSS_ENTROPY_DX, .n_in = 3, .n_out = 1, .in = {y, z, label},
                                        .out = {z}}
                          : (dm_opnode){.kind = DM_OP_CROSS_ENTROPY, .n_in = 2, .n_out = 1, .in = {z, label},
                                        .out = {y}};
            ops_check(*state, &c);
        }
}

/* ---- of elements ------------------------------------------------------------------------------ */

static double kl(const double *v)
{
    return 0.5 * (exp(v[1] - v[3]) - 1 - (v[1] - v[3]) + (v[0] - v[2]) * (v[0] - v[2]) * exp(-v[3]));
}

static void kl_slope(const double *v, double *g)
{
    const double d = v[0] - v[2], e = exp(v[1] - v[3]) - 1;

    g[0] = d * exp(-v[3]);
    g[1] = 0.5 * e;
    g[2] = -g[0];
    g[3] = -0.5 * (e + d * d * exp(-v[3]));
}

static double edge(double z) { return isfinite(z) ? exp(-0.5 * z * z) / sqrt(2 * acos(-1)) : 0; }

/* The bin's edges in standard deviations, and its mass. */
static double bin(const double *v, double h, double *a, double *b)
{
    const double r = exp(-0.5 * v[2]);

    *a = v[0] - h < -1 ? -INFINITY : (v[0] - h - v[1]) * r;
    *b = v[0] + h > 1 ? INFINITY : (v[0] + h - v[1]) * r;
    return *a + *b > 0 ? 0.5 * (erfc(*a * sqrt(0.5)) - erfc(*b * sqrt(0.5)))
           : 0.5 * (erfc(-*b * sqrt(0.5)) - erfc(-*a * sqrt(0.5)));
}

static double nll(const double *v, double h)
{
    double a, b;

    return -log(fmax(bin(v, h, &a, &b), 1e-12));
}

static void nll_slope(const double *v, double h, double *g)
{
    double a, b;
    const double mass = bin(v, h, &a, &b);

    g[0] = g[1] = 0;
    if (mass < 1e-12)
        return;
    g[0] = (edge(b) - edge(a)) * exp(-0.5 * v[2]) / mass;
    g[1] = 0.5 * ((isfinite(b) ? b * edge(b) : 0) - (isfinite(a) ? a * edge(a) : 0)) / mass;
}

static void elements(const dm_opnode *n, const double *const *in, double *const *out)
{
    const bool is_kl = n->kind == DM_OP_GAUSSIAN_KL || n->kind == DM_OP_GAUSSIAN_KL_DX,
               back = n->kind == DM_OP_GAUSSIAN_KL_DX || n->kind == DM_OP_DISCRETIZED_NLL_DX;
    const double h = 1.0f / (float)((is_kl ? 2 : n->a.levels.levels) - 1);

    for (int64_t i = 0; i < dm_desc_count(&n->in[0]); i++) {
        double v[4], g[4];

        for (int k = 0; k < (is_kl ? 4 : 3); k++)
            v[k] = in[back + k][i];
        if (!back) {
            out[0][i] = is_kl ? kl(v) : nll(v, h);
            continue;
        }
        if (is_kl)
            kl_slope(v, g);
        else
            nll_slope(v, h, g);
        for (int k = 0; k < n->n_out; k++)
            if (out[k])
                out[k][i] = in[0][i] * g[k];
    }
}

static const int64_t counts[] = {1, 31, 33, 65, 5000};

static void gaussian_kl__sizes(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 3 : sizeof counts / sizeof counts[0]); i++)
        for (int mask = 0; mask < 16; mask++) { /* which gradients; none: forward */
            const dm_desc d = OPS_DESC(counts[i]);
            ops_case c = {.name = "gaussian_kl", .reference = elements, .tolerance = 2e-6};

            c.node = mask ? (dm_opnode){.kind = DM_OP_GAUSSIAN_KL_DX, .n_in = 5, .n_out = 4, .in = {d, d, d, d, d}}
                          : (dm_opnode){.kind = DM_OP_GAUSSIAN_KL, .n_in = 4, .n_out = 1, .in = {d, d, d, d},
                                        .out = {d}};
            for (int k = 0; k < 4 && mask; k++)
                c.node.out[k] = mask >> k & 1 ? d : OPS_NONE;
            ops_check(*state, &c);
        }
}

/* x on the grid of `levels` values, means near it, and widths from far below a bin to all of it. */
static void make_pixels(int64_t n, int32_t levels, double *x, double *mean, double *log_var)
{
    for (int64_t i = 0; i < n; i++) {
        x[i] = (double)(float)(2.0 * (double)(i * 7 % levels) / (levels - 1) - 1);
        mean[i] = (double)(float)(x[i] + 0.9 * sin((double)i));
        log_var[i] = (double)(float)(-9 + 8.5 * cos(1.7 * (double)i));
        if (i % 3 == 0)
            mean[i] = (double)(float)(x[i] + exp(0.5 * log_var[i]) * sin((double)i) * 3);
    }
}

static void discretized_nll__levels(void **state)
{
    static const int32_t levels[] = {256, 2, 17};
    enum { N = 1031 };
    static double v[3][N];

    for (int i = 0; i < 3; i++)
        for (int mask = 0; mask < 4; mask++) {
            const int64_t n = ops_small() ? 37 : N;
            const dm_desc d = OPS_DESC(n);
            ops_case c = {.name = "discretized_nll", .reference = elements, .tolerance = mask ? 1e-4 : 1e-5};

            make_pixels(n, levels[i], v[0], v[1], v[2]);
            c.node = mask ? (dm_opnode){.kind = DM_OP_DISCRETIZED_NLL_DX, .n_in = 4, .n_out = 2, .in = {d, d, d, d}}
                          : (dm_opnode){.kind = DM_OP_DISCRETIZED_NLL, .n_in = 3, .n_out = 1, .in = {d, d, d},
                                        .out = {d}};
            for (int k = 0; k < 3; k++)
                c.given[k + (mask > 0)] = v[k];
            for (int k = 0; k < 2 && mask; k++)
                c.node.out[k] = mask >> k & 1 ? d : OPS_NONE;
            c.node.a.levels.levels = levels[i];
            ops_check(*state, &c);
        }
}

static void references__agree_with_differences(void **state)
{
    double x[64], mean[64], log_var[64];

    (void)state;
    make_pixels(64, 16, x, mean, log_var);
    for (int i = 0; i < 64; i++) {
        const double h = 1e-5;
        double v[4] = {mean[i], 0.1 * log_var[i], x[i], 0.2 * x[i]}, p[3] = {x[i], mean[i], log_var[i]}, g[4];

        kl_slope(v, g);
        for (int k = 0; k < 4; k++) {
            double up[4] = {v[0], v[1], v[2], v[3]}, down[4] = {v[0], v[1], v[2], v[3]};

            up[k] += h;
            down[k] -= h;
            assert_float_equal((float)g[k], (float)((kl(up) - kl(down)) / (2 * h)), 1e-6f * (1 + fabsf((float)g[k])));
        }
        nll_slope(p, 1.0 / 15, g);
        for (int k = 0; k < 2; k++) {
            double up[3] = {p[0], p[1], p[2]}, down[3] = {p[0], p[1], p[2]};

            up[k + 1] += h;
            down[k + 1] -= h;
            assert_float_equal((float)g[k], (float)((nll(up, 1.0 / 15) - nll(down, 1.0 / 15)) / (2 * h)),
                               1e-4f * (1 + fabsf((float)g[k])));
        }
    }
}

static void golden_reference(const dm_opnode *p, const double *const *in, double *const *out)
{
    static const double *const dx[] = {golden_kl_dm1, golden_kl_dlv1, golden_kl_dm2, golden_kl_dlv2};

    (void)in;
    for (int k = 0; k < p->n_out; k++)
        for (int64_t i = 0; i < dm_desc_count(&p->out[k]); i++)
            out[k][i] = p->kind == DM_OP_CROSS_ENTROPY      ? golden_ce_y[i]
                        : p->kind == DM_OP_CROSS_ENTROPY_DX ? golden_ce_dz[i]
                        : p->kind == DM_OP_GAUSSIAN_KL      ? golden_kl_y[i]
                                                            : dx[k][i];
}

static void losses__as_pytorch(void **state)
{
    const dm_desc label = {.type = DM_DT_I32, .rank = 1, .dim = {GOLDEN_CE_N}}, z = OPS_DESC(GOLDEN_CE_N, GOLDEN_CE_K),
                  y = OPS_DESC(GOLDEN_CE_N), e = OPS_DESC(GOLDEN_KL_N);
    const ops_case cases[] = {
        {.name = "cross_entropy", .node = {.kind = DM_OP_CROSS_ENTROPY, .n_in = 2, .n_out = 1, .in = {z, label},
                                           .out = {y}}, .given = {golden_ce_z, golden_ce_labels}},
        {.name = "cross_entropy_dx", .node = {.kind = DM_OP_CROSS_ENTROPY_DX, .n_in = 3, .n_out = 1,
                                              .in = {y, z, label}, .out = {z}},
                                              .given = {golden_ce_dy, golden_ce_z, golden_ce_labels}},
        {.name = "gaussian_kl", .node = {.kind = DM_OP_GAUSSIAN_KL, .n_in = 4, .n_out = 1, .in = {e, e, e, e},
                                         .out = {e}}, .given = {golden_kl_m1, golden_kl_lv1, golden_kl_m2,
                                                                golden_kl_lv2}},
        {.name = "gaussian_kl_dx", .node = {.kind = DM_OP_GAUSSIAN_KL_DX, .n_in = 5, .n_out = 4, .in = {e, e, e, e, e},
                                            .out = {e, e, e, e}}, .given = {golden_kl_dy, golden_kl_m1, golden_kl_lv1,
                                                                            golden_kl_m2, golden_kl_lv2}},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        ops_case c = cases[i];

        c.reference = golden_reference;
        c.tolerance = 2e-6;
        ops_check(*state, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cross_entropy__sizes), cmocka_unit_test(gaussian_kl__sizes),
            cmocka_unit_test(discretized_nll__levels),
        cmocka_unit_test(losses__as_pytorch),   cmocka_unit_test(references__agree_with_differences),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
