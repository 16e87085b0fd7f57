/* image_folder on zip and tar files: those of Python's programs, and files that lie. */
#include "dataset.h"

#include <zlib.h>

static const char *const images[] = {"images/rgb.png", "images/grey.png", "images/rgb.jpeg"};
enum { VALUES = 105 };

typedef struct { char text[1100]; } setting;

static setting of_file(const char *key, const char *dir, const char *name)
{
    setting s;

    assert_true(snprintf(s.text, sizeof s.text, "%s=%s/%s", key, dir, name) < (int)sizeof s.text);
    return s;
}

static setting of_data(const char *key, const char *name)
{
    char path[1024];
    setting s;

    assert_true(snprintf(s.text, sizeof s.text, "%s=%s", key, scratch_data(path, sizeof path, name)) > 0);
    return s;
}

#define COLOURS (dm_set_data){.channels = 3}

/* What the file itself shows, when it lies in a folder. */
static void expect(float *x, int i)
{
    dataset *f = dataset_open_ok("image_folder", SET(of_data("folder", images[i]).text), COLOURS);

    assert_status(dm_data_at(f->data, 0, 1, x, NULL, &f->err), DM_OK, &f->err);
    dataset_free(f);
}

/* In this order, as the files themselves; -1: no classes. */
static dataset *same_images(const char *archive, const char *labels, const int order[3], const int32_t label[3])
{
    dataset *f = dataset_open_ok("image_folder", SET(of_data("folder", archive).text, labels), COLOURS);
    float x[3 * VALUES], want[VALUES];
    int32_t found[3];

    assert_int_equal(dm_data_get_info(f->data)->count, 3);
    assert_status(dm_data_at(f->data, 0, 3, x, found, &f->err), DM_OK, &f->err);
    for (int i = 0; i < 3; i++) {
        expect(want, order[i]);
        assert_memory_equal(x + i * VALUES, want, sizeof want);
        assert_true(label[i] < 0 || found[i] == label[i]);
    }
    return f;
}

static void archive__as_programs_write_them(void **state)
{
    static const int plain[] = {0, 1, 2}, sorted[] = {1, 2, 0};
    static const int32_t none[] = {-1, -1, -1};
    dataset *f = same_images("archives/stylegan.zip", "labels=true", plain, (const int32_t[]){2, 0, 2});
    const char *file;

    (void)state;
    assert_int_equal(dm_data_get_info(f->data)->classes, 3);
    assert_null(dm_data_class_name(f->data, 2));
    assert_string_equal(dm_data_name(f->data, 1, &file), "00000/img00000001.png");
    dataset_free(f);
    dataset_free(same_images("archives/streamed.zip", "labels=false", plain, none));

    f = same_images("archives/web.tar", "labels=true", plain, (const int32_t[]){4, 3, 2});
    assert_int_equal(dm_data_get_info(f->data)->classes, 5);
    dataset_free(f);

    f = same_images("archives/folders.tar", "labels=true", sorted, (const int32_t[]){0, 1, 1});
    assert_int_equal(dm_data_get_info(f->data)->classes, 2);
    assert_string_equal(dm_data_class_name(f->data, 1), "katzen");
    dataset_free(f);
}

/* StyleGAN's labels that are numbers are the vector. */
static void archive__vectors(void **state)
{
    static const float want[] = {0.5f, -1, 2, 3, 1e-3f, 0};
    dataset *f = dataset_open_ok("image_folder", SET(of_data("folder", "archives/vectors.zip").text, "labels=true"),
                                 COLOURS);
    const dm_data_info *a = dm_data_get_info(f->data);
    float x[3 * VALUES];

    (void)state;
    assert_true(a->classes == 0 && a->n_conditions == 1 && a->conditions[0].kind == DM_CONDITION_VECTOR);
    assert_status(dm_data_at(f->data, 0, 3, x, NULL, &f->err), DM_OK, &f->err);
    assert_memory_equal(dm_data_conditions(f->data), want, sizeof want);
    dataset_free(f);
}

static void fails(const char *archive, const char *labels, dm_status code, const char *says)
{
    dataset_open_fails("image_folder", SET(of_data("folder", archive).text, labels), COLOURS, code, says);
}

