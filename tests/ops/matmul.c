/* matmul against sums in double precision, in all transpositions. */
#include "graph_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const int64_t small[][3] = {{1, 1, 1}, {3, 16, 5}, {5, 3, 16}};
static const int64_t large[][3] = {{12, 32, 32}, {13, 33, 31}, {64, 64, 128}, {65, 31, 33},
                                   {1, 64, 64},  {128, 1, 12}, {49, 64, 65},  {257, 130, 20}};

static void reference(const dm_opnode *p, const double *const *in, double *const *out)
{
    const int64_t m = p->a.mm.m, n = p->a.mm.n, k = p->a.mm.k;

    for (int64_t b = 0; b < p->a.mm.batch; b++)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) {
                double sum = p->accum ? out[0][(b * m + i) * n + j] : 0;

                for (int64_t q = 0; q < k; q++)
                    sum += in[0][(p->a.mm.a_batch ? b : 0) * m * k + (p->a.mm.ta ? q * m + i : i * k + q)] *
                           in[1][(p->a.mm.b_batch ? b : 0) * k * n + (p->a.mm.tb ? j * k + q : q * n + j)];
                out[0][(b * m + i) * n + j] = sum + (in[2] ? in[2][j] : 0);
            }
}

static void check(dm_device *d, const int64_t *e, bool ta, bool tb, bool bias, bool accum, int64_t batch)
{
    const int64_t m = e[0], n = e[1], k = e[2];
    ops_case c = {.name = "matmul", .reference = reference, .tolerance = 5e-6};

    c.node = (dm_opnode){.kind = DM_OP_MATMUL, .n_in = 3, .n_out = 1, .accum = accum, .out = {OPS_DESC(batch, m, n)}};
    c.node.in[0] = ta ? OPS_DESC(batch, k, m) : OPS_DESC(batch, m, k);
    c.node.in[1] = tb ? OPS_DESC(n, k) : OPS_DESC(k, n);
    c.node.in[2] = bias ? OPS_DESC(n) : OPS_NONE;
    c.node.a.mm.ta = ta;
    c.node.a.mm.tb = tb;
    c.node.a.mm.a_batch = batch > 1;
    c.node.a.mm.batch = batch;
    c.node.a.mm.m = m;
    c.node.a.mm.n = n;
    c.node.a.mm.k = k;
    ops_check(d, &c);
}

static void all_forms(dm_device *d, const int64_t *e)
{
    check(d, e, false, true, true, false, 1);   /* a linear layer */
    check(d, e, false, true, false, false, 1);
    check(d, e, false, false, false, false, 1); /* its input's gradient */
    check(d, e, true, false, false, true, 1);   /* its weight's gradient */
    check(d, e, true, false, false, false, 1);
    check(d, e, true, true, true, true, 1);
    check(d, e, false, false, true, true, 3);
}

static void matmul__forms(void **state)
{
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++)
        all_forms(*state, small[i]);
    for (size_t i = 0; i < sizeof large / sizeof large[0] && !ops_small(); i++)
        all_forms(*state, large[i]);
}

/* k: transposed, batch, whether each has its own b, and how many times extents m, n, k are 3, 4, 5. */
static dm_val build(const dm_graph *g, const graph_case *c, const dm_val *x)
{
    const dm_val b = c->k[3] > 1 ? g->scale(g, x[1], 1, 0) : x[1]; /* no weight */

    return g->matmul(g, x[0], b, c->k[0] & 1, c->k[0] & 2);
}

static void of_graph(const graph_case *c, const double *const *x, double *y)
{
    const bool ta = c->k[0] & 1, tb = c->k[0] & 2;
    const int m = 3 * c->k[3], n = 4 * c->k[3], k = 5 * c->k[3];

    for (int b = 0; b < c->k[1]; b++)
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++) {
                double sum = 0;

                for (int q = 0; q < k; q++)
                    sum += x[0][b * m * k + (ta ? q * m + i : i * k + q)] *
                           x[1][(c->k[2] ? b * n * k : 0) + (tb ? j * k + q : q * n + j)];
                y[(b * m + i) * n + j] = sum;
            }
}

/* [m,k] or [2,m,k] or [2,3,m,k], times the same or one for all. */
static void matmul__in_a_graph(void **state)
{
    for (int form = 0; form < 5; form++)
        for (int t = 0; t < 4; t++) {
            const int32_t rank = form == 0 ? 2 : form < 3 ? 3 : 4;
            const bool own = form == 1 || form == 3;
            graph_case c = {.name = "matmul", .build = build, .reference = of_graph, .k = {t, 1, own, 1}};
            dm_shape lead = {.rank = rank, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};

            for (int32_t i = 0; i + 2 < rank; i++)
                c.k[1] *= (int)(lead.dim[i] = 2 + i);
            c.x[0] = c.y = c.x[1] = lead;
            if (!own)
                c.x[1] = (dm_shape){.rank = 2, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
            c.x[0].dim[rank - 2] = t & 1 ? 5 : 3;
            c.x[0].dim[rank - 1] = t & 1 ? 3 : 5;
            c.x[1].dim[c.x[1].rank - 2] = t & 2 ? 4 : 5;
            c.x[1].dim[c.x[1].rank - 1] = t & 2 ? 5 : 4;
            c.y.dim[rank - 2] = 3;
            c.y.dim[rank - 1] = 4;
            graph_check(*state, &c);
        }
}

/* Where implementations for layers pack the weight, of what is none. */
static void matmul__of_many(void **state)
{
    for (int t = 0; t < 4; t++) {
        const dm_shape a[] = {{2, {24, 40}}, {2, {40, 24}}}, b[] = {{2, {40, 32}}, {2, {32, 40}}};
        const graph_case c = {.name = "matmul", .build = build, .reference = of_graph, .x = {a[t & 1], b[t >> 1]},
                              .y = {2, {24, 32}}, .k = {t, 1, true, 8}};

        graph_check(*state, &c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(matmul__forms), cmocka_unit_test(matmul__in_a_graph),
                                       cmocka_unit_test(matmul__of_many)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
