/* Arrays in files; see array_file.h. */
#include "format/array_file.h"

#include "base/file.h"
#include "device/tensor.h"
#include "format/npy_header.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct dm_array_file {
    char *path;
    dm_st *st;                     /* NULL: an .npy file */
    const dm_st_tensor *tensor;
    int fd;
    int64_t begin;                 /* of the data */
    dm_npy_header npy;
};

static dm_status open_tensor(dm_array_file *f, const char *name, dm_err *err)
{
    const dm_status rc = dm_st_open(f->path, &f->st, err);

    if (rc)
        return rc;
    f->tensor = name ? dm_st_find(f->st, name) : dm_st_count(f->st) == 1 ? dm_st_at(f->st, 0) : dm_st_find(f->st, "x");
    if (!f->tensor)
        return dm_error(err, name ? DM_ENOENT : DM_EINVAL, "'%s' has %lld tensors, none of them %s", f->path,
                        (long long)dm_st_count(f->st), name ? name : "x");
    f->npy.shape = f->tensor->shape;
    return DM_OK;
}

/* Between the header and the end of the file there is the array, no more and no less. */
static dm_status check_size(const dm_array_file *f, int64_t size, dm_err *err)
{
    const int64_t each = (int64_t)dm_st_type_size(f->npy.type), most = (size - f->begin) / each;
    int64_t count = 1;

    for (int32_t i = 0; i < f->npy.shape.rank; i++) {
        const int64_t d = f->npy.shape.dim[i];

        if (d && count > most / d)
            count = most + 1;
        else
            count *= d;
    }
    if (f->npy.fortran && f->npy.shape.rank > 1)
        return dm_error(err, DM_EINVAL, "'%s' is in Fortran order; numpy.ascontiguousarray puts it into C order",
                        f->path);
    if (count * each != size - f->begin)
        return dm_error(err, DM_ECORRUPT, "'%s' has %lld bytes of data; its shape says otherwise", f->path,
                        (long long)(size - f->begin));
    return DM_OK;
}

static dm_status open_npy(dm_array_file *f, dm_err *err)
{
    unsigned char b[12];
    int64_t size, n;
    char *head;
    dm_status rc;

    if ((rc = dm_file_open(f->path, &f->fd, &size, err)) ||
        (rc = dm_file_read_at(f->fd, f->path, 0, b, sizeof b, err)))
        return rc;
    n = b[8] | b[9] << 8 | (b[6] > 1 ? (int64_t)b[10] << 16 | (int64_t)b[11] << 24 : 0);
    f->begin = n + (b[6] > 1 ? 12 : 10);
    if (memcmp(b, "\x93NUMPY", 6) || b[6] < 1 || b[6] > 3 || n > DM_NPY_MAX_HEAD || f->begin > size)
        return dm_error(err, DM_ECORRUPT, "'%s' is not an npy file%s", f->path, dm_file_hint(b, sizeof b));
    if (!(head = calloc((size_t)n + 1, 1)))
        return dm_error(err, DM_ENOMEM, "out of memory: header of '%s'", f->path);
    rc = dm_file_read_at(f->fd, f->path, f->begin - n, head, (size_t)n, err);
    if (!rc && !(rc = dm_npy_header_parse(f->path, head, &f->npy, err)))
        rc = check_size(f, size, err);
    free(head);
    return rc;
}

static bool is_npy(const char *path)
{
    const size_t n = strlen(path);

    return n > 4 && !strcmp(path + n - 4, ".npy");
}

dm_status dm_array_file_open(const char *path, const char *tensor, dm_array_file **out, dm_err *err)
{
    dm_array_file *f;
    dm_status rc;

    if (tensor && is_npy(path))
        return dm_error(err, DM_ENOENT, "'%s' is an npy file: it has one array, which has no name", path);
    if (!(f = calloc(1, sizeof *f)) || !(f->path = strdup(path))) {
        free(f);
        return dm_error(err, DM_ENOMEM, "out of memory: '%s'", path);
    }
    f->fd = -1;
    if ((rc = is_npy(path) ? open_npy(f, err) : open_tensor(f, tensor, err))) {
        dm_array_file_close(f);
        return rc;
    }
    for (int32_t i = f->npy.shape.rank; i < 8; i++)
        f->npy.shape.dim[i] = 1;
    *out = f;
    return DM_OK;
}

void dm_array_file_close(dm_array_file *f)
{
    if (!f)
        return;
    dm_st_close(f->st);
    if (f->fd >= 0)
        close(f->fd);
    free(f->path);
    free(f);
}

dm_shape dm_array_file_shape(const dm_array_file *f) { return f->npy.shape; }

dm_status dm_array_file_read(const dm_array_file *f, int64_t first, int64_t n, float *to, dm_err *err)
{
    enum { PIECE = 512 };
    const size_t size = f->st ? 0 : dm_st_type_size(f->npy.type);
    unsigned char b[PIECE * 8];
    double v[PIECE];
    dm_status rc;

    if (f->st)
        return dm_st_read_f32(f->st, f->tensor, first, n, to, err);
    for (int64_t i = 0, m; i < n; i += m) {
        m = n - i < PIECE ? n - i : PIECE;
        if ((rc = dm_file_read_at(f->fd, f->path, f->begin + (first + i) * (int64_t)size, b, (size_t)m * size, err)))
            return rc;
        if (f->npy.swap)
            dm_npy_swap(b, m, size);
        dm_st_to_f64(f->npy.type, b, m, v);
        for (int64_t k = 0; k < m; k++)
            to[i + k] = (float)v[k];
    }
    return DM_OK;
}
