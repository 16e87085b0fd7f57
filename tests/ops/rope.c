/* Rotary position against double precision. */
#include "graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void turn(int64_t rows, int64_t L, int64_t heads, int64_t pairs, double sign, const double *x,
                 const double *angle, double *y)
{
    for (int64_t i = 0; i < rows * heads * pairs; i++) {
        const int64_t j = i % pairs, at = i / pairs * 2 * pairs + j, l = i / pairs / heads % L;
        const double a = sign * (angle ? angle[l * pairs + j] : (double)l * pow(10000, -(double)j / (double)pairs));

        y[at] = x[at] * cos(a) - x[at + pairs] * sin(a);
        y[at + pairs] = x[at] * sin(a) + x[at + pairs] * cos(a);
    }
}

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const dm_desc *x = &n->in[0];

    turn(x->dim[0] * x->dim[1], x->dim[1], n->a.rope.heads, n->in[1].dim[1], n->a.rope.inverse ? -1 : 1, in[0], in[1],
         out[0]);
}

static void rope__shapes(void **state)
{
    static const int64_t shapes[][4] = {{1, 1, 1, 1}, {2, 3, 1, 5}, {2, 31, 4, 16}, {3, 7, 2, 33}, {1, 100, 3, 20}};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof shapes / sizeof shapes[0]); i++)
        for (int inverse = 0; inverse < 2; inverse++) {
            const int64_t *s = shapes[i];
            const dm_desc x = OPS_DESC(s[0], s[1], s[2] * s[3] * 2);
            ops_case c = {.name = "rope", .reference = reference, .tolerance = 2e-6, .scale = 2};

            c.node =
                (dm_opnode){.kind = DM_OP_ROPE, .n_in = 2, .n_out = 1, .in = {x, OPS_DESC(s[1], s[3])}, .out = {x}};
            c.node.a.rope.heads = s[2];
            c.node.a.rope.inverse = inverse;
            ops_check(*state, &c);
        }
}

static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    (void)c;
    return g->rope(g, x[0], DM_NONE, 2);
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    (void)c;
    turn(2 * 5, 5, 2, 3, 1, x[0], NULL, y);
}

static void rope__in_a_graph(void **state)
{
    const dm_shape s = {3, {2, 5, 12}};
    const graph_case c = {.name = "rope", .build = build, .reference = of_graph, .x = {s}, .y = s};

    graph_check(*state, &c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rope__shapes), cmocka_unit_test(rope__in_a_graph)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
