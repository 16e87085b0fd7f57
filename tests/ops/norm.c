/* Group norm, layer norm and their gradients against double precision, against differences and against PyTorch. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "goldens_misc.h"

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* ---- references ------------------------------------------------------------------------- */

static int64_t place(const dm_attr_norm *a, int64_t n, int64_t c, int64_t l)
{
    return a->channels_last ? (n * a->L + l) * a->C + c : (n * a->C + c) * a->L + l;
}

static void group_stats(const dm_attr_norm *a, const double *x, int64_t n, int64_t g, double *mean, double *rstd)
{
    const int64_t width = a->C / a->groups;
    const double count = (double)(width * a->L);
    double m = 0, v = 0;

    for (int64_t c = g * width; c < (g + 1) * width; c++)
        for (int64_t l = 0; l < a->L; l++)
            m += x[place(a, n, c, l)] / count;
    for (int64_t c = g * width; c < (g + 1) * width; c++)
        for (int64_t l = 0; l < a->L; l++)
            v += (x[place(a, n, c, l)] - m) * (x[place(a, n, c, l)] - m) / count;
    *mean = m;
    *rstd = 1 / sqrt(v + a->eps);
}

/* in: x, gamma, beta, scale, shift. */
static void group_norm(const dm_opnode *p, const double *const *in, double *const *out)
{
    const dm_attr_norm *a = &p->a.norm;

    for (int64_t n = 0; n < a->N; n++)
        for (int64_t g = 0; g < a->groups; g++) {
            double mean, rstd;

            group_stats(a, in[0], n, g, &mean, &rstd);
            out[1][(n * a->groups + g) * 2] = mean;
            out[1][(n * a->groups + g) * 2 + 1] = rstd;
            for (int64_t c = g * (a->C / a->groups); c < (g + 1) * (a->C / a->groups); c++)
                for (int64_t l = 0; l < a->L; l++) {
                    double v = (in[0][place(a, n, c, l)] - mean) * rstd;

                    v = v * (in[1] ? in[1][c] : 1) + (in[2] ? in[2][c] : 0);
                    v = in[3] ? v * (1 + in[3][n * a->C + c]) + in[4][n * a->C + c] : v;
                    out[0][place(a, n, c, l)] = a->silu ? v * sigmoid(v) : v;
                }
        }
}

/* Of one channel: sums over pixels of dz and dz xh, z the value before the activation. */
static void channel_sums(const dm_attr_norm *a, const double *const *in, int64_t n, int64_t c, double mean, double rstd,
                         double *s)
{
    const double k = in[5] ? 1 + in[5][n * a->C + c] : 1, shift = in[6] ? in[6][n * a->C + c] : 0;

    s[0] = s[1] = 0;
    for (int64_t l = 0; l < a->L; l++) {
        const double xh = (in[1][place(a, n, c, l)] - mean) * rstd;
        const double z = (xh * (in[2] ? in[2][c] : 1) + (in[3] ? in[3][c] : 0)) * k + shift;
        const double dz = in[0][place(a, n, c, l)] * (a->silu ? sigmoid(z) * (1 + z * (1 - sigmoid(z))) : 1);

        s[0] += dz;
        s[1] += dz * xh;
    }
}

/* in: dy, x, gamma, beta, stats, scale, shift; out: dx, dgamma, dbeta, dscale, dshift. stats are made anew: what
 * came in must be right. */
