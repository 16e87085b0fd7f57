/* Buffers, windows, kernels, launches and recorded commands of the device under test, and what
 * each refuses. */
#include "device_setup.h"

static const char source[] =
    "__kernel void axpy(__global float *y, __global const float *x, float a, int n)\n"
    "{ int i = get_global_id(0); if (i < n) y[i] += a * (x ? x[i] : 1.0f); }\n"
    "__kernel void sum(__global float *y, __global const float *x, __local float *part, int n)\n"
    "{ int i = get_local_id(0); part[i] = x[get_global_id(0)]; barrier(CLK_LOCAL_MEM_FENCE);\n"
    "  if (!i) { float s = 0; for (int j = 0; j < n; j++) s += part[j]; y[get_group_id(0)] = s; } }\n"
    "__kernel __attribute__((reqd_work_group_size(4, 2, 1))) void group(__global int *y)\n"
    "{ if (!get_local_id(0) && !get_local_id(1))\n"
    "    y[get_group_id(0)] = 100 * (int)get_local_size(0) + (int)get_local_size(1); }\n"
    "__kernel void size(__global int *y) { if (!get_global_id(0)) y[0] = (int)get_local_size(0); }\n"
    "__kernel void four(__global int *y, int4 v) { y[0] = v.s0; y[1] = v.s1; y[2] = v.s2; y[3] = v.s3; }\n"
    "__kernel void odd_type(__global int *y, ulong n) { y[0] = (int)n; }\n";

static dm_kernel *kernel(dm_device *d, const char *name)
{
    dm_err err;
    dm_kernel *k = NULL;

    must(dm_kernel_from_source(d, "tests/device", source, name, NULL, &k, &err), &err);
    return k;
}

static dm_buf *buffer(dm_device *d, size_t bytes)
{
    dm_err err;
    dm_buf *b = NULL;

    must(dm_buf_new(d, bytes, "a test", &b, &err), &err);
    return b;
}

static uint8_t *pattern(size_t n, unsigned seed)
{
    uint8_t *p = malloc(n ? n : 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)((i * 2654435761u + seed) >> 7);
    return p;
}

/* ---- memory -------------------------------------------------------------------- */

static void buf__write_read_copy_at_odd_places(void **state)
{
    static const struct { size_t bytes, offset, n; } cases[] = {
        {1, 0, 1}, {7, 3, 4}, {33, 1, 31}, {4096, 0, 4096}, {65537, 13, 65000}, {1 << 20, 4095, 777777}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t bytes = cases[i].bytes, offset = cases[i].offset, n = cases[i].n;
        dm_buf *a = buffer(*state, bytes), *b = buffer(*state, bytes);
        uint8_t *want = pattern(bytes, 1), *part = pattern(n, 2), *got = malloc(bytes);
        dm_err err;

        must(dm_buf_write(a, 0, bytes, want, &err), &err);
        must(dm_buf_write(b, 0, bytes, want, &err), &err);
        must(dm_buf_write(a, offset, n, part, &err), &err);
        must(dm_buf_copy(a, offset, b, offset, n, &err), &err);
        memcpy(want + offset, part, n);
        memset(part, 0, n);
        must(dm_buf_read(b, 0, bytes, got, &err), &err);
        assert_memory_equal(got, want, bytes);
        must(dm_buf_read(a, offset, n, got, &err), &err);
        assert_memory_equal(got, want + offset, n);
        free(want), free(part), free(got);
        dm_buf_free(a), dm_buf_free(b);
    }
}

static void buf__many_writes_keep_their_order(void **state)
{
    dm_buf *b = buffer(*state, 64);
    uint8_t host[64];
    dm_err err;

    for (int i = 0; i < 100; i++) {
        memset(host, i, sizeof host);
        must(dm_buf_write(b, 0, sizeof host, host, &err), &err);
        memset(host, 255, sizeof host);
    }
    must(dm_buf_read(b, 0, sizeof host, host, &err), &err);
    for (int i = 0; i < 64; i++)
        assert_int_equal(host[i], 99);
    dm_buf_free(b);
}

