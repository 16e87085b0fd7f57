/* Small files that ask for large memory: each reader of JSON, tensors and events refuses them within what the file's
 * size allows, in a process that may not have more (what `ulimit -v` does). */
#include "scratch.h"

#include "base/arena.h"
#include "base/json.h"
#include "device/tensor.h"
#include "format/safetensors.h"
#include "run/run_log.h"
#include "run/tb_events.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

typedef dm_status reader(const char *path, dm_err *err);

static dm_status read_safetensors(const char *path, dm_err *err)
{
    dm_st *f;
    const dm_status s = dm_st_open(path, &f, err);

    if (!s)
        dm_st_close(f);
    return s;
}

static dm_status read_json(const char *path, dm_err *err)
{
    json_t *j = NULL;
    char *text;
    size_t n;
    dm_status s = dm_file_slurp(path, (size_t)1 << 27, &text, &n, err);

    if (s)
        return s;
    s = dm_json_read(text, n, path, &j, err);
    json_decref(j);
    free(text);
    return s;
}

static dm_status read_log(const char *path, dm_err *err)
{
    static const char *const names[] = {"step"};
    double *v = NULL;
    int64_t rows;
    const dm_status s = dm_run_log_read(NULL, path, names, 1, &v, &rows, err);

    free(v);
    return s;
}

static dm_status read_events(const char *path, dm_err *err)
{
    dm_tb *t = NULL;
    const dm_status s = dm_tb_open(NULL, path, 1, &t, err);

    dm_tb_close(t);
    return s;
}

/* Head, then a piece over and over up to n bytes, then the tail; a safetensors header's length comes before. */
static void write_large(const char *path, bool tensors, const char *head, const char *piece, const char *tail, size_t n)
{
    FILE *f = fopen(path, "wb");
    const uint64_t pieces = (n - strlen(head) - strlen(tail)) / strlen(piece),
                   length = strlen(head) + pieces * strlen(piece) + strlen(tail);

    assert_non_null(f);
    if (tensors)
        assert_int_equal(fwrite(&length, 8, 1, f), 1);
    fputs(head, f);
    for (uint64_t i = 0; i < pieces; i++)
        fputs(piece, f);
    fputs(tail, f);
    assert_int_equal(fclose(f), 0);
}

/* The status of the reader in a process that may have `room` bytes more than it has. */
static dm_status within(size_t room, reader *r, const char *path)
{
    int status = 0;
    const pid_t child = fork();

    if (child == 0) {
        long pages = 0;
        FILE *f = fopen("/proc/self/statm", "r");
        struct rlimit l;
        dm_err err;

        if (!f || fscanf(f, "%ld", &pages) != 1)
            _exit(99);
        fclose(f);
        l.rlim_cur = l.rlim_max = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + room;
        if (setrlimit(RLIMIT_AS, &l))
            _exit(99);
        _exit((int)r(path, &err));
    }
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status));
    return (dm_status)(int8_t)WEXITSTATUS(status);
}

