/* The runs in a folder; see runs.h. */
#include "files/runs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "base/folder.h"
#include "run/run_folder.h"

enum { LEVELS = 4, ENTRIES = 50000, RUNS = 10000 };

/* When a file of the run was last written, 0 where it is not there. */
static dm_status look_written(const char *run, const char *name, double *when, dm_err *err)
{
    char *path = dm_run_path(run, name);
    dm_status rc = path ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for a name");
    struct stat st;

    *when = 0;
    if (path && !stat(path, &st))
        *when = (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec;
    else if (path && !dm_path_unreachable())
        rc = dm_file_error(err, "look at", path);
    free(path);
    return rc;
}

dm_status runs_is_one(const char *folder, bool *is, dm_err *err)
{
    double when;
    const dm_status rc = look_written(folder, DM_RUN_CONFIG, &when, err);

    *is = when > 0;
    return rc;
}

/* When the run was last written: its log, or what it began with; 0 where this is no run. */
static dm_status look_newest(const char *run, double *when, dm_err *err)
{
    double log;
    dm_status rc = look_written(run, DM_RUN_CONFIG, when, err);

    if (!rc && *when > 0 && !(rc = look_written(run, DM_RUN_LOG, &log, err)) && log > 0)
        *when = log;
    return rc;
}

dm_status runs_newest(const char *folder, char **run, dm_err *err)
{
    double newest = 0;
    struct dirent *d;
    DIR *dir;
    dm_status rc = DM_OK;

    *run = NULL;
    if (!(dir = opendir(folder)) && errno != ENOENT)
        return dm_file_error(err, "open folder", folder);
    while (dir && !rc && !(rc = dm_folder_next(dir, folder, &d, err)) && d) {
        char *path = NULL;
        double t = 0;

        if (*d->d_name == '.')
            continue;
        if (!(path = dm_run_path(folder, d->d_name)))
            rc = dm_error(err, DM_ENOMEM, "out of memory for a name");
        else
            rc = look_newest(path, &t, err);
        if (!rc && t > newest) {
            free(*run);
            *run = path;
            newest = t;
        } else {
            free(path);
        }
    }
    if (dir)
        closedir(dir);
    return rc || *run ? rc : dm_error(err, DM_ENOENT, "there is no run in '%s'; give one", folder);
}

/* ---- all of them ----------------------------------------------------------------------------- */

typedef struct search { runs_list *list; size_t room; int entries; } search;

static dm_status add(search *s, const char *path, dm_err *err)
{
    runs_list *l = s->list;

    if (l->n == RUNS) {
        l->left_out = true;
        return DM_OK;
    }
    if (!dm_grow((void **)&l->path, (size_t)l->n, &s->room, sizeof *l->path) || !(l->path[l->n] = strdup(path)))
        return dm_error(err, DM_ENOMEM, "out of memory for the list of runs");
    l->n++;
    return DM_OK;
}

/* What vanished or cannot be read has no runs that could be listed: it is counted. */
static dm_status pass_over(search *s, dm_status rc, const dm_err *why, dm_err *err)
{
    if (rc == DM_ENOMEM)
        return dm_error(err, rc, "%s", why->msg);
    if (rc && !s->list->passed_over++)
        s->list->first = *why;
    return DM_OK;
}

static dm_status search_in(search *s, const char *folder, int level, dm_err *err);

static dm_status search_one(search *s, const char *path, int level, dm_err *err)
{
    struct stat st;
    bool link, is_run;
    dm_err why = {0};
    dm_status rc;
    char *sweep;

    if (lstat(path, &st))
        return pass_over(s, dm_file_error(&why, "look at", path), &why, err);
    link = S_ISLNK(st.st_mode);
    if (!link && !S_ISDIR(st.st_mode))
        return DM_OK;
    if ((rc = runs_is_one(path, &is_run, &why)))
        return pass_over(s, rc, &why, err);
    if (!is_run)
        return link || level + 1 == LEVELS ? DM_OK : search_in(s, path, level + 1, err);
    if ((rc = add(s, path, err)) || link || level + 1 == LEVELS)
        return rc;
    if (!(sweep = dm_run_path(path, "sweep")))
        return dm_error(err, DM_ENOMEM, "out of memory for a name");
    if (lstat(sweep, &st))
        rc = dm_path_unreachable() ? DM_OK : pass_over(s, dm_file_error(&why, "look at", sweep), &why, err);
    else if (S_ISDIR(st.st_mode))
        rc = search_in(s, sweep, level + 1, err);
    free(sweep);
    return rc;
}

/* Of the folder that was given, that it cannot be read is an error. */
static dm_status search_in(search *s, const char *folder, int level, dm_err *err)
{
    dm_err why = {0};
    DIR *dir = opendir(folder);
    dm_status rc = dir ? DM_OK : dm_file_error(&why, "open folder", folder);
    struct dirent *d;

    while (!rc && !s->list->left_out && !(rc = dm_folder_next(dir, folder, &d, &why)) && d) {
        char *path = *d->d_name == '.' ? NULL : dm_run_path(folder, d->d_name);

        s->list->left_out = ++s->entries > ENTRIES;
        if (*d->d_name != '.')
            rc = path ? search_one(s, path, level, &why) : dm_error(&why, DM_ENOMEM, "out of memory for a name");
        free(path);
    }
    if (dir)
        closedir(dir);
    return level ? pass_over(s, rc, &why, err) : rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
}

dm_status runs_find(const char *folder, runs_list *l, dm_err *err)
{
    search s = {.list = l};
    bool is_run;
    dm_status rc;

    *l = (runs_list){0};
    if (!(rc = runs_is_one(folder, &is_run, err)))
        rc = is_run ? search_one(&s, folder, 0, err) : search_in(&s, folder, 0, err);
    if (rc)
        runs_list_free(l);
    return rc;
}

void runs_list_free(runs_list *l)
{
    for (int i = 0; i < l->n; i++)
        free(l->path[i]);
    free(l->path);
    *l = (runs_list){0};
}

/* ---- titles ---------------------------------------------------------------------------------- */

static const char *last_part(dm_arena *a, const char *path)
{
    size_t n = strlen(path), from;

    while (n > 1 && path[n - 1] == '/')
        n--;
    for (from = n; from > 0 && path[from - 1] != '/';)
        from--;
    return dm_strndup(a, path + from, n - from);
}

const char **runs_titles(dm_arena *a, const char *const *paths, int n)
{
    const char **part = dm_alloc_n(a, (size_t)n, sizeof *part), **title = dm_alloc_n(a, (size_t)n, sizeof *title);

    for (int i = 0; i < n; i++)
        if (!part || !title || !(part[i] = last_part(a, paths[i])))
            return NULL;
    for (int i = 0; i < n; i++) {
        bool twice = !*part[i];

        for (int k = 0; k < n; k++)
            twice |= k != i && !strcmp(part[k], part[i]);
        title[i] = twice ? paths[i] : part[i];
    }
    return title;
}