static void group_norm_dx(const dm_opnode *p, const double *const *in, double *const *out)
{
    const dm_attr_norm *a = &p->a.norm;
    const int64_t width = a->C / a->groups;

    for (int64_t c = 0; c < a->C; c++)
        for (int i = 1; i < 3 && !p->accum; i++)
            if (out[i])
                out[i][c] = 0;
    for (int64_t n = 0; n < a->N; n++)
        for (int64_t g = 0; g < a->groups; g++) {
            double mean, rstd, m1 = 0, m2 = 0;

            group_stats(a, in[1], n, g, &mean, &rstd);
            for (int64_t c = g * width; c < (g + 1) * width; c++) {
                const double k = in[5] ? 1 + in[5][n * a->C + c] : 1, gamma = in[2] ? in[2][c] : 1;
                double s[2];

                channel_sums(a, in, n, c, mean, rstd, s);
                m1 += s[0] * k * gamma / (double)(width * a->L);
                m2 += s[1] * k * gamma / (double)(width * a->L);
                if (out[1])
                    out[1][c] += k * s[1];
                if (out[2])
                    out[2][c] += k * s[0];
                if (out[3])
                    out[3][n * a->C + c] = gamma * s[1] + (in[3] ? in[3][c] : 0) * s[0];
                if (out[4])
                    out[4][n * a->C + c] = s[0];
            }
            for (int64_t c = g * width; c < (g + 1) * width && out[0]; c++)
                for (int64_t l = 0; l < a->L; l++) {
                    const double k = in[5] ? 1 + in[5][n * a->C + c] : 1, gamma = in[2] ? in[2][c] : 1;
                    const double xh = (in[1][place(a, n, c, l)] - mean) * rstd;
                    const double z = (xh * gamma + (in[3] ? in[3][c] : 0)) * k + (in[6] ? in[6][n * a->C + c] : 0);
                    const double dz = in[0][place(a, n, c, l)] * (a->silu ? sigmoid(z) * (1 + z * (1 - sigmoid(z)))
                                                                  : 1);

                    out[0][place(a, n, c, l)] = rstd * (dz * k * gamma - m1 - xh * m2);
                }
        }
}

/* A layer norm is a group norm of one group over [rows,C] without pixels. */
static void layer_norm(const dm_opnode *p, const double *const *in, double *const *out)
{
    dm_opnode g = *p;

    g.a.norm.L = g.a.norm.groups = 1;
    g.a.norm.channels_last = true;
    group_norm(&g, (const double *const[]){in[0], in[1], in[2], NULL, NULL}, out);
}

static void layer_norm_dx(const dm_opnode *p, const double *const *in, double *const *out)
{
    dm_opnode g = *p;

    g.a.norm.L = g.a.norm.groups = 1;
    g.a.norm.channels_last = true;
    group_norm_dx(&g, (const double *const[]){in[0], in[1], in[2], NULL, in[3], NULL, NULL},
                  (double *const[]){out[0], out[1], out[2], NULL, NULL});
}

/* ---- cases -------------------------------------------------------------------------------- */

enum { GAMMA = 1, SCALED = 2, SILU = 4, FIRST = 8, WEIGHTS_ONLY = 16, NO_WEIGHTS = 32, MASKS = 64 };

typedef struct shape { int64_t N, C, L, groups; } shape;
static const shape shapes[] = {{1, 1, 1, 1}, {2, 6, 5, 2}, {2, 4, 3, 4}, {2, 32, 9, 8}, {3, 24, 13, 4}, {3, 33, 7, 3},
                               {1, 64, 65, 32}, {2, 128, 49, 32}, {5, 48, 31, 8}, {4, 96, 33, 1}, {65, 16, 1, 4},
                               {1, 31, 1000, 31}, {2, 20, 600, 5}, {2, 256, 16, 32}, {2, 96, 70, 32}, {2, 8, 130, 2},
                               {1, 72, 33, 8}, {2, 152, 17, 19}, {2, 264, 9, 33}};

static dm_attr_norm attr_of(const shape *s, int mask)
{
    return (dm_attr_norm){.N = s->N, .C = s->C, .L = s->L, .groups = s->groups, .eps = 1e-5,
                          .channels_last = !(mask & FIRST), .silu = mask & SILU};
}

/* Where x is far from 0, sums of squares would lose all digits; what is left is the rounding of the mean. */
static double *values(int64_t n, double mean, uint32_t seed)
{
    double *v = malloc((size_t)n * sizeof *v);

    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = mean + ((seed >> 8) / 8388608.0 - 1) * 1.7;
        v[i] = (double)(fabs(mean) > 10 ? (float)v[i] : ops_rounded(DM_DT_BF16, (float)v[i]));
    }
    return v;
}

