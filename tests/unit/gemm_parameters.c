/* CLBlast's parameters as demist tune keeps them: they come back on the same device, and nothing else does. */
#include "opencl/gemm/gemm_parameters.h"

#include "scratch.h"

#include <dirent.h>
#include <sys/stat.h>

static void path_of_entry(const char *dir, char *path, size_t size)
{
    char folder[256];
    struct dirent *e;
    DIR *all;

    snprintf(folder, sizeof folder, "%s/clblast", dir);
    all = opendir(folder);
    assert_non_null(all);
    while ((e = readdir(all)))
        if (e->d_name[0] != '.')
            snprintf(path, size, "%s/%.100s", folder, e->d_name);
    closedir(all);
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void changed(const char *path, const char *good, const char *from, const char *to)
{
    const char *at = strstr(good, from);
    char text[8192];

    assert_non_null(at);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, to, at + strlen(from));
    write_text(path, text);
}

static bool loads(const dm_device *d)
{
    bool used;
    dm_err err = {0};

    assert_status(ocl_gemm_load(d, &used, &err), DM_OK, &err);
    return used;
}

static void parameters__come_back(void **state)
{
    static const struct { const char *from, *to; } changes[] = {
        {"demist ", "demist 9"}, {"CLBlast ", "CLBlast 9"}, {"\"WGD\"", "\"WGE\""}, {"\"KWID\": 2", "\"KWID\": -2"},
        {"\"KWID\": 2", "\"KWID\": 2.5"}, {"\"XgemmDirect\"", "\"Other\""}, {"}", ""},
    };
    static const size_t values[] = {2, 8, 8, 8, 8, 1, 1, 1, 1, 8};
    const char *select = getenv("DEMIST_DEVICE");
    scratch dir = scratch_new();
    const dm_device_options o = {.cache_dir = dir.dir};
    ocl_gemm_set set = {0};
    char path[512];
    unsigned char *good;
    dm_device *d;
    dm_err err = {0};
    uint64_t before;
    size_t n;

    (void)state;
    assert_status(dm_device_open(select ? select : "auto", &o, &d, &err), DM_OK, &err);
    assert_false(loads(d));
    before = dm_device_kernels(d);
    for (; ocl_direct_names[set.direct.n]; set.direct.n++) {
        set.direct.names[set.direct.n] = ocl_direct_names[set.direct.n];
        set.direct.values[set.direct.n] = values[set.direct.n];
    }
    assert_true(ocl_gemm_keep(d, &set));
    assert_true(loads(d));
    assert_true(dm_device_kernels(d) != before); /* what was measured with CLBlast's own is measured again */
    path_of_entry(dir.dir, path, sizeof path);
    good = scratch_read(path, &n);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        changed(path, (const char *)good, changes[i].from, changes[i].to);
        if (loads(d))
            fail_msg("used with %s for %s", changes[i].to, changes[i].from);
    }
    write_text(path, (const char *)good);
    chmod(path, 0666);
    assert_false(loads(d));
    chmod(path, 0644);
    assert_true(loads(d));
    free(good);
    dm_device_close(d);
    scratch_remove(dir.dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(parameters__come_back)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
