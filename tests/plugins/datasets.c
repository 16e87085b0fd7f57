/* The data set plugins as the host opens them, on files of NumPy's and Pillow's, and on files that lie. */
#include "dataset.h"

#include "format/image.h"
#include "format/safetensors.h"

#include <math.h>
#include <sys/stat.h>
#include <zlib.h>

/* ---- idx --------------------------------------------------------------- */

static const unsigned char idx_images[16 + 12] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 255, 2, 3, 4, 5, 6,
                                                  7, 8, 9, 10, 11};
static const unsigned char idx_labels[8 + 2] = {0, 0, 8, 1, 0, 0, 0, 2, 9, 0};

static const char *gzip_file(scratch *dir, const char *name, const void *data, size_t n)
{
    const char *path = scratch_path(dir, name);
    gzFile f = gzopen(path, "wb");

    assert_int_equal(gzwrite(f, data, (unsigned)n), n);
    gzclose(f);
    return path;
}

static void idx__plain_and_gzip(void **state)
{
    (void)state;
    for (int gz = 0; gz < 2; gz++) {
        scratch dir = scratch_new();
        const char *images = gz ? gzip_file(&dir, "i.gz", idx_images, sizeof idx_images)
                                : scratch_file(&dir, "i", idx_images, sizeof idx_images);
        const char *labels = gz ? gzip_file(&dir, "l.gz", idx_labels, sizeof idx_labels)
                                : scratch_file(&dir, "l", idx_labels, sizeof idx_labels);
        dataset *f = dataset_open_ok(
            "idx", SET(dataset_setting(&dir, "train_images", images), dataset_setting(&dir, "train_labels", labels)),
            PLAIN);
        const dm_data_info *a = dm_data_get_info(f->data);
        int32_t label[2];
        float x[12];
        dm_data *d;

        assert_true(a->count == 2 && a->classes == 10 && a->levels == 256 && a->shape.rank == 3);
        assert_true(a->shape.dim[0] == 1 && a->shape.dim[1] == 2 && a->shape.dim[2] == 3);
        assert_status(dm_data_at(f->data, 0, 2, x, label, &f->err), DM_OK, &f->err);
        assert_true(x[0] == -1 && x[1] == 1 && x[11] == 11 / 127.5f - 1);
        assert_true(label[0] == 9 && label[1] == 0);
        assert_fails(dm_data_open(&f->e, "test", &f->s, &d, &f->err), DM_ENOENT, &f->err, "test_images is not set");
        dataset_free(f);
        scratch_remove(dir.dir);
    }
}

static void idx__hostile(void **state)
{
    static const struct { int at; unsigned char byte; int n; dm_status code; const char *says; } cases[] = {
        {0, 0, 15, DM_ECORRUPT, "too short"},
        {0, 0, 27, DM_ECORRUPT, "its header says 28"},
        {0, 0, 29, DM_ECORRUPT, ""},
        {2, 9, 28, DM_ECORRUPT, "an IDX file of unsigned bytes"},
        {3, 4, 28, DM_ECORRUPT, "an IDX file of unsigned bytes"},
        {4, 255, 28, DM_ECORRUPT, ""},
        {8, 255, 28, DM_ECORRUPT, "dimension 1 is 4278190082"},
        {11, 0, 28, DM_ECORRUPT, "dimension 1 is 0"},
        {7, 0, 16, DM_EINVAL, "has 0 examples"},
    };
    scratch dir = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int gz = 0; gz < 2; gz++) {
            unsigned char b[40] = {0};

            memcpy(b, idx_images, sizeof idx_images);
            b[cases[i].at] = cases[i].byte;
            const char *path = gz ? gzip_file(&dir, "f", b, (size_t)cases[i].n)
                                  : scratch_file(&dir, "f", b, (size_t)cases[i].n);
            dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", path)), PLAIN, cases[i].code,
                       i == 1 && gz ? "ends or is damaged at byte 27" : cases[i].says);
        }
    dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", scratch_path(&dir, "none"))), PLAIN, DM_EINVAL,
               "unable to open");
    dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", dir.dir)), PLAIN, DM_EINVAL,
                       "not a regular file");
    scratch_remove(dir.dir);
}