static void archive__refused(void **state)
{
    static const struct { const char *begin; size_t n; dm_status code; const char *says; } cases[] = {
        {"", 0, DM_ECORRUPT, "is not a zip or tar file that can be read"},
        {"words\n", 6, DM_ECORRUPT, "is not a zip or tar file that can be read"},
        {"\x1f\x8b\x08", 3, DM_EINVAL, "is compressed as a whole"},
        {"\x28\xb5\x2f\xfd", 4, DM_EINVAL, "is compressed as a whole"},
        {"PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22, DM_EINVAL, "has 0 images"},
    };
    scratch dir = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_file(&dir, "f.zip", cases[i].begin, cases[i].n);
        dataset_open_fails("image_folder", SET(of_file("folder", dir.dir, "f.zip").text), PLAIN, cases[i].code,
                           cases[i].says);
    }
    fails("archives/lzma.zip", "labels=false", DM_ECORRUPT, "compressed in another way than by deflate");
    fails("archives/streamed.zip", "table=x.csv", DM_EINVAL, "unable to open");
    scratch_remove(dir.dir);
}

/* One entry behind the others of a tar file: a file, or of another type a link to `to`. */
static size_t tar_add(unsigned char *b, const char *name, char type, const char *to, const void *data, size_t n)
{
    unsigned sum = 8 * ' ';

    memset(b, 0, 512 + (n + 511) / 512 * 512);
    memcpy(b, name, strlen(name));
    sprintf((char *)b + 100, "%07o", 0644);
    sprintf((char *)b + 124, "%011zo", n);
    b[156] = (unsigned char)type;
    memcpy(b + 157, to, strlen(to));
    memcpy(b + 257, "ustar\0" "00", 8);
    for (int i = 0; i < 512; i++)
        sum += b[i];
    memset(b + 148, ' ', 8);
    sprintf((char *)b + 148, "%06o", sum);
    memcpy(b + 512, data, n);
    return 512 + (n + 511) / 512 * 512;
}

/* Names of one file, and what is none. */
static void archive__names_and_links(void **state)
{
    static const struct { const char *name; char type; const char *to, *says; } second[] = {
        {".//b/1.png", '0', "", NULL},
        {"b/1.png", '1', "a/0.png", "b/1.png' is a link to another entry"},
        {"b/1.png", '2', "../a/0.png", "b/1.png' is a link to another entry"},
    };
    scratch dir = scratch_new();
    char path[1024];
    size_t n;
    unsigned char *png = scratch_read(scratch_data(path, sizeof path, "images/rgb.png"), &n);
    unsigned char *b = malloc(8 * 1024 + 3 * n);

    (void)state;
    for (size_t i = 0; i < sizeof second / sizeof second[0]; i++) {
        size_t at = tar_add(b, "/a/0.png", '0', "", png, n);

        at += tar_add(b + at, second[i].name, second[i].type, second[i].to, png, second[i].type == '0' ? n : 0);
        memset(b + at, 0, 1024);
        scratch_file(&dir, "a.tar", b, at + 1024);
        if (second[i].says) {
            dataset_open_fails("image_folder", SET(of_file("folder", dir.dir, "a.tar").text, "labels=true"), COLOURS,
                               DM_EINVAL, second[i].says);
            continue;
        }
        dataset *f = dataset_open_ok("image_folder", SET(of_file("folder", dir.dir, "a.tar").text, "labels=true"),
                                     COLOURS);

        assert_true(dm_data_get_info(f->data)->count == 2 && dm_data_get_info(f->data)->classes == 2);
        assert_string_equal(dm_data_class_name(f->data, 1), "b");
        dataset_free(f);
    }
    size_t at = tar_add(b, "x.0.png", '0', "", png, n);

    at += tar_add(b + at, "x.0.cls", '0', "", "1", 1);
    at += tar_add(b + at, "x.1.cls", '0', "", "2", 1);
    memset(b + at, 0, 1024);
    scratch_file(&dir, "a.tar", b, at + 1024);
    dataset_open_fails("image_folder", SET(of_file("folder", dir.dir, "a.tar").text, "labels=true"), COLOURS,
                       DM_ECORRUPT, "both give the class of one image");
    free(b);
    free(png);
    scratch_remove(dir.dir);
}

