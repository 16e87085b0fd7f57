#define _XOPEN_SOURCE 700
/* The loader: every animal of the zoo is refused with its reason, and nothing in it is called; shipped
 * plugins are found, fit and export one symbol; who may write files and folders is looked at. */
#include "../unit/scratch.h"

#include <sys/stat.h>

#include "settings/param.h"
#include "plugin/registry.h"

static const char *zoo(void) { return getenv("DEMIST_TEST_ZOO"); }
static const char *shipped(void) { return getenv("DEMIST_TEST_PLUGINS"); }

static dm_registry *new_registry(const char *path)
{
    dm_registry *r = NULL;
    dm_err err;

    unsetenv("DEMIST_PLUGIN_PATH");
    assert_status(dm_registry_new(path, &r, &err), DM_OK, &err);
    return r;
}

static void expect_refusal(const char *file, const char *says)
{
    dm_registry *r = new_registry(NULL);
    const dm_plugin *p;
    dm_kind kind;
    dm_err err = {DM_OK, ""};

    assert_fails(dm_registry_open(r, file, &p, &kind, &err), DM_EABI, &err, says);
    assert_non_null(strstr(err.msg, file));
    dm_registry_free(r);
}

static void zoo__refused(void **state)
{
    static const struct { const char *name, *says; } cases[] = {
        {"no_symbol", "has no symbol 'dm_plugin_entry'; define it as in <demist/plugin.h>, with default visibility"},
        {"small", "table dm_plugin has size 8 where the interface has"},
        {"small_kind", "table dm_schedule has size 4 where the interface has"},
        {"null_step", "sampler has no function 'step', which is required"},
        {"null_loss", "objective has no function 'loss', which is required"},
        {"null_build", "network has no function 'build', which is required"},
        {"null_read", "dataset has no function 'read', which is required"},
        {"no_way", "schedule has none of 'fill' and 'at'; exactly one is required"},
        {"both_ways", "schedule has both of 'fill' and 'at'; exactly one is required"},
        {"two_kinds", "has 2 kinds (schedule, sampler); exactly one must be set"},
        {"no_kind", "has 0 kinds; exactly one must be set"},
        {"default_range", "default of parameter 's': 2 is outside [0, 1] (offset)"},
        {"twice", "duplicate parameter 's'"},
        {"host_key", "parameter 'timesteps' has the name of a key of demist's own"},
        {"outside", "parameter 's' is at offset 16, outside the 16 bytes of config or misaligned"},
        {"wrong_name", "has the name 'other'; its file must be called other.so"},
        {"bad_name", "has the name '../bad'; a-z, 0-9 and _ are allowed"},
        {"no_doc", "has no documentation (.doc)"},
        {"undefined", "unable to load it: "},
    };
    char file[1024];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(file, sizeof file, "%s/%s.so", zoo(), cases[i].name);
        expect_refusal(file, cases[i].says);
    }
}

static void zoo__other_versions(void **state)
{
    const unsigned major = DM_ABI >> 16, minor = DM_ABI & 0xffff;
    const struct { const char *name; unsigned major, minor; } cases[] = {
        {"major", major + 1, 0}, {"minor_new", major, minor + 1}, {"minor_old", major, minor - 1},
    };
    char file[1024], says[256];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(file, sizeof file, "%s/%s.so", zoo(), cases[i].name);
        snprintf(
            says, sizeof says,
            "was built for plugin interface %u.%u, this demist has %u.%u; build it again with this demist's header",
            cases[i].major, cases[i].minor, major, minor);
        expect_refusal(file, says);
    }
}

