/* Random numbers: Random123's known answers on host and device, normals and dropout against double precision, by
 * the counters that core/device/ops.h defines. */
#include "harness.h"
#include "device/kernels.h"
#include "base/philox.h"
#include "train/coupling.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct answer { uint32_t ctr[4], key[2], out[4]; } answer;

/* kat_vectors of Random123 1.14, philox4x32 with 10 rounds. */
static const answer answers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

static void philox__known_answers_on_the_host(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        uint32_t out[4];

        dm_philox(answers[i].key, answers[i].ctr, out);
        assert_memory_equal(out, answers[i].out, sizeof out);
    }
}

static const char source[] = "#include \"vec.clh\"\n#include \"random/philox.clh\"\n"
                             "kernel void words(global const uint *ctr, global const uint *key, global uint *out)\n"
                             "{\n"
                             "    VU x[4];\n"
                             "    uint t[W];\n"
                             "    for (int k = 0; k < 4; k++)\n"
                             "        x[k] = ctr[k];\n"
                             "    philox(x, key[0], key[1]);\n"
                             "    for (int k = 0; k < 4; k++) {\n"
                             "        VSTORE(x[k], t);\n"
                             "        for (int i = 0; i < W; i++)\n"
                             "            out[k * W + i] = t[i];\n"
                             "    }\n"
                             "}\n";

static void known_answers(dm_device *d, const char *option, size_t lanes)
{
    dm_buf *ctr, *key, *out;
    dm_kernel *k;
    dm_err err = {0};
    uint32_t got[64];

    assert_int_equal(dm_buf_new(d, 16, "ctr", &ctr, &err), DM_OK);
    assert_int_equal(dm_buf_new(d, 8, "key", &key, &err), DM_OK);
    assert_int_equal(dm_buf_new(d, sizeof got, "out", &out, &err), DM_OK);
    if (dm_kernel_from_source(d, "philox test", source, "words", option, &k, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        const dm_range r = {.dim = 1, .global = {1}};

        assert_int_equal(dm_buf_write(ctr, 0, 16, answers[i].ctr, &err), DM_OK);
        assert_int_equal(dm_buf_write(key, 0, 8, answers[i].key, &err), DM_OK);
        if (dm_launch(d, k, &r, DM_KARGS(DM_KB(ctr), DM_KB(key), DM_KB(out)), &err))
            fail_msg("%s", err.msg);
        assert_int_equal(dm_buf_read(out, 0, 16 * lanes, got, &err), DM_OK);
        for (size_t e = 0; e < 4 * lanes; e++)
            assert_int_equal(got[e], answers[i].out[e / lanes]);
    }
    dm_buf_free(ctr);
    dm_buf_free(key);
    dm_buf_free(out);
}

static void philox__known_answers_on_the_device(void **state)
{
    known_answers(*state, "-DW=1", 1);
    known_answers(*state, "-DW=4", 4);
    known_answers(*state, "-DW=16", 16);
}

/* ---- by counters ------------------------------------------------------------------------- */

/* The words of an element's block: n-th example, e-th element in N,C,H,W order. */
static void block_of(const double *s, uint32_t purpose, uint32_t node, uint32_t draw, int64_t n, int64_t e, uint32_t *x)
{
    const uint32_t key[2] = {(uint32_t)(int64_t)s[0], (uint32_t)(int64_t)s[1]};
    const uint32_t ctr[4] = {purpose << 24 | node, (uint32_t)(int64_t)s[2], draw << 28 | (uint32_t)(e / 4),
                             (uint32_t)((int64_t)s[3] + n)};

    dm_philox(key, ctr, x);
}

static double normal_of(const uint32_t *x, int64_t e)
{
    const int64_t pair = e % 4 / 2 * 2;
    const double r = sqrt(-2 * log(dm_uniform(x[pair]))), a = 2 * acos(-1) * dm_uniform(x[pair + 1]);

    return r * (e % 2 ? sin(a) : cos(a));
}

static void reference(const dm_opnode *p, const double *const *in, double *const *out)
{
    const dm_desc *y = &p->out[0];
    const bool image = p->a.random.image, drop = p->kind == DM_OP_DROPOUT;
    const int64_t C = image ? y->dim[3] : 1, each = dm_desc_count(y) / y->dim[0], P = each / C;

    for (int64_t i = 0; i < dm_desc_count(y); i++) {
        const int64_t n = i / each, e = i % C * P + i % each / C;
        uint32_t x[4];

        block_of(in[drop], p->a.random.purpose, p->a.random.node, p->a.random.draw, n, e, x);
        if (drop)
            out[0][i] = dm_uniform(x[e % 4]) < (double)(float)p->a.random.p ? 0
                : in[0][i] * (double)(float)(1 / (1 - p->a.random.p));
        else
            out[0][i] = normal_of(x, e);
    }
}

static const struct { int64_t dim[4]; bool image; } shapes[] = {
    {{1, 1, 1, 1}, true},  {{2, 3, 5, 3}, true},    {{3, 7, 7, 5}, true},    {{2, 4, 4, 33}, true},
    {{2, 1, 1, 65}, true}, {{2, 3, 5, 7}, false},   {{3, 28, 28, 1}, true},  {{2, 31, 33, 3}, true},
    {{2, 7, 7, 64}, true}, {{2, 16, 16, 64}, true}, {{5, 1, 1, 2}, false},   {{1, 300, 1, 65}, false},
};

static void check(dm_device *d, dm_op_kind kind, size_t i, double p)
{
    static const double state[16] = {123456789, -77, 41, 1000};
    const bool drop = kind == DM_OP_DROPOUT;
    const dm_desc words = {.type = DM_DT_I32, .rank = 1, .dim = {16}};
    ops_case c = {.name = dm_op_name(kind), .reference = reference, .tolerance = drop ? 1e-7 : 3e-6};

    c.node = (dm_opnode){.kind = kind, .n_in = 1 + drop, .n_out = 1, .out = {ops_desc(4, shapes[i].dim)}};
    c.node.in[drop] = words;
    if (drop)
        c.node.in[0] = c.node.out[0];
    c.given[drop] = state;
    c.node.a.random.purpose = DM_PURPOSE_DROPOUT;
    c.node.a.random.node = 5;
    c.node.a.random.draw = 9;
    c.node.a.random.image = shapes[i].image;
    c.node.a.random.p = p;
    ops_check(d, &c);
}

static void randn__shapes(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 5 : sizeof shapes / sizeof shapes[0]); i++)
        check(*state, DM_OP_RANDN, i, 0);
}

