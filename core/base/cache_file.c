/* Entries of a cache; see cache_file.h. */
#include "base/cache_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

dm_status dm_cache_read(const char *path, size_t limit, char **out, size_t *n)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *b = NULL;
    const bool whole = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                       !(st.st_mode & (S_IWGRP | S_IWOTH)) && (uint64_t)st.st_size <= limit;
    dm_status rc = whole ? DM_OK : DM_ENOENT;

    if (!rc && !(b = malloc((size_t)st.st_size + 1)))
        rc = DM_ENOMEM;
    if (!rc && dm_file_read_at(fd, path, 0, b, (size_t)st.st_size, NULL))
        rc = DM_ENOENT;
    if (fd >= 0)
        close(fd);
    if (rc) {
        free(b);
        return rc;
    }
    b[st.st_size] = 0;
    *out = b;
    *n = (size_t)st.st_size;
    return DM_OK;
}

bool dm_cache_write(const char *path, const void *data, size_t n)
{
    unlink(path); /* else its mode would be kept, and a link followed */
    return !dm_file_write_atomic(path, data, n, NULL);
}
