/* Programs: includes, the override folder, build failures and their logs, the cache of binaries, and
 * which device a name picks. */
#include "backends/capabilities.h"
#include "scratch.h"
#include "device_setup.h"

#include <dirent.h>
#include <sys/stat.h>

typedef struct opened { scratch dir; dm_device *d; int built; bool stop; } opened;

static bool count_build(void *user, const char *program)
{
    opened *o = user;

    (void)program;
    o->built += !o->stop;
    return !o->stop;
}

/* The device with the scratch folder's cache and kernels. */
static void open_with(opened *o, const char *select)
{
    char cache[1100], kernels[1100];
    dm_device_options options = {.cache_dir = cache, .kernel_dir = kernels, .building = count_build, .user = o};
    dm_err err;

    snprintf(cache, sizeof cache, "%s", scratch_path(&o->dir, "cache"));
    snprintf(kernels, sizeof kernels, "%s", o->dir.dir);
    o->built = 0;
    must(dm_device_open(select, &options, &o->d, &err), &err);
}

static int setup(void **state)
{
    opened *o = calloc(1, sizeof *o);

    assert_non_null(o);
    o->dir = scratch_new();
    open_with(o, test_device());
    *state = o;
    return 0;
}

static int teardown(void **state)
{
    opened *o = *state;

    dm_device_close(o->d);
    scratch_remove(o->dir.dir);
    free(o);
    return 0;
}

/* What a kernel `f(__global int *y)` writes. */
static int32_t result(dm_device *d, dm_kernel *k)
{
    const dm_range r = {.dim = 1, .global = {1}};
    int32_t got = -1;
    dm_buf *b;
    dm_err err;

    must(dm_buf_new(d, 4, "a test", &b, &err), &err);
    must(dm_launch(d, k, &r, DM_KARGS(DM_KB(b)), &err), &err);
    must(dm_buf_read(b, 0, 4, &got, &err), &err);
    dm_buf_free(b);
    return got;
}

static void put(opened *o, const char *name, const char *text) { scratch_file(&o->dir, name, text, strlen(text)); }

/* ---- sources ------------------------------------------------------------------------ */

static void program__includes_are_expanded_once(void **state)
{
    opened *o = *state;
    dm_kernel *k;
    dm_err err;

    put(o, "a.clh", "int b(void);\n#include \"b.clh\"\nint a(void) { return 10 + b(); }\n");
    put(o, "b.clh", "#include \"a.clh\"\nint b(void) { return 3; }");
    put(o, "c.cl", "#include \"b.clh\"\n  #include \"a.clh\"\n__kernel void f(__global int *y) { *y = a() + b(); }\n");
    must(dm_kernel_get(o->d, "c.cl", "f", NULL, &k, &err), &err);
    assert_int_equal(result(o->d, k), 16);
}

static void program__bad_includes_are_refused(void **state)
{
    static const struct { const char *text, *says; } cases[] = {
        {"#include \"../secret.clh\"\n", "below kernels/"},
        {"#include \"/etc/passwd\"\n", "below kernels/"},
        {"#include \"\"\n", "below kernels/"},
        {"#include \"nowhere.clh\"\n", "'nowhere.clh' is not part of demist"},
    };
    opened *o = *state;
    dm_kernel *k;
    dm_err err;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const dm_status s = dm_kernel_from_source(o->d, "t", cases[i].text, "f", NULL, &k, &err);

        must_fail(s, i < 3 ? DM_EINVAL : DM_ENOENT, &err, cases[i].says);
    }
    must_fail(dm_kernel_get(o->d, "no/such.cl", "f", NULL, &k, &err), DM_ENOENT, &err, "'no/such.cl'");
}