static void dropout__shapes(void **state)
{
    for (size_t i = 0; i < (ops_small() ? 5 : sizeof shapes / sizeof shapes[0]); i++) {
        check(*state, DM_OP_DROPOUT, i, 0.1);
        check(*state, DM_OP_DROPOUT, i, 0.5);
    }
}

/* What a sampler draws is what the op draws, also in parts; and it is Gaussian. */
static void randn__launched(void **state)
{
    enum { N = 4, EACH = 1 << 14 };
    const dm_randn r = {0x123456789abcdef0u, DM_PURPOSE_SAMPLER, 3, 17, 2, 40};
    const double s[4] = {(double)0x9abcdef0u, (double)0x12345678u, 17, 40};
    const int64_t each = ops_small() ? 33 : EACH - 3;
    float *v = malloc(N * EACH * sizeof *v);
    double mean = 0, square = 0, count = (double)(N * each);
    dm_buf *out;
    dm_err err = {0};

    assert_int_equal(dm_buf_new(*state, N * EACH * sizeof *v, "out", &out, &err), DM_OK);
    if (dm_launch_randn(*state, out, N, each, &r, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(dm_buf_read(out, 0, (size_t)(N * each) * sizeof *v, v, &err), DM_OK);
    for (int64_t i = 0; i < N * each; i++) {
        uint32_t x[4];

        block_of(s, r.purpose, r.node, r.draw, i / each, i % each, x);
        assert_true(fabs((double)v[i] - normal_of(x, i % each)) < 1e-5);
        mean += (double)v[i] / count;
        square += (double)v[i] * (double)v[i] / count;
    }
    assert_true(fabs(mean) < 4 / sqrt(count));
    assert_true(fabs(square - 1) < 4 * sqrt(2 / count));
    assert_int_not_equal(dm_launch_randn(*state, out, 0, each, &r, &err), DM_OK);
    dm_buf_free(out);
    free(v);
}

/* What coupled training draws on the host is what the device draws without. */
static void randn__of_coupled_training(void **state)
{
    enum { N = 3, EACH = 67 };
    const dm_randn r = {.seed = 0x123456789abcdef0u, .purpose = DM_PURPOSE_NOISE, .step = 9};
    float v[N * EACH], host[N * EACH];
    dm_buf *out;
    dm_err err = {0};

    assert_int_equal(dm_buf_new(*state, sizeof v, "out", &out, &err), DM_OK);
    assert_int_equal(dm_launch_randn(*state, out, N, EACH, &r, &err), DM_OK);
    assert_int_equal(dm_buf_read(out, 0, sizeof v, v, &err), DM_OK);
    dm_coupling_draw(r.seed, r.step, N, EACH, host);
    for (int i = 0; i < N * EACH; i++)
        assert_true(fabs((double)v[i] - (double)host[i]) < 1e-5);
    dm_buf_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox__known_answers_on_the_host),
        cmocka_unit_test(philox__known_answers_on_the_device),
        cmocka_unit_test(randn__shapes),
        cmocka_unit_test(dropout__shapes),
        cmocka_unit_test(randn__launched),
        cmocka_unit_test(randn__of_coupled_training),
    };

    return cmocka_run_group_tests(tests, ops_setup, ops_teardown);
}
