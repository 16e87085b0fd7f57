/* Which nodes are computed again in the backward pass, and where; no device. */
#include "graph/graph.h"
#include "graph/op_def.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const dm_conv same3 = {3, 1, {1, 1}};
enum { N = 2, C = 8, SIDE = 4, WHOLE = N * C * SIDE * SIDE * 4 };

typedef dm_val build(const dm_graph *g, dm_val x);

/* The gradient of the sum over a network's output, computed again from `least` bytes on. */
static dm_graph_core *made(build *network, size_t least)
{
    const dm_shape s = {4, {N, C, SIDE, SIDE, 1, 1, 1, 1}};
    dm_graph_core *g;
    const dm_graph *api;
    dm_err err = {0};
    dm_val y, seed;

    assert_int_equal(dm_graph_new(&g, &api, &err), DM_OK);
    g->builds = 1;
    y = network(api, dm_graph_input(g, "x", &s, DM_DT_F32, true));
    assert_true(y >= 0);
    seed = dm_graph_input(g, "seed", &g->values[y].shape, DM_DT_F32, true);
    dm_graph_fuse(g, &y, 1);
    assert_int_equal(dm_graph_differentiate(g, y, seed, NULL, 0, NULL, &err), DM_OK);
    dm_graph_prune(g, &y, 1);
    dm_graph_recompute(g, &y, 1, least);
    assert_int_equal(g->err.code, DM_OK);
    return g;
}

/* Each memory is made before it is read, and each node's results are its own. */
static void check_order(const dm_graph_core *g)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dm_gnode *n = &g->nodes[i];

        for (int k = 0; k < DM_MAX_READ && !n->dead; k++)
            if (dm_gnode_read(n, k) >= 0) {
                const dm_value *v = &g->values[dm_graph_root(g, dm_gnode_read(n, k))];

                assert_true(v->source != DM_VAL_NODE || (v->node >= 0 && v->node < (int32_t)i));
            }
        for (int k = 0; k < n->op.n_out && !n->dead; k++)
            if (n->out[k] >= 0 && g->values[n->out[k]].source == DM_VAL_NODE)
                assert_int_equal(g->values[n->out[k]].node, i);
    }
}

/* The ops computed again, in their order, each followed by what comes next. */
static void check(build *network, size_t least, const char *want)
{
    dm_graph_core *g = made(network, least);
    char got[512] = "";

    check_order(g);
    for (size_t i = 0; i + 1 < g->n_nodes; i++)
        if (g->nodes[i].recomputed) {
            strcat(got, dm_op_name(g->nodes[i].op.kind));
            strcat(got, g->nodes[i + 1].recomputed ? " " : "|");
        }
    assert_string_equal(got, want);
    dm_graph_free(g);
}

static dm_val norm_network(const dm_graph *g, dm_val x)
{
    const dm_val h = g->conv(g, "a", x, C, same3, 0);

    return g->conv(g, "b", g->silu(g, g->group_norm(g, "n", h, 4, 1e-6)), C, same3, 0);
}

/* The norm with its SiLU is made anew for the gradient of b's weights, and the gradient of the norm reads the new
 * statistics. */
static void recompute__norm(void **state)
{
    dm_graph_core *g = made(norm_network, WHOLE);
    bool read = false;

    (void)state;
    for (size_t i = 0; i < g->n_nodes; i++)
        if (g->nodes[i].recomputed) {
            assert_int_equal(g->nodes[i].op.kind, DM_OP_GROUP_NORM);
            assert_true(g->nodes[i].op.a.norm.silu);
            assert_int_equal(g->nodes[i + 1].op.kind, DM_OP_CONV2D_DW);
            assert_int_equal(g->nodes[i + 1].in[0], g->nodes[i].out[0]);
            for (size_t k = i; k < g->n_nodes; k++)
                read |= g->nodes[k].op.kind == DM_OP_GROUP_NORM_DX && g->nodes[k].in[4] == g->nodes[i].out[1];
        }
    assert_true(read);
    dm_graph_free(g);
    check(norm_network, WHOLE, "group_norm|");
    check(norm_network, 2 * WHOLE, "");
}

static dm_val pool_network(const dm_graph *g, dm_val x)
{
    const dm_val h = g->conv(g, "a", x, C, same3, 0);

    return g->conv(g, "b", g->avg_pool(g, g->silu(g, h), 2), C, same3, 0);
}

/* What is four times as large is not kept for the pool's result, but h, which is alive for SiLU's gradient, gives both.
 */
static void recompute__chain(void **state)
{
    (void)state;
    check(pool_network, WHOLE / 4, "silu avg_pool|");
}

static dm_val upsample_network(const dm_graph *g, dm_val x)
{
    return g->conv(g, "b", g->upsample(g, g->conv(g, "a", x, C, same3, 0), 2), C, same3, 0);
}

static dm_val sum_network(const dm_graph *g, dm_val x)
{
    const dm_val h = g->scale(g, g->conv(g, "a", x, C, same3, 0), 2, 0);

    return g->conv(g, "b", h, C, same3, 0);
}

/* A small tensor is kept in a large one's place; one as large is not. */
static void recompute__cost(void **state)
{
    (void)state;
    check(upsample_network, 3 * WHOLE, "upsample|");
    check(upsample_network, 3 * WHOLE + 1, "");
    check(sum_network, 1, "");
}

static dm_val result_network(const dm_graph *g, dm_val x)
{
    return g->silu(g, g->scale(g, g->silu(g, g->conv(g, "a", x, C, same3, 0)), 2, 0));
}

/* A result stays where it is; alias and original are one memory. */
static void recompute__results(void **state)
{
    (void)state;
    check(result_network, WHOLE, "silu scale|");
}

static dm_val rows_network(const dm_graph *g, dm_val x)
{
    const dm_val h = g->group_norm(g, "n", g->conv(g, "a", x, C, same3, 0), 4, 1e-6);
    const dm_val rows =
        g->permute(g, g->reshape(g, h, &(dm_shape){3, {N, C, SIDE * SIDE}}), (const int32_t[]){0, 2, 1});

    return g->linear(g, "b", rows, 2 * C, 0);
}

/* What reads other extents of the same memory reads them of the new one. */
static void recompute__alias(void **state)
{
    dm_graph_core *g = made(rows_network, WHOLE);
    int reads = 0;

    (void)state;
    check_order(g);
    for (size_t i = 0; i < g->n_nodes; i++)
        for (size_t k = i; k < g->n_nodes && g->nodes[i].recomputed; k++)
            for (int j = 0; j < g->nodes[k].op.n_in; j++)
                if (g->nodes[k].in[j] >= 0 && g->nodes[k].in[j] != g->nodes[i].out[0] &&
                    dm_graph_root(g, g->nodes[k].in[j]) == g->nodes[i].out[0]) {
                    assert_int_equal(g->values[g->nodes[k].in[j]].shape.rank, 3);
                    assert_int_equal(g->values[g->nodes[k].in[j]].shape.dim[2], C);
                    reads++;
                }
    assert_int_equal(reads, 1);
    dm_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(recompute__norm),    cmocka_unit_test(recompute__chain),
                                       cmocka_unit_test(recompute__cost),    cmocka_unit_test(recompute__results),
                                       cmocka_unit_test(recompute__alias)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
