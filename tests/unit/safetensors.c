/* safetensors against files that the Python package wrote, byte for byte, and against a corpus of
 * files that lie. */
#include "scratch.h"

#include "format/safetensors.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>

static const struct { const char *name; dm_st_type type; int n; double v[6]; } expected[] = {
    {"l", DM_ST_I64, 3, {-9007199254740992.0, 7, 9007199254740992.0}},
    {"d", DM_ST_F64, 6, {1.5, -2.25, 1e300, 0.1, INFINITY, -0.0}},
    {"empty", DM_ST_F32, 0, {0}},
    {"f", DM_ST_F32, 4, {1, -0.5, 3.25, 9.99994610111476e-41}},
    {"scalar", DM_ST_F32, 1, {42}},
    {"i", DM_ST_I32, 2, {-2147483648.0, 2147483647}},
    {"b", DM_ST_BF16, 4, {1, -3.140625, 3.00405527047391e38, 1.0101904577379033e-39}},
    {"h", DM_ST_F16, 6, {1, -2.5, 65504, 5.9604644775390625e-8, -INFINITY, 0.333251953125}},
    {"s", DM_ST_I16, 2, {-32768, 32767}},
    {"c", DM_ST_I8, 2, {-128, 127}},
    {"u", DM_ST_U8, 3, {0, 128, 255}},
    {"t", DM_ST_BOOL, 3, {1, 0, 1}},
};

static dm_st *open_data(const char *name)
{
    char path[1024];
    dm_err err;
    dm_st *f;

    assert_status(dm_st_open(scratch_data(path, sizeof path, name), &f, &err), DM_OK, &err);
    return f;
}

static void read__every_type(void **state)
{
    dm_st *f = open_data("types.safetensors");
    const char *key, *value;
    dm_err err;

    (void)state;
    assert_int_equal(dm_st_count(f), 12);
    for (size_t i = 0; i < 12; i++) {
        const dm_st_tensor *t = dm_st_at(f, (int64_t)i);
        double v[6];
        float w[6];

        assert_string_equal(t->name, expected[i].name);
        assert_ptr_equal(dm_st_find(f, t->name), t);
        assert_int_equal(t->type, expected[i].type);
        assert_int_equal(t->count, expected[i].n);
        assert_status(dm_st_read_f64(f, t, 0, t->count, v, &err), DM_OK, &err);
        assert_status(dm_st_read_f32(f, t, 0, t->count, w, &err), DM_OK, &err);
        for (int k = 0; k < expected[i].n; k++) {
            const double e = expected[i].v[k];

            assert_true(fabs(v[k] - e) <= 1e-14 * fabs(e) || v[k] == e);
            assert_int_equal(signbit(v[k]) != 0, signbit(e) != 0);
            assert_true(w[k] == (float)v[k]);
        }
    }
    assert_null(dm_st_find(f, "none"));
    assert_string_equal(dm_st_meta(f, "note"), "gr\xc3\xbc\xc3\x9f" "e \"quoted\"");
    assert_true(dm_st_meta_at(f, 0, &key, &value));
    assert_string_equal(key, "format");
    assert_false(dm_st_meta_at(f, 2, &key, &value));
    dm_st_close(f);
}

static void read__parts_and_bounds(void **state)
{
    dm_st *f = open_data("plain.safetensors");
    const dm_st_tensor *w = dm_st_find(f, "w"), *t;
    float v[6];
    dm_err err;

    (void)state;
    assert_status(dm_st_read_f32(f, w, 2, 3, v, &err), DM_OK, &err);
    assert_true(v[0] == 2 && v[2] == 4);
    assert_fails(dm_st_read_f32(f, w, 4, 3, v, &err), DM_EINVAL, &err, "it has 6");
    assert_fails(dm_st_read_f32(f, w, -1, 1, v, &err), DM_EINVAL, &err, "it has 6");
    assert_fails(dm_st_read(f, w, UINT64_MAX, v, 8, &err), DM_EINVAL, &err, "it has 24");
    assert_status(dm_st_expect(f, "w", &(dm_shape){2, {-1, 3}}, &t, &err), DM_OK, &err);
    assert_fails(dm_st_expect(f, "w", &(dm_shape){2, {-1, 4}}, &t, &err), DM_ECORRUPT, &err,
                 "is [2, 3]; [any, 4] is needed");
    assert_fails(dm_st_expect(f, "q", &(dm_shape){0, {0}}, &t, &err), DM_ECORRUPT, &err, "no tensor 'q'");
    dm_st_close(f);
}

