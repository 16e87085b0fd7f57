/* A CPU device that says it is an NVIDIA GPU of compute capability 8.0, with a compiler that takes PTX or refuses it, and
 * one wrong element in what comes back: tensor cores are used in the first case alone. Where it takes it, the kernel's imitation is built. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "../unit/device_setup.h"

#include <dlfcn.h>

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <demist/plugin.h>

#include "choices.h"

static enum { TAKES, REFUSES, MISTAKES } compiler;
static int built; /* programs with PTX */

DM_EXPORT cl_int clGetDeviceInfo(cl_device_id d, cl_device_info what, size_t n, void *v, size_t *size)
{
    static const char more[] = " cl_nv_device_attribute_query";
    cl_int (*f)(cl_device_id, cl_device_info, size_t, void *, size_t *), code;
    size_t there = 0;

    *(void **)&f = dlsym(RTLD_NEXT, "clGetDeviceInfo");
    if (what == CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV && n == sizeof(cl_uint)) {
        *(cl_uint *)v = 8;
        return CL_SUCCESS;
    }
    if (what == CL_DEVICE_EXTENSIONS) {
        if ((code = f(d, what, 0, NULL, &there)) || (v && n < there + sizeof more))
            return code ? code : CL_INVALID_VALUE;
        if (size)
            *size = there + sizeof more;
        if (v && !(code = f(d, what, n, v, NULL)))
            strcat(v, more);
        return code;
    }
    code = f(d, what, n, v, size);
    if (what == CL_DEVICE_TYPE && code == CL_SUCCESS && v)
        *(cl_device_type *)v = CL_DEVICE_TYPE_GPU;
    return code;
}

DM_EXPORT cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
                                void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    cl_int (*f)(cl_program, cl_uint, const cl_device_id *, const char *, void(CL_CALLBACK *)(cl_program, void *), void *);
    const char *ptx = strstr(options, "-DPTX");
    char text[1024];

    *(void **)&f = dlsym(RTLD_NEXT, "clBuildProgram");
    built += ptx != NULL;
    if (ptx && compiler == REFUSES)
        return CL_BUILD_PROGRAM_FAILURE;
    if (ptx)
        snprintf(text, sizeof text, "%.*s%s", (int)(ptx - options), options, ptx + strlen("-DPTX"));
    return f(p, n, ids, ptx ? text : options, notify, user);
}

DM_EXPORT cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool block, size_t offset, size_t bytes, void *to, cl_uint n,
                                     const cl_event *wait, cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *, cl_event *), code;

    *(void **)&f = dlsym(RTLD_NEXT, "clEnqueueReadBuffer");
    code = f(q, m, CL_TRUE, offset, bytes, to, n, wait, event);
    if (compiler == MISTAKES)
        ((float *)to)[bytes / sizeof(float) - 1] += 1;
    (void)block;
    return code;
}

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

    built = 0;
    if (dm_device_open(test_device(), &o, &d, &err))
        fail_msg("%s", err.msg);
    assert_int_equal(built, 1);
    return d;
}

static void nvidia__tensor_cores_that_work(void **state)
{
    const dm_opnode n = linear();
    const dm_impl *impl;
    dm_err err = {0};
    bool forced;
    dm_device *d;

    (void)state;
    compiler = TAKES;
    d = opened();
    assert_true(dm_device_about(d)->mma_bf16);
    assert_int_equal(dm_choose(dm_device_about(d), &n, true, NULL, &impl, &forced, &err), DM_OK);
    assert_string_equal(impl->name, "mma");
    dm_device_close(d);
}

static void without(int how)
{
    const dm_opnode n = linear();
    const dm_impl *impl;
    dm_err err = {0};
    bool forced;
    dm_device *d;

    compiler = how;
    d = opened();
    assert_false(dm_device_about(d)->mma_bf16);
    assert_int_equal(dm_choose(dm_device_about(d), &n, true, NULL, &impl, &forced, &err), DM_EDEVICE); /* in f32, between casts */
    assert_int_equal(dm_choose(dm_device_about(d), &n, true, "mma", &impl, &forced, &err), DM_OK);
    assert_true(forced);
    dm_device_close(d);
}

static void nvidia__compiler_refuses(void **state)
{
    (void)state;
    without(REFUSES);
}

static void nvidia__products_are_wrong(void **state)
{
    (void)state;
    without(MISTAKES);
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
