/* Choices of implementations: by rule, measured, from the cache, as a run began; entries that cannot be trusted, and
 * implementations that are wrong. */
#include "backends/capabilities.h"
#include "graph/op_def.h"
#include "plan/choices.h"
#include "plan/measure.h"

#include "scratch.h"

#include <dirent.h>
#include <jansson.h>
#include <sys/stat.h>

/* One folder for all, since programs are cached there too; each test begins without choices. */
static char folder[64];

static int new_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", scratch_new().dir);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

static int no_choices(void **state)
{
    char path[128];

    snprintf(path, sizeof path, "%s/choices", folder);
    scratch_remove(path);
    *state = folder;
    return 0;
}

typedef struct heard { char lines[4096]; int warnings; } heard;

static void hear(void *user, dm_log_level level, const char *line)
{
    heard *h = user;
    const size_t n = strlen(h->lines);

    snprintf(h->lines + n, sizeof h->lines - n, "%s\n", line);
    h->warnings += level == DM_LOG_WARNING;
}

static void must(dm_status rc, const dm_err *err)
{
    if (rc)
        fail_msg("%s", err->msg);
}

static dm_device *open_device(const char *cache, const char *kernels)
{
    const dm_device_options o = {.high = true, .cache_dir = cache, .kernel_dir = kernels};
    const char *select = getenv("DEMIST_DEVICE");
    dm_device *d;
    dm_err err = {0};

    must(dm_device_open(select ? select : "auto", &o, &d, &err), &err);
    return d;
}

static dm_choices *open_choices(dm_device *d, dm_tune tune, heard *h)
{
    const dm_choices_options o = {
        .tune = tune, .high = true, .budget = tune == DM_TUNE_ON ? 1000 : -1, .log = hear, .user = h};
    dm_choices *c;
    dm_err err = {0};

    must(dm_choices_new(d, &o, &c, &err), &err);
    return c;
}

/* A convolution small enough for the portable implementation to be a candidate. */
static dm_opnode convolution(void)
{
    dm_opnode n = {.kind = DM_OP_CONV2D, .n_in = 5, .n_out = 1};

    n.in[0] = (dm_desc){DM_DT_F32, 4, {2, 8, 8, 16, 1, 1, 1, 1}};
    n.in[1] = (dm_desc){DM_DT_F32, 4, {32, 16, 3, 3, 1, 1, 1, 1}};
    n.in[2] = n.in[3] = n.in[4] = (dm_desc){.rank = -1};
    n.out[0] = (dm_desc){DM_DT_F32, 4, {2, 8, 8, 32, 1, 1, 1, 1}};
    n.a.conv = (dm_conv){3, 1, {1, 1}};
    return n;
}

static dm_choice pick(dm_choices *c, dm_device *d, bool trains)
{
    const dm_opnode n = convolution();
    dm_choice out;
    dm_err err = {0};

    must(dm_choices_pick(c, NULL, dm_device_get_info(d), &n, NULL, trains, &out, &err), &err);
    return out;
}

static void measure(dm_choices *c)
{
    const dm_opnode n = convolution(), *const ops[] = {&n, &n};

    dm_choices_measure(c, ops, 2, 1);
}

static void choices__rule(void **state)
{
    const char *dir = *state;
    dm_device *d = open_device(dir, NULL);
    heard h = {0};
    dm_choices *c = open_choices(d, DM_TUNE_OFF, &h);

    measure(c);
    assert_string_equal(pick(c, d, true).why, "by rule");
    assert_string_equal(h.lines, "");
    dm_choices_free(c);
    c = open_choices(d, DM_TUNE_AUTO, &h); /* one run of a small op is not worth it */
    measure(c);
    assert_string_equal(pick(c, d, true).why, "by rule");
    assert_string_equal(h.lines, "");
    dm_choices_free(c);
    dm_device_close(d);
}

static bool is_candidate(const dm_device_info *dev, const dm_opnode *n, bool high, const char *name)
{
    const dm_impl *list[DM_MAX_CANDIDATES];
    const int count = dm_candidates(dev, n, high, list);
    int found = 0;

    for (int i = 0; i < count; i++)
        found += !strcmp(list[i]->name, name);
    return found;
}