static void program__options_and_sources_are_told_apart(void **state)
{
    static const char source[] = "__kernel void f(__global int *y) { *y = N; }\n";
    static const char other[] = "__kernel void f(__global int *y) { *y = -N; }\n";
    opened *o = *state;
    dm_kernel *k5, *k6, *again, *minus;
    dm_err err;

    must(dm_kernel_from_source(o->d, "t", source, "f", "-DN=5", &k5, &err), &err);
    must(dm_kernel_from_source(o->d, "t", source, "f", "-DN=6", &k6, &err), &err);
    must(dm_kernel_from_source(o->d, "t", other, "f", "-DN=5", &minus, &err), &err);
    must(dm_kernel_from_source(o->d, "t", source, "f", "-DN=5", &again, &err), &err);
    assert_ptr_equal(k5, again);
    assert_int_equal(result(o->d, k5), 5);
    assert_int_equal(result(o->d, k6), 6);
    assert_int_equal(result(o->d, minus), -5);
    assert_int_equal(o->built, 3);
}

static void program__none_is_built_once_it_is_to_stop(void **state)
{
    static const char source[] = "__kernel void f(__global int *y) { *y = 9; }\n";
    opened *o = *state;
    dm_kernel *k;
    dm_err err;

    o->stop = true;
    must_fail(dm_kernel_from_source(o->d, "some kernels", source, "f", NULL, &k, &err), DM_ECANCELLED, &err,
              "stopped before 'some kernels' was built");
    o->stop = false;
    must(dm_kernel_from_source(o->d, "some kernels", source, "f", NULL, &k, &err), &err);
    assert_int_equal(result(o->d, k), 9);
}

static void program__the_folder_overrides(void **state)
{
    opened *o = *state;
    const int32_t before = 123;
    int32_t got = 0;
    dm_buf *b;
    dm_err err;

    scratch_path(&o->dir, "memory");
    assert_int_equal(mkdir(scratch_path(&o->dir, "memory"), 0755), 0);
    put(o, "memory/fill.cl", "#define BODY (__global uint *x, ulong first, ulong count) { x[first] = 77; }\n"
                             "__kernel void zero_strips BODY\n__kernel void zero_strided BODY\n");
    must(dm_buf_new(o->d, 4, "a test", &b, &err), &err);
    must(dm_buf_write(b, 0, 4, &before, &err), &err);
    must(dm_buf_zero(b, 0, 4, &err), &err);
    must(dm_buf_read(b, 0, 4, &got, &err), &err);
    assert_int_equal(got, 77);
    dm_buf_free(b);
}

static void program__a_build_failure_names_its_log(void **state)
{
    static const char broken[] = "__kernel void f(__global int *y) { *y = no_such_name; }\n";
    opened *o = *state;
    char path[1024], *start;
    unsigned char *log;
    dm_kernel *k;
    dm_err err;
    size_t n;

    must_fail(dm_kernel_from_source(o->d, "plugin 'x'", broken, "f", "-DABC=1", &k, &err), DM_EDEVICE, &err,
              "unable to build 'plugin 'x''");
    assert_non_null(strstr(err.msg, "clBuildProgram"));
    assert_non_null(strstr(err.msg, "(-11)"));
    assert_non_null(strstr(err.msg, "on device '"));
    start = strstr(err.msg, "the log is in '");
    assert_non_null(start);
    snprintf(path, sizeof path, "%s", start + strlen("the log is in '"));
    path[strcspn(path, "'")] = 0;
    assert_non_null(log = scratch_read(path, &n));
    assert_non_null(strstr((char *)log, "no_such_name"));
    assert_non_null(strstr((char *)log, "-DABC=1"));
    free(log);
    must_fail(dm_kernel_from_source(o->d, "t", "", "f", "-no-such-option", &k, &err), DM_EDEVICE, &err,
              "clBuildProgram");
}

/* ---- the cache ------------------------------------------------------------------------- */

static const char cached[] = "__kernel void f(__global int *y) { *y = 42; }\n"
                             "__kernel void g(__global int *y, float a, __local int *t) { *y = (int)a; }\n";