/* Files that are not shared objects, made from a good one. */
static void zoo__not_shared_objects(void **state)
{
    static const struct { const char *name; size_t keep; int at, value; const char *says; } cases[] = {
        {"empty.so", 0, -1, 0, "is empty"},
        {"short.so", 10, -1, 0, "is truncated: 10 bytes are fewer than an ELF header"},
        {"half.so", 5000, -1, 0, "is truncated: 5000 bytes are fewer than its ELF header says"},
        {"magic.so", SIZE_MAX, 0, 'x', "is not a shared object: no ELF header"},
        {"class.so", SIZE_MAX, 4, sizeof(void *) == 8 ? 1 : 2, "is a shared object for another machine"},
        {"order.so", SIZE_MAX, 5, 2, "is a shared object for another machine"},
        {"object.so", SIZE_MAX, 16, 1, "is an ELF file, but not a shared object"},
        {"machine.so", SIZE_MAX, 18, 8, "is a shared object for machine 8, and this is "},
        {"headers.so", SIZE_MAX, 56, 0, "its ELF header has 0 program headers"},
    };
    scratch s = scratch_new();
    char good[1024];
    size_t n;
    unsigned char *bytes;

    (void)state;
    snprintf(good, sizeof good, "%s/good.so", zoo());
    bytes = scratch_read(good, &n);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const unsigned char old = cases[i].at < 0 ? 0 : bytes[cases[i].at];
        const char *file;

        if (cases[i].at >= 0)
            bytes[cases[i].at] = (unsigned char)cases[i].value;
        file = scratch_file(&s, cases[i].name, bytes, cases[i].keep < n ? cases[i].keep : n);
        if (cases[i].at >= 0)
            bytes[cases[i].at] = old;
        assert_int_equal(chmod(file, 0644), 0);
        {
            char *real = realpath(file, NULL);
            expect_refusal(real, cases[i].says);
            free(real);
        }
    }
    {
        char *real = realpath(scratch_file(&s, "text.so", "not a plugin\n", 13), NULL);
        expect_refusal(real, "is not a shared object: no ELF header");
        free(real);
    }
    free(bytes);
    scratch_remove(s.dir);
}

static void get__by_kind_and_name(void **state)
{
    dm_registry *r = new_registry(shipped());
    const dm_plugin *p = NULL, *q = NULL;
    dm_err err = {DM_OK, ""};

    (void)state;
    assert_status(dm_registry_get(r, DM_KIND_SCHEDULE, "cosine", &p, &err), DM_OK, &err);
    assert_string_equal(p->name, "cosine");
    assert_status(dm_registry_get(r, DM_KIND_SCHEDULE, "cosine", &q, &err), DM_OK, &err);
    assert_ptr_equal(p, q);
    assert_non_null(strstr(dm_registry_file(r, p), "schedules/cosine.so"));
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "cosin", &p, &err), DM_ENOENT, &err,
                 "there is no schedule 'cosin'; did you mean 'cosine'?");
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "nothing_like_it", &p, &err), DM_ENOENT, &err,
                 "there is no schedule 'nothing_like_it'; available: ");
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "ddim", &p, &err), DM_ENOENT, &err,
                 "'ddim' is of kind sampler, not schedule");
    dm_registry_free(r);
}

static void get__names_are_no_paths(void **state)
{
    static const char *const names[] = {
        "../schedules/cosine", "/etc/passwd", "cosine.so", "./cosine", "", "COSINE", "a b", "cosine\n", "..",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    dm_registry *r = new_registry(shipped());
    const dm_plugin *p;

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        dm_err err = {DM_OK, ""};

        assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, names[i], &p, &err), DM_EINVAL, &err,
                     "cannot be a plugin's name");
    }
    dm_registry_free(r);
}

/* A folder with a copy of the good plugin; the paths are absolute. */
static void make_folder(scratch *s, const char *sub, char *folder, char *file)
{
    char good[1024], *base = realpath(s->dir, NULL);
    size_t n;
    unsigned char *bytes;
    FILE *f;

    snprintf(good, sizeof good, "%s/good.so", zoo());
    snprintf(folder, 1024, "%s/%s", base, sub);
    snprintf(file, 1100, "%s/good.so", folder);
    free(base);
    mkdir(folder, 0755);
    bytes = scratch_read(good, &n);
    f = fopen(file, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    free(bytes);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(chmod(file, 0644), 0);
}

/* In a folder that holds all kinds, names of another kind are no help. */
static void get__names_of_the_kind(void **state)
{
    scratch s = scratch_new();
    char folder[1024], file[1100];
    const dm_plugin *p;
    dm_registry *r;
    dm_err err = {DM_OK, ""};

    (void)state;
    make_folder(&s, "a", folder, file);
    r = new_registry(folder);
    assert_fails(dm_registry_get(r, DM_KIND_SAMPLER, "nothing_like_it", &p, &err), DM_ENOENT, &err,
                 "there is no sampler");
    assert_null(strstr(err.msg, "good"));
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "nothing_like_it", &p, &err), DM_ENOENT, &err, "good");
    dm_registry_free(r);
    scratch_remove(s.dir);
}