static void readers__keep_within_their_budget(void **state)
{
    enum { MB = 1 << 20 };
    static const struct {
        reader *r;
        bool tensors;
        const char *head, *piece, *tail;
        size_t bytes;
        dm_status want;
    } cases[] = {
        {read_safetensors, true, "{\"a\":[", "{},", "{}]}", 8 * MB, DM_ECORRUPT},
        {read_safetensors, true, "{\"a\":{\"dtype\":\"F32\",\"shape\":[", "0,", "0],\"data_offsets\":[0,0]}}", 8 * MB,
         DM_ECORRUPT},
        {read_safetensors, true, "{\"a\":", "[", "", 8 * MB, DM_ECORRUPT},
        {read_safetensors, true, "{\"__metadata__\":{\"a\":{", "\"a\":[],", "\"a\":1}}}", 8 * MB, DM_ECORRUPT},
        {read_safetensors, true, "{\"__metadata__\":{", "\"a\":\"\",", "\"a\":\"\"}}", 8 * MB, DM_ECORRUPT},
        {read_safetensors, true, "{", "\"a\":{},", "\"a\":{}}", 8 * MB, DM_ECORRUPT},
        {read_json, false, "[", "{},", "{}]", 8 * MB, DM_ECORRUPT},
        {read_json, false, "[", "[],", "[]]", 8 * MB, DM_ECORRUPT},
        {read_json, false, "{\"a\":[", "1,", "1]}", 8 * MB, DM_ECORRUPT},
        {read_json, false, "[", "\"0123456789012345678901234567890123456789\",", "\"\"]", 8 * MB, DM_OK},
        {read_log, false, "{\"step\":1,\"a\":[", "{},", "{}]}\n", 60000, DM_OK},
        {read_events, false, "\xff\xff\xff\xff\xff\xff\xff\x7f", "a", "a", MB, DM_OK},
    };
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "f");

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_large(path, cases[i].tensors, cases[i].head, cases[i].piece, cases[i].tail, cases[i].bytes);
        if (within(64 * MB + 8 * cases[i].bytes, cases[i].r, path) != cases[i].want)
            fail_msg("case %zu: status %d", i, (int)within(64 * MB + 8 * cases[i].bytes, cases[i].r, path));
    }
    scratch_remove(dir.dir);
}

static long fail_at; /* the allocation of jansson that fails, counted down; 0: none */

static bool overrun;

/* With its size before it and a mark behind it. */
static void *counted(size_t n)
{
    unsigned char *p = fail_at && --fail_at == 0 ? NULL : malloc(n + 24);

    if (!p)
        return NULL;
    memcpy(p, &n, sizeof n);
    memset(p + 16 + n, 0x5a, 8);
    return p + 16;
}

static void checked_free(void *given)
{
    unsigned char *p = given;
    size_t n;

    if (!p)
        return;
    memcpy(&n, p - 16, sizeof n);
    for (int i = 0; i < 8; i++)
        overrun |= p[n + (size_t)i] != 0x5a;
    free(p - 16);
}

/* LeakSanitizer's, where it is there: what the parser holds when it is left is lost. */
__attribute__((weak)) void __lsan_disable(void);
__attribute__((weak)) void __lsan_enable(void);

/* Each allocation of a parser fails once: it is out of memory, never damage, a member less, or bytes beyond a string
 * that grew to any length. */
static void json__each_allocation_fails(void **state)
{
    (void)state;
    for (int length = 0; length < 70; length++) {
        char text[256];
        const int size = snprintf(text, sizeof text, "{\"a\": \"%0*d\", \"b\": [1, 2.5, null, {\"c\": [], \"d\": {}}]}",
                                  length, 0);
        dm_status rc = DM_ENOMEM;

        for (int n = 1; rc; n++) {
            json_t *j;
            dm_err err = {0};

            fail_at = n;
            if (__lsan_disable)
                __lsan_disable();
            rc = dm_json_read(text, (size_t)size, "text", &j, &err);
            if (__lsan_enable)
                __lsan_enable();
            fail_at = 0;
            if (rc != (j ? DM_OK : DM_ENOMEM) || overrun)
                fail_msg("length %d, allocation %d: status %d: %s", length, n, (int)rc, err.msg);
            assert_true(rc || json_object_size(j) == 2);
            json_decref(j);
        }
    }
}

static void counts__do_not_wrap(void **state)
{
    const int64_t large = (int64_t)1 << 40;
    const dm_shape wide = {.rank = 3, .dim = {large, large, 2}};

    (void)state;
    assert_null(dm_array(large, large, 4));
    assert_null(dm_array((int64_t)1 << 61, 1, 8));
    assert_null(dm_array(-1, 1, 4));
    assert_null(dm_array(INT64_MAX, 2, 1));
    assert_true(dm_shape_count(&wide) == INT64_MAX);
    assert_null(dm_array(dm_shape_count(&wide), 1, sizeof(float)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(readers__keep_within_their_budget),
                                       cmocka_unit_test(json__each_allocation_fails),
                                       cmocka_unit_test(counts__do_not_wrap)};

    json_set_alloc_funcs(counted, checked_free); /* before the first use */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