/* 3x3 convolutions on CPUs: F(4x4, 3x3) where products may round more than those of fp32, else F(2x2, 3x3). */
static void choices__winograd(void **state)
{
    const dm_device_info dev = {.cpu = true, .native_float = 16, .compute_units = 2};
    const dm_op_kind kinds[] = {DM_OP_CONV2D, DM_OP_CONV2D_DX, DM_OP_CONV2D_DW};
    const dm_desc pixels = {DM_DT_F32, 4, {2, 8, 8, 32, 1, 1, 1, 1}},
                  weights = {DM_DT_F32, 4, {32, 32, 3, 3, 1, 1, 1, 1}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        dm_opnode n = convolution();

        n.kind = kinds[i];
        n.n_in = i ? 2 : 5;
        n.in[0] = pixels;
        n.in[1] = i == 2 ? pixels : weights;
        n.out[0] = i == 2 ? weights : pixels;
        for (int high = 0; high < 2; high++) {
            const char *const names[] = {"winograd_2x2", "winograd"};
            const dm_choices_options o = {.high = high};
            const dm_impl *impl;
            dm_err err = {0};
            bool forced;

            must(dm_choose(&dev, &n, &o, NULL, &impl, &forced, &err), &err);
            assert_string_equal(impl->name, names[high]);
            assert_true(is_candidate(&dev, &n, high, names[high]));
            assert_false(is_candidate(&dev, &n, high, names[!high]));
            must(dm_choose(&dev, &n, &o, names[!high], &impl, &forced, &err), &err);
            assert_string_equal(impl->name, names[!high]);
        }
    }
}

typedef struct stop { heard h; int asked, allowed; } stop;

static void hear_of_stop(void *user, dm_log_level level, const char *line) { hear(&((stop *)user)->h, level, line); }
static bool at_a_question(void *user) { return ++((stop *)user)->asked > ((stop *)user)->allowed; }

static dm_choices *open_stopping(dm_device *d, bool high, int allowed, stop *w)
{
    const dm_choices_options o = {.tune = DM_TUNE_ON,
                                  .high = high,
                                  .budget = 1000,
                                  .log = hear_of_stop,
                                  .stopped = at_a_question,
                                  .user = w};
    dm_choices *c;
    dm_err err = {0};

    *w = (stop){.allowed = allowed};
    must(dm_choices_new(d, &o, &c, &err), &err);
    return c;
}

/* The one entry of the cache. */
static void entry_path(const char *dir, char path[512])
{
    char choices[256];
    struct dirent *e;
    DIR *all;

    snprintf(choices, sizeof choices, "%s/choices", dir);
    all = opendir(choices);
    path[0] = 0;
    while (all && (e = readdir(all)))
        if (e->d_name[0] != '.')
            snprintf(path, 512, "%s/%.200s", choices, e->d_name);
    if (all)
        closedir(all);
}

static json_t *entry(const char *dir)
{
    char path[512];
    json_t *j;

    entry_path(dir, path);
    assert_true(path[0]);
    assert_non_null(j = json_load_file(path, 0, NULL));
    return j;
}

/* A wish to stop ends it within an implementation; what is not whole is not kept. What is, is not measured again, and
 * may be chosen. */
static void choices__stopped(void **state)
{
    dm_device *d = open_device(*state, NULL);
    json_t *before, *after, *list;
    dm_choices *c;
    char path[512];
    stop w;
    int asked = 2;

    c = open_stopping(d, true, asked, &w);
    measure(c);
    assert_int_equal(w.asked, 3);
    assert_non_null(strstr(w.h.lines, "measured 0 of 1 ops"));
    assert_string_equal(pick(c, d, true).why, "by rule");
    dm_choices_free(c);
    for (entry_path(*state, path); !path[0]; entry_path(*state, path)) {
        assert_true(asked < 10);
        c = open_stopping(d, true, ++asked, &w);
        measure(c);
        assert_non_null(strstr(w.h.lines, "measured 0 of 1 ops"));
        dm_choices_free(c);
    }
    before = entry(*state);
    assert_int_equal(json_array_size(json_object_get(before, "measured")), 1);

    c = open_stopping(d, true, 1000, &w);
    measure(c);
    assert_non_null(strstr(w.h.lines, "measured 1 of 1 ops"));
    assert_non_null(strstr(pick(c, d, true).why, "measured: "));
    dm_choices_free(c);
    after = entry(*state);
    list = json_object_get(after, "measured");
    assert_true(json_array_size(list) > 1);
    assert_true(json_equal(json_array_get(list, 0), json_array_get(json_object_get(before, "measured"), 0)));
    json_decref(before);
    json_decref(after);
    dm_device_close(d);
}