/* A label that is none, labels for other images, a gzip file that promises much or is damaged. */
static void idx__labels_and_bombs(void **state)
{
    static const unsigned char bomb[16] = {0, 0, 8, 3, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x40, 0, 0, 0, 0x40, 0};
    static const unsigned char three[8 + 3] = {0, 0, 8, 1, 0, 0, 0, 3, 1, 2, 3};
    scratch dir = scratch_new();
    unsigned char *gz;
    size_t n;

    (void)state;
    scratch_file(&dir, "i", idx_images, sizeof idx_images);
    scratch_file(&dir, "l", idx_labels, sizeof idx_labels);
    scratch_file(&dir, "three", three, sizeof three);
    dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", scratch_path(&dir, "i")),
                          dataset_setting(&dir, "train_labels", scratch_path(&dir, "l")),
                          "classes=9"), PLAIN, DM_ECORRUPT, "label 0 is 9; classes is 9");
    dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", scratch_path(&dir, "i")),
                          dataset_setting(&dir, "train_labels", scratch_path(&dir, "three"))), PLAIN, DM_ECORRUPT,
                          "3 labels for 2 images");
    dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", gzip_file(&dir, "b", bomb, 16))), PLAIN,
                       DM_ECORRUPT, "of gzip cannot hold");
    gz = scratch_read(gzip_file(&dir, "d", idx_images, sizeof idx_images), &n);
    gz[n - 6] ^= 1; /* the checksum */
    dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", scratch_file(&dir, "d", gz, n))), PLAIN,
                       DM_ECORRUPT, "damaged");
    for (size_t k = 2; k < n; k++)
        dataset_open_fails("idx", SET(dataset_setting(&dir, "train_images", scratch_file(&dir, "d", gz, k))), PLAIN,
                           DM_ECORRUPT, "d'");
    free(gz);
    scratch_remove(dir.dir);
}

/* ---- npy --------------------------------------------------------------- */

static void npy__numpys_files(void **state)
{
    scratch dir = scratch_new();
    char path[1024];
    float x[60];
    dataset *f = dataset_open_ok(
        "npy", SET(dataset_setting(&dir, "file", scratch_data(path, sizeof path, "points.npy"))), PLAIN);

    (void)state;
    assert_true(dm_data_get_info(f->data)->count == 3 && dm_data_get_info(f->data)->shape.rank == 1 &&
                dm_data_get_info(f->data)->levels == 0);
    assert_status(dm_data_at(f->data, 0, 3, x, NULL, &f->err), DM_OK, &f->err);
    assert_true(x[0] == 0.5f && x[1] == -1.25f && x[4] == 1e-3f && x[5] == -7);
    dataset_free(f);
    f = dataset_open_ok(
        "npy", SET(dataset_setting(&dir, "file", scratch_data(path, sizeof path, "images.npy")), "layout=hwc"), PLAIN);
    assert_true(dm_data_get_info(f->data)->count == 2 && dm_data_get_info(f->data)->shape.dim[0] == 3 &&
                dm_data_get_info(f->data)->shape.dim[2] == 5);
    assert_status(dm_data_at(f->data, 1, 1, x, NULL, &f->err), DM_OK, &f->err);
    for (int k = 0; k < 60; k++) /* k = (c 4 + y) 5 + x; in the file it is ((4 + y) 5 + x) 3 + c */
        assert_int_equal(dm_pixel(x[k]), (60 + k % 20 * 3 + k / 20) * 7 % 256);
    dataset_free(f);
    f = dataset_open_ok("npy",
                        SET(dataset_setting(&dir, "file", scratch_data(path, sizeof path, "images.npy")), "test_every="
                                                                                                          "2"),
                        PLAIN);
    assert_true(dm_data_get_info(f->data)->count == 1 && dm_data_get_info(f->data)->shape.dim[0] == 4);
    dataset_free(f);
    scratch_remove(dir.dir);
}

static void npy__hostile(void **state)
{
    static const struct { const char *dict; int data; dm_status code; const char *says; } cases[] = {
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 6, DM_OK, ""},
        {"{'shape':(2,3),'fortran_order':False,'descr':'|u1'}  \n", 6, DM_OK, ""},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 5, DM_ECORRUPT,
         "5 bytes of data; its shape says 6"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }", 7, DM_ECORRUPT,
         "7 bytes of data; its shape says 6"},
        {"{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|O', 'fortran_order': False, 'shape': (2, 3), }", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", 24, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3)} x", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), 'x': 1}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, -3)}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2 3)}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6)}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (6,)}", 6, DM_EINVAL, "rank 1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 1, 1, 1, 6)}", 6, DM_ECORRUPT, "is not of |u1"},
        {"{'descr': '<f8', 'fortran_order': False, 'shape': (2147483647, 2147483647, 2147483647)}", 6, DM_ECORRUPT,
         "overflows"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 99999999999999999999)}", 6, DM_ECORRUPT,
         "is not of |u1"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (0, 3)}", 0, DM_EINVAL, "has 0 examples"},
        {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 0)}", 0, DM_ECORRUPT, "extent 1 is 0"},
        {"", 2, DM_ECORRUPT, "is not of |u1"},
    };
    scratch dir = scratch_new();

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const size_t n = strlen(cases[i].dict);
        unsigned char b[300] = "\x93NUMPY\1";

        b[8] = (unsigned char)n;
        memcpy(b + 10, cases[i].dict, n);
        const char *path = dataset_setting(&dir, "file", scratch_file(&dir, "f", b, 10 + n + (size_t)cases[i].data));
        if (cases[i].code)
            dataset_open_fails("npy", SET(path), PLAIN, cases[i].code, cases[i].says);
        else
            dataset_free(dataset_open_ok("npy", SET(path), PLAIN));
    }
    dataset_open_fails(
        "npy", SET(dataset_setting(&dir, "file", scratch_file(&dir, "f", "\x93NUMPY\2\0\xff\xff\xff\x7f{}", 14))),
        PLAIN, DM_ECORRUPT, "an npy file");
    dataset_open_fails("npy", SET(dataset_setting(&dir, "file", scratch_file(&dir, "f", "\x93NUMPX\1\0\2\0{}", 12))),
                       PLAIN, DM_ECORRUPT, "an npy file");
    dataset_open_fails("npy", SET(dataset_setting(&dir, "file", scratch_file(&dir, "f", "\x93NUM", 4))), PLAIN,
                       DM_ECORRUPT, "too short");
    scratch_remove(dir.dir);
}