static void buf__windows_add_up(void **state)
{
    const size_t align = dm_device_get_info(*state)->align;
    dm_buf *root = buffer(*state, 8 * align), *w, *ww;
    uint8_t *want = pattern(8 * align, 3), *got = malloc(8 * align);
    dm_err err;

    must(dm_buf_write(root, 0, 8 * align, want, &err), &err);
    must(dm_buf_window(root, 2 * align, 5 * align + 3, &w, &err), &err);
    must(dm_buf_window(w, 3 * align, align, &ww, &err), &err);
    must(dm_buf_read(ww, 0, align, got, &err), &err);
    assert_memory_equal(got, want + 5 * align, align);
    memset(want + 5 * align + 4, 0, 8);
    must(dm_buf_zero(ww, 4, 8, &err), &err);
    must(dm_buf_read(root, 0, 8 * align, got, &err), &err);
    assert_memory_equal(got, want, 8 * align);
    assert_int_equal(dm_buf_bytes(w), 5 * align + 3);
    must_fail(dm_buf_window(root, 4, 4, &ww, &err), DM_EINVAL, &err, "multiple of");
    must_fail(dm_buf_window(w, 5 * align, 4, &ww, &err), DM_EINVAL, &err, "outside");
    must_fail(dm_buf_read(ww, align - 1, 2, got, &err), DM_EINVAL, &err, "outside");
    must_fail(dm_buf_write(ww, SIZE_MAX, 2, got, &err), DM_EINVAL, &err, "outside");
    dm_buf_free(ww), dm_buf_free(w), dm_buf_free(root);
    free(want), free(got);
}

static void buf__zero_leaves_the_rest(void **state)
{
    static const struct { size_t words, first, n; } cases[] = {
        {1, 0, 1}, {3, 1, 1}, {33, 1, 31}, {65, 0, 65}, {20000, 3, 16385}, {100003, 1, 100001}, {300000, 7, 299993}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t bytes = 4 * cases[i].words;
        dm_buf *b = buffer(*state, bytes);
        uint8_t *want = pattern(bytes, 4), *got = malloc(bytes);
        dm_err err;

        must(dm_buf_write(b, 0, bytes, want, &err), &err);
        must(dm_buf_zero(b, 4 * cases[i].first, 4 * cases[i].n, &err), &err);
        memset(want + 4 * cases[i].first, 0, 4 * cases[i].n);
        must(dm_buf_read(b, 0, bytes, got, &err), &err);
        assert_memory_equal(got, want, bytes);
        must_fail(dm_buf_zero(b, 2, 4, &err), DM_EINVAL, &err, bytes < 6 ? "" : "multiples of 4");
        free(want), free(got);
        dm_buf_free(b);
    }
}

static void buf__too_large_says_what_to_do(void **state)
{
    const dm_device_info *info = dm_device_get_info(*state);
    dm_buf *b;
    dm_err err;

    must_fail(dm_buf_new(*state, (size_t)info->max_alloc + 1, "activations", &b, &err), DM_ENOMEM, &err,
              "for activations");
    must_fail(dm_buf_new(*state, SIZE_MAX, "activations", &b, &err), DM_ENOMEM, &err, "smaller batch");
    must_fail(dm_buf_new(*state, 0, "activations", &b, &err), DM_EINVAL, &err, "0 bytes");
}

static void buf__memory_is_counted(void **state)
{
    uint64_t now, peak, now2, peak2;
    const uint64_t n = dm_device_allocations(*state);
    dm_buf *a, *w;
    dm_err err;

    dm_device_memory(*state, &now, &peak);
    a = buffer(*state, 1 << 20);
    must(dm_buf_window(a, 0, 1 << 19, &w, &err), &err);
    dm_device_memory(*state, &now2, &peak2);
    assert_int_equal(now2, now + (1 << 20));
    assert_true(peak2 >= now2);
    assert_int_equal(dm_device_allocations(*state), n + 1);
    dm_buf_free(w), dm_buf_free(a);
    dm_device_memory(*state, &now2, &peak2);
    assert_int_equal(now2, now);
}

