/* Files, whole or not at all; see file.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

dm_status dm_file_error(dm_err *err, const char *verb, const char *path)
{
    const int e = errno;
    const bool full = e == ENOSPC || e == EDQUOT || e == EFBIG;
    char why[128];

    if (strerror_r(e, why, sizeof why))
        snprintf(why, sizeof why, "error %d", e);
    return dm_error(err, full ? DM_ENOSPC : e == ENOENT || e == ENOTDIR ? DM_ENOENT : e == ENOMEM ? DM_ENOMEM : DM_EIO,
                    "unable to %s '%s': %s", verb, path, why);
}

dm_status dm_file_open(const char *path, int *fd, int64_t *size, dm_err *err)
{
    struct stat st;
    const int f = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (f < 0)
        return dm_file_error(err, "open", path);
    if (fstat(f, &st) || !S_ISREG(st.st_mode)) {
        close(f);
        return dm_error(err, DM_EINVAL, "unable to read '%s': not a regular file", path);
    }
    *fd = f;
    *size = st.st_size;
    return DM_OK;
}

dm_status dm_file_read_at(int fd, const char *path, int64_t at, void *to, size_t n, dm_err *err)
{
    char *p = to;

    while (n > 0) {
        const ssize_t got = pread(fd, p, n < INT_MAX ? n : INT_MAX, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dm_file_error(err, "read", path);
        if (got == 0)
            return dm_error(err, DM_ECORRUPT, "'%s' ends %zu bytes too early, at byte %lld", path, n, (long long)at);
        p += got;
        at += got;
        n -= (size_t)got;
    }
    return DM_OK;
}

dm_status dm_file_slurp(const char *path, size_t limit, char **out, size_t *n, dm_err *err)
{
    int64_t size;
    dm_status s;
    char *b;
    int fd;

    if ((s = dm_file_open(path, &fd, &size, err)))
        return s;
    if ((uint64_t)size > limit) {
        close(fd);
        return dm_error(err, DM_ECORRUPT, "'%s' has %lld bytes; at most %zu are read", path, (long long)size, limit);
    }
    if (!(b = malloc((size_t)size + 1)))
        s = dm_error(err, DM_ENOMEM, "out of memory: %lld bytes for '%s'", (long long)size, path);
    else if ((s = dm_file_read_at(fd, path, 0, b, (size_t)size, err)))
        free(b);
    close(fd);
    if (s)
        return s;
    b[size] = 0;
    *out = b;
    if (n)
        *n = (size_t)size;
    return DM_OK;
}

dm_status dm_file_write(int fd, const char *path, const void *data, size_t n, dm_err *err)
{
    const char *p = data;

    while (n > 0) {
        const ssize_t put = write(fd, p, n < INT_MAX ? n : INT_MAX);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return dm_file_error(err, "write", path);
        p += put;
        n -= (size_t)put;
    }
    return DM_OK;
}

dm_status dm_file_begin(dm_file_out *f, const char *path, dm_err *err)
{
    struct stat st;
    const bool there = stat(path, &st) == 0;
    size_t n;

    *f = (dm_file_out){-1, NULL, NULL};
    if (there && !S_ISREG(st.st_mode))
        return dm_error(err, DM_EINVAL, "unable to write '%s': it is there and is not a regular file", path);
    f->path = there ? realpath(path, NULL) : strdup(path);
    n = f->path ? strlen(f->path) + 32 : 0;
    if (!f->path || !(f->temp = malloc(n))) {
        dm_file_abort(f);
        return dm_error(err, DM_ENOMEM, "out of memory: the name of '%s'", path);
    }
    snprintf(f->temp, n, "%s.%ld.tmp", f->path, (long)getpid());
    f->fd = open(f->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (f->fd < 0 || (there && fchmod(f->fd, st.st_mode & 0777))) {
        const dm_status s = dm_file_error(err, "create", f->temp);

        dm_file_abort(f);
        return s;
    }
    return DM_OK;
}

dm_status dm_file_put(dm_file_out *f, const void *data, size_t n, dm_err *err)
{
    dm_status s;

    if (f->fd < 0)
        return dm_error(err, DM_EIO, "unable to write: an earlier write failed");
    if ((s = dm_file_write(f->fd, f->path, data, n, err)))
        dm_file_abort(f);
    return s;
}

dm_status dm_file_put_at(dm_file_out *f, int64_t at, const void *data, size_t n, dm_err *err)
{
    dm_status s;

    if (f->fd < 0)
        return dm_error(err, DM_EIO, "unable to write: an earlier write failed");
    if (lseek(f->fd, (off_t)at, SEEK_SET) < 0)
        s = dm_file_error(err, "write", f->path);
    else
        s = dm_file_write(f->fd, f->path, data, n, err);
    if (s)
        dm_file_abort(f);
    return s;
}

static dm_status sync_parent(const char *path, dm_err *err)
{
    const char *slash = strrchr(path, '/');
    char *dir = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
    const dm_status s = dir ? dm_folder_sync(dir, err)
                            : dm_error(err, DM_ENOMEM, "out of memory: folder of '%s'", path);

    free(dir);
    return s;
}

dm_status dm_file_commit(dm_file_out *f, dm_err *err)
{
    const int fd = f->fd;
    dm_status s = DM_OK;

    if (fd < 0)
        return dm_error(err, DM_EIO, "unable to write: an earlier write failed");
    f->fd = -1;
    if (fsync(fd))
        s = dm_file_error(err, "sync", f->path);
    if (close(fd) && !s)
        s = dm_file_error(err, "close", f->path);
    if (!s && rename(f->temp, f->path))
        s = dm_file_error(err, "rename a new file to", f->path);
    if (!s) {
        free(f->temp);
        f->temp = NULL;
        s = sync_parent(f->path, err);
    }
    dm_file_abort(f);
    return s;
}

void dm_file_abort(dm_file_out *f)
{
    if (f->temp && f->fd >= 0)
        close(f->fd);
    if (f->temp)
        unlink(f->temp);
    free(f->temp);
    free(f->path);
    *f = (dm_file_out){-1, NULL, NULL};
}

dm_status dm_file_write_atomic(const char *path, const void *data, size_t n, dm_err *err)
{
    dm_file_out f;
    dm_status s;

    if ((s = dm_file_begin(&f, path, err)) || (s = dm_file_put(&f, data, n, err)))
        return s;
    return dm_file_commit(&f, err);
}

dm_status dm_folder_make(const char *path, dm_err *err)
{
    char *p = strdup(path);
    dm_status s = DM_OK;
    struct stat st;

    if (!p)
        return dm_error(err, DM_ENOMEM, "out of memory: the name of '%s'", path);
    for (char *end = p + (*p == '/'); end && !s;) {
        if ((end = strchr(end, '/')))
            *end = 0;
        if (*p && mkdir(p, 0777) && errno != EEXIST)
            s = dm_file_error(err, "create folder", p);
        if (end)
            *end++ = '/';
    }
    free(p);
    if (!s && (stat(path, &st) || !S_ISDIR(st.st_mode)))
        return dm_error(err, DM_EINVAL, "unable to create folder '%s': a file of that name is there", path);
    return s;
}

dm_status dm_folder_sync(const char *path, dm_err *err)
{
    const int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    dm_status s = DM_OK;

    if (fd < 0)
        return dm_file_error(err, "open folder", path);
    if (fsync(fd) && errno != EINVAL) /* EINVAL: a file system without it */
        s = dm_file_error(err, "sync folder", path);
    close(fd);
    return s;
}
