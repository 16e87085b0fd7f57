/* Attention and its gradient against double precision, against differences and against PyTorch. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "goldens_misc.h"

typedef struct shape { int64_t N, L, M, D, heads; } shape;

static const shape shapes[] = {{1, 1, 1, 1, 1},   {2, 3, 5, 4, 2},     {1, 9, 16, 8, 1},   {2, 33, 31, 6, 3},
                               {1, 65, 64, 16, 1}, {2, 49, 49, 32, 1}, {3, 16, 65, 24, 3}, {2, 31, 130, 33, 1},
                               {1, 7, 129, 64, 8}, {2, 64, 200, 96, 2}, {1, 8, 1, 40, 1}, {1, 270, 270, 16, 1},
                               {2, 70, 300, 68, 2}, {1, 300, 70, 27, 1}, {2, 20, 19, 60, 4}};

/* p[l][m] of one head. */
static void weights(const shape *s, const double *q, const double *k, int64_t n, int64_t h, double *p, double *lse)
{
    const int64_t d = s->D / s->heads;

    for (int64_t l = 0; l < s->L; l++) {
        double top = -INFINITY, sum = 0;

        for (int64_t m = 0; m < s->M; m++) {
            double dot = 0;

            for (int64_t j = 0; j < d; j++)
                dot += q[(n * s->L + l) * s->D + h * d + j] * k[(n * s->M + m) * s->D + h * d + j];
            p[l * s->M + m] = dot / sqrt((double)d);
            top = fmax(top, p[l * s->M + m]);
        }
        for (int64_t m = 0; m < s->M; m++)
            sum += exp(p[l * s->M + m] - top);
        lse[l] = top + log(sum);
        for (int64_t m = 0; m < s->M; m++)
            p[l * s->M + m] = exp(p[l * s->M + m] - lse[l]);
    }
}

static shape shape_of(const dm_opnode *n, int q)
{
    return (shape){n->in[q].dim[0], n->in[q].dim[1], n->in[q + 1].dim[1], n->in[q].dim[2], n->a.attn.heads};
}

static void forward(const dm_opnode *n, const double *const *in, double *const *out)
{
    const shape s = shape_of(n, 0);
    const int64_t d = s.D / s.heads;
    double *p = malloc((size_t)(s.L * s.M) * sizeof *p);

    for (int64_t i = 0; i < s.N; i++)
        for (int64_t h = 0; h < s.heads; h++) {
            weights(&s, in[0], in[1], i, h, p, out[1] + (i * s.heads + h) * s.L);
            for (int64_t l = 0; l < s.L; l++)
                for (int64_t j = 0; j < d; j++) {
                    double y = 0;

                    for (int64_t m = 0; m < s.M; m++)
                        y += p[l * s.M + m] * in[2][(i * s.M + m) * s.D + h * d + j];
                    out[0][(i * s.L + l) * s.D + h * d + j] = y;
                }
        }
    free(p);
}

/* One pair of positions' share of the gradients. */
static void add_pair(const shape *s, const double *const *in, double *const *out, int64_t ql, int64_t km, double p,
                     double dp_less_delta)
{
    const int64_t d = s->D / s->heads;
    const double ds = p * dp_less_delta / sqrt((double)d);

    for (int64_t j = 0; j < d; j++) {
        out[0][ql + j] += ds * in[2][km + j];
        out[1][km + j] += ds * in[1][ql + j];
        out[2][km + j] += p * in[0][ql + j];
    }
}