/* ---- launches ---------------------------------------------------------------------- */

static void launch__computes(void **state)
{
    enum { N = 1000 };
    static float x[N], y[N];
    dm_buf *bx = buffer(*state, sizeof x), *by = buffer(*state, sizeof y);
    const dm_range r = {.dim = 1, .global = {N}};
    dm_err err;

    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = 1;
    }
    must(dm_buf_write(bx, 0, sizeof x, x, &err), &err);
    must(dm_buf_write(by, 0, sizeof y, y, &err), &err);
    must(dm_launch(*state, kernel(*state, "axpy"), &r, DM_KARGS(DM_KB(by), DM_KB(bx), DM_KF(0.5), DM_KI(N - 1)), &err),
         &err);
    must(dm_launch(*state, kernel(*state, "axpy"), &r, DM_KARGS(DM_KB(by), DM_KB(NULL), DM_KF(2), DM_KI(N - 1)), &err),
         &err);
    must(dm_device_finish(*state, &err), &err);
    must(dm_buf_read(by, 0, sizeof y, y, &err), &err);
    for (int i = 0; i < N - 1; i++)
        assert_true(y[i] == 3 + 0.5f * (float)i);
    assert_true(y[N - 1] == 1);
    dm_buf_free(bx), dm_buf_free(by);
}

static void launch__groups(void **state)
{
    const dm_range r = {.dim = 1, .global = {24}, .local = {8}}, g = {.dim = 2, .global = {12, 2}};
    const dm_range wrong = {.dim = 2, .global = {12, 2}, .local = {2, 2}}, uneven = {.dim = 2, .global = {13, 2}};
    dm_buf *bx = buffer(*state, 96), *by = buffer(*state, 12);
    float x[24], y[3];
    int32_t z[3], four[4];
    dm_err err;

    for (int i = 0; i < 24; i++)
        x[i] = (float)i;
    must(dm_buf_write(bx, 0, sizeof x, x, &err), &err);
    must(dm_launch(*state, kernel(*state, "sum"), &r, DM_KARGS(DM_KB(by), DM_KB(bx), DM_KL(32), DM_KI(8)), &err), &err);
    must(dm_buf_read(by, 0, sizeof y, y, &err), &err);
    assert_true(y[0] == 28 && y[1] == 92 && y[2] == 156);
    must(dm_launch(*state, kernel(*state, "four"), &(dm_range){.dim = 1, .global = {1}},
                   DM_KARGS(DM_KB(bx), DM_KI4(1, -2, 3, INT32_MAX)), &err),
         &err);
    must(dm_buf_read(bx, 0, sizeof four, four, &err), &err);
    assert_true(four[0] == 1 && four[1] == -2 && four[2] == 3 && four[3] == INT32_MAX);
    must(dm_launch(*state, kernel(*state, "group"), &g, DM_KARGS(DM_KB(by)), &err), &err);
    must(dm_buf_read(by, 0, sizeof z, z, &err), &err);
    assert_true(z[0] == 402 && z[1] == 402 && z[2] == 402);
    must_fail(dm_launch(*state, kernel(*state, "group"), &wrong, DM_KARGS(DM_KB(by)), &err), DM_EINVAL, &err,
              "reqd_work_group_size");
    must_fail(dm_launch(*state, kernel(*state, "group"), &uneven, DM_KARGS(DM_KB(by)), &err), DM_EINVAL, &err,
              "multiple");
    dm_buf_free(bx), dm_buf_free(by);
}