/* Opens the device anew and runs f; returns how often something was built. */
static int builds_to_run(opened *o)
{
    dm_kernel *k, *g;
    dm_err err;
    const dm_range r = {.dim = 1, .global = {1}};

    dm_device_close(o->d);
    open_with(o, test_device());
    must(dm_kernel_from_source(o->d, "t", cached, "f", NULL, &k, &err), &err);
    assert_int_equal(result(o->d, k), 42);
    /* What is known of arguments comes with it. */
    must(dm_kernel_from_source(o->d, "t", cached, "g", NULL, &g, &err), &err);
    must_fail(dm_launch(o->d, g, &r, DM_KARGS(DM_KB(NULL), DM_KI(1), DM_KL(4)), &err), DM_EINVAL, &err, "'float'");
    return o->built;
}

/* The path of the one entry. */
static void entry(opened *o, char path[1200])
{
    char dir[1024];
    struct dirent *e;
    DIR *list;

    snprintf(dir, sizeof dir, "%s", scratch_path(&o->dir, "cache/programs"));
    assert_int_equal(scratch_entries(dir), 1);
    assert_non_null(list = opendir(dir));
    while ((e = readdir(list)) && e->d_name[0] == '.')
        continue;
    assert_non_null(e);
    snprintf(path, 1200, "%s/%.100s", dir, e->d_name);
    closedir(list);
}

static bool kept_by_us(const dm_device *d)
{
    return !dm_device_get_info(d)->driver_caches && !dm_device_get_info(d)->emulated;
}

/* Where the driver has a cache of its own, all is left to it. */
static void cache__serves_the_second_run(void **state)
{
    opened *o = *state;
    const bool ours = kept_by_us(o->d);

    assert_int_equal(builds_to_run(o), 1);
    assert_int_equal(builds_to_run(o), ours ? 0 : 1);
    assert_int_equal(scratch_entries(scratch_path(&o->dir, "cache")), ours ? 1 : 0);
}

static void cache__broken_entries_are_rebuilt(void **state)
{
    opened *o = *state;
    char path[1200];
    unsigned char *good;
    size_t n;

    assert_int_equal(builds_to_run(o), 1);
    if (!kept_by_us(o->d))
        return;
    entry(o, path);
    assert_non_null(good = scratch_read(path, &n));
    for (size_t i = 0; i < 12; i++) {
        const size_t at = i < 4 ? i * 100 : n - 1 - (i - 4) * (n / 16); /* in the key, the signatures, the binary */
        FILE *f = fopen(path, "wb");

        assert_non_null(f);
        good[at] ^= 0x20;
        assert_int_equal(fwrite(good, 1, i % 3 == 2 ? at : n, f), i % 3 == 2 ? at : n); /* every third is cut short */
        good[at] ^= 0x20;
        fclose(f);
        assert_int_equal(builds_to_run(o), 1);
        assert_int_equal(builds_to_run(o), 0);
    }
    assert_int_equal(chmod(path, 0666), 0);
    assert_int_equal(builds_to_run(o), 1);
    free(good);
}

static void cache__is_not_needed(void **state)
{
    opened *o = *state;
    dm_device_options options = {.cache_dir = "/dev/null/nowhere"};
    dm_kernel *k;
    dm_device *d;
    dm_err err;

    (void)o;
    must(dm_device_open(test_device(), &options, &d, &err), &err);
    assert_string_equal(dm_device_cache_dir(d), "");
    must(dm_kernel_from_source(d, "t", cached, "f", NULL, &k, &err), &err);
    assert_int_equal(result(d, k), 42);
    dm_device_close(d);
}

/* ---- which device ------------------------------------------------------------------------ */

