/* The host's side of data: order, scaling, cutting, mirroring, reading ahead, and what it refuses,
 * on a data set that lives in this file. */
#include "scratch.h"

#include "data/data.h"
#include "data/shuffle.h"

#include <math.h>

/* What the data set of this test shall be like. */
typedef struct { dm_data_info info; int64_t varies, bad; } cfg;

/* Pixel (k, y, x) of image i is what it can be told by. */
static float pixel(int64_t i, int64_t k, int64_t y, int64_t x) { return (float)((i * 7 + k * 50 + y * 3 + x) % 256); }

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    const cfg *p = c->cfg;
    const uint32_t size = info->size;

    if (strcmp(split, "test") == 0)
        return dm_fail(c, DM_ENOENT, "no test split");
    *info = p->info;
    info->size = size;
    return DM_OK;
}

static dm_status shape_(dm_ctx *c, int64_t index, dm_shape *shape)
{
    const cfg *p = c->cfg;

    *shape = p->info.shape;
    if (p->varies && index == p->varies)
        shape->dim[2]--;
    return DM_OK;
}

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const cfg *p = c->cfg;
    dm_shape s;

    shape_(c, index, &s);
    if (p->bad && index == p->bad)
        return dm_fail(c, DM_ECORRUPT, "image %lld is broken", (long long)index);
    if (label)
        *label = (int32_t)(index % 10);
    for (int64_t k = 0; k < s.dim[0]; k++)
        for (int64_t y = 0; y < s.dim[1]; y++)
            for (int64_t i = 0; i < s.dim[2]; i++)
                *x++ = s.rank == 1 ? (float)(index + k) : pixel(index, k, y, i);
    return DM_OK;
}

static const char *name_(dm_ctx *c, int64_t index)
{
    static const char *const names[] = {"first.png", "second.png", "third.png", "fourth.png"};

    (void)c;
    return index < 4 ? names[index] : NULL;
}

static const dm_plugin plugin = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "made", .cfg_size = sizeof(cfg),
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_, .shape = shape_,
                                   .name = name_},
};

static const cfg images = {.info = {.count = 101, .shape = {3, {3, 4, 6, 1, 1, 1, 1, 1}}, .classes = 10, .levels = 256,
                                    .high = 255}};
static const cfg points = {.info = {.count = 5, .shape = {1, {2, 1, 1, 1, 1, 1, 1, 1}}}};

typedef struct fixture { dm_experiment e; dm_services s; cfg c; } fixture;

static fixture *make(const cfg *c, dm_set_data set)
{
    fixture *f = calloc(1, sizeof *f);

    f->c = *c;
    f->e.run.seed = 42;
    f->e.data = set;
    if (!set.workers)
        f->e.data.workers = 1;
    f->e.section[DM_SEC_DATA] = (dm_section){.present = true, .plugin = &plugin, .cfg = &f->c};
    f->s.api = (dm_host){.abi = DM_ABI, .size = sizeof(dm_host)}; /* data sets are offered a log alone */
    return f;
}

static dm_data *open_data(fixture *f)
{
    dm_data *d;
    dm_err err;

    assert_status(dm_data_open(&f->e, "train", &f->s, &d, &err), DM_OK, &err);
    return d;
}

static void shuffle__is_one_to_one(void **state)
{
    static const int64_t counts[] = {1, 2, 3, 4, 5, 7, 16, 17, 100, 1009, 4097};

    (void)state;
    for (size_t k = 0; k < sizeof counts / sizeof counts[0]; k++)
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            unsigned char *seen = calloc((size_t)counts[k], 1);

            for (int64_t i = 0; i < counts[k]; i++) {
                const int64_t j = dm_shuffle(7, epoch, i, counts[k]);

                assert_in_range(j, 0, counts[k] - 1);
                assert_int_equal(seen[j]++, 0);
            }
            free(seen);
        }
    for (int64_t i = 0; i < 100; i++) /* far beyond 32 bits */
        assert_in_range(dm_shuffle(1, 1, ((int64_t)1 << 62) - 1 - i, (int64_t)1 << 62), 0, ((int64_t)1 << 62) - 1);
}

