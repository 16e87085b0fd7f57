/* The files of a run; see run_files.h. */
#include "run/run_files.h"

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What dm_file_begin calls a file in the making: NAME.PID.tmp. */
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

typedef dm_status visit(void *user, const char *folder, const char *name, dm_err *err);

/* Calls v with each of the run's own files, or with their leftovers; a folder that is not there has none. */
static dm_status each(const char *dir, bool leftovers, visit *v, void *user, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int i = 0; i < N_FOLDERS && !rc; i++) {
        char *path = dm_run_path(dir, folders[i]);
        DIR *d = path ? opendir(path) : NULL;

        if (!path)
            rc = dm_error(err, DM_ENOMEM, "out of memory: a name in '%s'", dir);
        else if (!d && errno != ENOENT && errno != ENOTDIR)
            rc = dm_file_error(err, "read folder", path);
        for (struct dirent *e; d && !rc && (e = readdir(d));)
            if (leftovers ? is_leftover(folders[i], e->d_name) : is_own(folders[i], e->d_name, strlen(e->d_name)))
                rc = v(user, path, e->d_name, err);
        if (d)
            closedir(d);
        free(path);
    }
    return rc;
}

typedef struct first { char *name; size_t n; } first;

static dm_status keep_first(void *user, const char *folder, const char *name, dm_err *err)
{
    first *f = user;

    (void)folder;
    (void)err;
    if (!*f->name)
        snprintf(f->name, f->n, "%s", name);
    return DM_OK;
}

/* By resolved.yaml what is left is still a run's, so that goes last: *user says whether it is there. */
static dm_status remove_one(void *user, const char *folder, const char *name, dm_err *err)
{
    char *p;
    dm_status rc = DM_OK;

    if (!strcmp(name, DM_RUN_CONFIG)) {
        *(bool *)user = true;
        return DM_OK;
    }
    if (!(p = dm_run_path(folder, name)))
        return dm_error(err, DM_ENOMEM, "out of memory: a name in '%s'", folder);
    if (unlink(p) && errno != ENOENT)
        rc = dm_file_error(err, "remove", p);
    free(p);
    return rc;
}

dm_status dm_run_files_first(const char *dir, char *name, size_t n, dm_err *err)
{
    first f = {name, n};

    *name = 0;
    return each(dir, false, keep_first, &f, err);
}

dm_status dm_run_files_remove(const char *dir, bool leftovers, dm_err *err)
{
    bool config = false;
    char *path;
    dm_status rc;

    if ((rc = each(dir, leftovers, remove_one, &config, err)) || !config)
        return rc;
    if (!(path = dm_run_path(dir, DM_RUN_CONFIG)))
        return dm_error(err, DM_ENOMEM, "out of memory: a name in '%s'", dir);
    if (unlink(path) && errno != ENOENT)
        rc = dm_file_error(err, "remove", path);
    free(path);
    return rc;
}
