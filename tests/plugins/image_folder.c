/* image_folder: files of every kind as Pillow shows them, splits, what is left out, and files that lie. */
#include "dataset.h"

#include "format/image.h"
#include "format/safetensors.h"

#include <sys/stat.h>
#include <zlib.h>

static void folder__every_kind_as_pillow(void **state)
{
    static const char *const sorted[] = {"bits.png", "grey-alpha.png", "grey.JPG", "grey.png", "grey16.png",
                                         "palette-alpha.png",
                                         "palette.png", "progressive.jpg", "rgb.jpeg", "rgb.png", "rgb16.png",
                                         "rgba.png"};
    scratch dir = scratch_new();
    char path[1024];
    dm_st *want;
    dataset *f =
        dataset_open_ok("image_folder",
                        SET(dataset_setting(&dir, "folder", scratch_data(path, sizeof path, "images")), "background="
                                                                                                        "none"),
                        (dm_set_data){.channels = 3});

    (void)state;
    assert_status(dm_st_open(scratch_data(path, sizeof path, "images.safetensors"), &want, &f->err), DM_OK, &f->err);
    assert_int_equal(dm_data_get_info(f->data)->count, 12);
    for (int i = 0; i < 12; i++) {
        const dm_st_tensor *t = dm_st_find(want, sorted[i]);
        const int tolerance = strstr(sorted[i], "png") ? 0 : 2;
        float x[105], w[105];

        assert_status(dm_st_read_f32(want, t, 0, 105, w, &f->err), DM_OK, &f->err);
        assert_status(dm_data_at(f->data, i, 1, x, NULL, &f->err), DM_OK, &f->err);
        for (int k = 0; k < 105; k++)
            if (abs(dm_pixel(x[k]) - (int)w[k]) > tolerance)
                fail_msg("'%s': value %d is %d; Pillow has %d", sorted[i], k, dm_pixel(x[k]), (int)w[k]);
    }
    dm_st_close(want);
    dataset_free(f);
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", scratch_data(path, sizeof path, "images"))),
                       PLAIN, DM_EINVAL, "set data.channels");
    scratch_remove(dir.dir);
}

static void copy_image(scratch *dir, const char *name, const char *to, size_t most)
{
    char path[1024], from[64];
    unsigned char *b;
    size_t n;

    snprintf(from, sizeof from, "images/%s", name);
    b = scratch_read(scratch_data(path, sizeof path, from), &n);
    scratch_file(dir, to, b, n < most ? n : most);
    free(b);
}

/* Turned by EXIF, over white, from CMYK: as Pillow shows them. */
static void folder__photos_as_pillow(void **state)
{
    scratch dir = scratch_new();
    char path[1024];
    dm_st *want;
    dataset *f =
        dataset_open_ok("image_folder", SET(dataset_setting(&dir, "folder", scratch_data(path, sizeof path, "photos"))),
                        (dm_set_data){.channels = 3, .size = {2, (const int64_t[]){7, 7}}});

    (void)state;
    assert_status(dm_st_open(scratch_data(path, sizeof path, "photos.safetensors"), &want, &f->err), DM_OK, &f->err);
    assert_int_equal(dm_data_get_info(f->data)->count, dm_st_count(want));
    for (int i = 0; i < dm_data_get_info(f->data)->count; i++) {
        const char *file, *name = dm_data_name(f->data, i, &file);
        const dm_st_tensor *t = dm_st_find(want, name);
        const int tolerance = strstr(name, "jpg") || strstr(name, "lossy") ? 3 : 1;
        const float *x;
        float w[105];
        dm_shape s;

        assert_status(dm_st_read_f32(want, t, 0, 105, w, &f->err), DM_OK, &f->err);
        assert_status(dm_data_raw(f->data, i, &s, &x, NULL, &f->err), DM_OK, &f->err);
        if (s.dim[1] != t->shape.dim[1] || s.dim[2] != t->shape.dim[2])
            fail_msg("'%s' is %d x %d", name, (int)s.dim[2], (int)s.dim[1]);
        for (int k = 0; k < 105; k++) {
            const int at = s.dim[0] == 1 ? k % 35 : k;

            if (abs((int)x[at] - (int)w[k]) > tolerance)
                fail_msg("'%s': value %d is %d; Pillow has %d", name, k, (int)x[at], (int)w[k]);
        }
    }
    dm_st_close(want);
    dataset_free(f);
    scratch_remove(dir.dir);
}