static void check_forward(dm_device *d, const shape *s, int mask, double mean)
{
    ops_case c = {.name = "group_norm", .reference = group_norm, .tolerance = fabs(mean) > 10 ? 1e-4 : 2e-6};
    double *x = values(s->N * s->C * s->L, mean, 7);

    c.node = (dm_opnode){.kind = DM_OP_GROUP_NORM, .n_in = 5, .n_out = 2};
    c.node.in[0] = c.node.out[0] = OPS_DESC(s->N, s->C * s->L);
    c.node.in[1] = c.node.in[2] = mask & GAMMA ? OPS_DESC(s->C) : OPS_NONE;
    c.node.in[3] = c.node.in[4] = mask & SCALED ? OPS_DESC(s->N, s->C) : OPS_NONE;
    c.node.out[1] = OPS_DESC(s->N, s->groups, 2);
    c.node.a.norm = attr_of(s, mask);
    if (s->C * s->L / s->groups == 1)
        c.node.a.norm.eps = 1;
    c.given[0] = x;
    c.rounded = fabs(mean) <= 10;
    ops_check(d, &c);
    free(x);
}

static void group_norm__forward(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 5 : sizeof shapes / sizeof shapes[0]); i++)
        for (int mask = 0; mask < 16; mask++) {
            check_forward(*state, &shapes[i], mask, 0.5);
            if (i > 5 && mask == (GAMMA | SILU))
                check_forward(*state, &shapes[i], mask, 300);
        }
}

static void check_backward(dm_device *d, const shape *s, int mask)
{
    ops_case c = {.name = "group_norm_dx", .reference = group_norm_dx, .tolerance = 5e-6};
    double *x = values(s->N * s->C * s->L, 0.5, 11), *stats = malloc((size_t)(s->N * s->groups * 2) * sizeof *stats);

    c.node = (dm_opnode){.kind = DM_OP_GROUP_NORM_DX, .n_in = 7, .n_out = 5};
    c.node.in[0] = c.node.in[1] = c.node.out[0] = OPS_DESC(s->N, s->C * s->L);
    c.node.in[2] = c.node.in[3] = mask & GAMMA ? OPS_DESC(s->C) : OPS_NONE;
    c.node.out[1] = c.node.out[2] = mask & NO_WEIGHTS || !(mask & GAMMA) ? OPS_NONE : OPS_DESC(s->C);
    c.node.in[4] = OPS_DESC(s->N, s->groups, 2);
    c.node.in[5] = c.node.in[6] = c.node.out[3] = c.node.out[4] = mask & SCALED ? OPS_DESC(s->N, s->C) : OPS_NONE;
    if (mask & WEIGHTS_ONLY && mask & GAMMA)
        c.node.out[0] = OPS_NONE;
    c.node.accum = mask & SILU;
    c.node.a.norm = attr_of(s, mask);
    c.node.a.norm.eps = s->C * s->L / s->groups < 3 ? 1 : 1e-5;
    for (int64_t i = 0; i < s->N * s->groups; i++)
        group_stats(&c.node.a.norm, x, i / s->groups, i % s->groups, &stats[2 * i], &stats[2 * i + 1]);
    c.given[1] = x;
    c.given[4] = stats;
    c.rounded = true;
    ops_check(d, &c);
    free(x);
    free(stats);
}

static void group_norm__backward(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 5 : sizeof shapes / sizeof shapes[0]); i++)
        for (int mask = 0; mask < MASKS; mask++)
            /* the gradient of x is 0 but for rounding where a group is one value */
            if (shapes[i].C * shapes[i].L > shapes[i].groups ? !(mask & WEIGHTS_ONLY && mask & NO_WEIGHTS)
                : (mask & (WEIGHTS_ONLY | GAMMA)) == (WEIGHTS_ONLY | GAMMA))
                check_backward(*state, &shapes[i], mask);
}

static const int64_t rows[][2] = {{1, 1}, {2, 5}, {3, 16}, {31, 33}, {65, 31}, {7, 384}, {1, 1000}, {500, 64},
                                  {130, 65}};

