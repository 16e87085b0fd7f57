/* A CPU device that says it is an NVIDIA GPU of compute capability 8.0, with a compiler that takes PTX or refuses it,
 * and one wrong element in what comes back: tensor cores are used in the first case alone. */
#include "../unit/device_setup.h"

#include "as_gpu.h"
#include "backends/capabilities.h"
#include "plan/choices.h"

static dm_opnode linear(void)
{
    dm_opnode n = {.kind = DM_OP_MATMUL, .n_in = 3, .n_out = 1};

    n.in[0] = (dm_desc){DM_DT_BF16, 2, {8, 16}};
    n.in[1] = (dm_desc){DM_DT_F32, 2, {24, 16}};
    n.in[2] = (dm_desc){.rank = -1};
    n.out[0] = (dm_desc){DM_DT_BF16, 2, {8, 24}};
    n.a.mm.tb = true;
    n.a.mm.batch = 1;
    n.a.mm.m = 8;
    n.a.mm.n = 24;
    n.a.mm.k = 16;
    return n;
}

/* No cache folder: each device is built for anew. */
static dm_device *opened(void)
{
    const dm_device_options o = {.bf16 = true, .cache_dir = ""};
    dm_err err = {0};
    dm_device *d;

    as_gpu_built = 0;
    if (dm_device_open(test_device(), &o, &d, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(as_gpu_built, 1);
    return d;
}

static void nvidia__tensor_cores_that_work(void **state)
{
    const dm_opnode n = linear();
    const dm_choices_options same = {.deterministic = true};
    const dm_impl *impl;
    dm_err err = {0};
    bool forced;
    dm_device *d;

    (void)state;
    as_gpu_how = AS_GPU_TAKES;
    d = opened();
    assert_true(dm_device_get_info(d)->capabilities & DM_CAP_MMA_BF16);
    assert_int_equal(dm_choose(dm_device_get_info(d), &n, &same, NULL, &impl, &forced, &err), DM_OK);
    assert_string_equal(impl->name, "mma");
    dm_device_close(d);
}

static void without(as_gpu_compiler how)
{
    const dm_opnode n = linear();
    const dm_choices_options same = {.deterministic = true};
    const dm_impl *impl;
    dm_err err = {0};
    bool forced;
    dm_device *d;

    as_gpu_how = how;
    d = opened();
    assert_false(dm_device_get_info(d)->capabilities & DM_CAP_MMA_BF16);
    assert_int_equal(dm_choose(dm_device_get_info(d), &n, &same, NULL, &impl, &forced, &err),
                     DM_EDEVICE); /* in f32, between casts */
    assert_int_equal(dm_choose(dm_device_get_info(d), &n, &same, "mma", &impl, &forced, &err), DM_OK);
    assert_true(forced);
    dm_device_close(d);
}

static void nvidia__compiler_refuses(void **state)
{
    (void)state;
    without(AS_GPU_REFUSES);
}

static void nvidia__products_are_wrong(void **state)
{
    (void)state;
    without(AS_GPU_MISTAKES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nvidia__tensor_cores_that_work),
        cmocka_unit_test(nvidia__compiler_refuses),
        cmocka_unit_test(nvidia__products_are_wrong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