/* Entries that are changed after the archive was opened. */
static void archive__changes_later(void **state)
{
    scratch dir = scratch_new();
    char path[1024];
    size_t n;
    unsigned char *b = scratch_read(scratch_data(path, sizeof path, "archives/web.tar"), &n);
    float x[VALUES];

    (void)state;
    scratch_file(&dir, "a.tar", b, n);
    dataset *f = dataset_open_ok("image_folder", SET(of_file("folder", dir.dir, "a.tar").text), COLOURS);

    b[0] = 'x'; /* a name: its header's sum no longer fits */
    scratch_file(&dir, "b.tar", b, n);
    assert_status(dm_data_at(f->data, 0, 1, x, NULL, &f->err), DM_OK, &f->err);
    assert_int_equal(truncate(scratch_path(&dir, "a.tar"), 700), 0);
    assert_fails(dm_data_at(f->data, 2, 1, x, NULL, &f->err), DM_ECORRUPT, &f->err,
                 "is not a zip or tar file that can be read: near byte ");
    dataset_free(f);
    dataset_open_fails("image_folder", SET(of_file("folder", dir.dir, "b.tar").text), COLOURS, DM_ECORRUPT,
                       "is not a zip or tar file that can be read");
    free(b);
    scratch_remove(dir.dir);
}

/* A zip file that is being written, and its directory. */
typedef struct zip { unsigned char *b, directory[4096]; size_t n, used; int entries; } zip;

static void put(unsigned char *to, size_t *at, uint64_t v, int bytes)
{
    for (int k = 0; k < bytes; k++)
        to[(*at)++] = (unsigned char)(v >> 8 * k);
}

static void put_text(unsigned char *to, size_t *at, const char *text, size_t n)
{
    memcpy(to + *at, text, n);
    *at += n;
}

/* An entry's place in the file; deflated where it is another size. */
static size_t zip_local(zip *z, const char *name, const void *data, size_t packed, size_t size, uint32_t crc)
{
    const size_t at = z->n;

    put_text(z->b, &z->n, "PK\3\4\24\0\0\0", 8);
    put(z->b, &z->n, packed == size ? 0 : 8, 2);
    put(z->b, &z->n, 0, 4);
    put(z->b, &z->n, crc, 4);
    put(z->b, &z->n, packed, 4);
    put(z->b, &z->n, size, 4);
    put(z->b, &z->n, strlen(name), 2);
    put(z->b, &z->n, 0, 2);
    put_text(z->b, &z->n, name, strlen(name));
    put_text(z->b, &z->n, data, packed);
    return at;
}

/* What the directory says of it, the place as Zip64 has it where that is wanted. */
static void zip_record(zip *z, const char *name, size_t at, size_t packed, size_t size, bool wide, bool link)
{
    unsigned char *d = z->directory;

    put_text(d, &z->used, link ? "PK\1\2\24\3\24\0\0\0" : "PK\1\2\24\0\24\0\0\0", 10);
    put(d, &z->used, packed == size ? 0 : 8, 2);
    put(d, &z->used, 0, 8);
    put(d, &z->used, packed, 4);
    put(d, &z->used, size, 4);
    put(d, &z->used, strlen(name), 2);
    put(d, &z->used, wide ? 12 : 0, 2);
    put(d, &z->used, 0, 6);
    put(d, &z->used, link ? 0xa1ff0000u : 0, 4);
    put(d, &z->used, wide ? 0xffffffffu : at, 4);
    put_text(d, &z->used, name, strlen(name));
    if (wide) {
        put(d, &z->used, 8 << 16 | 1, 4);
        put(d, &z->used, at, 8);
    }
    z->entries++;
}

