/* For LD_PRELOAD before any program: what opens a file below one folder gets that of another, MOVED=FROM=TO. For
 * libraries that were unpacked where they do not look for their own files. */
#define _GNU_SOURCE /* RTLD_NEXT, O_TMPFILE */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <demist/plugin.h>

DM_EXPORT int open64(const char *path, int flags, ...)
{
    static int (*real)(const char *, int, ...);
    const char *moved = getenv("MOVED"), *to = moved ? strchr(moved, '=') : NULL;
    char there[4096];
    va_list more;
    int mode = 0;

    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "open64");
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
        va_start(more, flags);
        mode = va_arg(more, int);
        va_end(more);
    }
    if (to && !strncmp(path, moved, (size_t)(to - moved)) &&
        snprintf(there, sizeof there, "%s%s", to + 1, path + (to - moved)) < (int)sizeof there)
        path = there;
    return real(path, flags, mode);
}