static size_t put_chunk(uint8_t *to, const char *kind, const uint8_t *data, size_t n)
{
    uint32_t crc;

    for (int k = 0; k < 4; k++)
        to[k] = (uint8_t)(n >> (24 - 8 * k));
    memcpy(to + 4, kind, 4);
    memcpy(to + 8, data, n);
    crc = (uint32_t)crc32(0, to + 4, (uInt)n + 4);
    for (int k = 0; k < 4; k++)
        to[8 + n + (size_t)k] = (uint8_t)(crc >> (24 - 8 * k));
    return n + 12;
}

/* One pixel of grey that is not to be seen. */
static void clear_png(scratch *dir, const char *name)
{
    static const uint8_t head[] = {0x89, 'P', 'N', 'G', 0x0d, 0x0a, 0x1a, 0x0a}, pixel[] = {0, 77, 0},
                         header[] = {0, 0, 0, 1, 0, 0, 0, 1, 8, 4, 0, 0, 0};
    uint8_t png[200], data[64];
    uLongf n = sizeof data;
    size_t at = sizeof head;

    assert_int_equal(compress(data, &n, pixel, sizeof pixel), Z_OK);
    memcpy(png, head, sizeof head);
    at += put_chunk(png + at, "IHDR", header, sizeof header);
    at += put_chunk(png + at, "IDAT", data, n);
    at += put_chunk(png + at, "IEND", data, 0);
    scratch_file(dir, name, png, at);
}

/* Nothing is seen through: the background's own colour, also under a grey image. */
static void folder__background(void **state)
{
    static const struct { const char *text; float r, g, b; } cases[] = {
        {"background=#ff0010", 255, 0, 16}, {"background=black", 0, 0, 0}, {"background=white", 255, 255, 255}};
    scratch dir = scratch_new();

    (void)state;
    clear_png(&dir, "x.png");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dataset *f =
            dataset_open_ok("image_folder", SET(dataset_setting(&dir, "folder", dir.dir), cases[i].text), PLAIN);
        const float *x;
        dm_shape s;

        assert_status(dm_data_raw(f->data, 0, &s, &x, NULL, &f->err), DM_OK, &f->err);
        assert_int_equal(s.dim[0], i == 0 ? 3 : 1);
        assert_true(x[0] == cases[i].r && (s.dim[0] == 1 || (x[1] == cases[i].g && x[2] == cases[i].b)));
        dataset_free(f);
    }
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir), "background=red"), PLAIN,
                       DM_EINVAL, "#rrggbb");
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir), "background=#12345g"), PLAIN,
                       DM_EINVAL, "#rrggbb");
    scratch_remove(dir.dir);
}

/* A share by the hash of names: every image is in one of both splits, and stays there whatever comes or goes. */
static void folder__split(void **state)
{
    scratch dir = scratch_new();
    char name[32], first[100] = "";

    (void)state;
    for (int round = 0; round < 2; round++) {
        int held = 0, all = 0;

        for (int i = 0; i < 100; i++) {
            snprintf(name, sizeof name, "%03d.png", i * (round ? 1 : 2));
            copy_image(&dir, "grey.png", name, 9999);
        }
        dataset *f = dataset_open_ok("image_folder", SET(dataset_setting(&dir, "folder", dir.dir), "split=0.2"), PLAIN);
        dm_data *test;

        assert_status(dm_data_open(&f->e, "test", &f->s, &test, &f->err), DM_OK, &f->err);
        all = (int)dm_data_get_info(f->data)->count;
        held = (int)dm_data_get_info(test)->count;
        assert_int_equal(all + held, round ? 150 : 100);
        assert_true(held > 0.1 * (all + held) && held < 0.3 * (all + held));
        for (int i = 0; i < held; i++) {
            const char *file;
            const int k = atoi(dm_data_name(test, i, &file));

            if (!round)
                first[k / 2] = 1;
            else if (k % 2 == 0)
                assert_true(first[k / 2]--);
        }
        for (int i = 0; round && i < 100; i++)
            assert_int_equal(first[i], 0);
        dm_data_close(test);
        dataset_free(f);
    }
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir), "split=0.2",
                                   dataset_setting(&dir, "test_folder", dir.dir)), PLAIN, DM_EINVAL, "one of both");
    scratch_remove(dir.dir);
}

