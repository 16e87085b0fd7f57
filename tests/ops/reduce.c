/* reduce against sums in double precision. */
#include "graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t red = n->a.reduce.red, inner = n->a.reduce.inner;

    for (int64_t o = 0; o < n->a.reduce.outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double s = 0;

            for (int64_t r = 0; r < red; r++)
                s += in[0][(o * red + r) * inner + i];
            out[0][o * inner + i] = n->a.reduce.k * s + (n->accum ? out[0][o * inner + i] : 0);
        }
}

static void reduce__shapes(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 1}, {2, 3, 5}, {1, 33, 65}, {2, 600, 17}, {1, 100, 16},
                                        {65, 31, 33}, {2, 784, 1}, {1, 40000, 1}, {3, 40001, 1}, {1, 3000, 3},
                                        {1, 5000, 64}, {4, 1024, 100}, {1, 1, 7}, {7, 1, 1},
                                        {1, 700, 1}, {2, 513, 129}};

    for (size_t i = 0; i < (ops_small() ? 5 : sizeof shapes / sizeof shapes[0]); i++)
        for (int accum = 0; accum < 2; accum++) {
            const int64_t *s = shapes[i];
            ops_case c = {.name = "reduce", .reference = reference, .tolerance = 2e-6};

            c.node = (dm_opnode){.kind = DM_OP_REDUCE, .n_in = 1, .n_out = 1, .accum = accum,
                                 .in = {OPS_DESC(s[0], s[1], s[2])}, .out = {OPS_DESC(s[0], s[2])}};
            c.node.a.reduce.outer = s[0];
            c.node.a.reduce.red = s[1];
            c.node.a.reduce.inner = s[2];
            c.node.a.reduce.k = accum ? 1 : 1 / (double)s[1];
            ops_check(*state, &c);
        }
}

/* ---- the largest, softmax ------------------------------------------------------------------ */

static void rows_reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t red = n->a.reduce.red, inner = n->a.reduce.inner;

    for (int64_t o = 0; o < n->a.reduce.outer * inner; o++) {
        const int64_t at = o / inner * red * inner + o % inner;
        double top = -INFINITY, sum = 0, equal = 0;

        for (int64_t r = 0; r < red; r++)
            top = fmax(top, in[n->kind == DM_OP_REDUCE_MAX_DX][at + r * inner]);
        for (int64_t r = 0; r < red; r++) {
            if (n->kind == DM_OP_SOFTMAX)
                sum += exp(in[0][at + r * inner] - top);
            if (n->kind == DM_OP_SOFTMAX_DX)
                sum += in[0][at + r * inner] * in[1][at + r * inner];
            equal += n->kind == DM_OP_REDUCE_MAX_DX && in[1][at + r * inner] == in[2][o];
        }
        if (n->kind == DM_OP_REDUCE_MAX)
            out[0][o] = top;
        for (int64_t r = 0; r < red && n->kind != DM_OP_REDUCE_MAX; r++) {
            const int64_t i = at + r * inner;

            out[0][i] = n->kind == DM_OP_SOFTMAX      ? exp(in[0][i] - top) / sum
                        : n->kind == DM_OP_SOFTMAX_DX ? in[1][i] * (in[0][i] - sum)
                        : in[1][i] == in[2][o]        ? in[0][o] / equal
                                                      : 0;
        }
    }
}

