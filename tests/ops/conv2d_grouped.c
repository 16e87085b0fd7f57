/* Convolutions in groups, and transposed ones, against double precision. */
#include "graph_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

typedef struct extents { int N, H, V, C, O, k, stride, lo, hi, groups, OH, OW; } extents;

static extents of_output(extents e)
{
    e.OH = (e.H + e.lo + e.hi - e.k) / e.stride + 1;
    e.OW = (e.V + e.lo + e.hi - e.k) / e.stride + 1;
    return e;
}

/* Calls back with every product: x[at], w[of], y[to]; in the layout of images, or N,C,H,W. */
typedef struct sums { const double *x, *w, *dy; double *y, *dx, *dw; } sums;

static void products(const extents *e, bool last, const sums *s)
{
    const int cg = e->C / e->groups, og = e->O / e->groups;

    for (int n = 0; n < e->N; n++)
        for (int i = 0; i < e->OH * e->OW * e->O * cg * e->k * e->k; i++) {
            const int t = i % e->k, r = i / e->k % e->k, c = i / (e->k * e->k) % cg, o = i / (e->k * e->k * cg) % e->O,
                      p = i / (e->k * e->k * cg * e->O), h = p / e->OW * e->stride - e->lo + r,
                      v = p % e->OW * e->stride - e->lo + t, channel = o / og * cg + c;
            int at, to, of = ((o * cg + c) * e->k + r) * e->k + t;

            if (h < 0 || h >= e->H || v < 0 || v >= e->V)
                continue;
            at = last ? ((n * e->H + h) * e->V + v) * e->C + channel : ((n * e->C + channel) * e->H + h) * e->V + v;
            to = last ? (n * e->OH * e->OW + p) * e->O + o : (n * e->O + o) * e->OH * e->OW + p;
            if (s->y)
                s->y[to] += s->x[at] * s->w[of];
            if (s->dx)
                s->dx[at] += s->dy[to] * s->w[of];
            if (s->dw)
                s->dw[of] += s->dy[to] * s->x[at];
        }
}

static void reference(const dm_opnode *n, const double *const *in, double *const *out)
{
    const dm_desc *x = n->kind == DM_OP_GROUPED_CONV2D_DX ? &n->out[0] : &n->in[0];
    const dm_desc *y = n->kind == DM_OP_GROUPED_CONV2D ? &n->out[0] : &n->in[n->kind == DM_OP_GROUPED_CONV2D_DW];
    const dm_conv *k = &n->a.grouped.conv;
    const extents e = {(int)x->dim[0], (int)x->dim[1], (int)x->dim[2], (int)x->dim[3], (int)y->dim[3], k->k, k->stride,
                       k->pad[0], k->pad[1], n->a.grouped.groups, (int)y->dim[1], (int)y->dim[2]};
    sums s = {.x = in[0], .w = in[1]};

    for (int64_t i = 0; i < dm_desc_count(&n->out[0]); i++)
        out[0][i] = n->kind == DM_OP_GROUPED_CONV2D ? (in[2] ? in[2][i % e.O] : 0) : n->accum ? out[0][i] : 0;
    if (n->kind == DM_OP_GROUPED_CONV2D)
        s.y = out[0];
    else if (n->kind == DM_OP_GROUPED_CONV2D_DX)
        s = (sums){.dy = in[0], .w = in[1], .dx = out[0]};
    else
        s = (sums){.x = in[0], .dy = in[1], .dw = out[0]};
    products(&e, true, &s);
}

static const extents cases[] = {
    {1, 1, 1, 2, 2, 1, 1, 0, 0, 2, 0, 0}, {2, 5, 7, 6, 9, 3, 1, 1, 1, 3, 0, 0}, {1, 9, 8, 4, 4, 3, 2, 0, 1, 4, 0, 0},
    {2, 7, 7, 33, 33, 5, 1, 2, 2, 33, 0, 0}, {1, 6, 5, 8, 4, 2, 2, 0, 0, 2, 0, 0},
};