/* Those that round more are more candidates: what others took is known. */
static void choices__of_both_precisions(void **state)
{
    dm_device *d = open_device(*state, NULL);
    json_t *before, *after;
    dm_choices *c;
    stop w;

    c = open_stopping(d, false, 1000, &w);
    measure(c);
    dm_choices_free(c);
    before = entry(*state);
    c = open_stopping(d, true, 1000, &w);
    measure(c);
    assert_non_null(strstr(w.h.lines, "measured 1 of 1 ops"));
    dm_choices_free(c);
    after = entry(*state);
    assert_true(json_array_size(json_object_get(after, "measured")) >
                json_array_size(json_object_get(before, "measured")));
    for (size_t i = 0; i < json_array_size(json_object_get(before, "measured")); i++)
        assert_true(json_equal(json_array_get(json_object_get(after, "measured"), i),
                               json_array_get(json_object_get(before, "measured"), i)));
    json_decref(before);
    json_decref(after);
    c = open_stopping(d, false, 1000, &w);
    measure(c);
    assert_string_equal(w.h.lines, "");
    dm_choices_free(c);
    dm_device_close(d);
}

/* The seconds are used up before anything is begun. */
static void choices__no_time(void **state)
{
    dm_device *d = open_device(*state, NULL);
    heard h = {0};
    const dm_choices_options o = {.tune = DM_TUNE_ON, .high = true, .budget = 1e-9, .log = hear, .user = &h};
    char path[512];
    dm_choices *c;
    dm_err err = {0};

    must(dm_choices_new(d, &o, &c, &err), &err);
    measure(c);
    assert_non_null(strstr(h.lines, "measured 0 of 1 ops"));
    dm_choices_free(c);
    entry_path(*state, path);
    assert_string_equal(path, "");
    dm_device_close(d);
}

/* Of two ops, with time for one, the one with more work. */
static void choices__most_to_gain(void **state)
{
    const dm_opnode small = convolution();
    dm_opnode large = convolution();
    const dm_opnode *const ops[] = {&small, &large};
    dm_device *d = open_device(*state, NULL);
    char key[512];
    dm_choices *c;
    json_t *j;
    stop w;

    large.in[0].dim[0] = large.out[0].dim[0] = 64;
    dm_op_key(&large, key, sizeof key);
    for (int asked = 3; asked < 10; asked++) {
        char path[512];

        c = open_stopping(d, true, asked, &w);
        dm_choices_measure(c, ops, 2, 1);
        dm_choices_free(c);
        entry_path(*state, path);
        if (path[0])
            break;
    }
    j = entry(*state);
    assert_string_equal(json_string_value(json_object_get(j, "op")), key);
    json_decref(j);
    dm_device_close(d);
}

/* Where an op's error enters the loss, no products of bf16 take the place of those of f32. */
static void choices__close(void **state)
{
    dm_device *d = open_device(*state, NULL);
    dm_opnode n = convolution();
    const dm_impl *impl;
    const dm_choices_options high = {.high = true};
    bool forced;
    dm_err err = {0};

    must(dm_choose(dm_device_get_info(d), &n, &high, NULL, &impl, &forced, &err), &err);
    assert_int_equal(!strcmp(impl->name, "bf16x3"), (dm_device_get_info(d)->capabilities & DM_CAP_AMX_BF16) != 0);
    n.full_precision = true;
    must(dm_choose(dm_device_get_info(d), &n, &high, NULL, &impl, &forced, &err), &err);
    assert_string_not_equal(impl->name, "bf16x3");
    must(dm_choose(dm_device_get_info(d), &n, &high, "bf16x3", &impl, &forced, &err), &err);
    assert_string_not_equal(impl->name, "bf16x3");
    assert_false(forced);
    dm_device_close(d);
}