static void launch__chooses_groups_for_text(void **state)
{
    const dm_device_info *info = dm_device_get_info(*state);
    const size_t many = 64 * 8 * (size_t)info->compute_units;
    const struct { size_t global, cpu; } cases[] = {{many, 64}, {many + 1, 1}, {64, 1}, {1, 1}};
    dm_buf *b = buffer(*state, 4);
    int32_t got;
    dm_err err;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dm_range r = {.dim = 1, .global = {cases[i].global}};

        must(dm_launch(*state, kernel(*state, "size"), &r, DM_KARGS(DM_KB(b)), &err), &err);
        must(dm_buf_read(b, 0, 4, &got, &err), &err);
        assert_int_equal(cases[i].global % (size_t)got, 0);
        if (info->cpu && !info->gpu && !info->emulated)
            assert_int_equal(got, cases[i].cpu);
    }
    dm_buf_free(b);
}

static void launch__refuses(void **state)
{
    const dm_range ok = {.dim = 1, .global = {8}}, none = {.dim = 1, .global = {0}}, four = {.dim = 4, .global = {1}};
    const dm_range uneven = {.dim = 1, .global = {9}, .local = {2}};
    dm_range huge = {.dim = 1};
    dm_buf *b = buffer(*state, 64);
    dm_kernel *k = kernel(*state, "axpy");
    dm_err err;

    huge.local[0] = huge.global[0] = 2 * dm_device_get_info(*state)->max_group;
    must_fail(dm_launch(*state, k, &ok, DM_KARGS(DM_KB(b)), &err), DM_EINVAL, &err, "1 arguments given where it has 4");
    must_fail(dm_launch(*state, k, &ok, DM_KARGS(DM_KB(b), DM_KB(b), DM_KI(1), DM_KI(8)), &err), DM_EINVAL, &err,
              "argument 2 is DM_I32 where the kernel has 'float'");
    must_fail(dm_launch(*state, k, &ok, DM_KARGS(DM_KF(1), DM_KB(b), DM_KF(1), DM_KI(8)), &err), DM_EINVAL, &err,
              "DM_F32");
    must_fail(dm_launch(*state, kernel(*state, "four"), &ok, DM_KARGS(DM_KB(b), DM_KI(1)), &err), DM_EINVAL, &err,
              "int4");
    must_fail(dm_launch(*state, k, &ok, DM_KARGS(DM_KB(b), DM_KB(b), DM_KF(1), DM_KI4(8, 0, 0, 0)), &err), DM_EINVAL,
              &err, "DM_I32X4");
    must_fail(dm_launch(*state, kernel(*state, "odd_type"), &ok, DM_KARGS(DM_KB(b), DM_KI(1)), &err), DM_EINVAL, &err,
              "ulong");
    must_fail(dm_launch(*state, k, &none, DM_KARGS(DM_KB(b), DM_KB(b), DM_KF(1), DM_KI(8)), &err), DM_EINVAL, &err,
              "0");
    must_fail(dm_launch(*state, k, &four, DM_KARGS(DM_KB(b), DM_KB(b), DM_KF(1), DM_KI(8)), &err), DM_EINVAL, &err,
              "dimensions");
    must_fail(dm_launch(*state, k, &uneven, DM_KARGS(DM_KB(b), DM_KB(b), DM_KF(1), DM_KI(8)), &err), DM_EINVAL, &err,
              "multiple");
    must_fail(dm_launch(*state, k, &huge, DM_KARGS(DM_KB(b), DM_KB(b), DM_KF(1), DM_KI(8)), &err), DM_EDEVICE, &err,
              "larger");
    k = kernel(*state, "sum");
    must_fail(dm_launch(*state, k, &ok, DM_KARGS(DM_KB(b), DM_KB(b), DM_KL(SIZE_MAX), DM_KI(8)), &err),
              DM_EDEVICE, &err, "local memory");
    must_fail(dm_kernel_from_source(*state, "tests/device", source, "nowhere", NULL, &k, &err), DM_ENOENT, &err,
              "'nowhere'");
    dm_buf_free(b);
}

/* ---- recorded commands ------------------------------------------------------------------ */

