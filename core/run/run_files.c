/* The files of a run; see run_files.h. */
#include "run/run_files.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* In each folder, the whole name, or with an end: what stands before and behind a step. */
static const struct own { const char *dir, *name, *end;
} own[] = {
    {".", DM_RUN_CONFIG, NULL},
    {".", DM_RUN_LOG, NULL},
    {".", "env.json", NULL},
    {".", "log.txt", NULL},
    {".", "choices.json", NULL},
    {".", "report.html", NULL},
    {"tb", &DM_RUN_EVENTS[sizeof "tb"], NULL},
    {"checkpoints", "step-", ".safetensors"},
    {"checkpoints", &DM_RUN_BEST[sizeof "checkpoints"], NULL},
    {"samples", "step-", ".png"},
    {"plots", "loss.png", NULL},
    {"eval", "quality.json", NULL},
    {"eval", "accuracy.json", NULL},
    {"eval", "nll.json", NULL},
    {"eval", "loss.json", NULL},
};
static const char *const folders[] = {".", "tb", "checkpoints", "samples", "plots", "eval"};
enum { N_OWN = sizeof own / sizeof own[0], N_FOLDERS = sizeof folders / sizeof folders[0] };

static bool is_own(const char *dir, const char *name, size_t n)
{
    for (int i = 0; i < N_OWN; i++) {
        const size_t before = strlen(own[i].name), behind = own[i].end ? strlen(own[i].end) : 0;

        if (strcmp(dir, own[i].dir) || n < before + behind || strncmp(name, own[i].name, before))
            continue;
        if (!own[i].end ? n == before
                        : n > before + behind && !strncmp(name + n - behind, own[i].end, behind) &&
                              strspn(name + before, "0123456789") == n - before - behind)
            return true;
    }
    return false;
}

/* What dm_file_begin calls a file in the making: NAME.NUMBER.tmp. */
static bool is_leftover(const char *dir, const char *name)
{
    const size_t n = strlen(name), tmp = strlen(".tmp");
    size_t end;

    if (n <= tmp || strcmp(name + n - tmp, ".tmp"))
        return false;
    for (end = n - tmp; end > 0 && name[end - 1] >= '0' && name[end - 1] <= '9'; end--)
        ;
    return end > 1 && end < n - tmp && name[end - 1] == '.' && is_own(dir, name, end - 1);
}

typedef dm_status visit(void *user, const dm_folder *f, const char *name, dm_err *err);

/* Calls v with each of the run's own files, or with their leftovers; a folder that is not there has none. */
static dm_status each(const dm_folder *f, bool leftovers, visit *v, void *user, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int i = 0; i < N_FOLDERS && !rc; i++) {
        char name[32 + NAME_MAX];
        DIR *d = NULL;

        if ((rc = dm_folder_list(f, folders[i], &d, err)) == DM_ENOENT)
            rc = DM_OK;
        for (struct dirent *e; d && !rc && !(rc = dm_folder_next(d, f->path, &e, err)) && e;)
            if (leftovers ? is_leftover(folders[i], e->d_name) : is_own(folders[i], e->d_name, strlen(e->d_name))) {
                snprintf(name, sizeof name, "%s%s%s", i ? folders[i] : "", i ? "/" : "", e->d_name);
                rc = v(user, f, name, err);
            }
        if (d)
            closedir(d);
    }
    return rc;
}

typedef struct first { char *name; size_t n; } first;

static dm_status keep_first(void *user, const dm_folder *f, const char *name, dm_err *err)
{
    first *kept = user;

    (void)f;
    (void)err;
    if (!*kept->name)
        snprintf(kept->name, kept->n, "%s", name);
    return DM_OK;
}

/* By resolved.yaml what is left is still a run's, so that goes last: *user says whether it is there. */
static dm_status remove_one(void *user, const dm_folder *f, const char *name, dm_err *err)
{
    if (strcmp(name, DM_RUN_CONFIG))
        return dm_folder_remove(f, name, err);
    *(bool *)user = true;
    return DM_OK;
}

dm_status dm_run_files_first(const dm_folder *f, char *name, size_t n, dm_err *err)
{
    first kept = {name, n};

    *name = 0;
    return each(f, false, keep_first, &kept, err);
}

dm_status dm_run_files_remove(const dm_folder *f, bool leftovers, dm_err *err)
{
    bool config = false;
    const dm_status rc = each(f, leftovers, remove_one, &config, err);

    return rc || !config ? rc : dm_folder_remove(f, DM_RUN_CONFIG, err);
}
