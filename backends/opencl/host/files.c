/* Texts that grow, files read whole and written at once, the folder of cached things. */
#include "opencl/host/host.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cache_file.h"

bool ocl_text_add(ocl_text *t, const void *p, size_t n)
{
    if (n >= SIZE_MAX / 4 - t->n)
        return false;
    if (t->n + n + 1 > t->cap) {
        const size_t cap = 2 * (t->n + n) + 256;
        char *s = realloc(t->s, cap);

        if (!s)
            return false;
        t->s = s;
        t->cap = cap;
    }
    if (n)
        memcpy(t->s + t->n, p, n);
    t->n += n;
    t->s[t->n] = 0;
    return true;
}

bool ocl_text_print(ocl_text *t, const char *fmt, ...)
{
    char line[2 * OCL_PATH];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    return n >= 0 && (size_t)n < sizeof line && ocl_text_add(t, line, (size_t)n);
}

void ocl_text_fini(ocl_text *t)
{
    free(t->s);
    *t = (ocl_text){0};
}

bool ocl_path(char path[OCL_PATH], const char *dir, const char *rest)
{
    const int n = snprintf(path, OCL_PATH, "%s/%s", dir, rest);

    return n >= 0 && n < OCL_PATH;
}

bool ocl_folder(const char *path)
{
    char part[OCL_PATH];
    const size_t n = strlen(path);

    if (!n || n >= sizeof part)
        return false;
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++)
        if (path[i] == '/' || !path[i]) {
            part[i] = 0;
            if (mkdir(part, 0777) != 0 && errno != EEXIST && access(part, X_OK) != 0)
                return false;
            part[i] = path[i];
        }
    return access(path, W_OK | X_OK) == 0;
}

dm_status ocl_file_read(const char *path, size_t limit, ocl_text *out, dm_err *err)
{
    char block[16384];
    FILE *f = fopen(path, "rb");
    dm_status s = DM_OK;
    size_t n;

    if (!f && (errno == ENOENT || errno == ENOTDIR))
        return DM_ENOENT;
    if (!f)
        return dm_file_error(err, "open", path);
    while (s == DM_OK && (n = fread(block, 1, sizeof block, f)) > 0) {
        if (n > limit - out->n)
            s = dm_error(err, DM_EINVAL, "'%s' is larger than the %zu bytes allowed", path, limit);
        else if (!ocl_text_add(out, block, n))
            s = dm_error(err, DM_ENOMEM, "out of memory while reading '%s'", path);
    }
    if (s == DM_OK && ferror(f))
        s = dm_file_error(err, "read", path);
    fclose(f);
    if (s == DM_OK && !ocl_text_add(out, "", 0))
        s = dm_error(err, DM_ENOMEM, "out of memory while reading '%s'", path);
    return s;
}

bool ocl_cache_read(const char *path, size_t limit, ocl_text *out)
{
    *out = (ocl_text){0};
    if (dm_cache_read(path, limit, &out->s, &out->n))
        return false;
    out->cap = out->n + 1;
    return true;
}

bool ocl_file_write(const char *path, const void *p, size_t n)
{
    char part[OCL_PATH];
    FILE *f;
    bool ok;
    int fd;

    if (snprintf(part, sizeof part, "%s.XXXXXX", path) >= (int)sizeof part || (fd = mkstemp(part)) < 0)
        return false;
    if (!(f = fdopen(fd, "wb"))) {
        close(fd);
        unlink(part);
        return false;
    }
    ok = fwrite(p, 1, n, f) == n;
    ok = fclose(f) == 0 && ok;
    ok = ok && rename(part, path) == 0;
    if (!ok)
        unlink(part);
    return ok;
}

/* FNV-1a, 64 bits. */
uint64_t ocl_hash(uint64_t seed, const void *p, size_t n)
{
    const unsigned char *b = p;
    uint64_t h = 0xcbf29ce484222325u ^ seed;

    for (size_t i = 0; i < n; i++)
        h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

void ocl_cache_dir(const char *asked, char path[OCL_PATH])
{
    const char *demist = getenv("DEMIST_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    const char *part = ocl_held_cpu();
    char all[OCL_PATH];
    bool fits = false;

    if (asked || demist)
        fits = snprintf(all, OCL_PATH, "%s", asked ? asked : demist) < OCL_PATH;
    else if (xdg && xdg[0] == '/')
        fits = ocl_path(all, xdg, "demist");
    else if (home && home[0] == '/')
        fits = ocl_path(all, home, ".cache/demist");
    /* The entries' keys do not say what a driver compiled for. */
    fits = fits && (*part ? ocl_path(path, all, part) : snprintf(path, OCL_PATH, "%s", all) < OCL_PATH);
    if (!fits || !ocl_folder(path))
        path[0] = 0;
}
