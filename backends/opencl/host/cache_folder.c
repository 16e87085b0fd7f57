/* What demist keeps in its cache folder, counted and removed: programs and what was measured of implementations. Only
 * files with names that demist gives are touched. */
#include "opencl/host/host.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "device/doctor.h"

static const struct { const char *folder, *end, *what;
} kept[] = {
    {"programs", ".bin", "programs"},
    {"choices", ".json", "choices of implementations"},
    {"clblast", ".json", "sets of parameters of CLBlast"},
    {"probes", ".txt", "trials of bf16 instructions"},
};

/* 32 hexadecimal digits and the end; behind that, what an interrupted write left has six more. */
static bool is_ours(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);

    return strspn(name, "0123456789abcdef") >= 32 && !strncmp(name + 32, end, m) &&
           (n == 32 + m || (n == 39 + m && name[32 + m] == '.'));
}

typedef struct tally { int64_t files, bytes; } tally;

static dm_status visit(const char *folder, const char *end, bool remove, tally *t, dm_err *err)
{
    DIR *d = opendir(folder);
    dm_status rc = DM_OK;

    if (!d)
        return errno == ENOENT ? DM_OK : dm_file_error(err, "read folder", folder);
    for (struct dirent *e; !rc && (e = readdir(d));) {
        char path[OCL_PATH];
        struct stat st;

        if (!is_ours(e->d_name, end) || !ocl_path(path, folder, e->d_name) || lstat(path, &st) || !S_ISREG(st.st_mode))
            continue;
        if (remove && unlink(path) && errno != ENOENT)
            rc = dm_file_error(err, "remove", path);
        t->files++;
        t->bytes += st.st_size;
    }
    closedir(d);
    return rc;
}

dm_status dm_cache_folder(FILE *out, bool clear, dm_err *err)
{
    char cache[OCL_PATH], folder[OCL_PATH];
    dm_status rc = DM_OK;

    ocl_cache_dir(NULL, cache);
    if (!cache[0])
        return dm_error(err, DM_EIO, "there is no writable cache folder; set DEMIST_CACHE to one");
    fprintf(out, "%s\n", cache);
    for (size_t i = 0; i < sizeof kept / sizeof kept[0] && !rc; i++) {
        tally t = {0, 0};

        if (ocl_path(folder, cache, kept[i].folder) && !(rc = visit(folder, kept[i].end, clear, &t, err)))
            fprintf(out, "%s%lld %s, %.1f MB\n", clear ? "removed " : "", (long long)t.files, kept[i].what,
                    (double)t.bytes * 1e-6);
    }
    return rc;
}
