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
        if (!*f[i].path)
            return dm_error(err, DM_EINVAL,
                            "'' is not a file name; omit the option to write nothing");
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
                                           : "'%s' is named for two outputs; give another name",
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

static dm_status write_picture(const char *path, const dm_picture *p, const dm_images *im, dm_err *err)
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
            rc = write_picture(path, &p, im, err);
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
            rc = write_picture(name, &p, im, err);
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

dm_status output_check_trace(const char *path, dm_err *err)
{
    if (path && (output_is_pattern(path) || !(output_ends_in(path, ".png") || output_ends_in(path, ".safetensors"))))
        return dm_error(err, DM_EINVAL, "'%s': the trace is one file, F.png or F.safetensors", path);
    return DM_OK;
}

void output_trace_put(void *user, const dm_trace_info *now)
{
    output_trace *t = user;

    if (!t->x && !t->failed) {
        t->n = now->count;
        t->example = now->example;
        t->x = dm_array((now->n + 1) * t->n, t->example, sizeof *t->x);
        t->last = calloc((size_t)t->n, sizeof *t->last);
        t->failed = !t->x || !t->last;
    }
    t->steps = now->i > t->steps ? now->i : t->steps;
    for (int64_t i = now->first; i < now->first + now->n_images && !t->failed; i++)
        t->last[i] = now->i;
    if (!t->failed)
        memcpy(t->x + ((size_t)now->i * (size_t)t->n + (size_t)now->first) * (size_t)t->example, now->x,
               (size_t)now->n_images * (size_t)t->example * sizeof *t->x);
}

/* Images that took fewer steps than others stay where they are. */
static void fill(output_trace *t)
{
    for (int64_t n = 0; n < t->n; n++)
        for (int32_t i = t->last[n] + 1; i <= t->steps; i++)
            memcpy(t->x + (i * t->n + n) * t->example, t->x + (t->last[n] * t->n + n) * t->example,
                   (size_t)t->example * sizeof *t->x);
}

/* Some steps of the first images, a row each. */
static dm_status write_strip(const char *path, const output_trace *t, const dm_images *im, dm_err *err)
{
    const int64_t rows = t->n < 8 ? t->n : 8, columns = t->steps + 1 < 12 ? t->steps + 1 : 12;
    float *x = malloc((size_t)(rows * columns * t->example) * sizeof *x);
    dm_picture p = {0};
    dm_status rc;

    if (!x)
        return dm_error(err, DM_ENOMEM, "out of memory for the strip");
    for (int64_t r = 0; r < rows; r++)
        for (int64_t k = 0; k < columns; k++) {
            const int64_t step = columns > 1 ? k * t->steps / (columns - 1) : 0;

            memcpy(x + (r * columns + k) * t->example, t->x + (step * t->n + r) * t->example,
                   (size_t)t->example * sizeof *x);
        }
    if (!(rc = picture_of(im, x, rows * columns, columns, &p, err)))
        rc = write_picture(path, &p, im, err);
    dm_picture_fini(&p);
    free(x);
    return rc;
}

void output_trace_fini(output_trace *t)
{
    free(t->x);
    free(t->last);
}

dm_status output_trace_write(const char *path, output_trace *t, const dm_images *im, dm_err *err)
{
    dm_shape s = {.rank = im->shape.rank + 1, .dim = {t->steps + 1}};

    if (!t->x && !t->failed) /* no step was taken: the images are those that were given */
        output_trace_put(t, &(dm_trace_info){.count = im->shape.dim[0], .n_images = im->shape.dim[0], .x = im->x,
                                             .example = dm_shape_count(&im->shape) / im->shape.dim[0]});
    if (t->failed)
        return dm_error(err, DM_ENOMEM, "out of memory for %d steps of %lld images", (int)t->steps + 1,
                        (long long)t->n);
    fill(t);
    for (int32_t i = 0; i < im->shape.rank; i++)
        s.dim[i + 1] = im->shape.dim[i];
    if (output_ends_in(path, ".safetensors"))
        return output_tensor(path, "x", &s, t->x, im->about, err);
    if (im->shape.rank != 4)
        return dm_error(err, DM_EINVAL, "the strip of points is not a picture; give --trace F.safetensors");
    return write_strip(path, t, im, err);
}