/* Where index 0 goes is uniform over seeds and epochs: chi-squared with 9 degrees of freedom. */
static void shuffle__is_even(void **state)
{
    double chi = 0;
    int hits[10] = {0}, kept = 0;

    (void)state;
    for (uint64_t k = 0; k < 10000; k++)
        hits[dm_shuffle(k % 100, k / 100, 0, 10)]++;
    for (int i = 0; i < 10; i++)
        chi += (hits[i] - 1000.0) * (hits[i] - 1000.0) / 1000;
    assert_true(chi < 27.9); /* 0.999 quantile */
    for (int64_t i = 0; i < 1000; i++)
        kept += dm_shuffle(3, 0, i, 1000) == dm_shuffle(3, 1, i, 1000);
    assert_in_range(kept, 0, 8);
}

static void batch__each_example_once_an_epoch(void **state)
{
    fixture *f = make(&images, (dm_set_data){0});
    dm_data *d = open_data(f);
    const dm_data_info *a = dm_data_get_info(d);
    float *x = malloc(101 * 72 * sizeof *x), one[72];
    int32_t labels[101], label;
    int seen[101] = {0};
    dm_err err;

    (void)state;
    assert_true(a->count == 101 && a->low == -1 && a->high == 1 && a->levels == 256 && a->classes == 10);
    assert_true(a->shape.rank == 3 && a->shape.dim[0] == 3 && a->shape.dim[1] == 4 && a->shape.dim[2] == 6);
    assert_status(dm_data_batch(d, 101 * 3, 101, x, labels, &err), DM_OK, &err);
    for (int k = 0; k < 101; k++) {
        const int64_t i = dm_shuffle(42, 3, k, 101);

        assert_status(dm_data_at(d, i, 1, one, &label, &err), DM_OK, &err);
        assert_memory_equal(one, x + k * 72, sizeof one);
        assert_int_equal(labels[k], i % 10);
        assert_true(one[71] == pixel(i, 2, 3, 5) / 127.5f - 1);
        seen[i]++;
    }
    for (int i = 0; i < 101; i++)
        assert_int_equal(seen[i], 1);
    assert_fails(dm_data_at(d, 100, 2, x, NULL, &err), DM_EINVAL, &err, "has 101");
    dm_data_close(d);
    free(x);
    free(f);
}

static void batch__mirrors_half(void **state)
{
    fixture *f = make(&images, (dm_set_data){.flip = true});
    dm_data *d = open_data(f);
    float x[72], plain[72];
    int mirrored = 0;
    dm_err err;

    (void)state;
    for (int k = 0; k < 404; k++) {
        assert_status(dm_data_batch(d, (uint64_t)k, 1, x, NULL, &err), DM_OK, &err);
        assert_status(dm_data_at(d, dm_shuffle(42, (uint64_t)k / 101, k % 101, 101), 1, plain, NULL, &err), DM_OK,
                      &err);
        if (memcmp(x, plain, sizeof x) == 0)
            continue;
        mirrored++;
        for (int i = 0; i < 72; i++)
            assert_true(x[i] == plain[i / 6 * 6 + 5 - i % 6]);
    }
    assert_in_range(mirrored, 404 / 2 - 40, 404 / 2 + 40);
    dm_data_close(d);
    free(f);
}

