/* What inspect prints of good files, and that bad ones are refused. */
#include "scratch.h"

#include "format/inspect.h"

#include <zlib.h>

static char *print(const char *path, dm_status want, const char *says)
{
    dm_err err = {DM_OK, ""};
    char *text;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    const dm_status s = dm_inspect(path, f, &err);

    fclose(f);
    if (want)
        assert_fails(s, want, &err, says);
    else
        assert_status(s, DM_OK, &err);
    return text;
}

static void assert_prints(const char *path, const char *const *parts)
{
    char *text = print(path, DM_OK, "");

    for (; *parts; parts++)
        if (!strstr(text, *parts))
            fail_msg("'%s' is not in: %s", *parts, text);
    free(text);
}

#define PARTS(...) (const char *const[]){__VA_ARGS__, NULL}

static void inspect__known_files(void **state)
{
    static const unsigned char idx[] = {0, 0, 0x0b, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xfe, 1, 0};
    scratch dir = scratch_new();
    char path[1024];
    gzFile gz;

    (void)state;
    assert_prints(scratch_data(path, sizeof path, "types.safetensors"),
                  PARTS("12 tensors, 36 elements", "  format = pt\n",
                        "F64      [2, 3]                      -2.25       1e+300", "scalar  F32",
                        "h       F16      [6]                          -2.5        65504     "
                        "13100.57        0        1\n"));
    assert_prints(scratch_data(path, sizeof path, "points.npy"),
                  PARTS("npy, 6 elements", "F64      [3, 2]                         -7            4"));
    assert_prints(scratch_data(path, sizeof path, "images.npy"), PARTS("U8       [2, 4, 5, 3]"));
    assert_prints(scratch_file(&dir, "i", idx, sizeof idx),
                  PARTS("idx, 2 elements", "I16      [1, 2]                         -2          256          127"));
    gz = gzopen(scratch_path(&dir, "i.gz"), "wb");
    gzwrite(gz, idx, sizeof idx);
    gzclose(gz);
    assert_prints(scratch_path(&dir, "i.gz"), PARTS("idx, 2 elements", "          -2          256"));
    scratch_remove(dir.dir);
}

static void inspect__escapes_names(void **state)
{
    static const char header[] = "{\"a\\u001b[31m\\u009b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}";
    unsigned char b[200] = {sizeof header - 1};
    scratch dir = scratch_new();

    (void)state;
    memcpy(b + 8, header, sizeof header - 1);
    assert_prints(scratch_file(&dir, "f", b, 8 + sizeof header - 1), PARTS("a\\x1b[31m\\xc2", " - "));
    scratch_remove(dir.dir);
}

static void inspect__refuses(void **state)
{
    static const struct { const char *b; size_t n; const char *says;
    } cases[] = {
        {"", 0, "not in a known format"},
        {"hello", 5, "not in a known format"},
        {"\0\0\x0a\1\0\0\0\1x", 9, "not in a known format"},
        {"\0\0\x08\0", 4, "not in a known format"},
        {"\0\0\x08\1\0\0\0\2x", 9, "too early"},
        {"\0\0\x08\1\0\0\0\0xy", 10, "more bytes"},
        {"\0\0\x08\2\0\0", 6, "too early"},
        {"\x93NUMPY\1\0\4\0{}  ", 14, "not a known number type"},
        {"\x93NUMPY\7\0\4\0{}  ", 14, "an npy file"},
        {"\x93NUMPY\2\0\0\0\0\x7f", 12, "an npy file"},
        {"\x93NUMPY\1\0\x21\0{'descr': '|O1', 'shape': (1, 2)}", 43, "not a known number type"},
        {"\x93NUMPY\1\0\x21\0{'descr': '|u1', 'shape': (1, x)}", 43, "the shape is malformed"},
        {"\x93NUMPY\1\0\x21\0{'descr': '|u1', 'shape': (1, 2 }", 43, "the shape is malformed"},
        {"\x1f\x8b\x08", 3, ""},
    };
    scratch dir = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        free(print(scratch_file(&dir, "f", cases[i].b, cases[i].n), DM_ECORRUPT, cases[i].says));
    free(print(scratch_path(&dir, "none"), DM_ENOENT, "none"));
    free(print(dir.dir, DM_EINVAL, "not a regular file"));
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inspect__known_files),
        cmocka_unit_test(inspect__escapes_names),
        cmocka_unit_test(inspect__refuses),
    };

    return cmocka_run_group_tests_name("inspect", tests, NULL, NULL);
}
