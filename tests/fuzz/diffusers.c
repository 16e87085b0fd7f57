/* Models in diffusers' layout changed at random: diffusers SEED. Begins with the configs, the scheduler and the index
 * of tests/parity/data/diffusers, changes one of them, and opens the folder, for $DEMIST_FUZZ_SECONDS (1). What comes
 * is an error with a message, or weights with an experiment that reads without a fault of syntax; a sanitizer, a crash
 * or a second without an answer fails. */
#include "../unit/scratch.h"


#include "base/clock.h"
#include "experiment/experiment.h"
#include "format/foreign.h"

enum { MAX_TEXT = 1 << 16, FILES = 6 };

/* All of a folder: changed are the first three, taken along the others. */
static const char *const names[FILES] = {"config.json",
                                         "scheduler_config.json",
                                         "diffusion_pytorch_model.safetensors.index.json",
                                         "diffusion_pytorch_model-00001-of-00002.safetensors",
                                         "diffusion_pytorch_model-00002-of-00002.safetensors",
                                         "expected.safetensors"};
static const char *const from[FILES] = {"adm", "plain", "old", "old", "old", "old"};

typedef struct file { unsigned char *b; size_t n; } file;

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static const char *const words[] = {"null",
                                    "true",
                                    "-1",
                                    "0",
                                    "1e999",
                                    "1e-400",
                                    "99999999999999999999",
                                    "[]",
                                    "[1, 2]",
                                    "[null]",
                                    "{}",
                                    "\"\"",
                                    "\"../x.safetensors\"",
                                    "\"AttnDownBlock2D\"",
                                    "\"fourier\"",
                                    "\"learned\"",
                                    "\"timestep\"",
                                    "\"resnet\"",
                                    "\"scale_shift\"",
                                    "\"DDIMScheduler\"",
                                    "\"sigmoid\"",
                                    "\"learned_range\"",
                                    "\"\\u0000\"",
                                    "\"\\n#: [\"",
                                    "16384",
                                    "3",
                                    ",",
                                    ":",
                                    "\"",
                                    "\xff"};

/* The value behind a colon, or bytes anywhere. */
static size_t change(unsigned char *b, size_t n)
{
    const char *word = words[below(sizeof words / sizeof words[0])];
    const size_t m = strlen(word);
    size_t at = below((uint32_t)n), end;

    if (below(4)) {
        while (at < n && b[at] != ':')
            at++;
        at += at < n;
        for (end = at; end < n && b[end] != ',' && b[end] != '\n';)
            end++;
    } else {
        end = at + below(4);
        end = end < n ? end : n;
    }
    if (end < at || n - (end - at) + m > MAX_TEXT)
        return n;
    memmove(b + at + m, b + end, n - end);
    memcpy(b + at, word, m);
    return n - (end - at) + m;
}

static bool open_and_read(const char *dir)
{
    const dm_experiment_options o = {.lenient_data = true};
    dm_faults faults = {0};
    dm_experiment *e = NULL;
    dm_registry *r;
    dm_err err = {DM_OK, ""};
    const char *text;
    dm_st *f;

    if (dm_foreign_open(dir, &f, &err)) {
        assert_true(err.code && err.msg[0]);
        return false;
    }
    text = dm_st_meta(f, "experiment");
    assert_non_null(text);
    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &r, &err), DM_OK);
    if (dm_experiment_parse(text, strlen(text), "fuzz", ".", &o, r, &e, &faults, &err) &&
        (strstr(err.msg, "unknown key") || strstr(err.msg, "is missing")))
        fail_msg("%s\n%s", err.msg, text);
    dm_experiment_free(e);
    dm_faults_fini(&faults);
    dm_registry_free(r);
    dm_st_close(f);
    return true;
}

int main(int argc, char **argv)
{
    const char *data = getenv("DEMIST_TEST_DATA"), *seconds = getenv("DEMIST_FUZZ_SECONDS");
    const double end = dm_seconds() + (seconds ? atof(seconds) : 1);
    scratch dir = scratch_new();
    long cases = 0, opened = 0;
    file files[FILES];

    rng = 0x9e3779b97f4a7c15u ^ (argc > 1 ? strtoull(argv[1], NULL, 10) : 1);
    for (int i = 0; i < FILES; i++) {
        char path[2048];

        snprintf(path, sizeof path, "%s/diffusers/%s/%s", data, from[i], names[i]);
        files[i].b = scratch_read(path, &files[i].n);
        assert_true(files[i].b && files[i].n < MAX_TEXT / 2);
        scratch_file(&dir, names[i], files[i].b, files[i].n);
    }
    for (; dm_seconds() < end; cases++) {
        static unsigned char text[MAX_TEXT];
        const uint32_t which = below(3);
        size_t n = files[which].n;

        memcpy(text, files[which].b, n);
        for (uint32_t k = below(4); k > 0 && n; k--)
            n = change(text, n);
        scratch_file(&dir, names[which], text, n);
        opened += open_and_read(dir.dir);
        scratch_file(&dir, names[which], files[which].b, files[which].n);
    }
    for (int i = 0; i < FILES; i++)
        free(files[i].b);
    scratch_remove(dir.dir);
    printf("%ld cases, %ld opened\n", cases, opened);
    return cases > 0 && opened > 0 ? 0 : 1;
}