static void batch__cuts_and_resizes(void **state)
{
    static const int64_t four[] = {4}, two_by_three[] = {2, 3};
    fixture *f = make(&images, (dm_set_data){.size = {1, four}, .crop = DM_CROP_CENTER});
    dm_data *d = open_data(f);
    float x[48], first[48];
    int places[3] = {0};
    dm_err err;

    (void)state;
    assert_status(dm_data_at(d, 5, 1, x, NULL, &err), DM_OK, &err);
    for (int i = 0; i < 48; i++) /* no scaling: the middle four columns */
        assert_true(x[i] == pixel(5, i / 16, i / 4 % 4, 1 + i % 4) / 127.5f - 1);
    dm_data_close(d);

    f->e.data.crop = DM_CROP_RANDOM;
    d = open_data(f);
    for (int k = 0; k < 300; k++) {
        const int64_t i = dm_shuffle(42, (uint64_t)k / 101, k % 101, 101);

        assert_status(dm_data_batch(d, (uint64_t)k, 1, x, NULL, &err), DM_OK, &err);
        for (int at = 0; at < 3; at++)
            places[at] += x[0] == pixel(i, 0, 0, at) / 127.5f - 1;
    }
    for (int at = 0; at < 3; at++)
        assert_in_range(places[at], 70, 130);
    dm_data_close(d);

    f->e.data = (dm_set_data){.size = {2, two_by_three}, .channels = 1, .workers = 1};
    d = open_data(f);
    assert_int_equal(dm_data_get_info(d)->shape.dim[0], 1);
    assert_status(dm_data_at(d, 0, 1, x, NULL, &err), DM_OK, &err);
    assert_status(dm_data_at(d, 0, 1, first, NULL, &err), DM_OK, &err);
    for (int i = 0; i < 6; i++) { /* on one of 256 levels, and near the mean of the pixels there */
        const float level = (x[i] + 1) * 127.5f;
        const double grey = 0.587 * 50 + 0.114 * 100 + (1.5 + 4 * (i / 3 - 0.5) * 1.2) + (2.5 + 2 * (i % 3 - 1)) + 3;

        assert_true(fabsf(level - rintf(level)) < 1e-4f);
        assert_true(fabs((double)level - grey) < 4);
    }
    dm_data_close(d);
    free(f);
}

static void batch__points_stay_as_they_are(void **state)
{
    fixture *f = make(&points, (dm_set_data){.limit = 3});
    dm_data *d = open_data(f);
    int32_t label = 7;
    float x[6];
    dm_err err;

    (void)state;
    assert_int_equal(dm_data_get_info(d)->count, 3);
    assert_true(dm_data_get_info(d)->low == 0 && dm_data_get_info(d)->high == 0);
    assert_status(dm_data_at(d, 0, 3, x, NULL, &err), DM_OK, &err);
    for (int i = 0; i < 6; i++)
        assert_true(x[i] == (float)(i / 2 + i % 2));
    assert_status(dm_data_at(d, 0, 1, x, &label, &err), DM_OK, &err);
    assert_int_equal(label, 0);
    dm_data_close(d);
    free(f);
}

/* Batches made ahead are the batches, for any number of threads, also between others. */
static void prefetch__changes_nothing(void **state)
{
    static const int64_t three[] = {3};
    dm_err err;

    (void)state;
    for (int workers = 1; workers <= 7; workers += 3) {
        fixture *f = make(&images, (dm_set_data){.size = {1, three}, .crop = DM_CROP_RANDOM, .flip = true,
                                                 .workers = workers});
        dm_data *d = open_data(f), *plain = open_data(f);
        float x[16 * 27], y[16 * 27];
        int32_t a[16], b[16];

        assert_status(dm_data_prefetch(d, 1000, 16, 16, &err), DM_OK, &err);
        for (uint64_t k = 0; k < 40; k++) {
            const uint64_t at = k % 10 == 9 ? 5 : 1000 + 16 * (k - k / 10);

            assert_status(dm_data_batch(d, at, 16, x, a, &err), DM_OK, &err);
            assert_status(dm_data_batch(plain, at, 16, y, b, &err), DM_OK, &err);
            assert_memory_equal(x, y, sizeof x);
            assert_memory_equal(a, b, sizeof a);
        }
        /* A part of each batch of 24. */
        assert_status(dm_data_prefetch(d, 9, 8, 24, &err), DM_OK, &err);
        for (uint64_t k = 0; k < 9; k++) {
            assert_status(dm_data_batch(d, 9 + 24 * k, 8, x, a, &err), DM_OK, &err);
            assert_status(dm_data_batch(plain, 9 + 24 * k, 8, y, b, &err), DM_OK, &err);
            assert_memory_equal(x, y, 8 * 27 * sizeof *x);
        }
        assert_status(dm_data_prefetch(d, 0, 8, 8, &err), DM_OK, &err);
        assert_status(dm_data_batch(d, 0, 8, x, a, &err), DM_OK, &err);
        dm_data_close(plain);
        dm_data_close(d);
        free(f);
    }
}

