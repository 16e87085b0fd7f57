/* Experiments changed at random: experiment SEED. Begins with the sound files of configs/ and the faulty ones of
 * tests/unit/bad, changes bytes, words and order, adds overrides, and reads the result, for
 * $DEMIST_FUZZ_SECONDS (1). What comes is faults, or an experiment that prints to one that prints the same;
 * a sanitizer, a crash or a second without an answer fails. */
#include "../unit/scratch.h"

#include <dirent.h>

#include "base/clock.h"
#include "experiment/experiment.h"

enum { MAX_TEXT = 1 << 16, MAX_CORPUS = 64 };

typedef struct corpus { unsigned char *b[MAX_CORPUS]; size_t n[MAX_CORPUS]; int count; } corpus;

static uint64_t rng;

static uint32_t below(uint32_t n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 33) % n;
}

static void take_folder(corpus *c, const char *folder)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    char path[2048];

    assert_non_null(d);
    while ((e = readdir(d)) && c->count < MAX_CORPUS) {
        if (!strstr(e->d_name, ".yaml"))
            continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        c->b[c->count] = scratch_read(path, &c->n[c->count]);
        if (c->b[c->count] && c->n[c->count] > 0 && c->n[c->count] < MAX_TEXT / 4)
            c->count++;
        else
            free(c->b[c->count]);
    }
    closedir(d);
}

static const char *const words[] = {
    "use: ",
    "cosine",
    "linear",
    "ddim",
    "unet",
    "mlp",
    "toy2d",
    "idx",
    "simple",
    "steps: ",
    "timesteps: ",
    "0",
    "-1",
    "1e-4",
    "1e999",
    "99999999999999999999",
    "true",
    "null",
    "~",
    "[]",
    "[1, 2]",
    "{}",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "\"",
    "'",
    "|\n",
    ": ",
    "- ",
    "include: ",
    "schedule: ",
    "sampler: ",
    "train: ",
    "data: ",
    "network: ",
    "\n",
    "\n  ",
    "\t",
    "#",
    "---\n",
    "!!int ",
    "<<: ",
    "\xc3\xa9",
    "\xff",
    "\xe2\x80\xa8",
    "\\x00",
    "../",
    "?",
    "%YAML 1.1\n",
    "plugin_path: ",
    "output: ",
    "name: ",
    "ema: ",
    "at: ",
};
static const uint32_t n_words = sizeof words / sizeof words[0];

static size_t put(char *text, size_t n, size_t at, const void *what, size_t m)
{
    char copy[64];

    if (n + m > MAX_TEXT || m > sizeof copy)
        return n;
    memcpy(copy, what, m);
    memmove(text + at + m, text + at, n - at);
    memcpy(text + at, copy, m);
    return n + m;
}

static size_t change(char *text, size_t n, const corpus *c)
{
    const size_t at = below((uint32_t)n + 1), m = below(16) + 1, from = below((uint32_t)c->count);
    const char *word = words[below(n_words)];

    switch (below(6)) {
    case 0:
        if (at < n)
            text[at] = (char)below(256);
        return n;
    case 1: return put(text, n, at, word, strlen(word));
    case 2:
        if (at + m > n)
            return n;
        memmove(text + at, text + at + m, n - at - m);
        return n - m;
    case 3: return c->n[from] >= m ? put(text, n, at, c->b[from] + below((uint32_t)(c->n[from] - m) + 1), m) : n;
    case 4: return n ? put(text, n, at, text, n < 64 ? n / 2 : below(64)) : n;
    default:
        if (at + strlen(word) <= n)
            memcpy(text + at, word, strlen(word));
        return n;
    }
}

/* The experiment's print, NULL where there were faults. override: one, or NULL. */
static char *read_and_print(dm_registry *r, const char *text, size_t n, const char *override, bool comments)
{
    const dm_experiment_options o = {
        .overrides = &override, .n_overrides = override ? 1 : 0, .partial = true, .lenient_data = true};
    dm_faults faults = {0};
    dm_experiment *e = NULL;
    dm_err err = {DM_OK, ""};
    const dm_status rc = dm_experiment_parse(text, n, "fuzz.yaml", "/nowhere", &o, r, &e, &faults, &err);
    char *printed = rc ? NULL : dm_experiment_print(e, comments);

    assert_true((rc == DM_OK) == (faults.count == 0));
    assert_true(!rc == !err.msg[0]);
    assert_true(rc || printed);
    dm_experiment_free(e);
    dm_faults_fini(&faults);
    return printed;
}

static void one_case(const corpus *c)
{
    static char text[MAX_TEXT];
    const uint32_t start = below((uint32_t)c->count);
    size_t n = c->n[start];
    char override[256];
    const bool comments = below(2), overridden = below(2);
    char *first, *second, *third;
    dm_registry *r;
    dm_err err;

    memcpy(text, c->b[start], n);
    for (uint32_t i = below(6); i > 0; i--)
        n = change(text, n, c);
    snprintf(override, sizeof override, "%s%s%s=%s%s", below(2) ? "schedule" : "train", below(8) ? "." : "",
             words[below(n_words)], words[below(n_words)], below(2) ? words[below(n_words)] : "");
    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &r, &err), DM_OK);
    if ((first = read_and_print(r, text, n, overridden ? override : NULL, comments))) {
        second = read_and_print(r, first, strlen(first), NULL, false);
        assert_non_null(second);
        third = read_and_print(r, second, strlen(second), NULL, false);
        assert_non_null(third);
        assert_string_equal(second, third);
        if (!comments)
            assert_string_equal(first, second);
        free(second);
        free(third);
    }
    free(first);
    dm_registry_free(r);
}

static uint64_t seed = 1;

static void experiment__changed_at_random(void **state)
{
    const char *seconds = getenv("DEMIST_FUZZ_SECONDS");
    const double end = dm_seconds() + (seconds ? atof(seconds) : 1);
    corpus c = {.count = 0};
    long n = 0;

    (void)state;
    rng = 0x9e3779b97f4a7c15u * (seed + 1);
    take_folder(&c, getenv("DEMIST_TEST_CONFIGS"));
    take_folder(&c, getenv("DEMIST_TEST_BAD"));
    assert_true(c.count > 10);
    for (; dm_seconds() < end; n++) {
        const double start = dm_seconds();

        one_case(&c);
        if (dm_seconds() - start > 1)
            fail_msg("case %ld of seed %lu took longer than a second", n, (unsigned long)seed);
    }
    print_message("%ld cases of seed %lu\n", n, (unsigned long)seed);
    for (int i = 0; i < c.count; i++)
        free(c.b[i]);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(experiment__changed_at_random)};

    if (argc > 1)
        seed = strtoul(argv[1], NULL, 10);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
