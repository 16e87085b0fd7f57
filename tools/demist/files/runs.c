/* The runs in a folder; see runs.h. */
#include "files/runs.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"
#include "run/run_folder.h"

/* When a file of the run was last written, 0 where it is not there. */
static double written(const char *run, const char *name)
{
    char *path = dm_run_path(run, name);
    struct stat st;
    double t = 0;

    if (path && !stat(path, &st))
        t = (double)st.st_mtim.tv_sec + 1e-9 * (double)st.st_mtim.tv_nsec;
    free(path);
    return t;
}

bool runs_is_one(const char *folder) { return written(folder, DM_RUN_CONFIG) > 0; }

dm_status runs_newest(const char *folder, char **run, dm_err *err)
{
    double newest = 0;
    struct dirent *d;
    DIR *dir;

    *run = NULL;
    if (!(dir = opendir(folder)) && errno != ENOENT)
        return dm_file_error(err, "open folder", folder);
    while (dir && (d = readdir(dir))) {
        char *path = *d->d_name == '.' ? NULL : dm_run_path(folder, d->d_name);
        const double log = path && runs_is_one(path) ? written(path, DM_RUN_LOG) : 0;
        const double t = path && runs_is_one(path) && log <= 0 ? written(path, DM_RUN_CONFIG) : log;

        if (t > newest) {
            free(*run);
            *run = path;
            newest = t;
        } else {
            free(path);
        }
    }
    if (dir)
        closedir(dir);
    return *run ? DM_OK : dm_error(err, DM_ENOENT, "there is no run in '%s'; give one", folder);
}