static void zip_end(zip *z, bool wide, const char *behind)
{
    const size_t at = z->n, end = at + z->used;

    put_text(z->b, &z->n, (char *)z->directory, z->used);
    if (wide) {
        put_text(z->b, &z->n, "PK\6\6\54\0\0\0\0\0\0\0\55\0\55\0\0\0\0\0\0\0\0\0", 24);
        put(z->b, &z->n, (uint64_t)z->entries, 8);
        put(z->b, &z->n, (uint64_t)z->entries, 8);
        put(z->b, &z->n, z->used, 8);
        put(z->b, &z->n, at, 8);
        put_text(z->b, &z->n, "PK\6\7\0\0\0\0", 8);
        put(z->b, &z->n, end, 8);
        put(z->b, &z->n, 1, 4);
    }
    put_text(z->b, &z->n, "PK\5\6\0\0\0\0", 8);
    put(z->b, &z->n, wide ? 0xffffu : (uint64_t)z->entries, 2);
    put(z->b, &z->n, wide ? 0xffffu : (uint64_t)z->entries, 2);
    put(z->b, &z->n, wide ? 0xffffffffu : z->used, 4);
    put(z->b, &z->n, wide ? 0xffffffffu : at, 4);
    put(z->b, &z->n, strlen(behind), 2);
    put_text(z->b, &z->n, behind, strlen(behind));
}

/* A zip file is what its directory says: what else lies in it is not read, and what is not as it says is refused. */
static void archive__directory(void **state)
{
    enum { HIDDEN, RENAMED, WIDE, COMMENTED, LINK, OVERLAPS, TWICE, OUTSIDE, COUNTED, CUT, LONGER, PARTS, CASES };
    static const struct { int images; dm_status code; const char *says; } want[CASES] = {
        [HIDDEN] = {2, DM_OK, NULL},
        [RENAMED] = {0, DM_ECORRUPT, "near byte 0: no entry there has the name in the directory"},
        [WIDE] = {3, DM_OK, NULL},
        [COMMENTED] = {3, DM_OK, NULL},
        [LINK] = {0, DM_EINVAL, "b.png' is a link to another entry"},
        [OVERLAPS] = {0, DM_ECORRUPT, "two of its entries lie over each other"},
        [TWICE] = {0, DM_ECORRUPT, "two of its entries lie over each other"},
        [OUTSIDE] = {0, DM_ECORRUPT, "its directory is damaged"},
        [COUNTED] = {0, DM_ECORRUPT, "its directory has not as many entries as it says"},
        [CUT] = {0, DM_ECORRUPT, "the directory at its end is missing"},
        [LONGER] = {0, DM_ECORRUPT, "a.png' has less than the 1000 bytes that the archive says"},
        [PARTS] = {0, DM_EINVAL, "is one of several parts of a zip file; join them (zip -s 0)"},
    };
    scratch dir = scratch_new();
    char path[1024];
    size_t n;
    unsigned char *png = scratch_read(scratch_data(path, sizeof path, "images/rgb.png"), &n);
    const uint32_t crc = (uint32_t)crc32(0, png, (uInt)n);

    (void)state;
    for (int k = 0; k < CASES; k++) {
        zip z = {.b = calloc(1, 64 << 10)};
        const size_t a = zip_local(&z, "a.png", png, n, n, crc), b = zip_local(&z, "b.png", png, n, n, crc),
                     c = zip_local(&z, "c.png", png, n, n, crc);

        zip_record(&z, k == RENAMED ? "d.png" : "a.png", a, k == OVERLAPS ? n + 1 : n, k == LONGER ? 1000 : n,
                   k == WIDE, false);
        if (k != HIDDEN)
            zip_record(&z, "b.png", b, n, n, k == WIDE, k == LINK);
        zip_record(&z, "c.png", k == TWICE ? b : k == OUTSIDE ? 60 << 10 : c, n, n, k == WIDE, false);
        z.entries -= k == COUNTED;
        zip_end(&z, k == WIDE, k == COMMENTED ? "PK\5\6 is how a directory ends" : "");
        z.b[z.n - 18] = k == PARTS;
        scratch_file(&dir, "a.zip", z.b, k == CUT ? z.n - 30 : z.n);
        free(z.b);
        if (want[k].code) {
            dataset_open_fails("image_folder", SET(of_file("folder", dir.dir, "a.zip").text), COLOURS, want[k].code,
                               want[k].says);
            continue;
        }
        dataset *f = dataset_open_ok("image_folder", SET(of_file("folder", dir.dir, "a.zip").text), COLOURS);
        float x[3 * VALUES];

        assert_int_equal(dm_data_get_info(f->data)->count, want[k].images);
        assert_status(dm_data_at(f->data, 0, want[k].images, x, NULL, &f->err), DM_OK, &f->err);
        dataset_free(f);
    }
    free(png);
    scratch_remove(dir.dir);
}