static void pick__finds_what_is_named(void **state)
{
    opened *o = *state;
    const dm_device_info *want = dm_device_get_info(o->d);
    dm_device_info got, *all;
    char select[160];
    dm_err err;
    int n;

    snprintf(select, sizeof select, "%d:%d", want->platform, want->device);
    must(dm_device_pick(select, &got, &err), &err);
    assert_string_equal(got.platform_name, want->platform_name);
    snprintf(select, sizeof select, "%s", want->platform_name);
    for (char *p = select; *p; p++)
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 32) : *p;
    must(dm_device_pick(select, &got, &err), &err);
    assert_int_equal(got.platform, want->platform);
    must(dm_device_pick(NULL, &got, &err), &err);
    must(dm_device_list(&all, &n, &err), &err);
    assert_true(n >= 1);
    for (int i = 0; i < n; i++) {
        assert_true(all[i].align >= 128 && (all[i].align & (all[i].align - 1)) == 0);
        assert_true(all[i].compute_units >= 1 && all[i].native_float >= 1 && all[i].max_alloc && all[i].max_group);
        assert_true(!all[i].gpu || got.gpu);
    }
    free(all);
}

static void pick__says_what_was_found(void **state)
{
    static const char *const wrong[] = {"97:0", "no such device", "0:", ":0", "0:0x", "-1:0", "00000:00000"};
    opened *o = *state;
    dm_device_info got;
    dm_device *d;
    dm_err err;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        must_fail(dm_device_pick(wrong[i], &got, &err), DM_EDEVICE, &err, wrong[i]);
        assert_non_null(strstr(err.msg, dm_device_get_info(o->d)->name));
    }
    must_fail(dm_device_open("no such device", NULL, &d, &err), DM_EDEVICE, &err, "no such device");
}

static void device__two_at_once(void **state)
{
    opened *o = *state;
    dm_device_info *all;
    int n;
    dm_err err;

    must(dm_device_list(&all, &n, &err), &err);
    for (int i = 0; i < n; i++) {
        char select[24];
        const dm_range r = {.dim = 1, .global = {1}};
        dm_device *d;
        dm_kernel *k, *mine;
        dm_buf *b;

        snprintf(select, sizeof select, "%d:%d", all[i].platform, all[i].device);
        must(dm_device_open(select, NULL, &d, &err), &err);
        must(dm_kernel_from_source(d, "t", cached, "f", NULL, &k, &err), &err);
        must(dm_kernel_from_source(o->d, "t", cached, "f", NULL, &mine, &err), &err);
        assert_int_equal(result(d, k), 42);
        assert_int_equal(result(o->d, mine), 42);
        must(dm_buf_new(d, 4, "a test", &b, &err), &err);
        must_fail(dm_launch(o->d, mine, &r, DM_KARGS(DM_KB(b)), &err), DM_EINVAL, &err, "another device");
        must_fail(dm_launch(o->d, k, &r, DM_KARGS(DM_KB(b)), &err), DM_EINVAL, &err, "belongs to device");
        dm_buf_free(b);
        dm_device_close(d);
    }
    free(all);
}

/* ---- inline assembly ---------------------------------------------------------------------- */

static void probe(opened *o, const char *source, dm_device_info *got)
{
    char kernels[1100];
    const dm_device_options options = {.bf16 = true, .cache_dir = "", .kernel_dir = kernels};
    dm_device *d;
    dm_err err;

    snprintf(kernels, sizeof kernels, "%s", o->dir.dir);
    if (source)
        scratch_file(&o->dir, "conv/bf16_probe.cl", source, strlen(source));
    must(dm_device_open(test_device(), &options, &d, &err), &err);
    *got = *dm_device_get_info(d);
    dm_device_close(d);
}

/* Where the processor has it: a compiler that refuses it, or another result, takes it from the device, which opens all
 * the same. */
