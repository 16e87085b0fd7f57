/* Entries of a cache; see cache_file.h. */
#include "base/cache_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

bool dm_cache_read(const char *path, size_t limit, char **out, size_t *n)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    char *b = NULL;
    bool whole = fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                 !(st.st_mode & (S_IWGRP | S_IWOTH)) && (uint64_t)st.st_size <= limit;

    whole = whole && (b = malloc((size_t)st.st_size + 1)) &&
            !dm_file_read_at(fd, path, 0, b, (size_t)st.st_size, NULL);
    if (fd >= 0)
        close(fd);
    if (!whole) {
        free(b);
        return false;
    }
    b[st.st_size] = 0;
    *out = b;
    *n = (size_t)st.st_size;
    return true;
}

bool dm_cache_write(const char *path, const void *data, size_t n)
{
    unlink(path); /* else its mode would be kept, and a link followed */
    return !dm_file_write_atomic(path, data, n, NULL);
}
