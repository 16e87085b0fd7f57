/* Where a command writes what it made; see output.h. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "files/output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/file.h"
#include "device/tensor.h"
#include "format/image.h"
#include "format/safetensors.h"

bool output_ends_in(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);

    return n >= m && !strcmp(path + n - m, end);
}

/* The folder that a file goes into is made where it is not there. */
static dm_status make_folder_of(const char *path, dm_err *err)
{
    const char *slash = strrchr(path, '/');
    char folder[4096];

    if (!slash || slash == path)
        return DM_OK;
    if ((size_t)snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path) >= sizeof folder)
        return dm_error(err, DM_EINVAL, "'%.60s...' is too long for a file's name", path);
    return dm_folder_make(folder, err);
}

/* Whether two names are one file, there or not: the same name in the same folder. */
static bool same_file(const char *a, const char *b)
{
    const char *names[] = {a, b}, *base[2];
    char *folder[2];
    bool same;

    for (int i = 0; i < 2; i++) {
        const char *slash = strrchr(names[i], '/');
        char *dir = slash == names[i] ? strdup("/")
                    : slash           ? strndup(names[i], (size_t)(slash - names[i]))
                                      : strdup(".");
        char *whole = realpath(names[i], NULL); /* follows links, where the file is there */

        base[i] = whole ? "" : slash ? slash + 1 : names[i];
        folder[i] = whole ? whole : dir ? realpath(dir, NULL) : NULL;
        free(dir);
    }
    same = folder[0] && folder[1] && !strcmp(folder[0], folder[1]) && !strcmp(base[0], base[1]);
    free(folder[0]);
    free(folder[1]);
    return same;
}

static dm_status check_new(const char *path, bool force, dm_err *err)
{
    dm_path_kind there;
    dm_status rc;

    if (force || (rc = dm_path_look(path, &there, err)) || there == DM_PATH_NOTHING)
        return force ? DM_OK : rc;
    return dm_error(err, DM_EINVAL, "'%s' already exists; use --force to overwrite it, or choose another name", path);
}

/* Makes a file beside it and removes it again: what a write would meet, before hours of work. */
static dm_status check_writable(const char *path, dm_err *err)
{
    dm_file_out f;
    dm_status rc = make_folder_of(path, err);

    if (rc || (rc = dm_file_begin(&f, path, err)))
        return rc;
    dm_file_abort(&f);
    return DM_OK;
}

dm_status output_check(const output_file *f, int n, bool force, dm_err *err)
{
    dm_status rc;

    for (int i = 0; i < n; i++) {
        if (!f[i].path || f[i].input)
            continue;
        if (!strcmp(f[i].path, "-"))
            return dm_error(err, DM_EINVAL, "'-' would be a file of that name, not standard output; give another");
        if (f[i].end && !output_ends_in(f[i].path, f[i].end))
            return dm_error(err, DM_EINVAL, "'%s': this is written as %s; use a name with that extension", f[i].path,
                            f[i].end);
        if (output_is_pattern(f[i].path)
                ? (rc = make_folder_of(f[i].path, err))
                : ((rc = check_new(f[i].path, force, err)) || (rc = check_writable(f[i].path, err))))
            return rc;
        for (int k = 0; k < n; k++)
            if ((k < i || f[k].input) && f[k].path && *f[k].path && same_file(f[i].path, f[k].path))
                return dm_error(err, DM_EINVAL,
                                f[k].input ? "'%s' is both read and written; give another name"
                                           : "'%s' is given for two outputs; give another name",
                                f[i].path);
    }
    return DM_OK;
}

static dm_status picture_of(const dm_images *im, const float *x, int64_t n, int64_t columns, dm_picture *p, dm_err *err)
{
    const int64_t *d = im->shape.dim;

    if (im->shape.rank == 4)
        return dm_picture_grid(x, n, d[1], d[2], d[3], columns, n > 1 ? 2 : 0, p, err);
    if (im->shape.rank == 2 && d[1] == 2)
        return dm_picture_scatter(x, n, NULL, 0, 512, 0, p, err);
    return dm_error(err, DM_EINVAL, "f32[N,%lld] is not a picture; use --tensors", (long long)d[1]);
}

dm_status output_picture(const char *path, const dm_picture *p, const dm_images *im, dm_err *err)
{
    return dm_png_write(path, p, &(dm_pair){"demist", im->about}, 1, err);
}

/* The one %d of a pattern such as out/%05d.png, and nothing else that printf would take. */
bool output_is_pattern(const char *path)
{
    const char *p = strchr(path, '%');

    if (!p || strchr(p + 1, '%'))
        return false;
    p++;
    p += strspn(p, "0123456789");
    return *p == 'd' && p - strchr(path, '%') < 4;
}

/* The name of image i by a pattern. */
static void number(const char *pattern, int64_t i, char *name, size_t size)
{
    const char *percent = strchr(pattern, '%'), *rest = percent + 1 + strspn(percent + 1, "0123456789") + 1;

    snprintf(name, size, "%.*s%0*lld%s", (int)(percent - pattern), pattern, atoi(percent + 1), (long long)i, rest);
}

dm_status output_check_numbered(const char *path, int64_t first, int64_t count, bool force, dm_err *err)
{
    const char *percent = path ? strchr(path, '%') : NULL;
    dm_status rc = DM_OK;

    if (!percent)
        return DM_OK;
    if (!output_is_pattern(path))
        return dm_error(err, DM_EINVAL, "'%s': one file an image needs one number such as %%05d in the name", path);
    for (int64_t i = 0; i < count && !rc; i++) {
        char name[4096];

        number(path, first + i, name, sizeof name);
        rc = check_new(name, force, err);
    }
    return rc;
}

dm_status output_pictures(const char *path, const dm_images *im, int64_t first, const char *const *rows, int64_t n_rows,
                          dm_err *err)
{
    const int64_t n = im->shape.dim[0], columns = n_rows ? n / n_rows : 0;
    const char *const percent = strchr(path, '%');
    int64_t example = 1;
    dm_picture p = {0};
    dm_status rc = DM_OK;

    if (!percent) {
        if (!(rc = picture_of(im, im->x, n, columns, &p, err)) &&
            (im->shape.rank != 4 || !(rc = dm_picture_label_rows(&p, rows, (int32_t)n_rows, err))))
            rc = output_picture(path, &p, im, err);
        dm_picture_fini(&p);
        return rc;
    }
    if (!output_is_pattern(path) || im->shape.rank != 4)
        return dm_error(err, DM_EINVAL, "'%s': one file an image needs images and one number such as %%05d in the name",
                        path);
    for (int32_t i = 1; i < im->shape.rank; i++)
        example *= im->shape.dim[i];
    for (int64_t i = 0; i < n && !rc; i++) {
        char name[4096];

        number(path, first + i, name, sizeof name);
        if (!(rc = picture_of(im, im->x + i * example, 1, 1, &p, err)))
            rc = output_picture(name, &p, im, err);
        dm_picture_fini(&p);
    }
    return rc;
}

dm_status output_tensor(const char *path, const char *name, const dm_shape *shape, const float *x, const char *about,
                        dm_err *err)
{
    const dm_st_source t = {.name = name, .type = DM_ST_F32, .shape = *shape, .data = x};

    return dm_st_write(path, &t, 1, &(dm_st_pair){"demist", about}, 1, err);
}