static void layer_norm__forward(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 3 : sizeof rows / sizeof rows[0]); i++)
        for (int weights = 0; weights < 2; weights++) {
            ops_case c = {.name = "layer_norm", .reference = layer_norm, .tolerance = 2e-6};

            c.node = (dm_opnode){.kind = DM_OP_LAYER_NORM, .n_in = 3, .n_out = 2,
                                 .in = {OPS_DESC(rows[i][0], rows[i][1])},
                                 .out = {OPS_DESC(rows[i][0], rows[i][1]), OPS_DESC(rows[i][0], 2)}};
            c.node.in[1] = c.node.in[2] = weights ? OPS_DESC(rows[i][1]) : OPS_NONE;
            c.node.a.norm = (dm_attr_norm){.N = rows[i][0], .C = rows[i][1], .L = 1, .groups = 1, .eps = rows[i][1] == 1
                                           ? 1 : 1e-6, .channels_last = true};
            ops_check(*state, &c);
        }
}

static void layer_norm__backward(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 3 : sizeof rows / sizeof rows[0]); i++)
        for (int mask = 0; mask < 6; mask++) {
            const shape s = {rows[i][0], rows[i][1], 1, 1};
            ops_case c = {.name = "layer_norm_dx", .reference = layer_norm_dx, .tolerance = 5e-6};
            double *x = values(s.N * s.C, 0.5, 3), *stats = malloc((size_t)s.N * 2 * sizeof *stats);

            c.node = (dm_opnode){.kind = DM_OP_LAYER_NORM_DX, .n_in = 4, .n_out = 3, .accum = mask & 1};
            c.node.in[0] = c.node.in[1] = c.node.out[0] = OPS_DESC(s.N, s.C);
            c.node.in[2] = c.node.out[1] = c.node.out[2] = mask & 2 ? OPS_DESC(s.C) : OPS_NONE;
            c.node.in[3] = OPS_DESC(s.N, 2);
            if (mask & 4)
                c.node.out[1] = OPS_NONE;
            c.node.a.norm = attr_of(&s, 0);
            c.node.a.norm.eps = s.C == 1 ? 1 : 1e-6;
            for (int64_t r = 0; r < s.N; r++)
                group_stats(&c.node.a.norm, x, r, 0, &stats[2 * r], &stats[2 * r + 1]);
            c.given[1] = x;
            c.given[3] = stats;
            c.rounded = true;
            ops_check(*state, &c);
            free(x);
            free(stats);
        }
}

/* ---- the references themselves ---------------------------------------------------------------- */

static double loss_of(const dm_opnode *p, const double *const *in, const double *dy, int64_t count)
{
    double *y = malloc((size_t)count * sizeof *y), stats[64], s = 0;

    group_norm(p, in, (double *const[]){y, stats});
    for (int64_t i = 0; i < count; i++)
        s += dy[i] * y[i];
    free(y);
    return s;
}

static void references__agree_with_differences(void **state)
{
    const shape s = {2, 6, 4, 3};
    const int64_t n = s.N * s.C * s.L, sizes[] = {n, s.C, s.C, s.N * s.C, s.N * s.C};
    const dm_opnode p = {.kind = DM_OP_GROUP_NORM, .a.norm = attr_of(&s, SILU)};
    double *v[5], *g[5], *dy = values(n, 0, 1);

    (void)state;
    for (int i = 0; i < 5; i++) {
        v[i] = values(sizes[i], i == 0 ? 0.5 : 0, 20 + (uint32_t)i);
        g[i] = values(sizes[i], 0, 1);
    }
    group_norm_dx(&p, (const double *const[]){dy, v[0], v[1], v[2], NULL, v[3], v[4]}, g);
    for (int i = 0; i < 5; i++)
        for (int64_t k = 0; k < sizes[i]; k++) {
            const double x = v[i][k], h = 1e-5;
            double up, down;

            v[i][k] = x + h;
            up = loss_of(&p, (const double *const *)v, dy, n);
            v[i][k] = x - h;
            down = loss_of(&p, (const double *const *)v, dy, n);
            v[i][k] = x;
            assert_float_equal((float)g[i][k], (float)((up - down) / (2 * h)), 1e-5f);
        }
    for (int i = 0; i < 5; i++) {
        free(v[i]);
        free(g[i]);
    }
    free(dy);
}