/* What is left out is counted; what cannot be read ends all, or is left out, or replaced where only decoding tells. */
static void folder__errors(void **state)
{
    scratch dir = scratch_new();
    float x[5 * 35], y[35];
    uint8_t *b;
    size_t n;
    char path[1024];
    int64_t bad;
    dm_data *d;

    (void)state;
    dataset_log[0] = 0;
    for (int i = 0; i < 3; i++)
        copy_image(&dir, "grey.png", (const char *[]){"0.png", "1.png", "3.png"}[i], 9999);
    copy_image(&dir, "grey.png", "4.png", 60);
    scratch_file(&dir, "5.png", "version https://git-lfs.github.com/spec/v1\n", 44);
    scratch_file(&dir, "a.TIFF", "x", 1);
    scratch_file(&dir, "b.tiff", "x", 1);
    scratch_file(&dir, "c.bmp", "x", 1);
    scratch_file(&dir, "noend", "x", 1);
    b = scratch_read(scratch_data(path, sizeof path, "images/grey.png"), &n);
    b[n - 20] ^= 0x55; /* the pixels' checksum: the header and the end are sound */
    scratch_file(&dir, "2.png", b, n);
    free(b);
    const char *folder = dataset_setting(&dir, "folder", dir.dir);

    dataset_open_fails("image_folder", SET(folder), PLAIN, DM_ECORRUPT, "4.png' is not an image");
    dataset_open_fails("image_folder", SET(folder), PLAIN, DM_ECORRUPT,
               "5.png' is not an image that can be read: it seems to be a pointer of git-lfs");
    dataset_open_fails("image_folder", SET(folder), PLAIN, DM_ECORRUPT, "2 of 6 images cannot be read");
    assert_non_null(strstr(dataset_log, "not being PNG, JPEG or WebP: 2 .tiff, 1 .bmp, 1 with no end"));

    dataset *f = dataset_open_ok("image_folder", SET(folder, "on_error=skip"), PLAIN);
    assert_int_equal(dm_data_get_info(f->data)->count, 4);
    assert_non_null(strstr(dataset_log, "left out: '"));
    assert_null(strstr(dataset_log, "replaced"));
    assert_status(dm_data_at(f->data, 0, 4, x, NULL, &f->err), DM_OK, &f->err);
    assert_status(dm_data_at(f->data, 3, 1, y, NULL, &f->err), DM_OK, &f->err);
    assert_memory_equal(x + 2 * 35, y, sizeof y);
    assert_non_null(strstr(dataset_log, "replaced by the next: "));
    assert_status(dm_data_try(f->data, 2, y, &f->err), DM_ECORRUPT, &f->err);
    dataset_free(f);

    f = dataset_load("image_folder", SET(folder), PLAIN);
    assert_status(dm_data_open_readable(&f->e, "train", &f->s, &bad, &d, &f->err), DM_OK, &f->err);
    assert_true(bad == 2 && dm_data_get_info(d)->count == 4);
    dm_data_close(d);
    dataset_free(f);
    scratch_remove(dir.dir);
}

/* An image of several names is there once, if that is asked for. */
static void folder__links(void **state)
{
    scratch dir = scratch_new();
    const char *folder;
    dataset *f;

    (void)state;
    dataset_log[0] = 0;
    mkdir(scratch_path(&dir, "more"), 0700);
    copy_image(&dir, "grey.png", "1.png", 9999);
    copy_image(&dir, "grey.png", "more/2.png", 9999);
    assert_int_equal(symlink("1.png", scratch_path(&dir, "alias.png")), 0);
    assert_int_equal(symlink("more", scratch_path(&dir, "again")), 0);
    folder = dataset_setting(&dir, "folder", dir.dir);
    f = dataset_open_ok("image_folder", SET(folder), PLAIN);
    assert_int_equal(dm_data_get_info(f->data)->count, 4);
    dataset_free(f);
    f = dataset_open_ok("image_folder", SET(folder, "links=false"), PLAIN);
    assert_int_equal(dm_data_get_info(f->data)->count, 2);
    assert_non_null(strstr(dataset_log, "2 symbolic links (links is false)"));
    dataset_free(f);
    assert_int_equal(unlink(scratch_path(&dir, "1.png")) | unlink(scratch_path(&dir, "more/2.png")), 0);
    dataset_open_fails("image_folder", SET(folder, "links=false"), PLAIN, DM_EINVAL,
                       "has 0 images: no .png, .jpg, .jpeg or .webp below it, but 2 symbolic links");
    scratch_remove(dir.dir);
}