/* A CPU without instructions for products of bf16 casts to f32, whose implementations are faster; the one that others
 * are compared with runs where it is forced. */
static void choices__no_products_of_bf16(void **state)
{
    dm_device *d = open_device(*state, NULL);
    dm_device_info dev = *dm_device_get_info(d);
    dm_opnode n = convolution();
    const dm_impl *impl;
    bool forced;
    dm_err err = {0};

    n.in[0].type = n.out[0].type = DM_DT_BF16;
    dev.capabilities |= DM_CAP_AMX_BF16;
    must(dm_choose(&dev, &n, NULL, NULL, &impl, &forced, &err), &err);
    assert_string_equal(impl->name, "amx");
    dev.capabilities &= ~(uint64_t)(DM_CAP_AMX_BF16 | DM_CAP_AVX512_BF16);
    assert_int_equal(dm_choose(&dev, &n, NULL, NULL, &impl, &forced, &err), DM_EDEVICE);
    must(dm_choose(&dev, &n, NULL, "conv2d=bf16", &impl, &forced, &err), &err);
    assert_string_equal(impl->name, "bf16");
    assert_true(forced && dm_impl_is_reference(impl, &n));
    dm_device_close(d);
}

static void choices__deterministic(void **state)
{
    const dm_choices_options o = {.tune = DM_TUNE_ON, .high = true, .deterministic = true, .budget = -1};
    dm_device *d = open_device(*state, NULL);
    dm_choices *c;
    dm_choice got;
    dm_err err = {0};

    must(dm_choices_new(d, &o, &c, &err), &err);
    measure(c);
    got = pick(c, d, true);
    assert_string_equal(got.why, "by rule");
    assert_false(got.impl->batch_dependent);
    dm_choices_free(c);
    dm_device_close(d);
}

/* A linear layer of 1, 16 or 256 tokens an example, and convolutions of few and of many pixels. */
static dm_opnode by_examples(int i, int64_t examples)
{
    static const int64_t tokens[] = {1, 16, 256}, sides[] = {2, 4, 16};
    const int64_t rows = examples * tokens[i % 3], side = sides[i % 3];
    dm_opnode n = convolution();

    if (i < 3) {
        n = (dm_opnode){.kind = DM_OP_MATMUL, .n_in = 3, .n_out = 1};
        n.in[0] = (dm_desc){DM_DT_F32, 2, {rows, 64, 1, 1, 1, 1, 1, 1}};
        n.in[1] = (dm_desc){DM_DT_F32, 2, {96, 64, 1, 1, 1, 1, 1, 1}};
        n.in[2] = (dm_desc){.rank = -1};
        n.out[0] = (dm_desc){DM_DT_F32, 2, {rows, 96, 1, 1, 1, 1, 1, 1}};
        n.a.mm.tb = true;
        n.a.mm.batch = 1;
        n.a.mm.m = rows;
        n.a.mm.n = 96;
        n.a.mm.k = 64;
        return n;
    }
    n.in[0] = (dm_desc){DM_DT_F32, 4, {examples, side, side, 64, 1, 1, 1, 1}};
    n.out[0] = n.in[0];
    n.in[1] = (dm_desc){DM_DT_F32, 4, {64, 64, 3, 3, 1, 1, 1, 1}};
    if (i >= 6) {
        n.in[1].dim[2] = n.in[1].dim[3] = 1;
        n.a.conv = (dm_conv){1, 1, {0, 0}};
    }
    return n;
}

/* An example's bits do not depend on how many share the call, so neither does what computes them. */
static void choices__deterministic_for_any_batch(void **state)
{
    enum { OPS = 9, WAYS = 4 }; /* bits: products may round more; AMX and AVX-512-BF16 are there */

    (void)state;
    for (int i = 0; i < OPS; i++)
        for (int way = 0; way < WAYS; way++) {
            const uint64_t bf16 = DM_CAP_AMX_BF16 | DM_CAP_AVX512_BF16 | DM_CAP_X86;
            const dm_device_info dev = {
                .cpu = true, .native_float = 16, .compute_units = 2, .capabilities = way & 2 ? bf16 : 0};
            const dm_choices_options o = {.high = way & 1, .deterministic = true};
            const char *first = NULL;

            for (int64_t examples = 1; examples < 130; examples++) {
                const dm_opnode n = by_examples(i, examples);
                const dm_impl *impl;
                dm_err err = {0};
                bool forced;

                must(dm_choose(&dev, &n, &o, NULL, &impl, &forced, &err), &err);
                first = first ? first : impl->name;
                if (strcmp(impl->name, first))
                    fail_msg("op %d, way %d: %s for one example, %s for %d", i, way, first, impl->name, (int)examples);
            }
        }
}

