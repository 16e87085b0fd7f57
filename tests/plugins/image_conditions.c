/* image_folder: classes and numbers from a table, images of a second folder, and files that do not fit. */
#include "dataset.h"

#include "format/image.h"

#include <sys/stat.h>

typedef struct { char text[160]; } setting;

static setting of_file(const char *key, const char *dir, const char *name)
{
    setting s;

    snprintf(s.text, sizeof s.text, "%s=%s/%s", key, dir, name);
    return s;
}

static void picture(scratch *dir, const char *name, int w, int h, int channels, int first)
{
    uint8_t b[300];
    dm_err err;

    assert_true(w * h * channels <= 300);
    for (int i = 0; i < w * h * channels; i++)
        b[i] = (uint8_t)(first + i);
    assert_status(dm_png_write(scratch_path(dir, name), &(dm_picture){w, h, channels, b}, NULL, 0, &err), DM_OK, &err);
}

/* a, b and deep/c below x. */
static scratch three_images(void)
{
    scratch dir = scratch_new();

    mkdir(scratch_path(&dir, "x"), 0700);
    mkdir(scratch_path(&dir, "x/deep"), 0700);
    picture(&dir, "x/a.png", 4, 3, 1, 0);
    picture(&dir, "x/b.png", 4, 3, 1, 50);
    picture(&dir, "x/deep/c.png", 4, 3, 1, 100);
    return dir;
}

static void table__class_and_numbers(void **state)
{
    static const char text[] = "\xef\xbb\xbf" "file, age ,class,\"tall, or \"\"not\"\"\"\r\n"
                               "deep/c.png,3.5,dog,-1\r\n\r\nb.png,2e1,cat,0\r\n"
                               "\"a.png\",1,dog,\"7\"\r\nnone.png,1,cat,2";
    static const float numbers[] = {1, 7, 20, 0, 3.5f, -1}, ages[] = {1, 20, 3.5f};
    scratch dir = three_images();
    const setting folder = of_file("folder", dir.dir, "x"), table = of_file("table", dir.dir, "t.csv");
    int32_t label[3];
    float x[36];

    (void)state;
    *dataset_log = 0;
    for (int k = 0; k < 6; k++) { /* lines end as those of Windows, of Unix, of old Macs */
        const int some = k % 2;
        char other[sizeof text];
        size_t n = 0;

        for (size_t i = 0; i < sizeof text - 1; i++)
            if (k / 2 == 0 || text[i] != (k / 2 == 1 ? '\r' : '\n'))
                other[n++] = text[i];
        scratch_file(&dir, "t.csv", other, n);
        dataset *f = dataset_open_ok("image_folder", SET(folder.text, table.text, some ? "columns= age" : "columns="),
                                     PLAIN);
        const dm_data_info *a = dm_data_get_info(f->data);

        assert_true(a->count == 3 && a->classes == 2 && a->n_conditions == 1);
        assert_string_equal(a->conditions[0].name, "vector");
        assert_int_equal(a->conditions[0].shape.dim[0], some ? 1 : 2);
        assert_string_equal(dm_data_class_name(f->data, 0), "cat");
        assert_status(dm_data_at(f->data, 0, 3, x, label, &f->err), DM_OK, &f->err);
        assert_true(label[0] == 1 && label[1] == 0 && label[2] == 1);
        assert_memory_equal(dm_data_conditions(f->data), some ? ages : numbers, some ? sizeof ages : sizeof numbers);
        dataset_free(f);
    }
    assert_non_null(strstr(dataset_log, "1 of 4 rows of '"));
    scratch_remove(dir.dir);
}