/* in: dy, q, k, v, y, lse. */
static void backward(const dm_opnode *n, const double *const *in, double *const *out)
{
    const shape s = shape_of(n, 1);
    const int64_t d = s.D / s.heads;
    double *p = malloc((size_t)(s.L * s.M) * sizeof *p), *lse = malloc((size_t)s.L * sizeof *lse);

    for (int k = 0; k < 3; k++)
        for (int64_t i = 0; i < dm_desc_count(&n->out[k]); i++)
            out[k][i] = 0;
    for (int64_t i = 0; i < s.N; i++)
        for (int64_t h = 0; h < s.heads; h++) {
            weights(&s, in[1], in[2], i, h, p, lse);
            for (int64_t l = 0; l < s.L; l++) {
                const int64_t ql = (i * s.L + l) * s.D + h * d;
                double delta = 0;

                for (int64_t m = 0; m < s.M; m++)
                    for (int64_t j = 0; j < d; j++)
                        delta += p[l * s.M + m] * in[0][ql + j] * in[3][(i * s.M + m) * s.D + h * d + j];
                for (int64_t m = 0; m < s.M; m++) {
                    const int64_t km = (i * s.M + m) * s.D + h * d;
                    double dp = 0;

                    for (int64_t j = 0; j < d; j++)
                        dp += in[0][ql + j] * in[3][km + j];
                    add_pair(&s, in, out, ql, km, p[l * s.M + m], dp - delta);
                }
            }
        }
    free(p);
    free(lse);
}

/* Of bf16 if rounded. */
static double *values(int64_t n, double scale, uint32_t seed, bool rounded)
{
    double *v = malloc((size_t)n * sizeof *v);

    for (int64_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        v[i] = scale * ((seed >> 8) / 8388608.0 - 1);
        v[i] = (double)(rounded ? ops_rounded(DM_DT_BF16, (float)v[i]) : (float)v[i]);
    }
    return v;
}

static void check(dm_device *d, const shape *s, double scale, bool rounded)
{
    const dm_desc q = OPS_DESC(s->N, s->L, s->D), k = OPS_DESC(s->N, s->M, s->D), lse = OPS_DESC(s->N, s->heads, s->L);
    ops_case f = {.name = "attention", .reference = forward, .tolerance = scale > 2 ? 2e-5 : 3e-6};
    ops_case b = {.name = "attention_dx", .reference = backward, .tolerance = scale > 2 ? 1e-4 : 1e-5};
    double *v[3] = {values(s->N * s->L * s->D, scale, 1, rounded), values(s->N * s->M * s->D, scale, 2, rounded),
                    values(s->N * s->M * s->D, 1, 3, rounded)};
    double *y = values(s->N * s->L * s->D, 1, 4, rounded), *l = values(s->N * s->heads * s->L, 1, 5, rounded);

    f.node = (dm_opnode){.kind = DM_OP_ATTENTION, .n_in = 3, .n_out = 2, .in = {q, k, k}, .out = {q, lse},
                         .a.attn.heads = s->heads};
    for (int i = 0; i < 3; i++)
        f.given[i] = b.given[1 + i] = v[i];
    f.rounded = b.rounded = rounded;
    ops_check(d, &f);
    forward(&f.node, (const double *const *)v, (double *const[]){y, l});
    b.node = (dm_opnode){.kind = DM_OP_ATTENTION_DX, .n_in = 6, .n_out = 3, .in = {q, q, k, k, q, lse},
                         .out = {q, k, k}, .a.attn.heads = s->heads};
    b.given[4] = y;
    b.given[5] = l;
    /* with one key the gradients of q and k are nothing but rounding */
    if (s->M > 1)
        ops_check(d, &b);
    for (int i = 0; i < 3; i++)
        free(v[i]);
    free(y);
    free(l);
}

static void attention__shapes(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 3 : sizeof shapes / sizeof shapes[0]); i++) {
        check(*state, &shapes[i], 1, true);
        check(*state, &shapes[i], 6, true); /* nearly one-hot */
    }
}

/* Numbers with all of f32's digits: what bf16x3 has in lower parts. */
static void attention__all_digits(void **state)
{
    static const shape some[] = {{2, 9, 5, 24, 3}, {1, 70, 300, 96, 2}, {1, 300, 70, 64, 1}};

    for (size_t i = 0; i < (ops_small() ? 1 : sizeof some / sizeof some[0]); i++)
        check(*state, &some[i], 1, false);
}

/* More than one slice of the batch. */
static void attention__slices(void **state)
{
    static const shape s = {70, 128, 140, 256, 2};

    if (!ops_small())
        check(*state, &s, 1, true);
}