static void prefetch__errors_surface(void **state)
{
    fixture *f = make(&images, (dm_set_data){.workers = 3});
    float x[10 * 72];
    int failed = 0;
    dm_data *d;
    dm_err err;

    (void)state;
    f->c.bad = 50;
    d = open_data(f);
    assert_status(dm_data_prefetch(d, 0, 10, 10, &err), DM_OK, &err);
    for (uint64_t k = 0; k < 10 && !failed; k++)
        if (dm_data_batch(d, k * 10, 10, x, NULL, &err)) {
            assert_fails(err.code, DM_ECORRUPT, &err, "plugin 'made': image 50 is broken");
            assert_fails(dm_data_batch(d, k * 10, 10, x, NULL, &err), DM_ECORRUPT, &err, "image 50");
            failed = 1;
        }
    assert_int_equal(failed, 1);
    dm_data_close(d);
    free(f);
}

static void open__refuses(void **state)
{
    static const int64_t many[] = {1, 2, 3}, eight[] = {8};
    const struct { const cfg *base; cfg change; dm_set_data set; dm_status code; const char *says; } cases[] = {
        {&images, {.info = {.count = -1}}, {.flip = false}, DM_EINVAL, "has 0 examples in its train split"},
        {&images, {.varies = 2}, {.flip = false}, DM_EINVAL,
         "'first.png' is 6 x 4 and 'third.png' 5 x 4 pixels; set data.size"},
        {&images, {.varies = 90}, {.flip = false}, DM_EINVAL, "'example 90' 5 x 4"},
        {&images, {.varies = 0}, {.size = {3, many}}, DM_EINVAL, "data.size has 3 numbers"},
        {&images, {.varies = 0}, {.crop = DM_CROP_CENTER}, DM_EINVAL, "set data.size"},
        {&images, {.varies = 0}, {.channels = 4}, DM_EINVAL, "data.channels is 4"},
        {&points, {.varies = 0}, {.size = {1, eight}}, DM_EINVAL, "are for images"},
        {&points, {.varies = 0}, {.flip = true}, DM_EINVAL, "are for images"},
        {&images, {.info = {.levels = 1}}, {.flip = false}, DM_EINVAL, "with 1 levels"},
        {&images, {.info = {.high = -7}}, {.flip = false}, DM_EINVAL, "range 0 to -7"},
        {&images, {.info = {.shape = {2, {0}}}}, {.flip = false}, DM_EABI, "rank is 1 (points) or 3"},
    };
    dm_data *d;
    dm_err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fixture *f = make(cases[i].base, cases[i].set);
        const cfg *c = &cases[i].change;

        f->c.varies = c->varies;
        f->c.info.count = c->info.count ? 0 : f->c.info.count;
        f->c.info.levels = c->info.levels ? c->info.levels : f->c.info.levels;
        f->c.info.high = c->info.high < 0 ? c->info.high : f->c.info.high;
        f->c.info.shape.rank = c->info.shape.rank ? c->info.shape.rank : f->c.info.shape.rank;
        assert_fails(dm_data_open(&f->e, "train", &f->s, &d, &err), cases[i].code, &err, cases[i].says);
        free(f);
    }
    fixture *f = make(&images, (dm_set_data){0});
    assert_fails(dm_data_open(&f->e, "test", &f->s, &d, &err), DM_ENOENT, &err, "plugin 'made': no test split");
    f->e.section[DM_SEC_DATA].present = false;
    assert_fails(dm_data_open(&f->e, "train", &f->s, &d, &err), DM_EINVAL, &err, "no data section");
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffle__is_one_to_one),
        cmocka_unit_test(shuffle__is_even),
        cmocka_unit_test(batch__each_example_once_an_epoch),
        cmocka_unit_test(batch__mirrors_half),
        cmocka_unit_test(batch__cuts_and_resizes),
        cmocka_unit_test(batch__points_stay_as_they_are),
        cmocka_unit_test(prefetch__changes_nothing),
        cmocka_unit_test(prefetch__errors_surface),
        cmocka_unit_test(open__refuses),
    };

    return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