/* Every data file, read and written again, is the same file. */
static void write__same_bytes_as_python(void **state)
{
    static const char *const names[] = {"types.safetensors", "plain.safetensors"};
    scratch dir = scratch_new();
    char path[1024];
    dm_err err;

    (void)state;
    for (int k = 0; k < 2; k++) {
        dm_st *f = open_data(names[k]);
        const char *to = scratch_path(&dir, names[k]);
        const int64_t n = dm_st_count(f);
        dm_st_source src[12];
        dm_pair meta[2];
        unsigned char *a, *b;
        size_t na, nb;
        int64_t m = 0;

        for (int64_t i = 0; i < n; i++) {
            const dm_st_tensor *t = dm_st_at(f, i);
            void *data = malloc(t->bytes + 1);

            assert_status(dm_st_read(f, t, 0, data, t->bytes, &err), DM_OK, &err);
            src[i] = (dm_st_source){.name = t->name, .type = t->type, .shape = t->shape, .data = data};
        }
        while (m < 2 && dm_st_meta_at(f, m, &meta[m].key, &meta[m].value))
            m++;
        assert_status(dm_st_write(to, src, n, meta, m, &err), DM_OK, &err);
        a = scratch_read(to, &na);
        b = scratch_read(scratch_data(path, sizeof path, names[k]), &nb);
        assert_int_equal(na, nb);
        assert_memory_equal(a, b, na);
        free(a);
        free(b);
        for (int64_t i = 0; i < n; i++)
            free((void *)(uintptr_t)src[i].data);
        dm_st_close(f);
    }
    scratch_remove(dir.dir);
}

/* What is wrong is one word of a header that is else fine: 8 bytes of data follow. */
static const struct { const char *header, *says; } bad[] = {
    {"", "begin with '{'"},
    {"[]", "begin with '{'"},
    {" {}", "begin with '{'"},
    {"{", "not JSON"},
    {"{}x", "not JSON"},
    {"{}", "its header says 0"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "its header says 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "outside of the 8 bytes"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "begins at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
     "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "duplicate"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "ends at 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
     "\"z\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}", "begins at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", "say 12"},
    {"{\"a\":{\"dtype\":\"F99\",\"shape\":[2],\"data_offsets\":[0,8]}}", "unknown dtype 'F99'"},
    {"{\"a\":{\"dtype\":4,\"shape\":[2],\"data_offsets\":[0,8]}}", "is not {dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", "is not {dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", "is not {dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}}", "is not {dtype"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]}}", "not an integer"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", "not an integer"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", "outside of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", "outside of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9223372036854775807]}}", "outside of"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551624]}}", "not JSON"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4194305,4194305,211106198978564],\"data_offsets\":[0,4]},"
     "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}", "overflows"},
    {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693953],\"data_offsets\":[0,8]}}", "overflows"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", "rank 9"},
    {"{\"__metadata__\":[]}", "not an object of strings"},
    {"{\"__metadata__\":{\"a\":1}}", "is not a string"},
    {"{\"a\xff\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", "not JSON"},
};

static void open__hostile_headers(void **state)
{
    scratch dir = scratch_new();
    dm_err err;
    dm_st *f;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const size_t n = strlen(bad[i].header);
        unsigned char file[1024] = {(unsigned char)(n & 255), (unsigned char)(n >> 8)};

        memcpy(file + 8, bad[i].header, n);
        assert_fails(dm_st_open(scratch_file(&dir, "f", file, n + 16), &f, &err), DM_ECORRUPT, &err, bad[i].says);
    }
    scratch_remove(dir.dir);
}

static void open__hostile_lengths(void **state)
{
    static const struct { unsigned char b[10]; size_t n; const char *says; } cases[] = {
        {{0}, 0, "too short"},
        {{2, 0, 0, 0, 0, 0, 0}, 7, "too short"},
        {{2, 0, 0, 0, 0, 0, 0, 0, '{'}, 9, "header of 2 bytes in a file of 9"},
        {{2, 0, 0, 0, 0, 0, 0, 128, '{', '}'}, 10, "header of 9223372036854775810 bytes"},
        {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, "header of 18446744073709551615 bytes"},
    };
    scratch dir = scratch_new();
    dm_err err;
    dm_st *f;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_fails(dm_st_open(scratch_file(&dir, "f", cases[i].b, cases[i].n), &f, &err), DM_ECORRUPT, &err,
                     cases[i].says);
    assert_fails(dm_st_open(dir.dir, &f, &err), DM_EINVAL, &err, "not a regular file");
    assert_fails(dm_st_open(scratch_path(&dir, "none"), &f, &err), DM_ENOENT, &err, "none");
    scratch_remove(dir.dir);
}

