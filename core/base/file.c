/* Files, whole or not at all; see file.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

dm_status dm_file_open(const char *path, int *fd, int64_t *size, dm_err *err)
{
    return dm_folder_file(NULL, path, O_RDONLY, fd, size, err);
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
            return dm_error(err, DM_ECORRUPT, "'%s' is truncated: %zu bytes are missing at byte %lld", path, n,
                                              (long long)at);
        p += got;
        at += got;
        n -= (size_t)got;
    }
    return DM_OK;
}

/* All of an opened file, which is closed. */
static dm_status slurp(int fd, int64_t size, const char *path, size_t limit, char **out, size_t *n, dm_err *err)
{
    dm_status s = DM_OK;
    char *b;

    if ((uint64_t)size > limit) {
        close(fd);
        return dm_error(err, DM_ECORRUPT, "'%s' has %lld bytes; the limit is %zu", path, (long long)size, limit);
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

dm_status dm_file_slurp(const char *path, size_t limit, char **out, size_t *n, dm_err *err)
{
    int64_t size;
    int fd;
    const dm_status s = dm_file_open(path, &fd, &size, err);

    return s ? s : slurp(fd, size, path, limit, out, n, err);
}

dm_status dm_file_slurp_in(const dm_folder *f, const char *name, size_t limit, char **out, size_t *n, dm_err *err)
{
    char path[PATH_MAX];
    int64_t size;
    int fd;
    const dm_status s = dm_folder_file(f, name, O_RDONLY, &fd, &size, err);

    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return s ? s : slurp(fd, size, path, limit, out, n, err);
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

/* Neither a link nor a file of somebody else can lie under a name that nobody can guess. */
static dm_status create(dm_file_out *f, const struct stat *st, dm_err *err)
{
    const size_t n = strlen(f->name) + 32;
    dm_status s;

    if (!(f->temp = malloc(n)))
        return dm_error(err, DM_ENOMEM, "out of memory: the name of '%s'", f->path);
    for (int tries = 0; f->fd < 0 && tries < 8; tries++) {
        uint64_t number;

        if (getrandom(&number, sizeof number, 0) != sizeof number) {
            s = dm_file_error(err, "get a random number for the name of", f->path);
            free(f->temp);
            f->temp = NULL;
            return s;
        }
        snprintf(f->temp, n, "%s.%020llu.tmp", f->name, (unsigned long long)number);
        f->fd = openat(f->dir, f->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
        if (f->fd < 0 && errno != EEXIST)
            break;
    }
    if (f->fd >= 0 && (!st || !fchmod(f->fd, st->st_mode & 0777)))
        return DM_OK;
    s = dm_file_error(err, "create", f->path);
    if (f->fd < 0) { /* nothing to remove */
        free(f->temp);
        f->temp = NULL;
    }
    return s;
}

/* The folder that f->path lies in is f->dir; the file itself is not there, or can be written over. */
static dm_status begin(dm_file_out *f, const dm_folder *in, dm_err *err)
{
    struct stat st;
    bool there;

    f->name = strrchr(f->path, '/') ? strrchr(f->path, '/') + 1 : f->path;
    there = !fstatat(f->dir, f->name, &st, AT_SYMLINK_NOFOLLOW) && (in || !S_ISLNK(st.st_mode)); /* one to nothing */
    if (there && S_ISLNK(st.st_mode))
        return dm_error(err, DM_EINVAL,
                        "'%s' is a symbolic link, which a run folder must not have; replace it with its target, or "
                        "remove it",
                        f->path);
    if (there && !S_ISREG(st.st_mode))
        return dm_error(err, DM_EINVAL, "unable to write '%s': it exists and is not a regular file", f->path);
    return create(f, there ? &st : NULL, err);
}

dm_status dm_file_begin_in(dm_file_out *f, const dm_folder *in, const char *name, dm_err *err)
{
    const char *base;
    struct stat st;
    dm_status s;

    *f = (dm_file_out){.fd = -1};
    if (!in && !stat(name, &st)) {
        if (!(f->path = realpath(name, NULL)))
            return dm_file_error(err, "look at", name);
    } else if (!in && !dm_path_unreachable()) {
        return dm_file_error(err, "look at", name); /* a link would be replaced by the file that it leads to */
    } else if (!(f->path = dm_folder_path(in, name))) {
        return dm_error(err, DM_ENOMEM, "out of memory: the name of '%s'", name);
    }
    if ((s = dm_folder_parent(in, in ? name : f->path, "create", &f->dir, &base, err))) {
        free(f->path);
        f->path = NULL;
        return s;
    }
    if ((s = begin(f, in, err)))
        dm_file_abort(f);
    return s;
}

dm_status dm_file_begin(dm_file_out *f, const char *path, dm_err *err) { return dm_file_begin_in(f, NULL, path, err); }

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

/* Makes renames in a folder durable. */
static dm_status sync_folder(int fd, const char *path, dm_err *err)
{
    if (fsync(fd) && errno != EINVAL) /* EINVAL: a file system without it */
        return dm_file_error(err, "sync the folder of", path);
    return DM_OK;
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
    if (!s && renameat(f->dir, f->temp, f->dir, f->name))
        s = dm_file_error(err, "rename a new file to", f->path);
    if (!s) {
        free(f->temp);
        f->temp = NULL;
        s = sync_folder(f->dir, f->path, err);
    }
    dm_file_abort(f);
    return s;
}

void dm_file_abort(dm_file_out *f)
{
    if (f->temp && f->fd >= 0)
        close(f->fd);
    if (f->temp)
        unlinkat(f->dir, f->temp, 0);
    if (f->path)
        close(f->dir);
    free(f->temp);
    free(f->path);
    *f = (dm_file_out){.fd = -1};
}

dm_status dm_file_write_atomic(const char *path, const void *data, size_t n, dm_err *err)
{
    return dm_file_write_in(NULL, path, data, n, err);
}

dm_status dm_file_write_in(const dm_folder *in, const char *name, const void *data, size_t n, dm_err *err)
{
    dm_file_out f;
    dm_status s;

    if ((s = dm_file_begin_in(&f, in, name, err)) || (s = dm_file_put(&f, data, n, err)))
        return s;
    return dm_file_commit(&f, err);
}

/* Looked at before a part of it is made. */
static bool name_fits(const char *path)
{
    for (const char *part = path; part; part = strchr(part, '/'))
        if (strcspn(part += *part == '/', "/") > NAME_MAX)
            return false;
    return strlen(path) < PATH_MAX;
}

dm_status dm_folder_make(const char *path, dm_err *err)
{
    char *p = strdup(path);
    dm_status s = DM_OK;
    struct stat st;

    if (!p)
        return dm_error(err, DM_ENOMEM, "out of memory: the name of '%s'", path);
    if (!name_fits(path)) {
        errno = ENAMETOOLONG;
        s = dm_file_error(err, "create folder", path);
    }
    for (char *end = p + (*p == '/'); end && !s;) {
        if ((end = strchr(end, '/')))
            *end = 0;
        if (*p && mkdir(p, 0777) && errno != EEXIST)
            s = dm_file_error(err, "create folder", p);
        if (end)
            *end++ = '/';
    }
    free(p);
    if (!s && stat(path, &st))
        return dm_file_error(err, "look at", path);
    if (!s && !S_ISDIR(st.st_mode))
        return dm_error(err, DM_EINVAL, "unable to create folder '%s': a file has that name", path);
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

const char *dm_file_hint(const void *begin, size_t n)
{
    static const char lfs[] = "version https://git-lfs";
    const unsigned char *b = begin;

    if (n >= sizeof lfs - 1 && !memcmp(b, lfs, sizeof lfs - 1))
        return "; it is a pointer of git-lfs, 'git lfs pull' fetches the file itself";
    if (n >= 9 && (!memcmp(b, "<!DOCTYPE", 9) || !memcmp(b, "<!doctype", 9)))
        return "; it is a web page, not the file that was to be downloaded";
    if (n >= 4 && !memcmp(b, "PK\3\4", 4))
        return "; it is a zip archive, as .npz and PyTorch's .pt files are";
    return "";
}