/* Zeros that unpack to more than an image may have, to more than so few bytes would be of one, and to more than the
 * archive says. */
static void archive__bombs(void **state)
{
    static const struct { size_t size, says; const char *why; } cases[] = {
        {300 << 20, 300 << 20, "bomb.zip/a.png' has 314572800 bytes; at most 268435456 are read of it"},
        {100 << 20, 100 << 20, "to 104857600, which no image does; it is not read"},
        {20 << 20, 1 << 20, "bomb.zip/a.png' has more than the 1048576 bytes that the archive says"},
    };
    scratch dir = scratch_new();
    unsigned char *packed = malloc(1 << 20), *zeros = calloc(1, 1 << 20);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        z_stream s = {.next_out = packed, .avail_out = 1 << 20};
        zip z = {.b = calloc(1, 2 << 20)};

        assert_int_equal(deflateInit2(&s, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
        for (size_t at = 0; at < cases[i].size; at += 1 << 20) {
            const bool last = at + (1 << 20) == cases[i].size;

            s.next_in = zeros;
            s.avail_in = 1 << 20;
            assert_int_equal(deflate(&s, last ? Z_FINISH : Z_NO_FLUSH), last ? Z_STREAM_END : Z_OK);
        }
        zip_local(&z, "a.png", packed, s.total_out, cases[i].size, 0);
        zip_record(&z, "a.png", 0, s.total_out, cases[i].says, false, false);
        zip_end(&z, false, "");
        scratch_file(&dir, "bomb.zip", z.b, z.n);
        dataset_open_fails("image_folder", SET(of_file("folder", dir.dir, "bomb.zip").text), PLAIN, DM_ECORRUPT,
                           cases[i].why);
        deflateEnd(&s);
        free(z.b);
    }
    free(zeros);
    free(packed);
    scratch_remove(dir.dir);
}

/* Every truncation, and bytes changed one at a time: an error that names the archive, or images of its own. */
static void archive__damaged(void **state)
{
    static const char *const names[] = {"archives/stylegan.zip", "archives/vectors.zip", "archives/folders.tar"};

    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        scratch dir = scratch_new();
        char path[1024];
        size_t n;
        unsigned char *b = scratch_read(scratch_data(path, sizeof path, names[k]), &n);
        int bad = 0, cut = 0;

        for (size_t i = 0; i < 2 * n; i += 7) {
            b[i % n] ^= i < n ? 0 : 0x21;
            scratch_file(&dir, "a", b, i < n ? i : n);
            b[i % n] ^= i < n ? 0 : 0x21;
            dataset *f = dataset_load("image_folder", SET(of_file("folder", dir.dir, "a").text, "labels=true"),
                                      (dm_set_data){.channels = 3, .size = {1, (const int64_t[]){4}}});
            float x[48];
            const bool ok = dm_data_open(&f->e, "train", &f->s, &f->data, &f->err) == DM_OK &&
                            dm_data_at(f->data, 0, 1, x, NULL, &f->err) == DM_OK;

            bad += !ok && i >= n;
            cut += !ok && i < n;
            if (!ok)
                assert_true((f->err.code == DM_ECORRUPT || f->err.code == DM_EINVAL) && strstr(f->err.msg, dir.dir));
            dataset_free(f);
        }
        assert_true(cut > 10 && bad > 10);
        free(b);
        scratch_remove(dir.dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(archive__as_programs_write_them),
        cmocka_unit_test(archive__vectors),
        cmocka_unit_test(archive__refused),
        cmocka_unit_test(archive__names_and_links),
        cmocka_unit_test(archive__changes_later),
        cmocka_unit_test(archive__directory),
        cmocka_unit_test(archive__bombs),
        cmocka_unit_test(archive__damaged),
    };

    return cmocka_run_group_tests_name("image_archive", tests, NULL, NULL);
}