static void golden_reference(const dm_opnode *p, const double *const *in, double *const *out)
{
    static const double *const gn[] = {golden_gn_y, golden_gn_stats}, *const gn_dx[] = {golden_gn_dx, golden_gn_dgamma,
                                                                                        golden_gn_dbeta};
    static const double *const ln[] = {golden_ln_y, golden_ln_stats}, *const ln_dx[] = {golden_ln_dx, golden_ln_dgamma,
                                                                                        golden_ln_dbeta};
    const double *const *from = p->kind == DM_OP_GROUP_NORM ? gn : p->kind == DM_OP_GROUP_NORM_DX ? gn_dx
                  : p->kind == DM_OP_LAYER_NORM ? ln : ln_dx;

    (void)in;
    for (int i = 0; i < p->n_out; i++)
        for (int64_t k = 0; p->out[i].rank >= 0 && k < dm_desc_count(&p->out[i]); k++)
            out[i][k] = from[i][k];
}

static void group_norm__as_pytorch(void **state)
{
    const shape s = {GOLDEN_GN_N, GOLDEN_GN_C, GOLDEN_GN_L, GOLDEN_GN_GROUPS};
    const dm_desc x = OPS_DESC(s.N, s.C, s.L), w = OPS_DESC(s.C), stats = OPS_DESC(s.N, s.groups, 2);
    ops_case f = {.name = "group_norm", .reference = golden_reference, .tolerance = 2e-6}, b = f;

    f.node = (dm_opnode){.kind = DM_OP_GROUP_NORM, .n_in = 5, .n_out = 2, .in = {x, w, w, OPS_NONE, OPS_NONE},
                         .out = {x, stats}};
    f.node.a.norm = attr_of(&s, FIRST | SILU);
    f.given[0] = golden_gn_x;
    f.given[1] = golden_gn_gamma;
    f.given[2] = golden_gn_beta;
    ops_check(*state, &f);
    b.node = (dm_opnode){.kind = DM_OP_GROUP_NORM_DX, .n_in = 7, .n_out = 3,
                         .in = {x, x, w, w, stats, OPS_NONE, OPS_NONE}, .out = {x, w, w}};
    b.node.a.norm = f.node.a.norm;
    b.given[0] = golden_gn_dy;
    b.given[1] = golden_gn_x;
    b.given[2] = golden_gn_gamma;
    b.given[3] = golden_gn_beta;
    b.given[4] = golden_gn_stats;
    ops_check(*state, &b);
}

static void layer_norm__as_pytorch(void **state)
{
    const shape s = {GOLDEN_LN_N, GOLDEN_LN_C, 1, 1};
    const dm_desc x = OPS_DESC(s.N, s.C), w = OPS_DESC(s.C), stats = OPS_DESC(s.N, 2);
    ops_case f = {.name = "layer_norm", .reference = golden_reference, .tolerance = 2e-6}, b = f;

    f.node = (dm_opnode){.kind = DM_OP_LAYER_NORM, .n_in = 3, .n_out = 2, .in = {x, w, w}, .out = {x, stats}};
    f.node.a.norm = attr_of(&s, 0);
    f.given[0] = golden_ln_x;
    f.given[1] = golden_ln_gamma;
    f.given[2] = golden_ln_beta;
    ops_check(*state, &f);
    b.node = (dm_opnode){.kind = DM_OP_LAYER_NORM_DX, .n_in = 4, .n_out = 3, .in = {x, x, w, stats}, .out = {x, w, w}};
    b.node.a.norm = f.node.a.norm;
    b.given[0] = golden_ln_dy;
    b.given[1] = golden_ln_x;
    b.given[2] = golden_ln_gamma;
    b.given[3] = golden_ln_stats;
    ops_check(*state, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(group_norm__forward),    cmocka_unit_test(group_norm__backward),
        cmocka_unit_test(layer_norm__forward),    cmocka_unit_test(layer_norm__backward),
        cmocka_unit_test(group_norm__as_pytorch), cmocka_unit_test(layer_norm__as_pytorch),
        cmocka_unit_test(references__agree_with_differences),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