/* Classes that are numbers stay what they are, and the test split's are those of the train split. */
static void table__numbers_as_classes(void **state)
{
    scratch dir = three_images();
    const setting folder = of_file("folder", dir.dir, "x"), table = of_file("table", dir.dir, "t.csv"),
                  test_folder = of_file("test_folder", dir.dir, "x/deep"),
                  test_table = of_file("test_table", dir.dir, "u.csv");
    int32_t label[3];
    float x[36];
    dm_data *d;

    (void)state;
    *dataset_log = 0;
    scratch_file(&dir, "t.csv", "file_name,label\na.png,0\nb.png,4\ndeep/c.png,2\n", 45);
    scratch_file(&dir, "u.csv", "file,class\nc.png,3\n", 19);
    dataset *f = dataset_open_ok("image_folder", SET(folder.text, table.text, test_folder.text, test_table.text),
                                 PLAIN);

    assert_int_equal(dm_data_get_info(f->data)->classes, 5);
    assert_null(dm_data_class_name(f->data, 0));
    assert_status(dm_data_at(f->data, 0, 3, x, label, &f->err), DM_OK, &f->err);
    assert_true(label[0] == 0 && label[1] == 4 && label[2] == 2);
    assert_status(dm_data_open(&f->e, "test", &f->s, &d, &f->err), DM_OK, &f->err);
    assert_status(dm_data_at(d, 0, 1, x, label, &f->err), DM_OK, &f->err);
    assert_true(dm_data_get_info(d)->classes == 5 && label[0] == 3);
    dm_data_close(d);
    scratch_file(&dir, "u.csv", "file,class\nc.png,5\n", 19);
    assert_fails(dm_data_open(&f->e, "test", &f->s, &d, &f->err), DM_EINVAL, &f->err,
                 "'5', is not one of the 5 of the train split");
    dataset_free(f);
    assert_null(strstr(dataset_log, "numbered up to"));
    scratch_file(&dir, "t.csv", "file_name,label\na.png,0\nb.png,9999\ndeep/c.png,2\n", 48);
    f = dataset_open_ok("image_folder", SET(folder.text, table.text), PLAIN);
    assert_non_null(strstr(dataset_log, "numbered up to 9999, so there are 10000, and only 3 of them have an image"));
    dataset_free(f);
    scratch_file(&dir, "t.csv", "file_name,label\na.png,0\nb.png,4\ndeep/c.png,2\n", 45);
    f = dataset_open_ok("image_folder", SET(folder.text, table.text, test_folder.text), PLAIN);
    assert_fails(dm_data_open(&f->e, "test", &f->s, &d, &f->err), DM_ENOENT, &f->err, "test_table is not set");
    dataset_free(f);
    scratch_remove(dir.dir);
}

