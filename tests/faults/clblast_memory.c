/* CLBlast without memory: each of its allocations fails once, as it is given parameters and multiplies. That is being
 * out of memory, not a fault of the device, and a product after it is right. */
#define _GNU_SOURCE
#include "opencl/gemm/gemm_parameters.h"

#include <dlfcn.h>

#include "../unit/scratch.h"

enum { N = 8, TRIES = 24 };

static long countdown = -1;        /* allocations until the one that fails; -1 = none does */
static bool met;

/* C++'s new and delete, as the ABI names them. */
__attribute__((visibility("default"))) void *_Znwm(size_t n);
__attribute__((visibility("default"))) void _ZdlPv(void *p);
__attribute__((visibility("default"))) void _ZdlPvm(void *p, size_t n);

void *_Znwm(size_t n)
{
    Dl_info from;
    void (*throw_bad_alloc)(void);

    if (countdown >= 0 && dladdr(__builtin_return_address(0), &from) && from.dli_fname &&
        strstr(from.dli_fname, "clblast") && countdown-- == 0) {
        met = true;
        *(void **)&throw_bad_alloc = dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv");
        throw_bad_alloc();
    }
    return malloc(n ? n : 1);
}

void _ZdlPv(void *p) { free(p); }
void _ZdlPvm(void *p, size_t n) { (void)n, free(p); }

/* A product on a device that was just opened, so that CLBlast has nothing yet. */
static dm_status multiply(const char *cache, long fails, dm_err *err)
{
    const char *select = getenv("DEMIST_DEVICE");
    const dm_device_options o = {.cache_dir = cache};
    float one[N * N], got[N * N] = {0};
    dm_device *d;
    dm_buf *b[3];
    dm_cmds *list;
    dm_status rc;

    for (int i = 0; i < N * N; i++)
        one[i] = 1;
    assert_status(dm_device_open(select ? select : "auto", &o, &d, err), DM_OK, err);
    for (int i = 0; i < 3; i++) {
        assert_status(dm_buf_new(d, sizeof one, "a matrix", &b[i], err), DM_OK, err);
        assert_status(dm_buf_write(b[i], 0, sizeof one, one, err), DM_OK, err);
    }
    const dm_gemm g = {.m = N, .n = N, .k = N, .batch = 1, .alpha = 1, .a = b[0], .b = b[1], .c = b[2], .lda = N,
                       .ldb = N, .ldc = N};

    assert_status(dm_cmds_new(d, &list, err), DM_OK, err);
    assert_status(dm_cmds_gemm(list, &g, "gemm", (dm_work){0, 0}, err), DM_OK, err);
    met = false;
    countdown = fails;
    rc = dm_cmds_run(list, err);
    countdown = -1;
    if (!rc) {
        assert_status(dm_buf_read(b[2], 0, sizeof got, got, err), DM_OK, err);
        for (int i = 0; i < N * N; i++)
            assert_true(got[i] == N);
    }
    dm_cmds_free(list);
    for (int i = 0; i < 3; i++)
        dm_buf_free(b[i]);
    dm_device_close(d);
    return rc;
}

static void gemm__without_memory(void **state)
{
    static const size_t values[] = {2, 8, 8, 8, 8, 1, 1, 1, 1, 8};
    const char *select = getenv("DEMIST_DEVICE");
    scratch dir = scratch_new();
    const dm_device_options o = {.cache_dir = dir.dir};
    ocl_gemm_set set = {0};
    dm_device *d;
    dm_err err = {0};
    int failed = 0;

    (void)state;
    assert_status(dm_device_open(select ? select : "auto", &o, &d, &err), DM_OK, &err);
    for (; ocl_direct_names[set.direct.n]; set.direct.n++) {
        set.direct.names[set.direct.n] = ocl_direct_names[set.direct.n];
        set.direct.values[set.direct.n] = values[set.direct.n];
    }
    assert_true(ocl_gemm_keep(d, &set));
    dm_device_close(d);
    for (int i = 0, at = 0; i < TRIES; i++, at += 1 + at / 4) {
        const dm_status rc = multiply(dir.dir, at, &err);

        if (!met)
            break;
        if (rc != DM_ENOMEM || !strstr(err.msg, "out of memory: CLBlast"))
            fail_msg("allocation %d of CLBlast's fails: %s: %s", at, dm_status_name(rc), err.msg);
        failed++;
    }
    assert_true(failed > 3);
    assert_status(multiply(dir.dir, -1, &err), DM_OK, &err);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gemm__without_memory)};

    return cmocka_run_group_tests_name("clblast_memory", tests, NULL, NULL);
}
