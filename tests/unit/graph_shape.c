/* Permutations in the graph: those that move nothing in memory cost no node; no device. */
#include "graph/graph.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/graph_shape.h"

static dm_graph_core *new_graph(const dm_graph **api)
{
    dm_graph_core *g;
    dm_err err = {0};

    assert_int_equal(dm_graph_new(&g, api, &err), DM_OK);
    g->builds = 1;
    return g;
}

/* Extents, axes, and whether memory moves. Rank 4 lies as N,H,W,C: `image` says so of the input. */
static const struct { dm_shape from; int32_t axes[4]; bool image, moves; } cases[] = {
    {{3, {2, 1, 5}}, {1, 0, 2}, false, false},
    {{3, {2, 1, 5}}, {0, 2, 1}, false, false},
    {{3, {2, 3, 5}}, {0, 2, 1}, false, true},
    {{3, {2, 1, 5}}, {2, 1, 0}, false, true},
    {{2, {1, 1}}, {1, 0}, false, false},
    {{4, {2, 3, 1, 5}}, {0, 2, 1, 3}, true, true},  /* 2,1,5,3 to 2,3,5,1 */
    {{4, {2, 1, 4, 5}}, {0, 1, 2, 3}, true, false},
    {{4, {2, 3, 1, 5}}, {2, 0, 1, 3}, true, true},  /* 2,1,5,3 to 1,3,5,2 */
};

static void permute__moves_what_must_move(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dm_graph *api;
        dm_graph_core *g = new_graph(&api);
        dm_val x, y;

        x = dm_graph_input(g, "x", &cases[i].from, DM_DT_F32, cases[i].image);
        y = api->permute(api, x, cases[i].axes);
        assert_true(y >= 0);
        for (int32_t k = 0; k < cases[i].from.rank; k++)
            assert_int_equal(g->values[y].shape.dim[k], cases[i].from.dim[cases[i].axes[k]]);
        if ((g->n_nodes > 0) != cases[i].moves || (dm_graph_root(g, y) != x) != cases[i].moves)
            fail_msg("case %zu: %zu nodes", i, g->n_nodes);
        dm_graph_free(g);
    }
}

/* One channel as an image and as rows is the same memory; more are not. */
static void permute__one_channel(void **state)
{
    (void)state;
    for (int64_t channels = 1; channels < 3; channels++) {
        const dm_graph *api;
        dm_graph_core *g = new_graph(&api);
        dm_val x, image, rows;

        x = dm_graph_input(g, "x", &(dm_shape){4, {2, channels, 4, 5}}, DM_DT_F32, false);
        image = dm_graph_to_image(g, x);
        rows = dm_graph_to_rows(g, image);
        assert_true(g->values[image].image && !g->values[rows].image);
        assert_int_equal(g->values[image].shape.dim[1], channels);
        assert_int_equal(g->values[rows].shape.dim[1], channels);
        assert_int_equal(g->n_nodes, channels == 1 ? 0 : 2);
        dm_graph_free(g);
    }
}

/* Of images seen as tokens, swapped twice: what the first swap read is not the image, but only where the extents are
 * its. */
static void reshape__of_what_was_swapped(void **state)
{
    static const struct { int32_t axes[3]; dm_shape to; bool original; } then[] = {
        {{0, 1, 2}, {4, {1, 4, 2, 3}}, true},
        {{1, 0, 2}, {4, {4, 1, 2, 3}}, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof then / sizeof then[0]; i++) {
        const dm_graph *api;
        dm_graph_core *g = new_graph(&api);
        dm_val x, y, swapped;

        x = dm_graph_input(g, "x", &(dm_shape){3, {1, 6, 4}}, DM_DT_F32, false);
        swapped = api->permute(api, x, (const int32_t[]){0, 2, 1});
        y = api->reshape(api, api->permute(api, swapped, then[i].axes), &then[i].to);
        assert_true(y >= 0);
        assert_int_equal(dm_graph_root(g, y) == x, then[i].original);
        dm_graph_free(g);
    }
}

/* The same where a reshape, not a permutation, gave the swapped memory other extents. */
static void reshape__of_what_was_folded(void **state)
{
    const dm_graph *api;
    dm_graph_core *g = new_graph(&api);
    dm_val x, y;

    (void)state;
    x = dm_graph_input(g, "x", &(dm_shape){3, {2, 6, 4}}, DM_DT_F32, false);
    y = api->permute(api, x, (const int32_t[]){0, 2, 1});
    y = api->reshape(api, api->reshape(api, y, &(dm_shape){3, {8, 1, 6}}), &(dm_shape){4, {8, 1, 2, 3}});
    assert_true(y >= 0);
    assert_true(dm_graph_root(g, y) != x);
    dm_graph_free(g);
}

/* Extents whose product wraps, in what is given and in what comes of it. */
static void counts__do_not_wrap(void **state)
{
    static const int64_t wide = (int64_t)1 << 20, four = ((int64_t)1 << 62) + 1; /* times 4: 4 */

    (void)state;
    for (int i = 0; i < 8; i++) {
        const dm_graph *api;
        dm_graph_core *g = new_graph(&api);
        dm_val x = dm_graph_input(g, "x", &(dm_shape){1, {4}}, DM_DT_F32, false), y = DM_FAILED,
               image = dm_graph_input(g, "i", &(dm_shape){4, {1, 1, wide, wide}}, DM_DT_F32, false);

        switch (i) {
        case 0: y = api->reshape(api, x, &(dm_shape){2, {four, 4}}); break;
        case 1: y = dm_graph_input(g, "z", &(dm_shape){3, {wide, wide, wide}}, DM_DT_F32, false); break;
        case 2: y = api->upsample(api, image, 64); break;
        case 3: y = api->conv_transposed(api, "c", image, 1, (dm_conv){.k = 3, .stride = 1 << 30}, 0); break;
        case 4: y = api->conv(api, "c", image, 1, (dm_conv){.k = INT32_MAX, .stride = 1}, 0); break;
        case 5: y = api->slice(api, x, 0, 1, INT64_MAX); break;
        case 6: y = api->linear(api, "l", x, INT64_MAX, 0); break;
        case 7:
            y = api->rope(api, dm_graph_input(g, "r", &(dm_shape){3, {1, 2, 4}}, DM_DT_F32, false), DM_NONE,
                          (int64_t)1 << 62);
            break;
        }
        if (y >= 0 || g->err.code != DM_EINVAL)
            fail_msg("case %d: value %d, status %d", i, (int)y, (int)g->err.code);
        dm_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(permute__moves_what_must_move), cmocka_unit_test(permute__one_channel),
        cmocka_unit_test(reshape__of_what_was_swapped), cmocka_unit_test(reshape__of_what_was_folded),
        cmocka_unit_test(counts__do_not_wrap)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