static void probe__what_fails_is_not_used(void **state)
{
    static const char *const broken[] = {"#error no assembly here\n",
                                         "__kernel void probe(__global float *out) { *out = 0; }\n",
                                         "__kernel void probe(__global const ushort *a, __global const ushort *b, "
                                         "__global float *out)\n"
                                         "{ for (int i = 0; i < 1024; i++) out[i] = a[i] + b[i]; }\n"};
    opened *o = *state;
    const dm_device_info before = *dm_device_get_info(o->d);
    dm_device_info got;
    char folder[1200];

    probe(o, NULL, &got);
    assert_int_equal(got.capabilities & ~before.capabilities, 0);
    snprintf(folder, sizeof folder, "%s/conv", o->dir.dir);
    assert_int_equal(mkdir(folder, 0777), 0);
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        probe(o, broken[i], &got);
        assert_int_equal(got.capabilities & (DM_CAP_AMX_BF16 | DM_CAP_AVX512_BF16), 0);
    }
}

/* ---- profile ---------------------------------------------------------------------------------- */

static void profile__sums_by_label(void **state)
{
    static const char source[] = "__kernel void f(__global float *y)\n"
                                 "{ float s = 1; for (int i = 0; i < 20000; i++) s += sin(s); *y = s; }\n"
                                 "__kernel void g(__global float *y) { *y = 1; }\n";
    const dm_device_options options = {.profile = true};
    const dm_range r = {.dim = 1, .global = {1}};
    opened *o = *state;
    dm_profile_row *rows;
    dm_kernel *f, *g;
    dm_device *d;
    dm_cmds *c;
    dm_buf *b;
    dm_err err;
    int n;

    must_fail(dm_device_profile(o->d, &rows, &n, &err), DM_EINVAL, &err, "without profile");
    must(dm_device_open(test_device(), &options, &d, &err), &err);
    must(dm_kernel_from_source(d, "t", source, "f", NULL, &f, &err), &err);
    must(dm_kernel_from_source(d, "t", source, "g", NULL, &g, &err), &err);
    must(dm_buf_new(d, 64, "a test", &b, &err), &err);
    must(dm_cmds_new(d, &c, &err), &err);
    must(dm_cmds_launch(c, g, &r, DM_KARGS(DM_KB(b)), "short", (dm_work){1, 4}, &err), &err);
    must(dm_cmds_launch(c, f, &r, DM_KARGS(DM_KB(b)), "long", (dm_work){10, 4}, &err), &err);
    must(dm_cmds_launch(c, g, &r, DM_KARGS(DM_KB(b)), "short", (dm_work){2, 4}, &err), &err);
    for (int i = 0; i < 300; i++) /* more events than are kept at once */
        must(dm_cmds_run(c, &err), &err);
    must(dm_buf_zero(b, 0, 64, &err), &err);
    must(dm_device_profile(d, &rows, &n, &err), &err);
    assert_int_equal(n, 3);
    assert_string_equal(rows[0].label, "long");
    assert_int_equal(rows[0].calls, 300);
    assert_true(rows[0].flops == 3000 && rows[0].bytes == 1200 && rows[0].seconds > 0);
    for (int i = 1; i < n; i++) {
        assert_true(rows[i].seconds <= rows[i - 1].seconds);
        if (!strcmp(rows[i].label, "short"))
            assert_true(rows[i].calls == 600 && rows[i].flops == 900);
        else
            assert_string_equal(rows[i].label, "zero");
    }
    free(rows);
    dm_cmds_free(c);
    dm_buf_free(b);
    dm_device_close(d);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(program__includes_are_expanded_once), TEST(program__bad_includes_are_refused),
        TEST(program__options_and_sources_are_told_apart), TEST(program__none_is_built_once_it_is_to_stop),
        TEST(program__the_folder_overrides),
        TEST(program__a_build_failure_names_its_log), TEST(cache__serves_the_second_run),
        TEST(cache__broken_entries_are_rebuilt), TEST(cache__is_not_needed),
        TEST(pick__finds_what_is_named), TEST(pick__says_what_was_found), TEST(device__two_at_once),
        TEST(probe__what_fails_is_not_used), TEST(profile__sums_by_label),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
