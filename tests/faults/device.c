/* Each OpenCL call of a small run is made to fail in turn: every time there is an error that names
 * the call and the code, nothing crashes and no OpenCL object is left over. */
#include "../unit/device_setup.h"
#include "clfault.h"

static const char source[] = "__kernel void twice(__global float *y, int n)\n"
                             "{ int i = get_global_id(0); if (i < n) y[i] *= 2; }\n";

/* Buffers, a window, direct and recorded launches; what was made is freed however far it came. */
static dm_status use(dm_device *d, dm_err *err)
{
    const size_t align = dm_device_get_info(d)->align;
    const dm_range r = {.dim = 1, .global = {4}};
    float x[4] = {1, 2, 3, 4};
    dm_buf *b = NULL, *w = NULL;
    dm_cmds *c = NULL;
    dm_kernel *k;
    dm_status s;

    if ((s = dm_buf_new(d, 2 * align, "a test", &b, err)) == DM_OK &&
        (s = dm_buf_window(b, align, 16, &w, err)) == DM_OK && (s = dm_cmds_new(d, &c, err)) == DM_OK &&
        (s = dm_buf_zero(b, 0, align, err)) == DM_OK && (s = dm_buf_write(w, 0, 16, x, err)) == DM_OK &&
        (s = dm_kernel_from_source(d, "tests/faults", source, "twice", NULL, &k, err)) == DM_OK &&
        (s = dm_launch(d, k, &r, DM_KARGS(DM_KB(w), DM_KI(4)), err)) == DM_OK &&
        (s = dm_cmds_launch(c, k, &r, DM_KARGS(DM_KB(w), DM_KI(4)), "twice", (dm_work){0, 0}, err)) == DM_OK &&
        (s = dm_cmds_copy(c, w, 0, b, 0, 16, err)) == DM_OK && (s = dm_cmds_zero(c, w, 0, 16, err)) == DM_OK &&
        (s = dm_cmds_run(c, err)) == DM_OK && (s = dm_device_finish(d, err)) == DM_OK &&
        (s = dm_buf_read(b, 0, 16, x, err)) == DM_OK)
        assert_true(x[0] == 4 && x[3] == 16);
    dm_cmds_free(c);
    dm_buf_free(w);
    dm_buf_free(b);
    return s;
}

static dm_status whole_run(bool profile, dm_err *err)
{
    /* No cache folder: each run builds from source. */
    const dm_device_options o = {.profile = profile, .cache_dir = "", .kernel_dir = FAULT_KERNELS};
    dm_profile_row *rows = NULL;
    dm_device *d = NULL;
    dm_status s = dm_device_open(test_device(), &o, &d, err);
    int n;

    if (s == DM_OK)
        s = use(d, err);
    if (s == DM_OK && profile)
        s = dm_device_profile(d, &rows, &n, err);
    free(rows);
    dm_device_close(d);
    return s;
}

static void sweep(bool profile, int code, const char *text, dm_status wanted)
{
    int k;

    for (k = 1; k < 200; k++) {
        dm_err err = {.code = DM_OK};
        dm_status s;
        const char *hit;

        clfault_arm(k, code);
        s = whole_run(profile, &err);
        hit = clfault_hit();
        if (!hit)
            break;
        if (clfault_live() != 0)
            fail_msg("call %d (%s): %ld objects left over", k, hit, clfault_live());
        if (s == DM_OK && !strcmp(hit, "clFinish"))
            continue; /* the one in dm_device_close, which cannot report */
        must_fail(s, wanted, &err, text);
        if (!strstr(err.msg, hit) || !strstr(err.msg, "on device '"))
            fail_msg("call %d (%s): the message does not name it or the device: %s", k, hit, err.msg);
    }
    assert_in_range(k, 20, 199);
    assert_int_equal(clfault_live(), 0);
}

static void device__each_call_fails_once(void **state)
{
    (void)state;
    sweep(false, -5, "CL_OUT_OF_RESOURCES (-5)", DM_EDEVICE);
}

static void device__each_call_runs_out_of_memory(void **state)
{
    (void)state;
    sweep(true, -4, "CL_MEM_OBJECT_ALLOCATION_FAILURE (-4)", DM_ENOMEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(device__each_call_fails_once),
        cmocka_unit_test(device__each_call_runs_out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
