/* For LD_PRELOAD before demist: calls of the C library that read, write or look at files, and fail on request; see
 * callstacks.h. A stream that fails has its error indicator set, as after a failure of the disk.
 *   IOFAULT_ERRNO=N   why (EIO)
 *   IOFAULT_SHORT=1   a read or write does half of it instead, without an error
 *   IOFAULT_ON=1      what writes, makes or syncs fails from then on, as on a full disk */
#define _GNU_SOURCE
#include "callstacks.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CALLER __builtin_return_address(0)
/* What a function stands for, found once; with 64-bit offsets some have another name. */
#define REAL(symbol, f)                                                                                                \
    static __typeof__(f) *real;                                                                                        \
    if (!real)                                                                                                         \
    *(void **)&real = dlsym(RTLD_NEXT, symbol)

static int has(const char *name) { return getenv(name) != NULL; }

static bool fails(const char *call, bool writes, const void *caller)
{
    const char *why = getenv("IOFAULT_ERRNO");

    if (!(writes && callstacks_met() && has("IOFAULT_ON") && callstacks_ours(caller)) && !callstacks_hit(call, caller))
        return false;
    errno = why ? atoi(why) : EIO;
    return true;
}

static size_t some(size_t n) { return has("IOFAULT_SHORT") ? (n + 1) / 2 : 0; }

bool iofault_stream_fails(const char *call, bool writes, FILE *f, const void *caller); /* putchar is inline in glibc */
bool iofault_stream_fails(const char *call, bool writes, FILE *f, const void *caller)
{
    if (fileno(f) < 0 || f == stderr) /* in memory; or nobody would hear of it */
        return false;
    if (!fails(call, writes && f != stdout, caller)) /* a full disk is not where stdout goes */
        return false;
    f->_flags |= 0x20; /* glibc's _IO_ERR_SEEN */
    return true;
}

/* ---- descriptors --------------------------------------------------------- */

ssize_t read(int fd, void *b, size_t n)
{
    REAL("read", read);
    if (!fails("read", false, CALLER))
        return real(fd, b, n);
    return some(n) ? real(fd, b, some(n)) : -1;
}

ssize_t pread(int fd, void *b, size_t n, off_t at)
{
    REAL("pread64", pread);
    if (!fails("pread", false, CALLER))
        return real(fd, b, n, at);
    return some(n) ? real(fd, b, some(n), at) : -1;
}

ssize_t write(int fd, const void *b, size_t n)
{
    REAL("write", write);
    if (fd == STDERR_FILENO || !fails("write", true, CALLER))
        return real(fd, b, n);
    return some(n) ? real(fd, b, some(n)) : -1;
}

static mode_t mode_of(int flags, va_list a) { return flags & (O_CREAT | O_TMPFILE) ? va_arg(a, mode_t) : 0; }

