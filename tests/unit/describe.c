/* Documentation from tables: the form of a plugin's page, and that nothing is left out. */
#include "scratch.h"

#include "plugin/describe.h"
#include "settings/param.h"

typedef struct { double s; int64_t n; const char *path; dm_ints sizes; int32_t mode; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, s, "0.008", 0, 1, "", "offset that keeps betas from vanishing"),
    DM_INT(cfg, n, NULL, 1, 9007199254740992.0, "steps", "how many"),
    DM_PATH(cfg, path, "", "a file"),
    DM_INTS(cfg, sizes, "[1, 2]", 1, 64, "pixels", "sizes"),
    DM_ENUM(cfg, mode, "a", "a|b", "what to do"),
    DM_END,
};

static const dm_plugin plugin = {
    .abi = DM_ABI_OF(0, 2),
    .size = sizeof(dm_plugin),
    .name = "wave",
    .version = "1",
    .license = "MIT",
    .doc = "a wave (Someone 2020)",
    .params = params,
    .cfg_size = sizeof(cfg),
};

static const char page[] =
    "schedule wave: a wave (Someone 2020)\n"
    "  s      real         = 0.008   [0, 1]                offset that keeps betas from vanishing\n"
    "  n      int          required  1 or above, in steps  how many\n"
    "  path   path         = \"\"                            a file\n"
    "  sizes  list of int  = [1, 2]  [1, 64] pixels        sizes\n"
    "  mode   enum         = a       a|b                   what to do\n"
    "  version 1, MIT, plugin interface 0.2\n"
    "  /lib/wave.so\n";

static char *written(FILE *f)
{
    char *text;
    long n;

    fflush(f);
    n = ftell(f);
    text = calloc(1, (size_t)n + 1);
    rewind(f);
    assert_int_equal(fread(text, 1, (size_t)n, f), n);
    fclose(f);
    return text;
}

static void plugin__page(void **state)
{
    FILE *f = tmpfile();
    char *text;
    dm_err err;

    (void)state;
    assert_int_equal(dm_describe_plugin(f, DM_KIND_SCHEDULE, &plugin, "/lib/wave.so", &err), DM_OK);
    text = written(f);
    assert_string_equal(text, page);
    free(text);
}

static void section__page(void **state)
{
    FILE *f = tmpfile();
    char *text;
    dm_err err;

    (void)state;
    assert_int_equal(dm_describe_section(f, DM_SEC_NETWORK, &err), DM_OK);
    text = written(f);
    assert_string_equal(text, "network: the network that is trained\n");
    free(text);
}

static void reference__complete(void **state)
{
    dm_registry *r;
    const dm_found *list;
    int refused;
    int n;
    FILE *f = tmpfile(), *g = tmpfile();
    char *text, *names, cell[160];
    dm_err err;

    (void)state;
    unsetenv("DEMIST_PLUGIN_PATH");
    assert_int_equal(dm_registry_new(getenv("DEMIST_TEST_PLUGINS"), &r, &err), DM_OK);
    assert_int_equal(dm_describe_reference(f, r, &err), DM_OK);
    assert_int_equal(dm_describe_list(g, r, DM_KIND_COUNT, &refused, &err), DM_OK);
    text = written(f);
    names = written(g);
    for (int id = 0; id < DM_SEC_COUNT; id++)
        for (const dm_param *row = dm_settings[id].rows; row->type != DM_T_END; row++) {
            snprintf(cell, sizeof cell, "\n| `%s` | ", row->name);
            assert_non_null(strstr(text, cell));
        }
    assert_int_equal(dm_registry_list(r, &list, &n, &err), DM_OK);
    for (int i = 0; i < n; i++) {
        snprintf(cell, sizeof cell, "\n### %s `%s`\n", dm_kind_name(list[i].kind), list[i].name);
        assert_non_null(strstr(text, cell));
        snprintf(cell, sizeof cell, "\n  %s ", list[i].name);
        assert_non_null(strstr(names, cell));
        for (const dm_param *row = list[i].plugin->params; row && row->type != DM_T_END; row++) {
            snprintf(cell, sizeof cell, "\n| `%s` | ", row->name);
            assert_non_null(strstr(text, cell));
        }
    }
    assert_non_null(strstr(text, "| `spacing` | enum | `trailing` | `trailing\\|leading\\|linspace` | "));
    free(text);
    free(names);
    dm_registry_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plugin__page), cmocka_unit_test(section__page), cmocka_unit_test(reference__complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