static void get__writers(void **state)
{
    scratch s = scratch_new();
    char folder[1024], file[1100];
    const dm_plugin *p;
    dm_registry *r;
    dm_err err = {DM_OK, ""};

    (void)state;
    make_folder(&s, "a", folder, file);
    r = new_registry(folder);
    assert_status(dm_registry_get(r, DM_KIND_SCHEDULE, "good", &p, &err), DM_OK, &err);
    assert_string_equal(dm_registry_warnings(r), "");
    dm_registry_free(r);

    assert_int_equal(chmod(file, 0664), 0);
    assert_int_equal(chmod(folder, 0775), 0);
    r = new_registry(folder);
    assert_status(dm_registry_get(r, DM_KIND_SCHEDULE, "good", &p, &err), DM_OK, &err);
    assert_non_null(strstr(dm_registry_warnings(r), "a' is writable by its group"));
    assert_non_null(strstr(dm_registry_warnings(r), "good.so' is writable by its group"));
    dm_registry_free(r);

    assert_int_equal(chmod(file, 0646), 0);
    r = new_registry(folder);
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "good", &p, &err), DM_EABI, &err,
                 "it is writable by anyone; chmod o-w");
    dm_registry_free(r);

    assert_int_equal(chmod(file, 0644), 0);
    assert_int_equal(chmod(folder, 01777), 0);
    r = new_registry(folder);
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "good", &p, &err), DM_EABI, &err, "is writable by anyone");
    dm_registry_free(r);
    scratch_remove(folder);
    scratch_remove(s.dir);
}

static void get__order_of_folders(void **state)
{
    scratch s = scratch_new();
    char first[1024], second[1024], file[1100], path[4 * 1024];
    const dm_plugin_folder *folders;
    const dm_plugin *p;
    dm_registry *r;
    dm_err err = {DM_OK, ""};
    int n;

    (void)state;
    make_folder(&s, "a", first, file);
    make_folder(&s, "b", second, file);
    snprintf(path, sizeof path, "%s:%s/none::%s", first, first, first);
    r = new_registry(path);
    folders = dm_registry_folders(r, &n);
    assert_true(n >= 2);
    assert_string_equal(folders[0].path, first);
    assert_false(folders[1].exists);
    assert_non_null(strstr(dm_registry_warnings(r), "none' (plugin_path) does not exist"));
    assert_status(dm_registry_add_path(r, second, &err), DM_OK, &err);
    assert_status(dm_registry_add_path(r, second, &err), DM_OK, &err);
    assert_status(dm_registry_get(r, DM_KIND_SCHEDULE, "good", &p, &err), DM_OK, &err);
    assert_string_equal(dm_registry_file(r, p), file);
    dm_registry_free(r);

    setenv("DEMIST_PLUGIN_PATH", "relative:", 1);
    assert_status(dm_registry_new(second, &r, &err), DM_OK, &err);
    assert_non_null(strstr(dm_registry_warnings(r), "'relative' (DEMIST_PLUGIN_PATH) is not an absolute path"));
    dm_registry_free(r);
    setenv("DEMIST_PLUGIN_PATH", second, 1);
    assert_status(dm_registry_new(NULL, &r, &err), DM_OK, &err);
    assert_string_equal(dm_registry_folders(r, &n)[0].path, second);
    dm_registry_free(r);
    unsetenv("DEMIST_PLUGIN_PATH");
    scratch_remove(first);
    scratch_remove(second);
    scratch_remove(s.dir);
}