static void folder__classes_and_sizes(void **state)
{
    static const int64_t six[] = {6};
    scratch dir = scratch_new();
    uint8_t pixels[12 * 9] = {0};
    int32_t label[3];
    float x[108];
    dm_err err;

    (void)state;
    mkdir(scratch_path(&dir, "zebra"), 0700);
    mkdir(scratch_path(&dir, "ant"), 0700);
    mkdir(scratch_path(&dir, "ant/deep"), 0700);
    copy_image(&dir, "grey.png", "zebra/1.png", 9999);
    copy_image(&dir, "grey.png", "ant/deep/2.png", 9999);
    copy_image(&dir, "grey.png", "ant/.hidden.png", 5);
    scratch_file(&dir, "ant/readme.txt", "x", 1);
    const char *folder = dataset_setting(&dir, "folder", dir.dir);
    dataset *f = dataset_open_ok("image_folder", SET(folder, "labels=true"), PLAIN);
    assert_true(dm_data_get_info(f->data)->count == 2 && dm_data_get_info(f->data)->classes == 2);
    assert_status(dm_data_at(f->data, 0, 2, x, label, &f->err), DM_OK, &f->err);
    assert_true(label[0] == 0 && label[1] == 1);
    dataset_free(f);

    assert_status(dm_png_write(scratch_path(&dir, "zebra/0.png"), &(dm_picture){12, 9, 1, pixels}, NULL, 0, &err),
                  DM_OK, &err);
    folder = dataset_setting(&dir, "folder", dir.dir);
    dataset_open_fails("image_folder", SET(folder), PLAIN, DM_EINVAL, "ant/deep/2.png' is 7 x 5 and ");
    f = dataset_open_ok("image_folder", SET(folder, "labels=true"), (dm_set_data){.size = {1, six}});
    assert_status(dm_data_at(f->data, 0, 3, x, label, &f->err), DM_OK, &f->err);
    assert_true(label[2] == 1 && x[36] == -1);
    dataset_free(f);

    copy_image(&dir, "grey.png", "3.png", 9999);
    folder = dataset_setting(&dir, "folder", dir.dir);
    dataset_open_fails("image_folder", SET(folder, "labels=true"), (dm_set_data){.size = {1, six}}, DM_EINVAL,
               "3.png' is in no subfolder");
    folder = dataset_setting(&dir, "folder", scratch_path(&dir, "ant/deep"));
    dataset_open_fails("image_folder", SET(folder, "labels=true"), PLAIN, DM_EINVAL, "deep' has no subfolders");
    scratch_remove(dir.dir);
}

/* Bytes that belong to nothing, between the segments of a JPEG and behind the end of either. */
static void folder__harmless(void **state)
{
    static const char *const names[] = {"photos/turn1.jpg", "photos/turn1.jpg", "images/rgb.png"};

    (void)state;
    for (int i = 0; i < 3; i++) {
        scratch dir = scratch_new();
        char path[1024];
        size_t n;
        unsigned char *b = scratch_read(scratch_data(path, sizeof path, names[i]), &n), more[2048];

        assert_true(n + 4 < sizeof more);
        const size_t at = i ? n : 4 + ((size_t)b[4] << 8 | b[5]); /* behind the first segment, or the end */
        memcpy(more, b, at);
        memcpy(more + at, "xyz", 3);
        memcpy(more + at + 3, b + at, n - at);
        scratch_file(&dir, "a.png", more, n + 3);
        dataset *f = dataset_open_ok("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)), PLAIN);
        float x[105];

        assert_status(dm_data_at(f->data, 0, 1, x, NULL, &f->err), DM_OK, &f->err);
        dataset_free(f);
        free(b);
        scratch_remove(dir.dir);
    }
}

/* A PNG may say after its pixels how it is to be turned. */
static void folder__exif_after_the_pixels(void **state)
{
    scratch dir = scratch_new();
    char path[1024];
    float x[2][105];
    size_t n;
    unsigned char *b = scratch_read(scratch_data(path, sizeof path, "photos/turn6.png"), &n), moved[1024];
    const size_t exif = 33, size = 12 + ((size_t)b[exif + 2] << 8 | b[exif + 3]), end = n - 12;

    (void)state;
    assert_true(n < sizeof moved && !memcmp(b + exif + 4, "eXIf", 4));
    memcpy(moved, b, exif);
    memcpy(moved + exif, b + exif + size, end - exif - size);
    memcpy(moved + end - size, b + exif, size);
    memcpy(moved + end, b + end, 12);
    for (int i = 0; i < 2; i++) {
        scratch_file(&dir, "a.png", i ? moved : b, n);
        dataset *f = dataset_open_ok("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)), PLAIN);

        assert_int_equal(dm_data_get_info(f->data)->shape.dim[1], 7);
        assert_status(dm_data_at(f->data, 0, 1, x[i], NULL, &f->err), DM_OK, &f->err);
        dataset_free(f);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
    free(b);
    scratch_remove(dir.dir);
}

static void folder__hostile(void **state)
{
    /* extents in bytes 16..23, the header's checksum after them made by zlib below */
    static const struct { uint32_t w, h; unsigned char depth, colour; const char *says;
    } cases[] = {
        {16385, 1, 8, 0, "it is 16385 x 1 pixels; at most 16384 a side"},
        {1, 4000000000u, 8, 0, "1 x 4000000000"},
        {16384, 16384, 8, 2, "bytes cannot hold the 16384 x 16384 pixels that its header says"},
        {16384, 16384, 1, 0, "cannot hold"},
        {0, 5, 8, 0, "IHDR"},
        {7, 5, 9, 0, "IHDR"},
    };
    scratch dir = scratch_new();
    char path[1024];
    size_t n;
    unsigned char *b = scratch_read(scratch_data(path, sizeof path, "images/grey.png"), &n);

    (void)state;
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)), PLAIN, DM_EINVAL, "has 0 images");
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", scratch_path(&dir, "none"))), PLAIN,
                       DM_EINVAL, "unable to read folder");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int k = 0; k < 4; k++) {
            b[16 + k] = (unsigned char)(cases[i].w >> (24 - 8 * k));
            b[20 + k] = (unsigned char)(cases[i].h >> (24 - 8 * k));
        }
        b[24] = cases[i].depth;
        b[25] = cases[i].colour;
        const uint32_t crc = (uint32_t)crc32(0, b + 12, 17);
        for (int k = 0; k < 4; k++)
            b[29 + k] = (unsigned char)(crc >> (24 - 8 * k));
        scratch_file(&dir, "x.png", b, n);
        dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)), PLAIN, DM_ECORRUPT,
                           cases[i].says);
    }
    free(b);
    scratch_file(&dir, "x.png", "GIF89a", 6);
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)), PLAIN, DM_ECORRUPT,
               "neither PNG nor JPEG nor WebP");
    scratch_file(&dir, "x.png", "", 0);
    dataset_open_fails("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)), PLAIN, DM_ECORRUPT,
                       "it is empty");
    scratch_remove(dir.dir);
}

