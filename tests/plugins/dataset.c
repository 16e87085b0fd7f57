/* A data set plugin of the build folder; see dataset.h. */
#include "dataset.h"

#include "settings/param.h"

#include <dlfcn.h>
#include <unistd.h>

void dataset_free(dataset *f)
{
    dm_data_close(f->data);
    dm_arena_free(f->arena);
    dlclose(f->so);
    free(f);
}

char dataset_log[4096];

static void log_line(dm_ctx *c, const char *fmt, ...)
{
    const size_t n = strlen(dataset_log);
    va_list ap;

    (void)c;
    va_start(ap, fmt);
    vsnprintf(dataset_log + n, sizeof dataset_log - n, fmt, ap);
    va_end(ap);
}

static void host_line(void *user, const char *line)
{
    const size_t n = strlen(dataset_log);

    (void)user;
    snprintf(dataset_log + n, sizeof dataset_log - n, "%s", line);
}

dataset *dataset_load(const char *name, const char *const *settings, dm_set_data set)
{
    const char *dir = getenv("DEMIST_TEST_PLUGINS");
    dataset *f = calloc(1, sizeof *f);
    char path[1200];
    const dm_plugin *p;
    void *cfg;

    assert_non_null(dir);
    assert_true(snprintf(path, sizeof path, "%s/%s.so", dir, name) < (int)sizeof path);
    assert_non_null(f->so = dlopen(path, RTLD_NOW | RTLD_LOCAL));
    assert_non_null(p = dlsym(f->so, "dm_plugin_entry"));
    f->arena = dm_arena_new();
    cfg = dm_alloc(f->arena, p->cfg_size);
    for (const dm_param *r = p->params; r->type != DM_T_END; r++)
        if (r->def)
            assert_status(dm_param_set_text(r, r->def, "/", f->arena, cfg, &f->err), DM_OK, &f->err);
    for (; *settings; settings++) {
        char key[64], dir_now[1024];
        const char *eq = strchr(*settings, '=');

        assert_non_null(getcwd(dir_now, sizeof dir_now));
        snprintf(key, sizeof key, "%.*s", (int)(eq - *settings), *settings);
        assert_status(dm_param_set_text(dm_param_find(p->params, key), eq + 1, dir_now, f->arena, cfg, &f->err), DM_OK,
                      &f->err);
    }
    f->e.data = set;
    f->e.data.workers = 1;
    f->e.section[DM_SEC_DATA] = (dm_section){.present = true, .plugin = p, .cfg = cfg};
    f->s.api =
        (dm_host){.abi = DM_ABI, .size = sizeof(dm_host), .log = log_line}; /* data sets are offered a log alone */
    f->s.log.line = host_line;
    return f;
}

dataset *dataset_open_ok(const char *name, const char *const *settings, dm_set_data set)
{
    dataset *f = dataset_load(name, settings, set);

    assert_status(dm_data_open(&f->e, "train", &f->s, &f->data, &f->err), DM_OK, &f->err);
    return f;
}

void dataset_open_fails(const char *name, const char *const *settings, dm_set_data set, dm_status code,
                        const char *says)
{
    dataset *f = dataset_load(name, settings, set);

    assert_fails(dm_data_open(&f->e, "train", &f->s, &f->data, &f->err), code, &f->err, says);
    dataset_free(f);
}

const char *dataset_setting(scratch *dir, const char *key, const char *path)
{
    char *to = dir->path[dir->next++ % 4], copy[1024];

    snprintf(copy, sizeof copy, "%s", path);
    assert_true(snprintf(to, sizeof dir->path[0], "%s=%s", key, copy) < (int)sizeof dir->path[0]);
    return to;
}