static void table__bad(void **state)
{
    static const struct { const char *text; dm_status code; const char *says; } cases[] = {
        {"", DM_EINVAL, "its first line must have one column 'file'"},
        {"name,class\na.png,1\n", DM_EINVAL, "its first line must have one column 'file'"},
        {"file;class\na.png;1\n", DM_EINVAL, "its first line must have one column 'file'"},
        {"file,file_name,class\n", DM_EINVAL, "it has 2 and 1"},
        {"file,class,label\n", DM_EINVAL, "it has 1 and 2"},
        {"file,x,x\n", DM_EINVAL, "two columns 'x'"},
        {"file\na.png\n", DM_EINVAL, "has neither a class nor numbers"},
        {"file,class\n", DM_EINVAL, "has no rows"},
        {"file,class\na.png,1\nb.png,2\n", DM_EINVAL, "has no row for 'deep/c.png', and for 1 of the 3 images"},
        {"file,class\na.png,1\nb.png\n", DM_EINVAL, "line 3 has 1 values; there are 2 columns"},
        {"file,class\na.png,1\nb.png,2,3\n", DM_EINVAL, "line 3 has 3 values; there are 2 columns"},
        {"file,class\na.png,1\na.png,2\n", DM_EINVAL, "has 'a.png' twice, at 2 and 3"},
        {"file,class\na.png,\n", DM_EINVAL, "line 2: the class is empty"},
        {"file,class\n,1\n", DM_EINVAL, "line 2: the file's name is empty"},
        {"file,colour\na.png,red\n", DM_EINVAL, "line 2: 'red' in column 'colour' is not a number"},
        {"file,x\na.png,\n", DM_EINVAL, "line 2: '' in column 'x' is not a number"},
        {"file,x\na.png,nan\n", DM_EINVAL, "is not a number"},
        {"file,x\na.png,1e39\n", DM_EINVAL, "is not a number"},
        {"file,x\na.png,0x10\n", DM_EINVAL, "is not a number"},
        {"file,x\n\"a.png,1\n", DM_ECORRUPT, "line 2: the quotes do not match"},
        {"file,x\n\"a\"b.png,1\n", DM_ECORRUPT, "line 2: the quotes do not match"},
        {"\"file,x\n", DM_ECORRUPT, "the quotes in line 1 do not match"},
        {"file,x\ra.png,1\rb.png\r", DM_EINVAL, "line 3 has 1 values"},
        {"\xff\xfe" "f", DM_ECORRUPT, "is a text in UTF-16; save it as UTF-8"},
    };
    scratch dir = three_images();
    const setting folder = of_file("folder", dir.dir, "x"), table = of_file("table", dir.dir, "t.csv");
    char *wide = malloc(3000);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_file(&dir, "t.csv", cases[i].text, strlen(cases[i].text));
        dataset_open_fails("image_folder", SET(folder.text, table.text), PLAIN, cases[i].code, cases[i].says);
    }
    memset(wide, ',', 3000);
    scratch_file(&dir, "t.csv", wide, 3000);
    dataset_open_fails("image_folder", SET(folder.text, table.text), PLAIN, DM_EINVAL, "more than 1024 columns");
    scratch_file(&dir, "t.csv", "file,x\0", 8);
    dataset_open_fails("image_folder", SET(folder.text, table.text), PLAIN, DM_ECORRUPT,
                       "is not a text: it has a zero byte");
    scratch_file(&dir, "t.csv", "file,class,x\na.png,1,2\n", 23);
    dataset_open_fails("image_folder", SET(folder.text, table.text, "columns=x, y"), PLAIN, DM_EINVAL,
                       "has no column 'y' of numbers");
    dataset_open_fails("image_folder", SET(folder.text, table.text, "labels=true"), PLAIN, DM_EINVAL,
                       "give one of both");
    dataset_open_fails("image_folder", SET(folder.text, "columns=x"), PLAIN, DM_EINVAL, "there is no table");
    free(wide);
    scratch_remove(dir.dir);
}

static void table__json_bad(void **state)
{
    static const struct { const char *text; dm_status code; const char *says; } cases[] = {
        {"{", DM_ECORRUPT, "is not JSON"},
        {"{\"labels\": null}", DM_EINVAL, "has no labels"},
        {"\xef\xbb\xbf{\"labels\": null}", DM_EINVAL, "has no labels"},
        {"{\"labels\": []}", DM_EINVAL, "has no rows"},
        {"{\"labels\": [[\"a.png\"]]}", DM_ECORRUPT, "label 0 is not [file, number]"},
        {"{\"labels\": [[\"a.png\", \"x\"]]}", DM_ECORRUPT, "label 0 is not [file, number]"},
        {"{\"labels\": [[\"a.png\", -1]]}", DM_ECORRUPT, "label 0 is a class that is not 0 to 999,999"},
        {"{\"labels\": [[\"a.png\", 1], [\"b.png\", [1]]]}", DM_ECORRUPT, "label 1 is not of the first one's kind"},
        {"{\"labels\": [[\"a.png\", [1, 2]], [\"b.png\", [1]]]}", DM_ECORRUPT, "label 1 is not of the first"},
        {"{\"labels\": [[\"a.png\", []]]}", DM_ECORRUPT, "has no numbers"},
        {"{\"labels\": [[\"a.png\", [\"x\"]]]}", DM_ECORRUPT, "label 0 has something else than numbers"},
    };
    scratch dir = three_images();
    const setting folder = of_file("folder", dir.dir, "x"), table = of_file("table", dir.dir, "t.json");
    const size_t n = 4 << 20;
    char *costly = malloc(n);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        scratch_file(&dir, "t.json", cases[i].text, strlen(cases[i].text));
        dataset_open_fails("image_folder", SET(folder.text, table.text), PLAIN, cases[i].code, cases[i].says);
    }
    memset(costly, '[', n);
    scratch_file(&dir, "t.json", costly, n);
    dataset_open_fails("image_folder", SET(folder.text, table.text), PLAIN, DM_ECORRUPT, "MB of memory are not read");
    free(costly);
    scratch_remove(dir.dir);
}