/* Cut short at any byte or with any byte changed: refused at once, when read, or read: never a fault. */
static void folder__damaged(void **state)
{
    static const char *const names[] = {"palette-alpha.png", "progressive.jpg", "rgb16.png", "turn8.webp", "ycck.jpg"};

    (void)state;
    for (int k = 0; k < 5; k++) {
        scratch dir = scratch_new();
        char path[1024], from[64];
        int bad = 0;
        unsigned char *b;
        size_t n;

        snprintf(from, sizeof from, "%s/%s", k < 3 ? "images" : "photos", names[k]);
        b = scratch_read(scratch_data(path, sizeof path, from), &n);
        for (size_t i = 0; i < 2 * n; i += 3) {
            b[i % n] ^= i < n ? 0 : 0x21;
            scratch_file(&dir, "a.png", b, i < n ? i : n);
            b[i % n] ^= i < n ? 0 : 0x21;
            dataset *f = dataset_load("image_folder", SET(dataset_setting(&dir, "folder", dir.dir)),
                              (dm_set_data){.channels = 3, .size = {1, (const int64_t[]){4}}});
            float x[48];
            const bool ok = dm_data_open(&f->e, "train", &f->s, &f->data, &f->err) == DM_OK &&
                            dm_data_at(f->data, 0, 1, x, NULL, &f->err) == DM_OK;

            bad += !ok && i < n;
            if (!ok)
                assert_true((f->err.code == DM_ECORRUPT || f->err.code == DM_EINVAL) && strstr(f->err.msg, "a.png"));
            dataset_free(f);
        }
        assert_in_range(bad, n / 3 - 5, n / 3 + 1); /* all but a few that end after the pixels */
        free(b);
        scratch_remove(dir.dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folder__every_kind_as_pillow),
        cmocka_unit_test(folder__photos_as_pillow),
        cmocka_unit_test(folder__background),
        cmocka_unit_test(folder__split),
        cmocka_unit_test(folder__errors),
        cmocka_unit_test(folder__links),
        cmocka_unit_test(folder__classes_and_sizes),
        cmocka_unit_test(folder__harmless),
        cmocka_unit_test(folder__exif_after_the_pixels),
        cmocka_unit_test(folder__hostile),
        cmocka_unit_test(folder__damaged),
    };

    return cmocka_run_group_tests_name("image_folder", tests, NULL, NULL);
}