static void npy__labels_in_the_last_column(void **state)
{
    static const char dict[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }";
    scratch dir = scratch_new();
    unsigned char b[100] = "\x93NUMPY\1";
    int32_t label;
    float x[2];

    (void)state;
    b[8] = sizeof dict - 1;
    memcpy(b + 10, dict, sizeof dict - 1);
    memcpy(b + 10 + sizeof dict - 1, "\0\xff\3\0\0\xb", 6);
    dataset *f = dataset_open_ok(
        "npy", SET(dataset_setting(&dir, "file", scratch_file(&dir, "f", b, 10 + sizeof dict - 1 + 6)), "label=last"),
        PLAIN);
    assert_status(dm_data_at(f->data, 0, 1, x, &label, &f->err), DM_OK, &f->err);
    assert_true(x[0] == -1 && x[1] == 1 && label == 3);
    assert_fails(dm_data_at(f->data, 1, 1, x, &label, &f->err), DM_ECORRUPT, &f->err, "row 1 has label 11");
    dataset_free(f);
    scratch_remove(dir.dir);
}

/* ---- toy2d ------------------------------------------------------------- */

static void toy2d__mean_and_variance(void **state)
{
    static const char *const shapes[] = {"shape=moons", "shape=swiss_roll", "shape=eight_gaussians"};
    enum { N = 40000 };
    float *x = malloc(2 * N * sizeof *x);
    int32_t *label = malloc(N * sizeof *label);

    (void)state;
    for (int k = 0; k < 3; k++) {
        dataset *f = dataset_open_ok("toy2d", SET(shapes[k], "labels=true", "noise=0.2"), PLAIN);
        double mean[2] = {0}, var = 0, first = 0;
        const int classes = dm_data_get_info(f->data)->classes;
        float other[2];
        dm_data *d;

        assert_status(dm_data_at(f->data, 0, N, x, label, &f->err), DM_OK, &f->err);
        for (int i = 0; i < N; i++) {
            mean[0] += (double)x[2 * i] / N;
            mean[1] += (double)x[2 * i + 1] / N;
            var += ((double)x[2 * i] * (double)x[2 * i] + (double)x[2 * i + 1] * (double)x[2 * i + 1]) / N / 2;
            first += label[i] == 0;
        }
        assert_true(fabs(mean[0]) < 0.03 && fabs(mean[1]) < 0.03);
        assert_true(fabs(var - 1.04) < 0.02); /* 1 of the shape, 0.2^2 of the noise */
        assert_true(fabs(first - (double)N / classes) < 400);
        assert_status(dm_data_open(&f->e, "test", &f->s, &d, &f->err), DM_OK, &f->err);
        assert_status(dm_data_at(d, 0, 1, other, NULL, &f->err), DM_OK, &f->err);
        assert_true(other[0] != x[0] && other[1] != x[1]);
        dm_data_close(d);
        dataset_free(f);
    }
    free(x);
    free(label);
}

/* Without noise every point lies on its shape. */
static void toy2d__on_the_shape(void **state)
{
    dataset *f = dataset_open_ok("toy2d", SET("noise=0", "shape=moons"), PLAIN);
    float x[2];

    (void)state;
    for (int i = 0; i < 200; i++) {
        assert_status(dm_data_at(f->data, i, 1, x, NULL, &f->err), DM_OK, &f->err);
        const double a = (double)x[0] * 0.70502 + 0.5, b = (double)x[1] * 0.70502 + 0.25;
        assert_true((fabs(hypot(a, b) - 1) < 1e-5 && b > -1e-5) ||
                    (fabs(hypot(a - 1, b - 0.5) - 1) < 1e-5 && b < 0.5 + 1e-5));
    }
    dataset_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(idx__plain_and_gzip),
        cmocka_unit_test(idx__hostile),
        cmocka_unit_test(idx__labels_and_bombs),
        cmocka_unit_test(npy__numpys_files),
        cmocka_unit_test(npy__hostile),
        cmocka_unit_test(npy__labels_in_the_last_column),
        cmocka_unit_test(toy2d__mean_and_variance),
        cmocka_unit_test(toy2d__on_the_shape),
    };

    return cmocka_run_group_tests_name("datasets", tests, NULL, NULL);
}
