/* cifar10: records of several files in order, the classes' names, and files that lie. */
#include "dataset.h"

enum { RECORD = 3073 };

static uint8_t value(int image, int at) { return (uint8_t)(image * 31 + at * 7); }

/* n images from number `first` on, of class number mod 10, to which `change` bytes are added. */
static void batch(scratch *dir, const char *name, int first, int n, int change)
{
    const size_t size = (size_t)n * RECORD + (size_t)change;
    uint8_t *b = calloc(size ? size : 1, 1);

    for (int i = 0; i < n; i++) {
        b[i * RECORD] = (uint8_t)((first + i) % 10);
        for (int k = 1; k < RECORD && (size_t)(i * RECORD + k) < size; k++)
            b[i * RECORD + k] = value(first + i, k - 1);
    }
    scratch_file(dir, name, b, size);
    free(b);
}

typedef struct { char text[80]; } setting;

static setting folder_of(const scratch *dir)
{
    setting s;

    snprintf(s.text, sizeof s.text, "folder=%s", dir->dir);
    return s;
}

static const char names[] = "\xef\xbb\xbf" "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";

static void cifar10__files_in_order(void **state)
{
    scratch dir = scratch_new();
    float *x = malloc(5 * 3072 * sizeof *x);
    int32_t label[5];
    dm_data *test;

    (void)state;
    batch(&dir, "data_batch_1.bin", 0, 3, 0);
    batch(&dir, "data_batch_2.bin", 3, 2, 0);
    batch(&dir, "test_batch.bin", 7, 1, 0);
    scratch_file(&dir, "batches.meta.txt", names, sizeof names - 1);
    dataset *f = dataset_open_ok("cifar10", SET(folder_of(&dir).text), PLAIN);
    const dm_data_info *a = dm_data_get_info(f->data);

    assert_true(a->count == 5 && a->classes == 10 && a->levels == 256 && a->shape.rank == 3);
    assert_true(a->shape.dim[0] == 3 && a->shape.dim[1] == 32 && a->shape.dim[2] == 32);
    assert_status(dm_data_at(f->data, 0, 5, x, label, &f->err), DM_OK, &f->err);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(label[i], i);
        for (int k = 0; k < 3072; k++)
            assert_true(x[i * 3072 + k] == (float)value(i, k) / 127.5f - 1);
    }
    assert_string_equal(dm_data_class_name(f->data, 0), "airplane");
    assert_string_equal(dm_data_class_name(f->data, 9), "truck");
    assert_status(dm_data_open(&f->e, "test", &f->s, &test, &f->err), DM_OK, &f->err);
    assert_status(dm_data_at(test, 0, 1, x, label, &f->err), DM_OK, &f->err);
    assert_true(dm_data_get_info(test)->count == 1 && label[0] == 7 && x[5] == (float)value(7, 5) / 127.5f - 1);
    dm_data_close(test);
    dataset_free(f);

    f = dataset_open_ok("cifar10", SET(folder_of(&dir).text, "labels=false"), PLAIN);
    assert_int_equal(dm_data_get_info(f->data)->classes, 0);
    dataset_free(f);
    free(x);
    scratch_remove(dir.dir);
}

static void cifar10__hostile(void **state)
{
    scratch dir = scratch_new();
    const setting folder = folder_of(&dir);
    uint8_t wrong[RECORD] = {10};
    dm_data *d;

    (void)state;
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_EINVAL, "data_batch_1.bin' does not exist");
    scratch_file(&dir, "data_batch_1", "pickle", 6);
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_EINVAL, "CIFAR-10's version for Python");
    batch(&dir, "data_batch_1.bin", 0, 2, 0);
    batch(&dir, "data_batch_3.bin", 0, 2, 0);
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_EINVAL, "data_batch_2.bin' does not exist, but '");
    for (int change = -1; change < 2; change += 2) {
        batch(&dir, "data_batch_2.bin", 0, 2, change);
        dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_ECORRUPT, "a multiple of 3073");
    }
    batch(&dir, "data_batch_2.bin", 0, 0, 0);
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_ECORRUPT, "data_batch_2.bin' has 0 bytes");
    scratch_file(&dir, "data_batch_2.bin", wrong, sizeof wrong);
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_ECORRUPT, "label of image 0 is 10; it must be below 10");
    batch(&dir, "data_batch_2.bin", 0, 2, 0);
    dataset *f = dataset_open_ok("cifar10", SET(folder.text), PLAIN);
    assert_null(dm_data_class_name(f->data, 0));
    assert_fails(dm_data_open(&f->e, "test", &f->s, &d, &f->err), DM_ENOENT, &f->err,
                 "test_batch.bin' does not exist");
    dataset_free(f);
    scratch_remove(dir.dir);
}

static void cifar10__names_that_lie(void **state)
{
    static const struct { const char *text; size_t n; const char *says; } cases[] = {
        {"cat\ndog\n", 8, "has 2 names; CIFAR-10 has 10 classes"},
        {names, sizeof names, "is not a text"},
        {"cat\033[2J\n", 8, "name 1 has a control character"},
        {"", 0, "has 0 names"},
    };
    scratch dir = scratch_new();
    const setting folder = folder_of(&dir);
    char *large = calloc(1, 5000);

    (void)state;
    batch(&dir, "data_batch_1.bin", 0, 1, 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_file(&dir, "batches.meta.txt", cases[i].text, cases[i].n);
        dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_ECORRUPT, cases[i].says);
    }
    memset(large, 'a', 4999);
    scratch_file(&dir, "batches.meta.txt", large, 4999);
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_ECORRUPT, "less than 4096 are read");
    free(large);
    scratch_remove(dir.dir);
}

/* Calls of read and its kin by this process. */
static long reads(void)
{
    FILE *f = fopen("/proc/self/io", "r");
    long n = -1;

    if (f && fscanf(f, "rchar: %*d wchar: %*d syscr: %ld", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

/* Labels are looked at in large pieces, the last not a whole one. */
static void cifar10__reads_few_times(void **state)
{
    scratch dir = scratch_new();
    const setting folder = folder_of(&dir);
    const long before = reads();
    uint8_t *b = calloc(700, RECORD);

    (void)state;
    scratch_file(&dir, "data_batch_1.bin", b, (size_t)700 * RECORD);
    dataset *f = dataset_open_ok("cifar10", SET(folder.text), PLAIN);

    assert_true(before < 0 || reads() - before < 100);
    dataset_free(f);
    b[699 * RECORD] = 11;
    scratch_file(&dir, "data_batch_1.bin", b, (size_t)700 * RECORD);
    dataset_open_fails("cifar10", SET(folder.text), PLAIN, DM_ECORRUPT,
                       "label of image 699 is 11; it must be below 10");
    free(b);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cifar10__files_in_order),
        cmocka_unit_test(cifar10__hostile),
        cmocka_unit_test(cifar10__names_that_lie),
        cmocka_unit_test(cifar10__reads_few_times),
    };

    return cmocka_run_group_tests_name("cifar10", tests, NULL, NULL);
}
