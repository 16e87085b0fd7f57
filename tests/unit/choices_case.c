/* See choices_case.h. */
#include "choices_case.h"

#include <dirent.h>

static char folder[64];

int new_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "%s", scratch_new().dir);
    return 0;
}

int remove_folder(void **state)
{
    (void)state;
    scratch_remove(folder);
    return 0;
}

int no_choices(void **state)
{
    char path[128];

    snprintf(path, sizeof path, "%s/choices", folder);
    scratch_remove(path);
    *state = folder;
    return 0;
}

void hear(void *user, dm_log_level level, const char *line)
{
    heard *h = user;
    const size_t n = strlen(h->lines);

    snprintf(h->lines + n, sizeof h->lines - n, "%s\n", line);
    h->warnings += level == DM_LOG_WARNING;
}

void must(dm_status rc, const dm_err *err)
{
    if (rc)
        fail_msg("%s", err->msg);
}

dm_device *open_device(const char *cache, const char *kernels)
{
    const dm_device_options o = {.high = true, .cache_dir = cache, .kernel_dir = kernels};
    const char *select = getenv("DEMIST_DEVICE");
    dm_device *d;
    dm_err err = {0};

    must(dm_device_open(select ? select : "auto", &o, &d, &err), &err);
    return d;
}

dm_choices *open_choices(dm_device *d, dm_tune tune, heard *h)
{
    const dm_choices_options o = {
        .tune = tune, .high = true, .budget = tune == DM_TUNE_ON ? 1000 : -1, .log = hear, .user = h};
    dm_choices *c;
    dm_err err = {0};

    must(dm_choices_new(d, &o, &c, &err), &err);
    return c;
}

dm_opnode convolution(void)
{
    dm_opnode n = {.kind = DM_OP_CONV2D, .n_in = 5, .n_out = 1};

    n.in[0] = (dm_desc){DM_DT_F32, 4, {2, 8, 8, 16, 1, 1, 1, 1}};
    n.in[1] = (dm_desc){DM_DT_F32, 4, {32, 16, 3, 3, 1, 1, 1, 1}};
    n.in[2] = n.in[3] = n.in[4] = (dm_desc){.rank = -1};
    n.out[0] = (dm_desc){DM_DT_F32, 4, {2, 8, 8, 32, 1, 1, 1, 1}};
    n.a.conv = (dm_conv){3, 1, {1, 1}};
    return n;
}

dm_choice pick(dm_choices *c, dm_device *d, bool trains)
{
    const dm_opnode n = convolution();
    dm_choice out;
    dm_err err = {0};

    must(dm_choices_pick(c, NULL, dm_device_get_info(d), &n, NULL, trains, &out, &err), &err);
    return out;
}

void measure(dm_choices *c)
{
    const dm_opnode n = convolution(), *const ops[] = {&n, &n};

    dm_choices_measure(c, ops, 2, 1);
}

void entry_path(const char *dir, char path[512])
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

json_t *entry(const char *dir)
{
    char path[512];
    json_t *j;

    entry_path(dir, path);
    assert_true(path[0]);
    assert_non_null(j = json_load_file(path, 0, NULL));
    return j;
}

void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

char *read_text(const char *path)
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
