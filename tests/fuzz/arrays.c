/* Files of numbers and pictures; see target.h. */
#include "target.h"

#include "../plugins/dataset.h"

#include "base/arena.h"
#include "data/fingerprint.h"
#include "format/array_file.h"
#include "format/image.h"
#include "format/inspect.h"
#include "interop/read/adm.h"
#include "session/data_meta.h"

dm_status fuzz_safetensors(const fuzz_case *c, dm_err *err)
{
    dm_status s;
    dm_st *f;

    if ((s = dm_st_open(c->path, &f, err)))
        return s;
    s = dm_st_verify(f, err);
    for (int64_t i = 0; i < dm_st_count(f) && !s; i++) {
        const dm_st_tensor *t = dm_st_at(f, i);
        double v[64];

        assert_ptr_equal(dm_st_find(f, t->name), t);
        s = dm_st_read_f64(f, t, 0, t->count < 64 ? t->count : 64, v, err);
    }
    dm_st_close(f);
    return s;
}

/* What a checkpoint says of the data that it was trained on. */
dm_status fuzz_checkpoint(const fuzz_case *c, dm_err *err)
{
    const dm_fingerprint now = {"3 a b", (char[]){"cat/dog"}};
    dm_data_info data;
    dm_data_meta meta;
    dm_st_pair pairs[DM_DATA_PAIRS];
    const char *before;
    char what[256];
    dm_status s;
    dm_st *f;

    if ((s = dm_st_open(c->path, &f, err)))
        return s;
    if ((before = dm_st_meta(f, DM_DATA_FINGERPRINT)))
        dm_fingerprint_same(&now, before, dm_st_meta(f, DM_CLASS_NAMES), what, sizeof what);
    if (!(s = dm_data_meta_read(f, &data, err)))
        assert_int_equal(dm_data_meta_write(&data, &meta, pairs),
                         DM_DATA_PAIRS - DM_MAX_CONDITIONS + data.n_conditions);
    dm_st_close(f);
    return s;
}

static void ignore(void *user, const char *line)
{
    (void)user;
    assert_true(line[0]);
}

/* One tensor of the header, of a line "NAME EXTENT EXTENT..."; nothing where the line is none. */
static void put_tensor(FILE *to, const char *line, uint64_t *at)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_.0123456789";
    const size_t n = strspn(line, letters);
    uint64_t size = sizeof(float);
    const char *p = line + n;
    char *end;

    if (!n || line[n] != ' ')
        return;
    fprintf(to, "%s\"%.*s\":{\"dtype\":\"F32\",\"shape\":[", ftell(to) > 1 ? "," : "", (int)n, line);
    for (int i = 0; *p == ' ' && i < 8; i++, p = end) {
        const unsigned long extent = strtoul(p, &end, 10) % (1 << 16);

        size = size * extent % ((uint64_t)1 << 32);
        fprintf(to, "%s%lu", i ? "," : "", extent);
    }
    fprintf(to, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)*at, (unsigned long long)(*at + size));
    *at += size;
}

/* Weights whose tensors the input names, line by line; their values are a hole in the file. */
static const char *write_weights(const fuzz_case *c)
{
    const char *path = scratch_path(c->dir, "weights.safetensors");
    char *text = fuzz_string(c), *rest = text, *header = NULL;
    uint64_t at = 0, length = 0;
    size_t n = 0;
    FILE *to = open_memstream(&header, &n);

    fputc('{', to);
    for (char *line; (line = strtok_r(rest, "\n", &rest));)
        put_tensor(to, line, &at);
    fputc('}', to);
    fclose(to);
    length = n;
    assert_non_null(to = fopen(path, "wb"));
    assert_int_equal(fwrite(&length, sizeof length, 1, to), 1);
    assert_int_equal(fwrite(header, 1, n, to), n);
    fclose(to);
    assert_int_equal(truncate(path, (off_t)(sizeof length + n + at)), 0);
    free(header);
    free(text);
    return path;
}

dm_status fuzz_guided_diffusion(const fuzz_case *c, dm_err *err)
{
    dm_arena *arena = dm_arena_new();
    dm_adm_tensor *tensors;
    int64_t n;
    dm_adm adm;
    dm_status s;
    dm_st *f;

    if (!(s = dm_st_open(write_weights(c), &f, err))) {
        if (!(s = dm_adm_read(f, &adm, err)))
            s = dm_adm_match(f, &adm, arena, &tensors, &n, ignore, NULL, err);
        dm_st_close(f);
    }
    dm_arena_free(arena);
    return s;
}

dm_status fuzz_array(const fuzz_case *c, dm_err *err)
{
    float x[64];
    dm_array_file *f;
    dm_status s;

    if ((s = dm_array_file_open(c->path, NULL, &f, err)))
        return s;
    const dm_shape shape = dm_array_file_shape(f);
    const int64_t count = dm_shape_count(&shape), n = count < 64 ? count : 64;
    s = dm_array_file_read(f, count - n, n, x, err);
    dm_array_file_close(f);
    return s;
}

static dm_status read_data(const char *plugin, const char *more, const char *key, const char *path, dm_set_data set,
                           dm_err *err)
{
    static float x[1 << 16];
    char setting[1200];
    dm_status s;
    dataset *f;

    snprintf(setting, sizeof setting, "%s=%s", key, path);
    f = dataset_load(plugin, SET(setting, more), set);
    s = dm_data_open(&f->e, "train", &f->s, &f->data, err);
    if (!s) {
        const dm_data_info *a = dm_data_get_info(f->data);
        int64_t n = 1;

        for (int32_t k = 0; k < a->shape.rank; k++)
            n *= a->shape.dim[k];
        if (n <= 1 << 16)
            s = dm_data_at(f->data, a->count - 1, 1, x, NULL, err);
    }
    dataset_free(f);
    return s;
}

dm_status fuzz_idx(const fuzz_case *c, dm_err *err)
{
    return read_data("datasets/idx", NULL, "train_images", c->path, PLAIN, err);
}

dm_status fuzz_npy(const fuzz_case *c, dm_err *err)
{
    return read_data("datasets/npy", NULL, "file", c->path, PLAIN, err);
}

dm_status fuzz_image(const fuzz_case *c, dm_err *err)
{
    static const int64_t side[] = {8};

    return read_data("datasets/image_folder", NULL, "folder", c->dir->dir,
                     (dm_set_data){.size = {1, side}, .channels = 3}, err);
}

dm_status fuzz_archive(const fuzz_case *c, dm_err *err)
{
    static const int64_t side[] = {8};

    return read_data("datasets/image_folder", "labels=true", "folder", c->path,
                     (dm_set_data){.size = {1, side}, .channels = 3}, err);
}

/* The images of the table. */
void fuzz_table_begin(scratch *dir)
{
    static const char *const names[] = {"x.png", "y.png"};
    uint8_t b[4] = {0};
    dm_err err;

    for (int i = 0; i < 2; i++)
        assert_int_equal(dm_png_write(scratch_path(dir, names[i]), &(dm_picture){2, 2, 1, b}, NULL, 0, &err), DM_OK);
}

dm_status fuzz_table(const fuzz_case *c, dm_err *err)
{
    char folder[128];

    snprintf(folder, sizeof folder, "folder=%s", c->dir->dir);
    return read_data("datasets/image_folder", folder, "table", c->path, PLAIN, err);
}

dm_status fuzz_inspect(const fuzz_case *c, dm_err *err)
{
    FILE *to = fopen("/dev/null", "w");
    const dm_status s = dm_inspect(c->path, to, err);

    fclose(to);
    return s;
}
