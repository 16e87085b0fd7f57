/* Files relative to a folder, never through links; see folder.h. */
#include "base/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { AS_FOLDER = O_RDONLY | O_DIRECTORY | O_CLOEXEC };

dm_status dm_folder_open(dm_folder *f, const char *path, dm_err *err)
{
    *f = (dm_folder){open(path, AS_FOLDER), NULL};
    if (f->fd < 0)
        return dm_file_error(err, "open folder", path);
    if (!(f->path = strdup(path))) {
        dm_folder_close(f);
        return dm_error(err, DM_ENOMEM, "out of memory: the name of '%s'", path);
    }
    return DM_OK;
}

void dm_folder_close(dm_folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    *f = (dm_folder){-1, NULL};
}

static void whole_name(const dm_folder *f, const char *name, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s%s%s", f ? f->path : "", f ? "/" : "", name);
}

char *dm_folder_path(const dm_folder *f, const char *name)
{
    const size_t n = (f ? strlen(f->path) + 1 : 0) + strlen(name) + 1;
    char *p = malloc(n);

    if (p)
        snprintf(p, n, "%s%s%s", f ? f->path : "", f ? "/" : "", name);
    return p;
}

/* Why `base` in `parent` was not opened, as errno says. */
static dm_status refuse(int parent, const char *base, const dm_folder *f, const char *name, dm_err *err)
{
    char path[PATH_MAX];
    const int why = errno;
    struct stat st;

    whole_name(f, name, path);
    if (f && !fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) && S_ISLNK(st.st_mode))
        return dm_error(err, DM_EINVAL,
                        "'%s' is a symbolic link, which a run folder must not have; replace it with its target, or "
                        "remove it",
                        path);
    errno = why;
    return dm_file_error(err, "open", path);
}

dm_status dm_folder_parent(const dm_folder *f, const char *name, const char *verb, int *fd, const char **base,
                           dm_err *err)
{
    const char *slash;
    int at;

    if (!f) {
        slash = strrchr(name, '/');
        char *dir = slash == name ? strdup("/") : slash ? strndup(name, (size_t)(slash - name)) : strdup(".");
        dm_status rc = dir ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: the folder of '%s'", name);

        if (!rc && (*fd = open(dir, AS_FOLDER)) < 0)
            rc = dm_file_error(err, verb, name);
        free(dir);
        *base = slash ? slash + 1 : name;
        return rc;
    }
    if ((at = openat(f->fd, ".", AS_FOLDER)) < 0)
        return dm_file_error(err, "open folder", f->path);
    for (*base = name; (slash = strchr(*base, '/')); *base = slash + 1) {
        char part[NAME_MAX + 1];
        int next;

        snprintf(part, sizeof part, "%.*s", (int)(slash - *base), *base);
        if ((next = openat(at, part, AS_FOLDER | O_NOFOLLOW)) < 0) {
            const dm_status rc = refuse(at, part, f, name, err);

            close(at);
            return rc;
        }
        close(at);
        at = next;
    }
    *fd = at;
    return DM_OK;
}

static dm_status check_file(int fd, int flags, const dm_folder *f, const char *name, int64_t *size, dm_err *err)
{
    char path[PATH_MAX];
    struct stat st;

    if (fd >= 0 && fstat(fd, &st)) {
        const int why = errno;

        whole_name(f, name, path);
        errno = why;
        return dm_file_error(err, "look at", path);
    }
    if (fd < 0 || !S_ISREG(st.st_mode)) {
        whole_name(f, name, path);
        return dm_error(err, DM_EINVAL, "unable to open '%s': not a regular file", path);
    }
    if (f && (flags & O_ACCMODE) != O_RDONLY && st.st_nlink > 1) {
        whole_name(f, name, path);
        return dm_error(err, DM_EINVAL,
                        "'%s' is a hard link, so writing to it would change another file; replace it with a copy",
                        path);
    }
    if (size)
        *size = st.st_size;
    return DM_OK;
}