/* Where the user said that plugins are, and none can be. */
static void get__tells_folders_without_plugins(void **state)
{
    scratch s = scratch_new();
    char cwd[400], root[500], path[2400], want[1200];
    const dm_plugin *p;
    dm_registry *r;
    dm_err err = {DM_OK, ""};

    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(root, sizeof root, "%s/%s", cwd, s.dir);
    scratch_file(&s, "file", "x", 1);
    snprintf(path, sizeof path, "%s/none:%s/file:%s:%s", root, root, root, zoo());
    setenv("DEMIST_PLUGIN_PATH", path, 1);
    assert_status(dm_registry_new(NULL, &r, &err), DM_OK, &err);
    snprintf(want, sizeof want,
             "/none' (DEMIST_PLUGIN_PATH) does not exist; '%s/file' (DEMIST_PLUGIN_PATH) is not a folder; '%s' (",
             root, root);
    assert_fails(dm_registry_get(r, DM_KIND_SCHEDULE, "nowhere_at_all", &p, &err), DM_ENOENT, &err, want);
    assert_non_null(strstr(err.msg, "' (DEMIST_PLUGIN_PATH) has no plugin of that name: neither nowhere_at_all.so nor "
                                    "schedules/nowhere_at_all.so"));
    assert_null(strstr(err.msg, zoo()));
    assert_non_null(strstr(dm_registry_warnings(r), "file' (DEMIST_PLUGIN_PATH) is not a folder"));
    dm_registry_free(r);
    unsetenv("DEMIST_PLUGIN_PATH");
    scratch_remove(s.dir);
}

static void list__zoo_and_shipped(void **state)
{
    dm_registry *r = new_registry(zoo());
    const dm_found *list;
    int n, refused = 0, fit = 0;
    dm_err err = {DM_OK, ""};

    (void)state;
    for (int round = 0; round < 2; round++) {
        assert_status(dm_registry_list(r, &list, &n, &err), DM_OK, &err);
        refused = fit = 0;
        for (int i = 0; i < n; i++) {
            refused += !list[i].plugin;
            fit += list[i].plugin != NULL;
            assert_true(list[i].plugin || strstr(list[i].refusal, list[i].file));
            if (i > 0)
                assert_true(list[i - 1].kind < list[i].kind ||
                            (list[i - 1].kind == list[i].kind && strcmp(list[i - 1].name, list[i].name) < 0));
        }
        assert_int_equal(refused, 22);
        assert_true(fit >= 8);
    }
    dm_registry_free(r);
}

static bool has_one_export(const char *file)
{
    char command[2048], line[256], last[256] = "";
    int n = 0;
    FILE *f;

    snprintf(command, sizeof command, "nm -D --defined-only '%s'", file);
    if (!(f = popen(command, "r")))
        return false;
    while (fgets(line, sizeof line, f)) {
        n++;
        memcpy(last, line, sizeof last);
    }
    return pclose(f) == 0 && n == 1 && strstr(last, " dm_plugin_entry\n");
}

/* Every plugin that is built here is fit, and exports its table alone. */
static void shipped__fit_with_one_symbol(void **state)
{
    dm_registry *r = new_registry(shipped());
    const dm_found *list;
    int n, seen[DM_KIND_COUNT] = {0};
    dm_err err = {DM_OK, ""};

    (void)state;
    assert_status(dm_registry_list(r, &list, &n, &err), DM_OK, &err);
    for (int i = 0; i < n; i++) {
        if (list[i].refusal)
            print_error("%s\n", list[i].refusal);
        assert_non_null(list[i].plugin);
        if (!strstr(list[i].file, shipped()))
            continue;
        seen[list[i].kind]++;
        assert_string_equal(list[i].name, list[i].plugin->name);
        assert_string_equal(list[i].plugin->license, "Apache-2.0");
        if (!getenv("DEMIST_TEST_SANITIZED"))
            assert_true(has_one_export(list[i].file));
    }
    for (int k = 0; k < DM_KIND_COUNT; k++)
        assert_true(seen[k] > 0);
    dm_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zoo__refused),
        cmocka_unit_test(zoo__other_versions),
        cmocka_unit_test(zoo__not_shared_objects),
        cmocka_unit_test(get__by_kind_and_name),
        cmocka_unit_test(get__names_are_no_paths),
        cmocka_unit_test(get__names_of_the_kind),
        cmocka_unit_test(get__writers),
        cmocka_unit_test(get__order_of_folders),
        cmocka_unit_test(get__tells_folders_without_plugins),
        cmocka_unit_test(list__zoo_and_shipped),
        cmocka_unit_test(shipped__fit_with_one_symbol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