static void grouped__shapes(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 2 : sizeof cases / sizeof cases[0]); i++)
        for (int k = 0; k < 6; k++) {
            const extents e = of_output(cases[i]);
            const dm_desc x = OPS_DESC(e.N, e.H, e.V, e.C), y = OPS_DESC(e.N, e.OH, e.OW, e.O),
                          w = OPS_DESC(e.O, e.C / e.groups, e.k, e.k), b = OPS_DESC(e.O);
            const dm_op_kind kinds[] = {DM_OP_GROUPED_CONV2D, DM_OP_GROUPED_CONV2D_DX, DM_OP_GROUPED_CONV2D_DW};
            ops_case c = {.name = dm_op_name(kinds[k % 3]), .reference = reference, .tolerance = 3e-6};

            c.node = (dm_opnode){.kind = kinds[k % 3], .n_in = k % 3 ? 2 : 3, .n_out = 1, .accum = k == 5};
            c.node.in[0] = k % 3 == 1 ? y : x;
            c.node.in[1] = k % 3 == 2 ? y : w;
            c.node.in[2] = k == 0 ? b : OPS_NONE;
            c.node.out[0] = k % 3 == 0 ? y : k % 3 == 1 ? x : w;
            c.node.a.grouped.conv = (dm_conv){e.k, e.stride, {e.lo, e.hi}};
            c.node.a.grouped.groups = e.groups;
            ops_check(*state, &c);
        }
}

/* A layer's weight in a graph is drawn by the layer; here it is the second input, as the node of the layer has it. */
static dm_val build(const dm_graph *api, const graph_case *c, const dm_val *x)
{
    const extents e = cases[c->k[0]];
    const dm_conv k = {e.k, e.stride, {e.lo, e.hi}};
    dm_graph_core *g = dm_graph_of(api);
    const dm_val w = dm_graph_to_rows(g, x[1]);
    const dm_val y = c->k[1] ? api->conv_transposed(api, "layer", x[0], e.C, k, DM_NO_BIAS)
                             : api->conv_grouped(api, "layer", x[0], e.O, k, e.groups, DM_NO_BIAS);

    if (y >= 0) {
        dm_gnode *n = &g->nodes[g->values[y].node];

        assert_int_equal(g->values[n->in[1]].source, DM_VAL_WEIGHT);
        n->in[1] = w;
    }
    return y;
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    extents e = of_output(cases[c->k[0]]);
    int64_t n = 1;

    for (int i = 0; i < 4; i++)
        n *= c->y.dim[i];
    for (int64_t i = 0; i < n; i++)
        y[i] = 0;
    if (c->k[1]) {
        e.groups = 1;
        e.H = (int)c->y.dim[2];
        e.V = (int)c->y.dim[3];
    }
    products(&e, false, c->k[1] ? &(sums){.dy = x[0], .w = x[1], .dx = y} : &(sums){.x = x[0], .w = x[1], .y = y});
}

static void layers__in_a_graph(void **state)
{
    for (int i = 1; i < 5; i++)
        for (int transposed = 0; transposed < 2; transposed++) {
            const extents e = of_output(cases[i]);
            const dm_shape in = {4, {e.N, e.C, e.H, e.V, 1, 1, 1, 1}}, out = {4, {e.N, e.O, e.OH, e.OW, 1, 1, 1, 1}};
            graph_case c = {.name = transposed ? "conv_transposed" : "conv_grouped", .build = build,
                            .reference = of_graph, .x = {in, {4, {e.O, e.C / e.groups, e.k, e.k, 1, 1, 1, 1}}},
                            .y = out, .k = {i, transposed}};

            if (i == 3) /* differences of so many weights take long */
                continue;
            if (transposed) {
                c.x[0] = out;
                c.x[1].dim[1] = e.C;
                c.y = in;
                c.y.dim[2] = (e.OH - 1) * e.stride + e.k - e.lo - e.hi;
                c.y.dim[3] = (e.OW - 1) * e.stride + e.k - e.lo - e.hi;
            }
            graph_check(*state, &c);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(grouped__shapes), cmocka_unit_test(layers__in_a_graph)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
