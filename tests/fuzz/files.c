/* Files changed at random: files KIND SEED. Each kind begins with sound files of tests/unit/data, changes
 * bytes, lengths and order, and gives the result to what reads it, for $DEMIST_FUZZ_SECONDS (1). Whatever
 * comes is an error with a message or a file; a sanitizer, a crash or a second without an answer fails.
 * The file at fault stays in the folder that the last line names. */
#include "../plugins/dataset.h"

#include "base/clock.h"
#include "format/inspect.h"
#include "run/run_log.h"
#include "format/safetensors.h"
#include "run/tb_events.h"

#include <zlib.h>

enum { MAX_FILE = 1 << 16, MAX_CORPUS = 8 };

typedef struct corpus { unsigned char *b[MAX_CORPUS]; size_t n[MAX_CORPUS]; int count; } corpus;

/* ---- what reads each kind ------------------------------------------------ */

static dm_status read_safetensors(const char *path, dm_err *err)
{
    dm_status s;
    dm_st *f;

    if ((s = dm_st_open(path, &f, err)))
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

static dm_status read_data(const char *plugin, const char *key, const char *path, dm_set_data set, dm_err *err)
{
    static float x[1 << 16];
    char setting[1200];
    dm_status s;
    dataset *f;

    snprintf(setting, sizeof setting, "%s=%s", key, path);
    f = dataset_load(plugin, SET(setting), set);
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

static dm_status read_idx(const char *path, dm_err *err) { return read_data("idx", "train_images", path, PLAIN, err); }
static dm_status read_npy(const char *path, dm_err *err) { return read_data("npy", "file", path, PLAIN, err); }

static dm_status read_image(const char *path, dm_err *err)
{
    static const int64_t side[] = {8};
    char dir[1024];

    snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(path, '/') - path), path);
    return read_data("image_folder", "folder", dir, (dm_set_data){.size = {1, side}, .channels = 3}, err);
}

static dm_status read_inspect(const char *path, dm_err *err)
{
    FILE *to = fopen("/dev/null", "w");
    const dm_status s = dm_inspect(path, to, err);

    fclose(to);
    return s;
}

static dm_status read_events(const char *path, dm_err *err)
{
    dm_tb *t;
    dm_status s = dm_tb_open(NULL, path, 2000, &t, err);

    if (!s)
        dm_tb_close(t);
    return s;
}

static dm_status read_log(const char *path, dm_err *err)
{
    static const char *const names[] = {"step", "loss"};
    dm_run_log *l;
    double *v;
    int64_t rows;
    dm_status s = dm_run_log_read(NULL, path, names, 2, &v, &rows, err);

    if (s)
        return s;
    free(v);
    if (!(s = dm_run_log_open(NULL, path, 2, &l, err)))
        dm_run_log_close(l);
    return s;
}

/* ---- sound files ----------------------------------------------------------- */

static void add(corpus *c, const void *b, size_t n)
{
    assert_true(c->count < MAX_CORPUS && n <= MAX_FILE / 2);
    c->b[c->count] = malloc(MAX_FILE);
    memcpy(c->b[c->count], b, n);
    c->n[c->count++] = n;
}

static void add_data(corpus *c, const char *name)
{
    char path[1200];
    size_t n;
    unsigned char *b = scratch_read(scratch_data(path, sizeof path, name), &n);

    add(c, b, n);
    free(b);
}

static void add_idx(corpus *c)
{
    static const unsigned char idx[16 + 12] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 0, 255, 2, 3};
    unsigned char packed[200];
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)idx, .avail_in = sizeof idx, .next_out = packed,
                  .avail_out = sizeof packed};

    add(c, idx, sizeof idx);
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    add(c, packed, z.total_out);
    deflateEnd(&z);
}

static void make_corpus(corpus *c, const char *kind)
{
    static const char log[] = "{\"step\": 1, \"loss\": 0.5}\n{\"step\": 2, \"loss\": null}\n{\"step\": 3}\n";
    const bool all = strcmp(kind, "inspect") == 0;

    if (all || strcmp(kind, "safetensors") == 0)
        add_data(c, "types.safetensors"), add_data(c, "plain.safetensors");
    if (all || strcmp(kind, "npy") == 0)
        add_data(c, "points.npy"), add_data(c, "images.npy");
    if (all || strcmp(kind, "idx") == 0)
        add_idx(c);
    if (strcmp(kind, "png") == 0)
        add_data(c, "images/palette-alpha.png"), add_data(c, "images/rgb16.png"), add_data(c, "images/bits.png"),
            add_data(c, "photos/turn5-alpha.png");
    if (strcmp(kind, "jpeg") == 0)
        add_data(c, "images/progressive.jpg"), add_data(c, "images/grey.JPG"), add_data(c, "photos/turn6.jpg"),
            add_data(c, "photos/ycck.jpg");
    if (strcmp(kind, "webp") == 0)
        add_data(c, "photos/turn8.webp"), add_data(c, "photos/alpha.webp"), add_data(c, "photos/lossy.webp");
    if (strcmp(kind, "events") == 0)
        add_data(c, "events.bin");
    if (strcmp(kind, "log") == 0)
        add(c, log, sizeof log - 1);
}