static void cmds__replay(void **state)
{
    const dm_range r = {.dim = 1, .global = {4}};
    dm_buf *a = buffer(*state, 16), *b = buffer(*state, 16);
    dm_kernel *k = kernel(*state, "axpy");
    float got[4];
    dm_cmds *c;
    dm_err err;

    must(dm_cmds_new(*state, &c, &err), &err);
    must(dm_cmds_zero(c, a, 0, 16, &err), &err);
    must(dm_cmds_launch(c, k, &r, DM_KARGS(DM_KB(a), DM_KB(NULL), DM_KF(1), DM_KI(4)), "one", (dm_work){8, 16}, &err),
         &err);
    must(dm_cmds_launch(c, k, &r, DM_KARGS(DM_KB(a), DM_KB(a), DM_KF(2), DM_KI(3)), "two", (dm_work){8, 16}, &err),
         &err);
    must(dm_cmds_copy(c, a, 4, b, 0, 8, &err), &err);
    must_fail(dm_cmds_launch(c, k, &r, DM_KARGS(DM_KB(a)), "bad", (dm_work){0, 0}, &err), DM_EINVAL, &err, "arguments");
    must_fail(dm_cmds_copy(c, a, 12, b, 0, 8, &err), DM_EINVAL, &err, "outside");
    must_fail(dm_cmds_zero(c, a, 0, 20, &err), DM_EINVAL, &err, "outside");
    assert_int_equal(dm_cmds_count(c), 4);
    for (int i = 0; i < 3; i++) {
        must(dm_cmds_run(c, &err), &err);
        must(dm_buf_read(a, 0, 16, got, &err), &err);
        assert_true(got[0] == 3 && got[1] == 3 && got[2] == 3 && got[3] == 1);
        must(dm_buf_read(b, 0, 8, got, &err), &err);
        assert_true(got[0] == 3 && got[1] == 3);
    }
    must(dm_cmds_run_range(c, 2, 3, &err), &err);
    must(dm_cmds_run_range(c, 1, 1, &err), &err);
    must(dm_buf_read(a, 0, 16, got, &err), &err);
    assert_true(got[0] == 9 && got[3] == 1);
    must_fail(dm_cmds_run_range(c, 3, 5, &err), DM_EINVAL, &err, "[3,5)");
    dm_cmds_free(c);
    dm_buf_free(a), dm_buf_free(b);
}

/* Launches by one command buffer: runs that do not wait for the one before, a part of the list, and the list after it
 * grew. */
static void cmds__command_buffers(void **state)
{
    const dm_range r = {.dim = 1, .global = {4}};
    dm_device *d;
    dm_buf *a, *b;
    dm_kernel *k;
    dm_cmds *c;
    dm_err err;
    float got[4];

    if (!dm_device_get_info(*state)->command_buffer)
        skip();
    setenv("DEMIST_REPLAY", "on", 1);
    must(dm_device_open(test_device(), NULL, &d, &err), &err);
    unsetenv("DEMIST_REPLAY");
    a = buffer(d, 16);
    b = buffer(d, 16);
    k = kernel(d, "axpy");
    must(dm_cmds_new(d, &c, &err), &err);
    must(dm_cmds_zero(c, b, 0, 16, &err), &err);
    for (int i = 0; i < 6; i++)
        must(dm_cmds_launch(c, k, &r, DM_KARGS(DM_KB(a), DM_KB(NULL), DM_KF(i + 1), DM_KI(4)), "add", (dm_work){0, 0},
                            &err),
             &err);
    must(dm_cmds_copy(c, a, 0, b, 0, 16, &err), &err);
    must(dm_buf_zero(a, 0, 16, &err), &err);
    for (int i = 0; i < 50; i++)
        must(dm_cmds_run(c, &err), &err);
    must(dm_buf_read(b, 0, 16, got, &err), &err);
    assert_true(got[0] == 50 * 21 && got[3] == 50 * 21);
    assert_int_equal(dm_device_replays(d), 50);
    must(dm_cmds_run_range(c, 1, 3, &err), &err);
    assert_int_equal(dm_device_replays(d), 50);
    for (int i = 0; i < 4; i++)
        must(dm_cmds_launch(c, k, &r, DM_KARGS(DM_KB(b), DM_KB(a), DM_KF(1), DM_KI(3)), "more", (dm_work){0, 0}, &err),
             &err);
    must(dm_cmds_run(c, &err), &err);
    must(dm_buf_read(a, 0, 16, got, &err), &err);
    assert_true(got[0] == 51 * 21 + 3 && got[3] == 51 * 21 + 3);
    must(dm_buf_read(b, 0, 16, got, &err), &err);
    assert_true(got[0] == 5 * (51 * 21 + 3) && got[3] == 51 * 21 + 3);
    assert_int_equal(dm_device_replays(d), 52);
    /* Split, no command buffer reaches over that place: 4 launches before it are one, and 6 from it to the copy. */
    must(dm_cmds_split(c, (const int[]){4}, 1, &err), &err);
    must(dm_buf_zero(a, 0, 16, &err), &err);
    must(dm_cmds_run_between(c, 0, 4, &err), &err);
    assert_int_equal(dm_device_replays(d), 53);
    must(dm_buf_read(a, 0, 16, got, &err), &err);
    assert_true(got[0] == 1 + 2 + 3 && got[3] == 1 + 2 + 3);
    must(dm_cmds_run_between(c, 4, 8, &err), &err); /* 8 is no such place: launch by launch */
    assert_int_equal(dm_device_replays(d), 53);
    must(dm_buf_read(b, 0, 16, got, &err), &err);
    assert_true(got[0] == 21 && got[3] == 21);
    dm_cmds_free(c);
    dm_buf_free(a), dm_buf_free(b);
    dm_device_close(d);
}