static void choices__measured_once(void **state)
{
    dm_device *d = open_device(*state, NULL);
    heard first = {0}, second = {0};
    dm_choices *c = open_choices(d, DM_TUNE_ON, &first);
    char path[512], name[32];
    dm_choice got;

    measure(c);
    got = pick(c, d, true);
    snprintf(name, sizeof name, "%s", got.impl->name);
    assert_non_null(strstr(got.why, "measured: "));
    assert_non_null(strstr(got.why, name));
    assert_non_null(strstr(first.lines, "measured 1 of 1 ops"));
    dm_choices_free(c);
    entry_path(*state, path);
    assert_true(path[0]);

    c = open_choices(d, DM_TUNE_AUTO, &second);
    measure(c);
    got = pick(c, d, true);
    assert_string_equal(got.impl->name, name);
    assert_non_null(strstr(got.why, "measured: "));
    assert_string_equal(second.lines, "");
    dm_choices_free(c);
    dm_device_close(d);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static char *read_text(const char *path)
{
    static char text[65536];
    FILE *f = fopen(path, "r");
    size_t n;

    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    text[n] = 0;
    fclose(f);
    return text;
}

/* The entry with `from` replaced by `to`. */
static char *changed(const char *good, const char *from, const char *to)
{
    static char text[65536];
    const char *at = strstr(good, from);

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    return text;
}

static void choices__entries_are_not_trusted(void **state)
{
    static const struct { const char *from, *to;
    } changes[] = {
        {"demist ", "demist 9"},
        {"\"op\": \"conv2d", "\"op\": \"conv3d"},
        {"measured", "guessed"},
        {"\"run\": ", "\"run\": -"},
        {"\"implementation\": \"", "\"implementation\": \"no"},
        {"\"dropped\": false", "\"dropped\": 0"},
        {"}", ""},
        {"\"run\": ", "\"run\": 1e9"},
    };
    dm_device *d = open_device(*state, NULL);
    heard h = {0};
    dm_choices *c = open_choices(d, DM_TUNE_ON, &h);
    char path[512], good[65536];

    measure(c);
    dm_choices_free(c);
    entry_path(*state, path);
    snprintf(good, sizeof good, "%s", read_text(path));
    for (size_t i = 0; i < sizeof changes / sizeof changes[0] + 3; i++) {
        if (i < sizeof changes / sizeof changes[0])
            write_text(path, changed(good, changes[i].from, changes[i].to));
        else
            write_text(path, i % 3 == 0 ? "" : i % 3 == 1 ? good : "[1, 2");
        chmod(path, i >= sizeof changes / sizeof changes[0] && i % 3 == 1 ? 0666 : 0644);
        c = open_choices(d, DM_TUNE_AUTO, &h);
        if (strcmp(pick(c, d, true).why, "by rule"))
            fail_msg("a changed entry was used: %s", read_text(path));
        dm_choices_free(c);
    }
    /* It is measured again, and then there. */
    c = open_choices(d, DM_TUNE_ON, &h);
    measure(c);
    dm_choices_free(c);
    c = open_choices(d, DM_TUNE_AUTO, &h);
    assert_non_null(strstr(pick(c, d, true).why, "measured"));
    dm_choices_free(c);
    dm_device_close(d);
}

/* Every product that this kernel sums is off by a hundredth. */
static void spoil(const char *dir, const char *file)
{
    static const char wrong[] = "__attribute__((overloadable)) static float16 wrong_fma(float16 a, float16 b, float16 "
                                "c) { return fma(a * 1.01f, b, c); }\n"
                                "__attribute__((overloadable)) static float wrong_fma(float a, float b, float c) { "
                                "return fma(a * 1.01f, b, c); }\n"
                                "#undef fma\n#define fma wrong_fma\n";
    const char *source = getenv("DEMIST_SOURCE");
    char from[512], to[512], sub[512], text[1 << 17];

    snprintf(from, sizeof from, "%s/kernels/%s", source, file);
    snprintf(sub, sizeof sub, "%s/conv", dir);
    snprintf(to, sizeof to, "%s/%s", dir, file);
    mkdir(sub, 0777);
    snprintf(text, sizeof text, "%s%s", wrong, read_text(from));
    write_text(to, text);
}

static void choices__wrong_one_is_dropped(void **state)
{
    heard h = {0};
    dm_device *d;
    dm_choices *c;
    char path[512];

    spoil(*state, "conv/conv2d_vec16.cl");
    d = open_device(*state, *state);
    c = open_choices(d, DM_TUNE_ON, &h);
    if (strcmp(pick(c, d, false).impl->name, "vec16")) {
        print_message("vec16 is not this device's first choice\n");
        dm_choices_free(c);
        dm_device_close(d);
        skip();
    }
    measure(c);
    assert_string_not_equal(pick(c, d, false).impl->name, "vec16");
    assert_non_null(strstr(pick(c, d, false).why, "vec16 dropped (off by 0.01)"));
    assert_int_equal(h.warnings, 1);
    assert_non_null(strstr(h.lines, "vec16 is not used for conv2d f32[2,8,8,16]"));
    entry_path(*state, path); /* kernels from a folder may change at any time: nothing is kept */
    assert_string_equal(path, "");
    dm_choices_free(c);
    dm_device_close(d);
}

static void choices__as_the_run_began(void **state)
{
    dm_device *d = open_device(*state, NULL);
    heard h = {0};
    dm_choices *c = open_choices(d, DM_TUNE_OFF, &h);
    const char *name = pick(c, d, true).impl->name, *other = "portable";
    json_t *j = dm_choices_json(c), *bad = json_pack("{s:i}", "conv2d", 3);
    dm_err err = {0};
    char key[512];
    dm_opnode n = convolution();

    dm_op_key(&n, key, sizeof key);
    assert_int_equal(json_object_size(j), 1);
    assert_string_equal(json_string_value(json_object_get(j, key)), name);
    json_object_set_new(j, key, json_string(other));
    must(dm_choices_keep(c, j, &err), &err);
    assert_string_equal(pick(c, d, true).impl->name, other);
    assert_string_equal(pick(c, d, true).why, "as the run began");
    assert_string_equal(pick(c, d, false).impl->name, name); /* plans that do not train are free */
    assert_int_equal(dm_choices_keep(c, bad, &err), DM_EINVAL);
    assert_int_equal(dm_choices_keep(c, json_object_get(bad, "conv2d"), &err), DM_EINVAL);
    json_decref(bad);
    dm_choices_free(c);

    c = open_choices(d, DM_TUNE_OFF, &h);
    json_object_set_new(j, key, json_string("gone"));
    must(dm_choices_keep(c, j, &err), &err);
    assert_string_equal(pick(c, d, true).impl->name, name);
    assert_non_null(strstr(h.lines, "the run chose gone for conv2d"));
    json_decref(j);
    dm_choices_free(c);
    dm_device_close(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(choices__rule, no_choices),
        cmocka_unit_test_setup(choices__winograd, no_choices),
        cmocka_unit_test_setup(choices__close, no_choices),
        cmocka_unit_test_setup(choices__no_products_of_bf16, no_choices),
        cmocka_unit_test_setup(choices__deterministic, no_choices),
        cmocka_unit_test(choices__deterministic_for_any_batch),
        cmocka_unit_test_setup(choices__measured_once, no_choices),
        cmocka_unit_test_setup(choices__stopped, no_choices),
        cmocka_unit_test_setup(choices__of_both_precisions, no_choices),
        cmocka_unit_test_setup(choices__no_time, no_choices),
        cmocka_unit_test_setup(choices__most_to_gain, no_choices),
        cmocka_unit_test_setup(choices__entries_are_not_trusted, no_choices),
        cmocka_unit_test_setup(choices__wrong_one_is_dropped, no_choices),
        cmocka_unit_test_setup(choices__as_the_run_began, no_choices),
    };

    return cmocka_run_group_tests(tests, new_folder, remove_folder);
}
