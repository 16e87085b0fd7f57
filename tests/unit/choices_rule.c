/* Choices of implementations by rule: without measurements, of other precisions, and where bits count. */
#include "backends/capabilities.h"
#include "choices_case.h"

static void choices__rule(void **state)
{
    const char *dir = *state;
    dm_device *d = open_device(dir, NULL);
    heard h = {0};
    dm_choices *c = open_choices(d, DM_TUNE_OFF, &h);

    measure(c);
    assert_string_equal(pick(c, d, true).why, "by rule");
    assert_string_equal(h.lines, "");
    dm_choices_free(c);
    c = open_choices(d, DM_TUNE_AUTO, &h); /* one run of a small op is not worth it */
    measure(c);
    assert_string_equal(pick(c, d, true).why, "by rule");
    assert_string_equal(h.lines, "");
    dm_choices_free(c);
    dm_device_close(d);
}

static bool is_candidate(const dm_device_info *dev, const dm_opnode *n, bool high, const char *name)
{
    const dm_impl *list[DM_MAX_CANDIDATES];
    const int count = dm_candidates(dev, n, high, list);
    int found = 0;

    for (int i = 0; i < count; i++)
        found += !strcmp(list[i]->name, name);
    return found;
}

/* 3x3 convolutions on CPUs: F(4x4, 3x3) where products may round more than those of fp32, else F(2x2, 3x3). */
static void choices__winograd(void **state)
{
    const dm_device_info dev = {.cpu = true, .native_float = 16, .compute_units = 2, .max_alloc = 1 << 30};
    const dm_op_kind kinds[] = {DM_OP_CONV2D, DM_OP_CONV2D_DX, DM_OP_CONV2D_DW};
    const dm_desc pixels = {DM_DT_F32, 4, {2, 8, 8, 32, 1, 1, 1, 1}},
                  weights = {DM_DT_F32, 4, {32, 32, 3, 3, 1, 1, 1, 1}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        dm_opnode n = convolution();

        n.kind = kinds[i];
        n.n_in = i ? 2 : 5;
        n.in[0] = pixels;
        n.in[1] = i == 2 ? pixels : weights;
        n.out[0] = i == 2 ? weights : pixels;
        for (int high = 0; high < 2; high++) {
            const char *const names[] = {"winograd_2x2", "winograd"};
            const dm_choices_options o = {.high = high};
            const dm_impl *impl;
            dm_err err = {0};
            bool forced;

            must(dm_choose(&dev, &n, &o, NULL, &impl, &forced, &err), &err);
            assert_string_equal(impl->name, names[high]);
            assert_true(is_candidate(&dev, &n, high, names[high]));
            assert_false(is_candidate(&dev, &n, high, names[!high]));
            must(dm_choose(&dev, &n, &o, names[!high], &impl, &forced, &err), &err);
            assert_string_equal(impl->name, names[!high]);
        }
    }
}

/* Where an op's error enters the loss, no products of bf16 take the place of those of f32. */
static void choices__close(void **state)
{
    dm_device *d = open_device(*state, NULL);
    dm_opnode n = convolution();
    const dm_impl *impl;
    const dm_choices_options high = {.high = true};
    bool forced;
    dm_err err = {0};

    must(dm_choose(dm_device_get_info(d), &n, &high, NULL, &impl, &forced, &err), &err);
    assert_int_equal(!strcmp(impl->name, "bf16x3"), (dm_device_get_info(d)->capabilities & DM_CAP_AMX_BF16) != 0);
    n.full_precision = true;
    must(dm_choose(dm_device_get_info(d), &n, &high, NULL, &impl, &forced, &err), &err);
    assert_string_not_equal(impl->name, "bf16x3");
    must(dm_choose(dm_device_get_info(d), &n, &high, "bf16x3", &impl, &forced, &err), &err);
    assert_string_not_equal(impl->name, "bf16x3");
    assert_false(forced);
    dm_device_close(d);
}

/* A CPU without instructions for products of bf16 casts to f32, whose implementations are faster; the one that others
 * are compared with runs where it is forced. */
