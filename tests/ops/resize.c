/* Bilinear resizing against double precision. */
#include "graph_case.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* How much of input i output o has: torch's interpolate(mode="bilinear", align_corners=False). */
static double weight(int64_t o, int64_t i, int64_t in, int64_t out)
{
    const double at = fmax(((double)o + 0.5) * (double)in / (double)out - 0.5, 0), lower = floor(at),
                 share = at - lower;

    return fmin(lower, (double)in - 1) == (double)i ? (lower + 1 < (double)in ? 1 - share : 1)
           : lower + 1 == (double)i                 ? share
                                                    : 0;
}

/* y[n,oh,ow,c] += weights x[n,h,w,c], or the reverse; `inner` elements lie side by side. */
static void resample(const int64_t *in, const int64_t *out, int64_t outer, int64_t inner, const double *from,
                     double *to, bool back)
{
    for (int64_t n = 0; n < outer; n++)
        for (int64_t o = 0; o < out[0] * out[1]; o++)
            for (int64_t i = 0; i < in[0] * in[1]; i++) {
                const double k =
                    weight(o / out[1], i / in[1], in[0], out[0]) * weight(o % out[1], i % in[1], in[1], out[1]);

                for (int64_t c = 0; c < inner && k > 0; c++) {
                    const int64_t x = (n * in[0] * in[1] + i) * inner + c, y = (n * out[0] * out[1] + o) * inner + c;

                    to[back ? x : y] += k * from[back ? y : x];
                }
            }
}

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const bool back = n->kind == DM_OP_RESIZE_DX;
    const dm_desc *x = back ? &n->out[0] : &n->in[0], *y = back ? &n->in[0] : &n->out[0];

    for (int64_t i = 0; i < dm_desc_count(&n->out[0]); i++)
        out[0][i] = 0;
    resample(&x->dim[1], &y->dim[1], x->dim[0], x->dim[3], in[0], out[0], back);
}

static const int64_t sizes[][4] = {{1, 1, 1, 1}, {1, 1, 3, 5}, {3, 5, 1, 1}, {4, 4, 8, 8},  {8, 8, 4, 4},
                                   {5, 7, 13, 9}, {13, 9, 5, 7}, {2, 3, 31, 33}, {16, 15, 16, 15}};

static void resize__shapes(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 3 : sizeof sizes / sizeof sizes[0]); i++)
        for (int k = 0; k < 4; k++) {
            const int64_t *s = sizes[i], C = k / 2 ? 17 : 3;
            const dm_desc x = OPS_DESC(2, s[0], s[1], C), y = OPS_DESC(2, s[2], s[3], C);
            ops_case c = {.name = k % 2 ? "resize_dx" : "resize", .reference = reference, .tolerance = 3e-6};

            c.node = (dm_opnode){.kind = k % 2 ? DM_OP_RESIZE_DX : DM_OP_RESIZE, .n_in = 1, .n_out = 1,
                                 .in = {k % 2 ? y : x}, .out = {k % 2 ? x : y}};
            ops_check(*state, &c);
        }
}

static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    return g->resize(g, x[0], c->y.dim[2], c->y.dim[3]);
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    for (int64_t i = 0; i < 6 * c->y.dim[2] * c->y.dim[3]; i++)
        y[i] = 0;
    resample(&c->x[0].dim[2], &c->y.dim[2], 6, 1, x[0], y, false);
}

static void resize__in_a_graph(void **state)
{
    for (size_t i = 1; i < 7; i++) {
        const int64_t *s = sizes[i];
        const graph_case c = {.name = "resize", .build = build, .reference = of_graph,
                              .x = {{4, {2, 3, s[0], s[1]}}}, .y = {4, {2, 3, s[2], s[3]}}};

        graph_check(*state, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(resize__shapes), cmocka_unit_test(resize__in_a_graph)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
