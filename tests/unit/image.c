/* Pictures, PNG files read back by libpng, and resizing against Pillow's. */
#define _GNU_SOURCE /* memmem */
#include "scratch.h"

#include "format/image.h"
#include "data/resize.h"
#include "format/safetensors.h"

#include <math.h>
#include <png.h>

static void pixel__rounds_half_to_even_and_cuts(void **state)
{
    static const struct { float x; int p; } cases[] = {
        {-1, 0}, {1, 255}, {0, 128 /* 127.5 */}, {-2, 0}, {3, 255}, {-INFINITY, 0}, {INFINITY, 255},
        {NAN, 0}, {0.5f, 191}, {-0.5f, 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dm_pixel(cases[i].x), cases[i].p);
    for (int p = 0; p < 256; p++) /* what a data set's pixels became comes back */
        assert_int_equal(dm_pixel((float)p / 127.5f - 1), p);
}

/* 5 images of 2x3 in rows of 3: where each pixel lands. */
static void grid__places(void **state)
{
    float x[5 * 3 * 2 * 3];
    dm_picture p;
    dm_err err;

    (void)state;
    for (int i = 0; i < 90; i++)
        x[i] = (float)i / 127.5f - 1;
    assert_status(dm_picture_grid(x, 5, 3, 2, 3, 3, 2, &p, &err), DM_OK, &err);
    assert_true(p.width == 3 * 3 + 2 * 2 && p.height == 2 * 2 + 2 && p.channels == 3);
    /* image 4 (second row, second column), channel 2, y 1, x 2 is value 4*18 + 2*6 + 1*3 + 2 = 89 */
    assert_int_equal(p.pixels[((4 + 1) * 13 + 5 + 2) * 3 + 2], 89);
    assert_int_equal(p.pixels[(0 * 13 + 3) * 3], 0);
    assert_int_equal(p.pixels[(4 * 13 + 12) * 3], 0); /* no sixth image */
    dm_picture_fini(&p);
    assert_status(dm_picture_grid(x, 5, 2, 3, 3, 0, 0, &p, &err), DM_OK, &err);
    /* two channels of each side by side: image 1, channel 1, y 0, x 2 is value 18 + 9 + 2 */
    assert_true(p.width == 18 && p.height == 6 && p.channels == 1);
    assert_int_equal(p.pixels[6 + 3 + 2], 29);
    dm_picture_fini(&p);
    assert_fails(dm_picture_grid(x, 1000000, 3, 30000, 30000, 0, 0, &p, &err), DM_EINVAL, &err, "too large");
    assert_fails(dm_picture_grid(x, 0, 3, 3, 3, 0, 0, &p, &err), DM_EINVAL, &err, "unable to draw");
}

/* Beside each of two rows a name, in its middle; the picture itself is what it was. */
static void labels__stand_beside_their_rows(void **state)
{
    static const char *const names[] = {"I", "M\xc3\xbcll\xe2\x82\xac, which is longer than is shown"};
    float x[2 * 20 * 20];
    dm_picture p, low;
    dm_err err;
    int lit[2] = {0};

    (void)state;
    for (int i = 0; i < 800; i++)
        x[i] = 0.2f;
    assert_status(dm_picture_grid(x, 2, 1, 20, 20, 1, 2, &p, &err), DM_OK, &err);
    assert_status(dm_picture_label_rows(&p, names, 2, &err), DM_OK, &err);
    assert_true(p.width == 24 * 6 + 2 * 3 + 20 && p.height == 42 && p.channels == 1);
    for (int y = 0; y < 42; y++) {
        for (int i = 0; i < 150; i++)
            lit[y / 21] += p.pixels[y * p.width + i] == 255;
        for (int i = 150; i < 170; i++)
            assert_int_equal(p.pixels[y * p.width + i], y == 20 || y == 21 ? 0 : dm_pixel(0.2f));
    }
    assert_int_equal(lit[0], 11); /* what an I has: two lines of three, five between */
    assert_true(lit[1] > 100);
    dm_picture_fini(&p);
    assert_status(dm_picture_grid(x, 2, 1, 4, 20, 1, 0, &low, &err), DM_OK, &err);
    assert_status(dm_picture_label_rows(&low, names, 2, &err), DM_OK, &err);
    assert_int_equal(low.width, 20); /* no letter fits */
    dm_picture_fini(&low);
}

static void scatter__places(void **state)
{
    const float x[] = {0.5f, 0.5f, NAN, 0, 9, 9}, like[] = {-0.5f, -0.5f};
    dm_picture p;
    dm_err err;

    (void)state;
    assert_status(dm_picture_scatter(x, 3, like, 1, 101, 1, &p, &err), DM_OK, &err);
    assert_int_equal(p.pixels[(25 * 101 + 75) * 3], 31);  /* up and to the right */
    assert_int_equal(p.pixels[(75 * 101 + 25) * 3], 200);
    assert_int_equal(p.pixels[0], 255);
    dm_picture_fini(&p);
    assert_status(dm_picture_scatter(x, 0, like, 0, 10, 0, &p, &err), DM_OK, &err);
    dm_picture_fini(&p);
}

static void png__comes_back(void **state)
{
    static const dm_pair text[] = {{"seed", "42"}, {"note", "gr\xc3\xbc\xc3\x9f" "e"}};
    scratch dir = scratch_new();
    const char *path = scratch_path(&dir, "a.png");
    uint8_t pixels[7 * 5 * 3], back[7 * 5 * 3];
    dm_err err;

    (void)state;
    for (int i = 0; i < 7 * 5 * 3; i++)
        pixels[i] = (uint8_t)(i * 37);
    for (int channels = 1; channels <= 3; channels += 2) {
        png_image img = {.version = PNG_IMAGE_VERSION};
        unsigned char *bytes;
        size_t n;

        assert_status(dm_png_write(path, &(dm_picture){7, 5, channels, pixels}, text, 2, &err), DM_OK, &err);
        assert_true(png_image_begin_read_from_file(&img, path));
        assert_true(img.width == 7 && img.height == 5);
        assert_int_equal(img.format, channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY);
        assert_true(png_image_finish_read(&img, NULL, back, 0, NULL));
        assert_memory_equal(back, pixels, (size_t)(7 * 5 * channels));
        bytes = scratch_read(path, &n);
        assert_non_null(memmem(bytes, n, "tEXtseed\0" "42", 11));
        assert_non_null(memmem(bytes, n, "iTXtnote\0", 9));
        free(bytes);
    }
    assert_int_equal(scratch_entries(dir.dir), 1);
    assert_fails(dm_png_write(scratch_path(&dir, "no/a.png"), &(dm_picture){7, 5, 1, pixels}, NULL, 0, &err), DM_ENOENT,
                 &err, "no/a.png");
    scratch_remove(dir.dir);
}

static void resize__as_pillow(void **state)
{
    char path[1024], name[16];
    const dm_st_tensor *in, *out;
    dm_err err;
    dm_st *f;

    (void)state;
    assert_status(dm_st_open(scratch_data(path, sizeof path, "resize.safetensors"), &f, &err), DM_OK, &err);
    for (int i = 0; i < 6; i++) {
        float *a, *want, *got;

        snprintf(name, sizeof name, "in%d", i);
        assert_non_null(in = dm_st_find(f, name));
        snprintf(name, sizeof name, "out%d", i);
        assert_non_null(out = dm_st_find(f, name));
        a = malloc((size_t)in->count * 4);
        want = malloc((size_t)out->count * 4);
        got = malloc((size_t)out->count * 4);
        assert_status(dm_st_read_f32(f, in, 0, in->count, a, &err), DM_OK, &err);
        assert_status(dm_st_read_f32(f, out, 0, out->count, want, &err), DM_OK, &err);
        assert_status(dm_resize(a, in->shape.dim[0], in->shape.dim[1], in->shape.dim[1], got, out->shape.dim[0],
                                out->shape.dim[1], &err), DM_OK, &err);
        for (int64_t k = 0; k < out->count; k++) /* Pillow rounds after each axis */
            assert_true(fabsf(got[k] - want[k]) <= 1.001f);
        free(a);
        free(want);
        free(got);
    }
    dm_st_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixel__rounds_half_to_even_and_cuts),
        cmocka_unit_test(grid__places),
        cmocka_unit_test(labels__stand_beside_their_rows),
        cmocka_unit_test(scatter__places),
        cmocka_unit_test(png__comes_back),
        cmocka_unit_test(resize__as_pillow),
    };

    return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