/* ---- changes ------------------------------------------------------------- */

static uint32_t draw(uint64_t *state, uint32_t n) /* xorshift64*, Vigna 2016 */
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return (uint32_t)((*state * 0x2545f4914f6cdd1du) >> 33) % n;
}

static size_t change(unsigned char *b, size_t n, uint64_t *r)
{
    static const unsigned char edges[] = {0, 1, 0x7f, 0x80, 0xff, ' ', '"', '{', '9', '-'};
    const size_t at = n ? draw(r, (uint32_t)n) : 0, len = n ? 1 + draw(r, (uint32_t)(n - at < 16 ? n - at : 16)) : 0;

    switch (n ? draw(r, 7) : 5) {
    case 0: b[at] ^= (unsigned char)(1 << draw(r, 8)); break;
    case 1: b[at] = edges[draw(r, sizeof edges)]; break;
    case 2: memset(b + at, edges[draw(r, sizeof edges)], len); break;
    case 3: memmove(b + at, b + at + len, n - at - len); return n - len;
    case 4: memmove(b + at, b + draw(r, (uint32_t)(n - len + 1)), len); break;
    case 5:
        if (n + 16 > MAX_FILE)
            break;
        memmove(b + at + 4, b + at, n - at);
        for (int i = 0; i < 4; i++)
            b[at + (size_t)i] = (unsigned char)draw(r, 256);
        return n + 4;
    default: return draw(r, 8) ? n : at;
    }
    return n;
}

/* The checksums that a format checks first are made good, or nothing behind them would be reached. */
static void mend(const char *kind, unsigned char *b, size_t n)
{
    if (strcmp(kind, "png"))
        return;
    for (size_t at = 8; at + 12 <= n;) {
        const size_t len = (size_t)b[at] << 24 | (size_t)b[at + 1] << 16 | (size_t)b[at + 2] << 8 | b[at + 3];

        if (len > n - at - 12)
            return;
        const uint32_t crc = (uint32_t)crc32(0, b + at + 4, (uInt)(len + 4));
        for (int i = 0; i < 4; i++)
            b[at + 8 + len + (size_t)i] = (unsigned char)(crc >> (24 - 8 * i));
        at += len + 12;
    }
}

static const struct { const char *kind, *file; dm_status (*read)(const char *path, dm_err *err);
} kinds[] = {
    {"safetensors", "f", read_safetensors}, {"idx", "f", read_idx},        {"npy", "f", read_npy},
    {"png", "f.png", read_image},           {"jpeg", "f.jpg", read_image}, {"webp", "f.webp", read_image},
    {"inspect", "f", read_inspect},         {"events", "f", read_events},  {"log", "f", read_log},
};

static void fuzz(size_t kind, uint64_t seed, double seconds)
{
    scratch dir = scratch_new();
    unsigned char b[MAX_FILE];
    corpus c = {.count = 0};
    uint64_t r = seed * 0x9e3779b97f4a7c15u + 1;
    int64_t runs = 0, sound = 0;
    const double end = dm_seconds() + seconds;

    make_corpus(&c, kinds[kind].kind);
    printf("%s, seed %llu, in %s\n", kinds[kind].kind, (unsigned long long)seed, dir.dir);
    fflush(stdout);
    for (double t = dm_seconds(), after; t < end; t = after, runs++) {
        const int k = (int)draw(&r, (uint32_t)c.count);
        size_t n = c.n[k];
        dm_err err = {DM_OK, ""};

        memcpy(b, c.b[k], n);
        for (uint32_t changes = draw(&r, 6) + 1; runs && changes--;)
            n = change(b, n, &r);
        if (runs && draw(&r, 4))
            mend(kinds[kind].kind, b, n);
        const dm_status s = kinds[kind].read(scratch_file(&dir, kinds[kind].file, b, n), &err);
        assert_true(s == DM_OK || (err.code == s && err.msg[0]));
        assert_true(runs || s == DM_OK); /* unchanged it is sound */
        sound += s == DM_OK;
        after = dm_seconds();
        assert_true(after - t < 5); /* a second, on a machine with other work too */
    }
    printf("%lld files, %lld of them read\n", (long long)runs, (long long)sound);
    for (int k = 0; k < c.count; k++)
        free(c.b[k]);
    scratch_remove(dir.dir);
}

int main(int argc, char **argv)
{
    const char *seconds = getenv("DEMIST_FUZZ_SECONDS");

    for (size_t k = 0; argc == 3 && k < sizeof kinds / sizeof kinds[0]; k++)
        if (strcmp(kinds[k].kind, argv[1]) == 0) {
            fuzz(k, strtoull(argv[2], NULL, 10), seconds ? strtod(seconds, NULL) : 1);
            return 0;
        }
    fprintf(stderr, "usage: files KIND SEED\n");
    return 2;
}