dm_status dm_folder_file(const dm_folder *f, const char *name, int flags, int *fd, int64_t *size, dm_err *err)
{
    const char *base;
    int parent, file;
    dm_status rc = dm_folder_parent(f, name, "open", &parent, &base, err);

    if (rc)
        return rc;
    file = openat(parent, base, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | (f ? O_NOFOLLOW : 0), 0666);
    if (file < 0 && errno != ENXIO) /* ENXIO: a FIFO or a socket */
        rc = refuse(parent, base, f, name, err);
    else
        rc = check_file(file, flags, f, name, size, err);
    close(parent);
    if (rc && file >= 0)
        close(file);
    if (!rc)
        *fd = file;
    return rc;
}

dm_status dm_folder_has(const dm_folder *f, const char *name, bool *there, dm_err *err)
{
    const char *base;
    struct stat st;
    int parent;
    dm_status rc = dm_folder_parent(f, name, "look at", &parent, &base, err);

    *there = false;
    if (rc)
        return rc == DM_ENOENT ? DM_OK : rc;
    if (!fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW)) {
        *there = true;
    } else if (errno != ENOENT) {
        char path[PATH_MAX];
        const int why = errno;

        whole_name(f, name, path);
        errno = why;
        rc = dm_file_error(err, "look at", path);
    }
    close(parent);
    return rc;
}

static dm_status open_below(const dm_folder *f, const char *name, int *fd, dm_err *err)
{
    const char *base;
    int parent;
    dm_status rc = dm_folder_parent(f, name, "open", &parent, &base, err);

    if (rc)
        return rc;
    if ((*fd = openat(parent, base, AS_FOLDER | O_NOFOLLOW)) < 0)
        rc = refuse(parent, base, f, name, err);
    close(parent);
    return rc;
}

dm_status dm_folder_add(const dm_folder *f, const char *name, dm_err *err)
{
    char path[PATH_MAX];
    int fd;
    dm_status rc;

    whole_name(f, name, path);
    if (mkdirat(f->fd, name, 0777) && errno != EEXIST)
        return dm_file_error(err, "create folder", path);
    if (!(rc = open_below(f, name, &fd, err)))
        close(fd);
    return rc == DM_ENOENT ? dm_error(err, DM_EINVAL, "'%s' is not a folder, but demist needs a folder of that name; "
                                                      "move it away", path)
                           : rc;
}

dm_status dm_folder_list(const dm_folder *f, const char *name, DIR **out, dm_err *err)
{
    int fd;
    dm_status rc = open_below(f, name, &fd, err);

    if (rc)
        return rc;
    if (!(*out = fdopendir(fd))) {
        rc = dm_file_error(err, "read folder", f->path);
        close(fd);
    }
    return rc;
}

dm_status dm_folder_next(DIR *d, const char *folder, struct dirent **e, dm_err *err)
{
    errno = 0;
    *e = readdir(d);
    return *e || !errno ? DM_OK : dm_file_error(err, "read folder", folder);
}

dm_status dm_folder_remove(const dm_folder *f, const char *name, dm_err *err)
{
    const char *base;
    int parent;
    dm_status rc = dm_folder_parent(f, name, "open", &parent, &base, err);

    if (rc)
        return rc;
    if (unlinkat(parent, base, 0) && errno != ENOENT) {
        char path[PATH_MAX];

        whole_name(f, name, path);
        rc = dm_file_error(err, "remove", path);
    }
    close(parent);
    return rc;
}

dm_status dm_path_look(const char *path, dm_path_kind *kind, dm_err *err)
{
    struct stat st;

    *kind = DM_PATH_NOTHING;
    if (stat(path, &st))
        return errno == ENOENT || errno == ENOTDIR ? DM_OK : dm_file_error(err, "look at", path);
    *kind = S_ISREG(st.st_mode) ? DM_PATH_FILE : S_ISDIR(st.st_mode) ? DM_PATH_FOLDER : DM_PATH_OTHER;
    return DM_OK;
}

bool dm_path_unreachable(void)
{
    return errno == ENOENT || errno == ENOTDIR || errno == EACCES || errno == ELOOP || errno == ENAMETOOLONG;
}
