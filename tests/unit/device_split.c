/* Buffers in several allocations. */
#include "device_setup.h"

enum { EACH = 4096, N = 3 * EACH / 4 + 10, BYTES = 4 * N };

static const char source[] = "__kernel void add(__global int *x, int k)\n{ x[get_global_id(0)] += k; }\n";

static dm_buf *split(dm_device *d)
{
    static int32_t x[N];
    dm_err err = {0};
    dm_buf *b;

    for (int i = 0; i < N; i++)
        x[i] = i;
    must(dm_buf_new_split(d, BYTES, EACH, "a test", &b, &err), &err);
    assert_int_equal(dm_buf_bytes(b), BYTES);
    must(dm_buf_write(b, 0, BYTES, x, &err), &err);
    return b;
}

/* All of b is `first`, first + 1, ..., but for what lies in [from, to), which is `other`. */
static void expect(dm_buf *b, int first, int from, int to, int other)
{
    static int32_t x[N];
    dm_err err = {0};

    must(dm_buf_read(b, 0, dm_buf_bytes(b), x, &err), &err);
    for (int i = 0; i < (int)dm_buf_bytes(b) / 4; i++)
        assert_int_equal(x[i], i >= from && i < to ? other : first + i);
}

static void split__runs(void **state)
{
    dm_err err = {0};
    dm_buf *b = split(*state), *whole;

    assert_int_equal(dm_buf_run(b, 0), EACH);
    assert_int_equal(dm_buf_run(b, EACH - 4), 4);
    assert_int_equal(dm_buf_run(b, EACH), EACH);
    assert_int_equal(dm_buf_run(b, BYTES - 8), 8);
    dm_buf_free(b);
    must(dm_buf_new_split(*state, EACH, EACH, "a test", &whole, &err), &err);
    assert_int_equal(dm_buf_run(whole, 0), EACH);
    dm_buf_free(whole);
}

static void split__bytes_move(void **state)
{
    const uint64_t before = dm_device_allocations(*state);
    dm_err err = {0};
    dm_buf *b = split(*state), *whole;
    dm_fetch fetch;
    dm_cmds *c;
    int32_t x[1500];
    uint64_t now, left, peak;

    assert_int_equal(dm_device_allocations(*state) - before, 4);
    expect(b, 0, 0, 0, 0);
    must(dm_buf_fetch(b, 4000, sizeof x, x, &fetch, &err), &err);
    must(dm_fetch_wait(&fetch, &err), &err);
    for (int i = 0; i < 1500; i++)
        assert_int_equal(x[i], 1000 + i);
    must(dm_buf_zero(b, 4000, sizeof x, &err), &err);
    expect(b, 0, 1000, 2500, 0);
    must(dm_buf_new(*state, BYTES - 400, "a test", &whole, &err), &err);
    must(dm_cmds_new(*state, &c, &err), &err);
    must(dm_buf_write(b, 4000, sizeof x, x, &err), &err);
    must(dm_cmds_copy(c, b, 400, whole, 0, BYTES - 400, &err), &err);
    must(dm_cmds_zero(c, b, 0, BYTES, &err), &err);
    must(dm_cmds_run(c, &err), &err);
    expect(whole, 100, 0, 0, 0);
    must(dm_buf_copy(whole, 0, b, 400, BYTES - 400, &err), &err);
    expect(b, 0, 0, 100, 0);
    must_fail(dm_buf_read(b, BYTES - 4, 8, x, &err), DM_EINVAL, &err, "outside of a buffer");
    must_fail(dm_buf_zero(b, EACH, BYTES, &err), DM_EINVAL, &err, "outside of a buffer");
    dm_cmds_free(c);
    dm_device_memory(*state, &now, &peak);
    dm_buf_free(b);
    dm_device_memory(*state, &left, &peak);
    assert_int_equal(now - left, BYTES);
    dm_buf_free(whole);
}

/* A kernel gets what lies in one allocation. */
static void split__windows(void **state)
{
    const dm_range r = {.dim = 1, .global = {256}};
    dm_err err = {0};
    dm_buf *b = split(*state), *w;
    dm_kernel *k;

    must(dm_kernel_from_source(*state, "split.c", source, "add", NULL, &k, &err), &err);
    must_fail(dm_launch(*state, k, &r, DM_KARGS(DM_KB(b), DM_KI(1)), &err), DM_EINVAL, &err, "several allocations");
    must_fail(dm_buf_window(b, EACH / 2, EACH, &w, &err), DM_EINVAL, &err, "lies in two allocations");
    must(dm_buf_window(b, EACH + EACH / 2, 1024, &w, &err), &err);
    must(dm_launch(*state, k, &r, DM_KARGS(DM_KB(w), DM_KI(1000)), &err), &err);
    expect(w, 1536 + 1000, 0, 0, 0);
    must(dm_buf_zero(w, 0, 1024, &err), &err);
    expect(b, 0, 1536, 1792, 0);
    dm_buf_free(w);
    dm_buf_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(split__runs), cmocka_unit_test(split__bytes_move),
                                       cmocka_unit_test(split__windows)};

    return cmocka_run_group_tests(tests, open_device, close_device);
}