static void paired__by_name(void **state)
{
    scratch dir = three_images();
    const setting folder = of_file("folder", dir.dir, "x"), paired = of_file("paired_folder", dir.dir, "y");
    float x[36];
    int turned = 0;

    (void)state;
    mkdir(scratch_path(&dir, "y"), 0700);
    mkdir(scratch_path(&dir, "y/deep"), 0700);
    picture(&dir, "y/b.png", 2, 2, 3, 20);
    picture(&dir, "y/a.png", 2, 2, 3, 0);
    dataset_open_fails("image_folder", SET(folder.text, paired.text), PLAIN, DM_EINVAL,
                       "has no image that is paired with '");
    picture(&dir, "y/deep/c.png", 2, 2, 1, 40);
    dataset_open_fails("image_folder", SET(folder.text, paired.text), PLAIN, DM_EINVAL,
                       "2 x 2 pixels of 3 channels and '");
    picture(&dir, "y/deep/c.png", 2, 2, 3, 40);
    dataset *f = dataset_open_ok("image_folder", SET(folder.text, paired.text), (dm_set_data){.flip = true});
    const dm_data_info *a = dm_data_get_info(f->data);

    assert_true(a->n_conditions == 1 && a->conditions[0].kind == DM_CONDITION_IMAGE);
    assert_true(a->conditions[0].shape.dim[0] == 3 && a->conditions[0].shape.dim[2] == 2);
    assert_status(dm_data_at(f->data, 0, 3, x, NULL, &f->err), DM_OK, &f->err);
    for (int i = 0; i < 36; i++) /* value i % 12 of image i / 12, channels first */
        assert_true(dm_data_conditions(f->data)[i] == (float)(i / 12 * 20 + i % 4 * 3 + i % 12 / 4) / 127.5f - 1);
    for (uint64_t p = 0; p < 32; p++) { /* a pair is mirrored where its image is, and only there */
        assert_status(dm_data_batch(f->data, p, 1, x, NULL, &f->err), DM_OK, &f->err);
        const float *conditions = dm_data_conditions(f->data);

        assert_int_equal(conditions[0] > conditions[1], x[0] > x[1]);
        turned += x[0] > x[1];
    }
    assert_in_range(turned, 4, 28);
    dataset_free(f);

    picture(&dir, "y/b.jpg", 2, 2, 3, 20);
    dataset_open_fails("image_folder", SET(folder.text, paired.text), PLAIN, DM_EINVAL, "paired with the same image");
    unlink(scratch_path(&dir, "y/b.jpg"));
    dataset_open_fails("image_folder", SET(folder.text, paired.text),
                       (dm_set_data){.crop = DM_CROP_CENTER, .size = {1, (const int64_t[]){2}}}, DM_EINVAL,
                       "data.crop would crop the images");
    scratch_file(&dir, "y/a.png", "none", 4);
    dataset_open_fails("image_folder", SET(folder.text, paired.text), PLAIN, DM_ECORRUPT, "y/a.png' is not an image");
    f = dataset_open_ok("image_folder", SET(folder.text, paired.text, "on_error=skip"), PLAIN);
    assert_int_equal(dm_data_get_info(f->data)->count, 2);
    dataset_free(f);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table__class_and_numbers),
        cmocka_unit_test(table__numbers_as_classes),
        cmocka_unit_test(table__bad),
        cmocka_unit_test(table__json_bad),
        cmocka_unit_test(paired__by_name),
    };

    return cmocka_run_group_tests_name("image_conditions", tests, NULL, NULL);
}