static void choices__no_products_of_bf16(void **state)
{
    dm_device *d = open_device(*state, NULL);
    dm_device_info dev = *dm_device_get_info(d);
    dm_opnode n = convolution();
    const dm_impl *impl;
    bool forced;
    dm_err err = {0};

    n.in[0].type = n.out[0].type = DM_DT_BF16;
    dev.capabilities |= DM_CAP_AMX_BF16;
    must(dm_choose(&dev, &n, NULL, NULL, &impl, &forced, &err), &err);
    assert_string_equal(impl->name, "amx");
    dev.capabilities = DM_CAP_AVX512_BF16 | DM_CAP_FAST_PAIRS;
    must(dm_choose(&dev, &n, NULL, NULL, &impl, &forced, &err), &err);
    assert_string_equal(impl->name, "avx512_bf16");
    dev.capabilities = DM_CAP_AVX512_BF16; /* which has them, and is faster without */
    assert_int_equal(dm_choose(&dev, &n, NULL, NULL, &impl, &forced, &err), DM_EDEVICE);
    dev.capabilities = 0;
    assert_int_equal(dm_choose(&dev, &n, NULL, NULL, &impl, &forced, &err), DM_EDEVICE);
    must(dm_choose(&dev, &n, NULL, "conv2d=bf16", &impl, &forced, &err), &err);
    assert_string_equal(impl->name, "bf16");
    assert_true(forced && dm_impl_is_reference(impl, &n));
    dm_device_close(d);
}

static void choices__deterministic(void **state)
{
    const dm_choices_options o = {.tune = DM_TUNE_ON, .high = true, .deterministic = true, .budget = -1};
    dm_device *d = open_device(*state, NULL);
    dm_choices *c;
    dm_choice got;
    dm_err err = {0};

    must(dm_choices_new(d, &o, &c, &err), &err);
    measure(c);
    got = pick(c, d, true);
    assert_string_equal(got.why, "by rule");
    assert_false(got.impl->batch_dependent);
    dm_choices_free(c);
    dm_device_close(d);
}

/* A linear layer of 1, 16 or 256 tokens an example, and convolutions of few and of many pixels. */
static dm_opnode by_examples(int i, int64_t examples)
{
    static const int64_t tokens[] = {1, 16, 256}, sides[] = {2, 4, 16};
    const int64_t rows = examples * tokens[i % 3], side = sides[i % 3];
    dm_opnode n = convolution();

    if (i < 3) {
        n = (dm_opnode){.kind = DM_OP_MATMUL, .n_in = 3, .n_out = 1};
        n.in[0] = (dm_desc){DM_DT_F32, 2, {rows, 64, 1, 1, 1, 1, 1, 1}};
        n.in[1] = (dm_desc){DM_DT_F32, 2, {96, 64, 1, 1, 1, 1, 1, 1}};
        n.in[2] = (dm_desc){.rank = -1};
        n.out[0] = (dm_desc){DM_DT_F32, 2, {rows, 96, 1, 1, 1, 1, 1, 1}};
        n.a.mm.tb = true;
        n.a.mm.batch = 1;
        n.a.mm.m = rows;
        n.a.mm.n = 96;
        n.a.mm.k = 64;
        return n;
    }
    n.in[0] = (dm_desc){DM_DT_F32, 4, {examples, side, side, 64, 1, 1, 1, 1}};
    n.out[0] = n.in[0];
    n.in[1] = (dm_desc){DM_DT_F32, 4, {64, 64, 3, 3, 1, 1, 1, 1}};
    if (i >= 6) {
        n.in[1].dim[2] = n.in[1].dim[3] = 1;
        n.a.conv = (dm_conv){1, 1, {0, 0}};
    }
    return n;
}

/* An example's bits do not depend on how many share the call, so neither does what computes them. */
static void choices__deterministic_for_any_batch(void **state)
{
    enum { OPS = 9, WAYS = 4 }; /* bits: products may round more; AMX and AVX-512-BF16 are there */

    (void)state;
    for (int i = 0; i < OPS; i++)
        for (int way = 0; way < WAYS; way++) {
            const uint64_t bf16 = DM_CAP_AMX_BF16 | DM_CAP_AVX512_BF16 | DM_CAP_FAST_PAIRS | DM_CAP_X86;
            const dm_device_info dev = {.cpu = true, .native_float = 16, .compute_units = 2, .max_alloc = 1 << 30,
                                        .capabilities = way & 2 ? bf16 : 0};
            const dm_choices_options o = {.high = way & 1, .deterministic = true};
            const char *first = NULL;

            for (int64_t examples = 1; examples < 130; examples++) {
                const dm_opnode n = by_examples(i, examples);
                const dm_impl *impl;
                dm_err err = {0};
                bool forced;

                must(dm_choose(&dev, &n, &o, NULL, &impl, &forced, &err), &err);
                first = first ? first : impl->name;
                if (strcmp(impl->name, first))
                    fail_msg("op %d, way %d: %s for one example, %s for %d", i, way, first, impl->name, (int)examples);
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(choices__rule, no_choices),
        cmocka_unit_test_setup(choices__winograd, no_choices),
        cmocka_unit_test_setup(choices__close, no_choices),
        cmocka_unit_test_setup(choices__no_products_of_bf16, no_choices),
        cmocka_unit_test_setup(choices__deterministic, no_choices),
        cmocka_unit_test(choices__deterministic_for_any_batch),
    };

    return cmocka_run_group_tests(tests, new_folder, remove_folder);
}