static void references__agree_with_differences(void **state)
{
    const shape s = {1, 4, 5, 6, 2};
    const int64_t sizes[] = {s.N * s.L * s.D, s.N * s.M * s.D, s.N * s.M * s.D};
    const dm_desc q = OPS_DESC(s.N, s.L, s.D), k = OPS_DESC(s.N, s.M, s.D);
    const dm_opnode f = {.kind = DM_OP_ATTENTION, .in = {q, k, k}, .a.attn.heads = s.heads};
    const dm_opnode b = {.kind = DM_OP_ATTENTION_DX, .in = {q, q, k, k}, .out = {q, k, k}, .a.attn.heads = s.heads};
    double *v[3], *g[3], *dy = values(sizes[0], 1, 9, true), y[32], lse[16];

    (void)state;
    for (int i = 0; i < 3; i++) {
        v[i] = values(sizes[i], 1.5, 30 + (uint32_t)i, true);
        g[i] = values(sizes[i], 1, 1, true);
    }
    backward(&b, (const double *const[]){dy, v[0], v[1], v[2]}, g);
    for (int i = 0; i < 3; i++)
        for (int64_t e = 0; e < sizes[i]; e++) {
            const double x = v[i][e], h = 1e-5;
            double slope = 0;

            for (int sign = -1; sign < 2; sign += 2) {
                v[i][e] = x + sign * h;
                forward(&f, (const double *const *)v, (double *const[]){y, lse});
                for (int64_t j = 0; j < sizes[0]; j++)
                    slope += sign * dy[j] * y[j] / (2 * h);
            }
            v[i][e] = x;
            assert_float_equal((float)g[i][e], (float)slope, 1e-6f);
        }
    for (int i = 0; i < 3; i++) {
        free(v[i]);
        free(g[i]);
    }
    free(dy);
}

static void golden_reference(const dm_opnode *p, const double *const *in, double *const *out)
{
    static const double *const f[] = {golden_at_y, golden_at_lse},
                         *const b[] = {golden_at_dq, golden_at_dk, golden_at_dv};

    (void)in;
    for (int i = 0; i < p->n_out; i++)
        for (int64_t k = 0; k < dm_desc_count(&p->out[i]); k++)
            out[i][k] = (p->kind == DM_OP_ATTENTION ? f : b)[i][k];
}

static void attention__as_pytorch(void **state)
{
    const dm_desc q = OPS_DESC(GOLDEN_AT_N, GOLDEN_AT_L, GOLDEN_AT_D),
                  k = OPS_DESC(GOLDEN_AT_N, GOLDEN_AT_M, GOLDEN_AT_D);
    const dm_desc lse = OPS_DESC(GOLDEN_AT_N, GOLDEN_AT_HEADS, GOLDEN_AT_L);
    ops_case f = {.name = "attention", .reference = golden_reference, .tolerance = 3e-6,
                  .given = {golden_at_q, golden_at_k, golden_at_v}};
    ops_case b = {.name = "attention_dx", .reference = golden_reference, .tolerance = 5e-6,
                  .given = {golden_at_dy, golden_at_q, golden_at_k, golden_at_v, golden_at_y, golden_at_lse}};

    f.node = (dm_opnode){.kind = DM_OP_ATTENTION, .n_in = 3, .n_out = 2, .in = {q, k, k}, .out = {q, lse},
                         .a.attn.heads = GOLDEN_AT_HEADS};
    ops_check(*state, &f);
    b.node = (dm_opnode){.kind = DM_OP_ATTENTION_DX, .n_in = 6, .n_out = 3, .in = {q, q, k, k, q, lse},
                         .out = {q, k, k}, .a.attn.heads = GOLDEN_AT_HEADS};
    ops_check(*state, &b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention__shapes),
        cmocka_unit_test(attention__all_digits),
        cmocka_unit_test(attention__slices),
        cmocka_unit_test(attention__as_pytorch),
        cmocka_unit_test(references__agree_with_differences),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