/* Every prefix of a good file, and every byte of it damaged: an error or a file, never a fault. */
static void open__every_prefix_and_flip(void **state)
{
    scratch dir = scratch_new();
    char path[1024];
    size_t n;
    unsigned char *b = scratch_read(scratch_data(path, sizeof path, "types.safetensors"), &n);
    dm_err err;
    dm_st *f;

    (void)state;
    for (size_t i = 0; i < n; i++)
        assert_status(dm_st_open(scratch_file(&dir, "f", b, i), &f, &err), DM_ECORRUPT, &err);
    for (size_t i = 0; i < n; i++) {
        b[i] ^= 0x15;
        if (dm_st_open(scratch_file(&dir, "f", b, n), &f, &err) == DM_OK) {
            for (int64_t k = 0; k < dm_st_count(f); k++) {
                double v[64];

                dm_st_read_f64(f, dm_st_at(f, k), 0, dm_st_at(f, k)->count, v, &err);
            }
            dm_st_close(f);
        }
        b[i] ^= 0x15;
    }
    free(b);
    scratch_remove(dir.dir);
}

static dm_status count_up(void *user, uint64_t from, void *to, size_t n, dm_err *err)
{
    unsigned char *b = to;

    assert_int_equal(from, *(uint64_t *)user);
    if (from >= 3u << 20)
        return dm_error(err, DM_EDEVICE, "the device is gone");
    for (size_t i = 0; i < n; i++)
        b[i] = (unsigned char)((from + i) * 7 >> 3);
    *(uint64_t *)user += n;
    return DM_OK;
}

static void write__from_chunks(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "big");
    uint64_t at = 0;
    dm_st_source t = {.name = "x", .type = DM_ST_U8, .shape = {2, {3, 1000000}}, .fill = count_up, .user = &at};
    unsigned char b[3];
    dm_err err;
    dm_st *f;

    (void)state;
    assert_status(dm_st_write(path, &t, 1, NULL, 0, &err), DM_OK, &err);
    assert_status(dm_st_open(path, &f, &err), DM_OK, &err);
    assert_int_equal(dm_st_at(f, 0)->offset % 8, 0);
    assert_status(dm_st_read(f, dm_st_at(f, 0), 2999997, b, 3, &err), DM_OK, &err);
    assert_int_equal(b[0], (unsigned char)(2999997u * 7 >> 3));
    dm_st_close(f);
    /* a source that fails, and a disk that is full: the old file stays, nothing else does */
    t.shape.dim[1] = 2000000;
    at = 0;
    assert_fails(dm_st_write(path, &t, 1, NULL, 0, &err), DM_EDEVICE, &err, "gone");
    assert_int_equal(scratch_entries(dir.dir), 1);
    assert_status(dm_st_open(path, &f, &err), DM_OK, &err);
    dm_st_close(f);
    scratch_remove(dir.dir);
}

static void write__full_disk_keeps_the_old_file(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "w");
    float x[64] = {1};
    const dm_st_source small = {.name = "x", .type = DM_ST_F32, .shape = {1, {2}}, .data = x};
    const dm_st_source large = {.name = "x", .type = DM_ST_F32, .shape = {1, {64}}, .data = x};
    struct rlimit old, low;
    dm_status s;
    dm_err err;
    dm_st *f;

    (void)state;
    assert_status(dm_st_write(path, &small, 1, NULL, 0, &err), DM_OK, &err);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    low = (struct rlimit){200, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &low);
    s = dm_st_write(path, &large, 1, NULL, 0, &err);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_fails(s, DM_ENOSPC, &err, "unable to write");
    assert_int_equal(scratch_entries(dir.dir), 1);
    assert_status(dm_st_open(path, &f, &err), DM_OK, &err);
    assert_int_equal(dm_st_at(f, 0)->count, 2);
    dm_st_close(f);
    scratch_remove(dir.dir);
}

