/* Embeddings of times and indices against double precision. */
#include "harness.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void time_embed(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t N = n->out[0].dim[0], dim = n->out[0].dim[1], half = dim / 2;

    for (int64_t i = 0; i < N; i++)
        for (int64_t k = 0; k < dim; k++) {
            const double a = in[0][i] * in[1][k % half];

            out[0][i * dim + k] = k >= 2 * half ? 0 : (k < half) == !n->a.embed.flip ? sin(a) : cos(a);
        }
}

static void time_embed__sizes(void **state)
{
    static const int64_t t[][2] = {{1, 2}, {3, 5}, {31, 33}, {65, 128}, {2, 320}};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof t / sizeof t[0]); i++)
        for (int flip = 0; flip < 2; flip++) {
            ops_case c = {.name = "time_embed", .reference = time_embed, .tolerance = 1e-6, .scale = 700};
            double *freq = malloc((size_t)(t[i][1] / 2) * sizeof *freq);

            for (int64_t k = 0; k < t[i][1] / 2; k++)
                freq[k] = (double)(float)pow(10000, -(double)k / (double)(t[i][1] / 2));
            c.node = (dm_opnode){.kind = DM_OP_TIME_EMBED, .n_in = 2, .n_out = 1,
                                 .in = {OPS_DESC(t[i][0]), OPS_DESC(t[i][1] / 2)}, .out = {OPS_DESC(t[i][0], t[i][1])}};
            c.node.a.embed.flip = flip;
            c.given[1] = freq;
            ops_check(*state, &c);
            free(freq);
        }
}

static void lookup(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t N = n->in[0].dim[0], rows = n->in[1].dim[0], dim = n->in[1].dim[1];

    for (int64_t i = 0; i < N * dim; i++) {
        const int64_t r = (int64_t)in[0][i / dim];

        out[0][i] = r >= 0 && r < rows ? in[1][r * dim + i % dim] : 0;
    }
}

static void lookup_dw(const dm_opnode *n, const double *const *in, double *const *out)
{
    const int64_t N = n->in[0].dim[0], rows = n->out[0].dim[0], dim = n->out[0].dim[1];

    for (int64_t i = 0; i < rows * dim && !n->accum; i++)
        out[0][i] = 0;
    for (int64_t i = 0; i < N * dim; i++) {
        const int64_t r = (int64_t)in[0][i / dim];

        if (r >= 0 && r < rows)
            out[0][r * dim + i % dim] += in[1][i];
    }
}

/* Indices up to 2 beyond the table: zeros, and no gradient. */
static void embedding__sizes(void **state)
{
    static const int64_t t[][3] = {{1, 1, 1}, {5, 3, 7}, {33, 10, 65}, {128, 11, 31}, {4, 1000, 16}};

    for (size_t i = 0; i < (ops_small() ? 2 : sizeof t / sizeof t[0]); i++)
        for (int accum = 0; accum < 2; accum++) {
            ops_case f = {.name = "embedding", .reference = lookup, .levels = (int32_t)t[i][1] + 2};
            ops_case b = {.name = "embedding_dw", .reference = lookup_dw, .tolerance = 2e-6,
                          .levels = (int32_t)t[i][1] + 2};
            const dm_desc index = {.type = DM_DT_I32, .rank = 1, .dim = {t[i][0]}};
            double *at = malloc((size_t)t[i][0] * sizeof *at);

            for (int64_t k = 0; k < t[i][0]; k++)
                at[k] = (double)(k * 7 % (t[i][1] + 2)) - 1; /* the first row is there for certain */
            at[0] = 0;
            f.given[0] = b.given[0] = at;
            f.node = (dm_opnode){.kind = DM_OP_EMBEDDING, .n_in = 2, .n_out = 1,
                                 .in = {index, OPS_DESC(t[i][1], t[i][2])}, .out = {OPS_DESC(t[i][0], t[i][2])}};
            ops_check(*state, &f);
            b.node = (dm_opnode){.kind = DM_OP_EMBEDDING_DW, .n_in = 2, .n_out = 1, .accum = accum,
                                 .in = {index, f.node.out[0]}, .out = {f.node.in[1]}};
            ops_check(*state, &b);
            free(at);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(time_embed__sizes), cmocka_unit_test(embedding__sizes)};

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
