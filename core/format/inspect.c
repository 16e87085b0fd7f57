/* What is in a file of numbers; see inspect.h. Arrays are read once, in pieces, whatever their size. */
#include "format/inspect.h"

#include "base/file.h"
#include "text/plain_text.h"
#include "format/npy_header.h"
#include "format/safetensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { PIECE = 1024, MAX_RANK = 8 };

typedef struct stats { int64_t n, nan, inf; double min, max, sum; bool known; } stats;

static void stats_add(stats *s, const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (isnan(v[i]) || isinf(v[i])) {
            s->nan += isnan(v[i]) != 0;
            s->inf += isinf(v[i]) != 0;
            continue;
        }
        s->min = s->n && s->min < v[i] ? s->min : v[i];
        s->max = s->n && s->max > v[i] ? s->max : v[i];
        s->sum += v[i];
        s->n++;
    }
}

/* Text from a file: what is obeyed as \xNN, but for line breaks where `lines` is what goes after them. */
static void put_text(FILE *to, const char *s, const char *lines)
{
    while (*s) {
        const int n = dm_plain_length(s);

        if (*s == '\n' && lines && s[1])
            fprintf(to, "\n%s", lines);
        else if (*s == '\n' && lines)
            break;
        else if (!n)
            fprintf(to, "\\x%02x", (unsigned char)*s);
        else
            fwrite(s, 1, (size_t)n, to);
        s += n ? n : 1;
    }
}

static void put_safe(FILE *to, const char *s) { put_text(to, s, NULL); }

static void put_shape(FILE *to, const dm_shape *s)
{
    char text[MAX_RANK * 24] = "[";
    size_t at = 1;

    for (int32_t i = 0; i < s->rank; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, i ? ", %lld" : "%lld", (long long)s->dim[i]);
    snprintf(text + at, sizeof text - at, "]");
    fprintf(to, "  %-20s", text);
}

static void put_head(FILE *to, int width)
{
    fprintf(to, "%-*s  %-7s  %-20s %12s %12s %12s %8s %8s\n", width, "name", "type", "shape", "min", "max", "mean",
            "nan", "inf");
}

/* Seven digits, with a point in every locale. */
static const char *number(double v, char to[32])
{
    char text[32];
    size_t n = 0;

    snprintf(text, sizeof text, "%.7g", v);
    for (const char *p = text; *p; p++)
        if (strchr("0123456789+-einfa", *p))
            to[n++] = *p;
        else if (n && to[n - 1] != '.') /* a decimal point may have several bytes */
            to[n++] = '.';
    to[n] = 0;
    return to;
}

static void put_row(FILE *to, int width, const char *name, const char *type, const dm_shape *shape, const stats *s)
{
    const int n = (int)strlen(name);
    char a[32], b[32], c[32];

    put_safe(to, name);
    fprintf(to, "%*s  %-7s", n < width ? width - n : 0, "", type);
    put_shape(to, shape);
    if (!s->known || s->n == 0)
        fprintf(to, " %12s %12s %12s", "-", "-", "-");
    else
        fprintf(to, " %12s %12s %12s", number(s->min, a), number(s->max, b), number(s->sum / (double)s->n, c));
    fprintf(to, " %8lld %8lld\n", (long long)s->nan, (long long)s->inf);
}

/* ---- safetensors ------------------------------------------------------- */

static dm_status scan(const dm_st *f, const dm_st_tensor *t, stats *s, dm_err *err)
{
    double v[PIECE];
    dm_status r;

    *s = (stats){.known = t->type != DM_ST_F8_E4M3 && t->type != DM_ST_F8_E5M2};
    for (int64_t i = 0, n; s->known && i < t->count; i += n) {
        n = t->count - i < PIECE ? t->count - i : PIECE;
        if ((r = dm_st_read_f64(f, t, i, n, v, err)))
            return r;
        stats_add(s, v, n);
    }
    return DM_OK;
}

static dm_status inspect_st(const char *path, FILE *to, dm_err *err)
{
    const char *key, *value;
    int64_t elements = 0;
    int width = 4;
    dm_status s;
    stats st;
    dm_st *f;

    if ((s = dm_st_open(path, &f, err)))
        return s;
    for (int64_t i = 0; i < dm_st_count(f); i++) {
        const dm_st_tensor *t = dm_st_at(f, i);
        const size_t n = strlen(t->name);

        elements += t->count;
        width = n > (size_t)width ? (n < 60 ? (int)n : 60) : width;
    }
    put_safe(to, path);
    fprintf(to, ": safetensors, %lld tensors, %lld elements\n", (long long)dm_st_count(f), (long long)elements);
    for (int64_t i = 0; dm_st_meta_at(f, i, &key, &value); i++) {
        fputs("  ", to);
        put_safe(to, key);
        fputs(strchr(value, '\n') ? " =\n    " : " = ", to);
        put_text(to, value, "    ");
        fputc('\n', to);
    }
    put_head(to, width);
    for (int64_t i = 0; i < dm_st_count(f) && !s; i++)
        if (!(s = scan(f, dm_st_at(f, i), &st, err)))
            put_row(to, width, dm_st_at(f, i)->name, dm_st_type_name(dm_st_at(f, i)->type), &dm_st_at(f, i)->shape,
                    &st);
    if (!s) /* after all that can be shown of it */
        s = dm_st_verify(f, err);
    dm_st_close(f);
    return s;
}

/* ---- one array, read from front to back -------------------------------- */

typedef struct array { const char *path; gzFile gz; dm_st_type type; bool swap; dm_shape shape; } array;