/* Any byte that changed is seen, in the header, in the sum itself and in the data. */
static void verify__every_flip(void **state)
{
    const float x[] = {1, 2, 3};
    const dm_st_source t = {.name = "x", .type = DM_ST_F32, .shape = {1, {3}}, .data = x};
    const dm_st_pair meta[] = {{"a", "\"crc32\":\"00000000\""}, {DM_ST_CHECKSUM, ""}, {"b", "c"}};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "f.safetensors");
    unsigned char *whole;
    dm_err err;
    size_t n;
    dm_st *f;

    (void)state;
    assert_status(dm_st_write(path, &t, 1, meta, 3, &err), DM_OK, &err);
    assert_status(dm_st_open(path, &f, &err), DM_OK, &err);
    assert_string_not_equal(dm_st_meta(f, DM_ST_CHECKSUM), "00000000");
    assert_status(dm_st_verify(f, &err), DM_OK, &err);
    dm_st_close(f);
    whole = scratch_read(path, &n);
    for (size_t i = 0; i < n; i++) {
        whole[i] ^= 4;
        path = scratch_file(&dir, "f.safetensors", whole, n);
        if (!dm_st_open(path, &f, &err)) {
            /* A key that is no checksum any more takes the check away, which nothing but the name can tell. */
            if (dm_st_meta(f, DM_ST_CHECKSUM))
                assert_int_equal(dm_st_verify(f, &err), DM_ECORRUPT);
            dm_st_close(f);
        }
        whole[i] ^= 4;
    }
    free(whole);
    scratch_remove(dir.dir);
}

/* What was opened is checked, not what lies at its path by then. */
static void verify__what_was_opened(void **state)
{
    const float x[] = {1, 2, 3}, y[] = {4, 5};
    const dm_st_source was = {.name = "x", .type = DM_ST_F32, .shape = {1, {3}}, .data = x},
                       other = {.name = "y", .type = DM_ST_F32, .shape = {1, {2}}, .data = y};
    const dm_st_pair meta = {DM_ST_CHECKSUM, ""};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "f.safetensors");
    dm_err err;
    dm_st *f;

    (void)state;
    assert_status(dm_st_write(path, &was, 1, &meta, 1, &err), DM_OK, &err);
    assert_status(dm_st_open(path, &f, &err), DM_OK, &err);
    assert_status(dm_st_write(path, &other, 1, &meta, 1, &err), DM_OK, &err);
    assert_status(dm_st_verify(f, &err), DM_OK, &err);
    dm_st_close(f);
    scratch_remove(dir.dir);
}

static void write__refuses(void **state)
{
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "w");
    const float x[1] = {0};
    const struct { dm_st_source t[2]; int n; const char *says; } cases[] = {
        {{{.name = "a", .type = DM_ST_F32, .shape = {1, {1}}, .data = x},
          {.name = "a", .type = DM_ST_F32, .shape = {0, {0}}, .data = x}}, 2, "name is taken"},
        {{{.name = "__metadata__", .type = DM_ST_F32, .shape = {0, {0}}, .data = x}}, 1, "name is taken"},
        {{{.name = "\xff", .type = DM_ST_F32, .shape = {0, {0}}, .data = x}}, 1, "not UTF-8"},
        {{{.name = "a", .type = DM_ST_F32, .shape = {2, {INT64_MAX, 2}}, .data = x}}, 1, "overflows"},
    };
    dm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_fails(dm_st_write(path, cases[i].t, cases[i].n, NULL, 0, &err), DM_EINVAL, &err, cases[i].says);
    assert_fails(dm_st_write("/dev/null", NULL, 0, NULL, 0, &err), DM_EINVAL, &err, "not a regular file");
    assert_fails(dm_st_write(scratch_path(&dir, "no/w"), NULL, 0, NULL, 0, &err), DM_ENOENT, &err, "unable to create");
    assert_int_equal(scratch_entries(dir.dir), 0);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read__every_type),
        cmocka_unit_test(read__parts_and_bounds),
        cmocka_unit_test(write__same_bytes_as_python),
        cmocka_unit_test(open__hostile_headers),
        cmocka_unit_test(open__hostile_lengths),
        cmocka_unit_test(open__every_prefix_and_flip),
        cmocka_unit_test(write__from_chunks),
        cmocka_unit_test(write__full_disk_keeps_the_old_file),
        cmocka_unit_test(verify__every_flip),
        cmocka_unit_test(verify__what_was_opened),
        cmocka_unit_test(write__refuses),
    };

    return cmocka_run_group_tests_name("safetensors", tests, NULL, NULL);
}