static void rows__shapes(void **state)
{
    static const int64_t shapes[][3] = {{1, 1, 1},  {3, 5, 1},   {2, 3, 5},    {65, 33, 1}, {7, 1000, 1},
                                        {2, 31, 16}, {3, 17, 33}, {1, 129, 100}, {5, 1, 7}};
    static const dm_op_kind kinds[] = {DM_OP_REDUCE_MAX, DM_OP_REDUCE_MAX_DX, DM_OP_SOFTMAX, DM_OP_SOFTMAX_DX};

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof shapes / sizeof shapes[0]); i++)
        for (int k = 0; k < 4; k++) {
            const int64_t *s = shapes[i];
            const dm_desc x = OPS_DESC(s[0], s[1], s[2]), y = OPS_DESC(s[0], s[2]);
            ops_case c = {.name = dm_op_name(kinds[k]), .reference = rows_reference, .tolerance = 2e-6, .scale = 2};
            double *few = malloc((size_t)(s[0] * s[1] * s[2]) * sizeof *few), *top = calloc((size_t)(s[0] * s[2]), 8);

            c.node =
                (dm_opnode){.kind = kinds[k], .n_in = k == 1 ? 3 : 1 + k % 2, .n_out = 1, .in = {x, x}, .out = {x}};
            c.node.a.reduce.outer = s[0];
            c.node.a.reduce.red = s[1];
            c.node.a.reduce.inner = s[2];
            c.node.a.reduce.k = 1;
            if (k == 0)
                c.node.out[0] = y;
            if (k == 1) { /* many are equal */
                c.node.in[0] = c.node.in[2] = y;
                for (int64_t e = 0; e < s[0] * s[2]; e++)
                    top[e] = -10;
                for (int64_t e = 0; e < s[0] * s[1] * s[2]; e++) {
                    double *t = &top[e / (s[1] * s[2]) * s[2] + e % s[2]];

                    few[e] = (double)(e * 61 % 7);
                    *t = fmax(*t, few[e]);
                }
                c.given[1] = few;
                c.given[2] = top;
                c.rounded = true;
            }
            ops_check(*state, &c);
            free(few);
            free(top);
        }
}

/* ---- in a graph ----------------------------------------------------------------------------- */

enum { SUM, MEAN, MAX, SOFTMAX };

/* k: what, and the axes as bits. */
static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    int32_t axes[4], n = 0;

    for (int32_t i = 0; i < 4; i++)
        if (c->k[1] >> i & 1)
            axes[n++] = i;
    return c->k[0] == SUM    ? g->sum_over(g, x[0], axes, n)
           : c->k[0] == MEAN ? g->mean_over(g, x[0], axes, n)
           : c->k[0] == MAX  ? g->max_over(g, x[0], axes, n)
                             : g->softmax(g, x[0], axes[0]);
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    const dm_shape *s = &c->x[0];
    int64_t n = 1, groups = 1, step[4], of[4];
    double top[256], sum[256];

    for (int i = s->rank - 1; i >= 0; i--) {
        step[i] = n;
        n *= s->dim[i];
        of[i] = c->k[1] >> i & 1 ? 0 : groups;
        groups *= c->k[1] >> i & 1 ? 1 : s->dim[i];
    }
    for (int64_t g = 0; g < groups; g++) {
        top[g] = -INFINITY;
        sum[g] = 0;
    }
    for (int pass = 0; pass < 3; pass++)
        for (int64_t e = 0; e < n; e++) {
            int64_t g = 0;

            for (int i = 0; i < s->rank; i++)
                g += e / step[i] % s->dim[i] * of[i];
            if (pass == 0)
                top[g] = fmax(top[g], x[0][e]);
            else if (pass == 1)
                sum[g] += c->k[0] == SOFTMAX ? exp(x[0][e] - top[g]) : x[0][e];
            else if (c->k[0] == SOFTMAX)
                y[e] = exp(x[0][e] - top[g]) / sum[g];
            else
                y[g] = c->k[0] == MAX ? top[g] : c->k[0] == SUM ? sum[g] : sum[g] * (double)groups / (double)n;
        }
}

static void over__in_a_graph(void **state)
{
    static const dm_shape shapes[] = {{1, {7}}, {2, {3, 5}}, {3, {3, 4, 5}}, {4, {2, 3, 4, 5}}};
    static const char *const names[] = {"sum_over", "mean_over", "max_over", "softmax"};

    for (int r = 0; r < 4; r++)
        for (int mask = 1; mask < 1 << (r + 1); mask++)
            for (int k = 0; k < 4; k++) {
                graph_case c = {.name = names[k], .build = build, .reference = of_graph, .x = {shapes[r]},
                                .y = shapes[r], .k = {k, mask}};

                if (k == SOFTMAX && mask & (mask - 1))
                    continue;
                for (int i = 0; i < c.y.rank && k != SOFTMAX; i++)
                    c.y.dim[i] = mask >> i & 1 ? 1 : c.y.dim[i];
                graph_check(*state, &c);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(reduce__shapes), cmocka_unit_test(rows__shapes),
                                       cmocka_unit_test(over__in_a_graph)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