/* What is read in its place has the numbers of that place, whatever comes after it. */
static void fetch__is_in_order(void **state)
{
    const dm_range r = {.dim = 1, .global = {4}};
    dm_buf *a = buffer(*state, 16);
    dm_kernel *k = kernel(*state, "axpy");
    dm_fetch f[20], none = {0};
    float got[20][4];
    dm_err err;

    must(dm_buf_zero(a, 0, 16, &err), &err);
    for (int i = 0; i < 20; i++) {
        must(dm_launch(*state, k, &r, DM_KARGS(DM_KB(a), DM_KB(NULL), DM_KF(1), DM_KI(4)), &err), &err);
        must(dm_buf_fetch(a, 4, 8, got[i], &f[i], &err), &err);
    }
    for (int i = 19; i >= 0; i--) {
        must(dm_fetch_wait(&f[i], &err), &err);
        assert_true(dm_fetch_over(&f[i]));
        assert_true(got[i][0] == (float)i + 1 && got[i][1] == (float)i + 1);
    }
    must(dm_fetch_wait(&f[0], &err), &err);
    must(dm_fetch_wait(&none, &err), &err);
    must_fail(dm_buf_fetch(a, 8, 12, got, &none, &err), DM_EINVAL, &err, "outside");
    dm_buf_free(a);
}

static void replay__refuses_what_it_does_not_know(void **state)
{
    dm_device *d;
    dm_err err = {0};

    (void)state;
    setenv("DEMIST_REPLAY", "yes", 1);
    must_fail(dm_device_open(test_device(), NULL, &d, &err), DM_EINVAL, &err, "on or off");
    unsetenv("DEMIST_REPLAY");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buf__write_read_copy_at_odd_places),
        cmocka_unit_test(buf__many_writes_keep_their_order),
        cmocka_unit_test(buf__windows_add_up),
        cmocka_unit_test(buf__zero_leaves_the_rest),
        cmocka_unit_test(buf__too_large_says_what_to_do),
        cmocka_unit_test(buf__memory_is_counted),
        cmocka_unit_test(launch__computes),
        cmocka_unit_test(launch__groups),
        cmocka_unit_test(launch__chooses_groups_for_text),
        cmocka_unit_test(launch__refuses),
        cmocka_unit_test(cmds__replay),
        cmocka_unit_test(cmds__command_buffers),
        cmocka_unit_test(fetch__is_in_order),
        cmocka_unit_test(replay__refuses_what_it_does_not_know),
    };

    return cmocka_run_group_tests(tests, open_device, close_device);
}