int open(const char *path, int flags, ...)
{
    va_list a;

    REAL("open64", open);
    va_start(a, flags);
    const mode_t mode = mode_of(flags, a);
    va_end(a);
    return fails(flags & O_CREAT ? "create" : "open", flags & O_CREAT, CALLER) ? -1 : real(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list a;

    REAL("openat64", openat);
    va_start(a, flags);
    const mode_t mode = mode_of(flags, a);
    va_end(a);
    return fails(flags & O_CREAT ? "create" : "open", flags & O_CREAT, CALLER) ? -1 : real(dir, path, flags, mode);
}

int close(int fd)
{
    REAL("close", close);
    const int rc = real(fd);
    return fails("close", true, CALLER) ? -1 : rc;
}

/* Those that either do their work or return a value for "failed". */
#define PLAIN(type, name, symbol, writes, failed, args, pass)                                                          \
    type name args                                                                                                     \
    {                                                                                                                  \
        REAL(symbol, name);                                                                                            \
        return fails(#name, writes, CALLER) ? failed : real pass;                                                      \
    }

PLAIN(int, fsync, "fsync", true, -1, (int fd), (fd))
PLAIN(int, ftruncate, "ftruncate64", true, -1, (int fd, off_t n), (fd, n))
PLAIN(off_t, lseek, "lseek64", false, -1, (int fd, off_t at, int from), (fd, at, from))
PLAIN(int, rename, "rename", true, -1, (const char *a, const char *b), (a, b))
PLAIN(int, renameat, "renameat", true, -1, (int d, const char *a, int e, const char *b), (d, a, e, b))
PLAIN(int, unlink, "unlink", false, -1, (const char *path), (path))
PLAIN(int, unlinkat, "unlinkat", false, -1, (int dir, const char *path, int flags), (dir, path, flags))
PLAIN(int, rmdir, "rmdir", false, -1, (const char *path), (path))
PLAIN(int, mkdir, "mkdir", true, -1, (const char *path, mode_t mode), (path, mode))
PLAIN(int, mkdirat, "mkdirat", true, -1, (int dir, const char *path, mode_t mode), (dir, path, mode))
PLAIN(char *, mkdtemp, "mkdtemp", true, NULL, (char *path), (path))
PLAIN(int, mkstemp, "mkstemp64", true, -1, (char *path), (path))
PLAIN(int, chmod, "chmod", false, -1, (const char *path, mode_t mode), (path, mode))
PLAIN(int, fchmod, "fchmod", false, -1, (int fd, mode_t mode), (fd, mode))
PLAIN(int, flock, "flock", false, -1, (int fd, int how), (fd, how))
PLAIN(int, access, "access", false, -1, (const char *path, int how), (path, how))
PLAIN(int, stat, "stat64", false, -1, (const char *path, struct stat *st), (path, st))
PLAIN(int, lstat, "lstat64", false, -1, (const char *path, struct stat *st), (path, st))
PLAIN(int, fstat, "fstat64", false, -1, (int fd, struct stat *st), (fd, st))
PLAIN(int, fstatat, "fstatat64", false, -1, (int d, const char *path, struct stat *st, int how), (d, path, st, how))
PLAIN(int, statvfs, "statvfs64", false, -1, (const char *path, struct statvfs *st), (path, st))
PLAIN(char *, realpath, "realpath", false, NULL, (const char *path, char *to), (path, to))
PLAIN(ssize_t, getrandom, "getrandom", false, -1, (void *b, size_t n, unsigned how), (b, n, how))

/* ---- folders ------------------------------------------------------------- */

PLAIN(DIR *, opendir, "opendir", false, NULL, (const char *path), (path))
PLAIN(DIR *, fdopendir, "fdopendir", false, NULL, (int fd), (fd))
PLAIN(struct dirent *, readdir, "readdir64", false, NULL, (DIR * d), (d))
PLAIN(int, scandir, "scandir64", false, -1,
      (const char *path, struct dirent ***names, int (*take)(const struct dirent *),
       int (*order)(const struct dirent **, const struct dirent **)),
      (path, names, take, order))

/* ---- streams ------------------------------------------------------------- */

PLAIN(FILE *, fopen, "fopen64", false, NULL, (const char *path, const char *mode), (path, mode))
PLAIN(FILE *, fdopen, "fdopen", false, NULL, (int fd, const char *mode), (fd, mode))
PLAIN(FILE *, tmpfile, "tmpfile64", true, NULL, (void), ())

#define STREAM(type, name, writes, failed, f, args, pass)                                                              \
    type name args                                                                                                     \
    {                                                                                                                  \
        REAL(#name, name);                                                                                             \
        return iofault_stream_fails(#name, writes, f, CALLER) ? failed : real pass;                                    \
    }

STREAM(size_t, fread, false, 0, f, (void *b, size_t size, size_t n, FILE *f), (b, size, n, f))
STREAM(char *, fgets, false, NULL, f, (char *b, int n, FILE *f), (b, n, f))
STREAM(int, fgetc, false, EOF, f, (FILE * f), (f))
STREAM(int, fseek, false, -1, f, (FILE * f, long at, int from), (f, at, from))
STREAM(int, fflush, true, EOF, f, (FILE * f), (f))
STREAM(size_t, fwrite, true, 0, f, (const void *b, size_t size, size_t n, FILE *f), (b, size, n, f))
STREAM(int, fputs, true, EOF, f, (const char *s, FILE *f), (s, f))
STREAM(int, fputc, true, EOF, f, (int c, FILE *f), (c, f))
STREAM(int, putc, true, EOF, f, (int c, FILE *f), (c, f))
STREAM(int, puts, true, EOF, stdout, (const char *s), (s))
STREAM(int, putchar, true, EOF, stdout, (int c), (c))
STREAM(int, vfprintf, true, -1, f, (FILE * f, const char *format, va_list a), (f, format, a))

int fclose(FILE *f)
{
    REAL("fclose", fclose);
    const bool memory = fileno(f) < 0;
    const int rc = real(f);
    return !memory && fails("fclose", true, CALLER) ? EOF : rc;
}

static int print(const char *call, FILE *f, const char *format, va_list a, const void *caller)
{
    REAL("vfprintf", vfprintf);
    return iofault_stream_fails(call, true, f, caller) ? -1 : real(f, format, a);
}

int printf(const char *format, ...)
{
    va_list a;

    va_start(a, format);
    const int rc = print("printf", stdout, format, a, CALLER);
    va_end(a);
    return rc;
}

int fprintf(FILE *f, const char *format, ...)
{
    va_list a;

    va_start(a, format);
    const int rc = print("fprintf", f, format, a, CALLER);
    va_end(a);
    return rc;
}
