/* Elements along an axis by number, against double precision. */
#include "graph_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t rows = n->a.gather.rows, count = n->a.gather.count, inner = n->a.gather.inner;

    for (int64_t i = 0; i < dm_desc_count(&n->out[0]); i++)
        out[0][i] = 0;
    for (int64_t e = 0; e < n->a.gather.outer * count * inner; e++) {
        const int64_t r = (int64_t)in[1][e / inner % count], at = (e / inner / count * rows + r) * inner + e % inner;

        if (r < 0 || r >= rows)
            continue;
        if (n->kind == DM_OP_GATHER)
            out[0][e] = in[0][at];
        else
            out[0][at] += in[0][e];
    }
}

static void gather__shapes(void **state)
{
    static const int64_t shapes[][4] = {{1, 1, 1, 1}, {2, 5, 7, 3}, {3, 33, 31, 1}, {1, 10, 65, 33}, {4, 7, 2, 16}};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof shapes / sizeof shapes[0]); i++)
        for (int k = 0; k < 2; k++) {
            const int64_t *s = shapes[i];
            const dm_desc x = OPS_DESC(s[0], s[1], s[3]), y = OPS_DESC(s[0], s[2], s[3]);
            ops_case c = {.name = k ? "gather_dx" : "gather", .reference = reference, .tolerance = k ? 2e-6 : 0,
                          .levels = (int32_t)s[1] + 1}; /* one of them is outside */

            c.node = (dm_opnode){.kind = k ? DM_OP_GATHER_DX : DM_OP_GATHER, .n_in = 2, .n_out = 1,
                                 .in = {k ? y : x, OPS_DESC(s[2])}, .out = {k ? x : y}};
            c.node.in[1].type = DM_DT_I32;
            c.node.a.gather.outer = s[0];
            c.node.a.gather.rows = s[1];
            c.node.a.gather.count = s[2];
            c.node.a.gather.inner = s[3];
            ops_check(*state, &c);
        }
}

static const int32_t which[] = {2, 0, 2, -1, 1, 9};

static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    return g->gather(g, x[0], c->k[0], g->indices(g, which, 6));
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    int64_t outer = 1, inner = 1;
    const int64_t rows = c->x[0].dim[c->k[0]];

    for (int i = 0; i < c->x[0].rank; i++)
        *(i < c->k[0] ? &outer : &inner) *= i == c->k[0] ? 1 : c->x[0].dim[i];
    for (int64_t e = 0; e < outer * 6 * inner; e++) {
        const int32_t r = which[e / inner % 6];

        y[e] = r < 0 || r >= rows ? 0 : x[0][(e / inner / 6 * rows + r) * inner + e % inner];
    }
}

static void gather__in_a_graph(void **state)
{
    static const dm_shape shapes[] = {{1, {4}}, {2, {3, 5}}, {3, {3, 4, 5}}, {4, {3, 5, 4, 3}}};

    for (int i = 0; i < 4; i++)
        for (int axis = 0; axis <= i; axis++) {
            graph_case c = {.name = "gather", .build = build, .reference = of_graph, .x = {shapes[i]}, .y = shapes[i],
                            .k = {axis}};

            c.y.dim[axis] = 6;
            graph_check(*state, &c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gather__shapes), cmocka_unit_test(gather__in_a_graph)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
