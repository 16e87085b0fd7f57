/* RMS norm against double precision, by kernel and through the graph. */
#include "graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

static void forward(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t C = n->a.norm.C;

    for (int64_t r = 0; r < n->a.norm.N; r++) {
        double sum = 0;

        for (int64_t c = 0; c < C; c++)
            sum += in[0][r * C + c] * in[0][r * C + c];
        out[1][r] = 1 / sqrt(sum / (double)C + n->a.norm.eps);
        for (int64_t c = 0; c < C; c++)
            out[0][r * C + c] = in[0][r * C + c] * out[1][r] * (in[1] ? in[1][c] : 1);
    }
}

static void backward(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t C = n->a.norm.C;

    for (int64_t c = 0; c < C && out[1]; c++)
        out[1][c] = n->accum ? out[1][c] : 0;
    for (int64_t r = 0; r < n->a.norm.N; r++) {
        const double *dy = in[0] + r * C, *x = in[1] + r * C, s = in[3][r];
        double mean = 0;

        for (int64_t c = 0; c < C; c++) {
            mean += dy[c] * (in[2] ? in[2][c] : 1) * x[c] / (double)C;
            if (out[1])
                out[1][c] += dy[c] * x[c] * s;
        }
        for (int64_t c = 0; c < C && out[0]; c++)
            out[0][r * C + c] = s * (dy[c] * (in[2] ? in[2][c] : 1) - x[c] * s * s * mean);
    }
}

static void rms_norm__shapes(void **state)
{
    static const int64_t shapes[][2] = {{1, 1}, {3, 5}, {5, 16}, {33, 31}, {7, 65}, {300, 128}, {2, 5000}};

    for (size_t i = 0; i < (ops_small() ? 3 : sizeof shapes / sizeof shapes[0]); i++)
        for (int form = 0; form < 4; form++) {
            const int64_t N = shapes[i][0], C = shapes[i][1];
            const dm_desc x = OPS_DESC(N, C), gamma = OPS_DESC(C), stats = OPS_DESC(N);
            ops_case f = {.name = "rms_norm", .reference = forward, .tolerance = 3e-6}, b = f;

            f.node = (dm_opnode){.kind = DM_OP_RMS_NORM, .n_in = 2, .n_out = 2, .in = {x, form % 2 ? gamma : OPS_NONE},
                                 .out = {x, stats}};
            f.node.a.norm = (dm_attr_norm){.N = N, .C = C, .L = 1, .groups = 1, .eps = 1e-5, .channels_last = true};
            ops_check(*state, &f);
            b.name = "rms_norm_dx";
            b.reference = backward;
            b.node = (dm_opnode){.kind = DM_OP_RMS_NORM_DX, .n_in = 4, .n_out = 2, .accum = form == 3,
                                 .in = {x, x, form % 2 ? gamma : OPS_NONE, stats},
                                 .out = {form == 2 ? OPS_NONE : x, form % 2 ? gamma : OPS_NONE}};
            b.node.a.norm = f.node.a.norm;
            if (form != 2) /* with neither there is nothing to do */
                ops_check(*state, &b);
        }
}

static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    (void)c;
    return g->rms_norm(g, NULL, x[0], 0.01);
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    int64_t rows = 1;
    const int64_t C = c->x[0].dim[c->x[0].rank - 1];

    for (int32_t i = 0; i + 1 < c->x[0].rank; i++)
        rows *= c->x[0].dim[i];
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0;

        for (int64_t k = 0; k < C; k++)
            sum += x[0][r * C + k] * x[0][r * C + k];
        for (int64_t k = 0; k < C; k++)
            y[r * C + k] = x[0][r * C + k] / sqrt(sum / (double)C + 0.01);
    }
}

static void rms_norm__in_a_graph(void **state)
{
    static const dm_shape shapes[] = {{1, {7}}, {2, {3, 5}}, {3, {2, 3, 7}}, {4, {2, 3, 4, 5}}};

    for (int i = 0; i < 4; i++) {
        const graph_case c = {.name = "rms_norm", .build = build, .reference = of_graph, .x = {shapes[i]},
                              .y = shapes[i]};

        graph_check(*state, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rms_norm__shapes), cmocka_unit_test(rms_norm__in_a_graph)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