static dm_status take(array *a, void *to, size_t n, dm_err *err)
{
    if (gzread(a->gz, to, (unsigned)n) != (int)n)
        return dm_error(err, DM_ECORRUPT, "'%s' ends too early, or its gzip data is damaged", a->path);
    return DM_OK;
}

/* The rest of the file is the array, no more and no less. */
static dm_status inspect_array(array *a, const char *kind, FILE *to, dm_err *err)
{
    const size_t size = dm_st_type_size(a->type);
    stats st = {.known = true};
    unsigned char b[PIECE * 8];
    double v[PIECE];
    int64_t count = 1;
    dm_status s;

    for (int32_t i = 0; i < a->shape.rank; i++) {
        if (a->shape.dim[i] && count > INT64_MAX / 8 / a->shape.dim[i])
            return dm_error(err, DM_ECORRUPT, "'%s': the shape overflows", a->path);
        count *= a->shape.dim[i];
    }
    for (int64_t i = 0, n; i < count; i += n) {
        n = count - i < PIECE ? count - i : PIECE;
        if ((s = take(a, b, (size_t)n * size, err)))
            return s;
        if (a->swap)
            dm_npy_swap(b, n, size);
        dm_st_to_f64(a->type, b, n, v);
        stats_add(&st, v, n);
    }
    if (gzread(a->gz, b, 1) != 0)
        return dm_error(err, DM_ECORRUPT, "'%s' has more bytes than its header says, or is damaged", a->path);
    put_safe(to, a->path);
    fprintf(to, ": %s, %lld elements\n", kind, (long long)count);
    put_head(to, 4);
    put_row(to, 4, "-", dm_st_type_name(a->type), &a->shape, &st);
    return DM_OK;
}

static dm_status inspect_idx(array *a, const unsigned char *head, FILE *to, dm_err *err)
{
    static const dm_st_type types[] = {DM_ST_U8, DM_ST_I8, DM_ST_TYPES, DM_ST_I16, DM_ST_I32, DM_ST_F32, DM_ST_F64};
    const int code = head[2] - 8;
    unsigned char d[4];
    dm_status s;

    if (code < 0 || code > 6 || code == 2 || head[3] < 1 || head[3] > MAX_RANK)
        return dm_error(err, DM_ECORRUPT, "'%s' is not in a known format: safetensors, npy, idx", a->path);
    a->type = types[code];
    a->swap = true;
    a->shape.rank = head[3];
    for (int i = 0; i < head[3]; i++) {
        if ((s = take(a, d, 4, err)))
            return s;
        a->shape.dim[i] = (int64_t)d[0] << 24 | d[1] << 16 | d[2] << 8 | d[3];
    }
    return inspect_array(a, "idx", to, err);
}

static dm_status inspect_npy(array *a, FILE *to, dm_err *err)
{
    unsigned char b[8] = {0};
    dm_npy_header h = {0};
    char *head;
    size_t n;
    dm_status s;

    if ((s = take(a, b, 6, err))) /* after the first four bytes: "PY", version, length */
        return s;
    if (b[2] > 1 && (s = take(a, b + 6, 2, err)))
        return s;
    n = b[4] | (size_t)b[5] << 8 | (size_t)b[6] << 16 | (size_t)b[7] << 24;
    if (memcmp(b, "PY", 2) || b[2] < 1 || b[2] > 3 || n > DM_NPY_MAX_HEAD)
        return dm_error(err, DM_ECORRUPT, "'%s' is not an npy file: version %d.%d, header of %zu bytes", a->path, b[2],
                        b[3], n);
    if (!(head = calloc(n + 1, 1)))
        return dm_error(err, DM_ENOMEM, "out of memory: header of '%s'", a->path);
    if (!(s = take(a, head, n, err)) && !(s = dm_npy_header_parse(a->path, head, &h, err))) {
        a->type = h.type;
        a->swap = h.swap;
        a->shape = h.shape;
        s = inspect_array(a, h.fortran ? "npy in Fortran order" : "npy", to, err);
    }
    free(head);
    return s;
}

/* After four bytes that no format begins with. */
static dm_status unknown(const array *a, const unsigned char *first, dm_err *err)
{
    unsigned char begin[64];
    int n;

    memcpy(begin, first, 4);
    n = gzread(a->gz, begin + 4, sizeof begin - 4);
    return dm_error(err, DM_ECORRUPT, "'%s' is not in a known format: safetensors, npy, idx%s", a->path,
                    dm_file_hint(begin, n > 0 ? 4 + (size_t)n : 4));
}

dm_status dm_inspect(const char *path, FILE *to, dm_err *err)
{
    array a = {.path = path};
    unsigned char b[9] = {0};
    int64_t size;
    dm_status s;
    int fd, fault;

    if ((s = dm_file_open(path, &fd, &size, err)))
        return s;
    s = dm_file_read_at(fd, path, 0, b, size < 9 ? (size_t)size : 9, err);
    if (s || b[8] == '{') {
        close(fd);
        return s ? s : inspect_st(path, to, err);
    }
    if (!(a.gz = gzdopen(fd, "rb"))) {
        close(fd);
        return dm_error(err, DM_ENOMEM, "out of memory: opening '%s'", path);
    }
    memset(b, 0xff, 4);
    if (gzread(a.gz, b, 4) == 4 && memcmp(b, "\x93NUM", 4) == 0)
        s = inspect_npy(&a, to, err);
    else if (b[0] == 0 && b[1] == 0)
        s = inspect_idx(&a, b, to, err);
    else
        s = unknown(&a, b, err);
    gzerror(a.gz, &fault);
    if (s && fault == Z_ERRNO)
        s = dm_file_error(err, "read", path);
    gzclose(a.gz);
    return s;
}
