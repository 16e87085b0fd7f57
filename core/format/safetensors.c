/* Reading safetensors; see safetensors.h. */
#include "format/safetensors.h"

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data is little-endian, and demist reads and writes it as it is"
#endif

enum { MAX_HEADER = 100000000, MAX_TENSORS = 1 << 20, MAX_RANK = 8, CHUNK = 16384 };
/* Of metadata, and bytes of one entry of the header. */
enum { MAX_META = 1 << 16, MAX_ENTRY = 1 << 24 };
#define META "__metadata__"

struct dm_st {
    int fd;
    dm_arena *arena;
    const char *path;
    dm_st_tensor *tensor;
    const dm_st_tensor **by_name;
    dm_pair *meta;
    int64_t n, n_meta;
    dm_st **files, **from;         /* of a gathered one: what it owns, and where each tensor lies */
    int64_t n_files;
};

/* One entry of the header; its data range is relative to the data. */
static dm_status parse_tensor(const dm_st *f, const char *name, json_t *v, uint64_t room, dm_st_tensor *t, dm_err *err)
{
    const json_t *shape = json_object_get(v, "shape"), *at = json_object_get(v, "data_offsets");
    const char *type = json_string_value(json_object_get(v, "dtype"));
    const json_t *a = json_array_get(at, 0), *b = json_array_get(at, 1);
    uint64_t count = 1;

    if (!json_is_array(shape) || json_array_size(at) != 2 || !json_is_integer(a) || !json_is_integer(b) || !type ||
        json_object_size(v) != 3)
        return dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' is not {dtype, shape, data_offsets}", f->path, name);
    if (dm_st_type_find(type, &t->type))
        return dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' has the unknown dtype '%.40s'", f->path, name, type);
    if (json_array_size(shape) > MAX_RANK)
        return dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' has rank %zu; at most %d", f->path, name,
                        json_array_size(shape), MAX_RANK);
    t->shape.rank = (int32_t)json_array_size(shape);
    for (int i = 0; i < MAX_RANK; i++) {
        const json_t *d = i < t->shape.rank ? json_array_get(shape, (size_t)i) : NULL;
        const int64_t dim = d ? json_integer_value(d) : 1;

        if (d && (!json_is_integer(d) || dim < 0))
            return dm_error(err, DM_ECORRUPT, "'%s': extent %d of tensor '%s' is not an integer of 0 or more",
                                              f->path, i,
                            name);
        if (dim && count > (uint64_t)INT64_MAX / 8 / (uint64_t)dim)
            return dm_error(err, DM_ECORRUPT, "'%s': the shape of tensor '%s' overflows", f->path, name);
        t->shape.dim[i] = dim;
        count *= (uint64_t)dim;
    }
    const int64_t begin = json_integer_value(a), end = json_integer_value(b);
    if (begin < 0 || end < begin || (uint64_t)end > room)
        return dm_error(err, DM_ECORRUPT,
                        "'%s': data_offsets [%lld, %lld] of tensor '%s' are outside of the %llu bytes of data", f->path,
                        (long long)begin, (long long)end, name, (unsigned long long)room);
    t->offset = (uint64_t)begin;
    t->bytes = (uint64_t)(end - begin);
    t->count = (int64_t)count;
    if (count * dm_st_type_size(t->type) != t->bytes)
        return dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' has %llu bytes; its shape and dtype say %llu", f->path,
                        name, (unsigned long long)t->bytes, (unsigned long long)(count * dm_st_type_size(t->type)));
    t->name = dm_strdup(f->arena, name);
    return t->name ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: names of '%s'", f->path);
}

static int cmp_place(const void *a, const void *b)
{
    const dm_st_tensor *s = a, *t = b;

    if (s->offset != t->offset)
        return s->offset < t->offset ? -1 : 1;
    if (s->bytes != t->bytes)
        return s->bytes < t->bytes ? -1 : 1;
    return strcmp(s->name, t->name);
}

static int cmp_name(const void *a, const void *b)
{
    return strcmp((*(const dm_st_tensor *const *)a)->name, (*(const dm_st_tensor *const *)b)->name);
}

static int cmp_key(const void *key, const void *b)
{
    return strcmp(key, (*(const dm_st_tensor *const *)b)->name);
}

/* Sorts by place, proves that the data has neither gap nor overlap, and makes places absolute. */
static dm_status lay_out(dm_st *f, uint64_t data, uint64_t room, dm_err *err)
{
    uint64_t at = 0;

    if (f->n)
        qsort(f->tensor, (size_t)f->n, sizeof *f->tensor, cmp_place);
    for (int64_t i = 0; i < f->n; i++) {
        dm_st_tensor *t = &f->tensor[i];

        if (t->offset != at)
            return dm_error(err, DM_ECORRUPT,
                            "'%s': tensor '%s' begins at byte %llu of the data, the one before it ends at %llu",
                            f->path, t->name, (unsigned long long)t->offset, (unsigned long long)at);
        at += t->bytes;
        t->offset += data;
        f->by_name[i] = t;
    }
    if (at != room)
        return dm_error(err, DM_ECORRUPT, "'%s' has %llu bytes of data; its header says %llu", f->path,
                        (unsigned long long)room, (unsigned long long)at);
    if (f->n)
        qsort(f->by_name, (size_t)f->n, sizeof *f->by_name, cmp_name);
    for (int64_t i = 1; i < f->n; i++)
        if (!strcmp(f->by_name[i - 1]->name, f->by_name[i]->name))
            return dm_error(err, DM_ECORRUPT, "'%s' has a duplicate tensor '%s'", f->path, f->by_name[i]->name);
    return DM_OK;
}

/* Members of the header, counted before there is room for them. */
typedef struct header { dm_st *f; uint64_t room; int64_t tensors, pairs; } header;

static dm_status count_tensor(void *user, const char *name, json_t *v, dm_err *err)
{
    header *h = user;

    (void)name;
    (void)v;
    return ++h->tensors <= MAX_TENSORS ? DM_OK : dm_error(err, DM_ECORRUPT, "'%s' has more than %d tensors", h->f->path,
                                                          MAX_TENSORS);
}

static dm_status count_pair(void *user, const char *key, json_t *v, dm_err *err)
{
    header *h = user;

    if (!json_is_string(v))
        return dm_error(err, DM_ECORRUPT, "'%s': metadata '%.100s' is not a string", h->f->path, key);
    return ++h->pairs <= MAX_META ? DM_OK : dm_error(err, DM_ECORRUPT, "'%s' has more than %d pairs of metadata",
                                                     h->f->path, MAX_META);
}

static dm_status take_tensor(void *user, const char *name, json_t *v, dm_err *err)
{
    const header *h = user;

    if (strcmp(name, META))
        return parse_tensor(h->f, name, v, h->room, &h->f->tensor[h->f->n++], err);
    return dm_error(err, DM_ECORRUPT, "'%s': " META " is not an object of strings", h->f->path);
}

static dm_status take_pair(void *user, const char *key, json_t *v, dm_err *err)
{
    dm_st *f = ((header *)user)->f;
    dm_pair *p = &f->meta[f->n_meta++];

    p->key = dm_strdup(f->arena, key);
    p->value = dm_strdup(f->arena, json_string_value(v));
    return p->key && p->value ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: header of '%s'", f->path);
}

static int cmp_pair(const void *a, const void *b)
{
    return strcmp(((const dm_pair *)a)->key, ((const dm_pair *)b)->key);
}

static dm_status refuse_twice(const dm_st *f, const dm_pair *sorted, dm_err *err)
{
    for (int64_t i = 1; i < f->n_meta; i++)
        if (!strcmp(sorted[i - 1].key, sorted[i].key))
            return dm_error(err, DM_ECORRUPT, "'%s' has duplicate metadata '%.100s'", f->path, sorted[i].key);
    return DM_OK;
}

static dm_status check_pairs(const dm_st *f, dm_err *err)
{
    dm_pair *sorted = malloc(((size_t)f->n_meta + 1) * sizeof *sorted);
    dm_status s = sorted ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: header of '%s'", f->path);

    if (!s && f->n_meta) {
        memcpy(sorted, f->meta, (size_t)f->n_meta * sizeof *sorted);
        qsort(sorted, (size_t)f->n_meta, sizeof *sorted, cmp_pair);
        s = refuse_twice(f, sorted, err);
    }
    free(sorted);
    return s;
}

static dm_status parse_header(dm_st *f, const char *text, size_t n, uint64_t room, dm_err *err)
{
    header h = {f, room, 0, 0};
    dm_status s = dm_json_members(text, n, MAX_ENTRY, f->path, count_tensor, META, count_pair, &h, err);

    if (s)
        return s;
    f->tensor = dm_alloc_n(f->arena, (size_t)h.tensors, sizeof *f->tensor);
    f->by_name = dm_alloc_n(f->arena, (size_t)h.tensors, sizeof *f->by_name);
    f->meta = dm_alloc_n(f->arena, (size_t)h.pairs, sizeof *f->meta);
    if (!f->tensor || !f->by_name || !f->meta)
        return dm_error(err, DM_ENOMEM, "out of memory: header of '%s'", f->path);
    if ((s = dm_json_members(text, n, MAX_ENTRY, f->path, take_tensor, META, take_pair, &h, err)))
        return s;
    return check_pairs(f, err);
}

static bool is_text(const char *begin, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((begin[i] < ' ' || begin[i] > '~') && begin[i] != '\t' && begin[i] != '\n' && begin[i] != '\r')
            return false;
    return n > 0;
}

static dm_status load(dm_st *f, int64_t size, dm_err *err)
{
    unsigned char b[8];
    uint64_t n = 0;
    char *text;
    dm_status s;

    if (size < 8)
        return dm_error(err, DM_ECORRUPT, "'%s' is too short for a safetensors file", f->path);
    if ((s = dm_file_read_at(f->fd, f->path, 0, b, 8, err)))
        return s;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | b[i];
    if (n > MAX_HEADER || n > (uint64_t)size - 8) {
        char begin[32] = "";
        const size_t some = size < (int64_t)sizeof begin ? (size_t)size : sizeof begin;
        const bool seen = !dm_file_read_at(f->fd, f->path, 0, begin, some, NULL);
        const char *known = seen ? dm_file_hint(begin, some) : "",
                   *hint = *known || !seen || !is_text(begin, some) ? known : "; it is text";

        return *hint ? dm_error(err, DM_ECORRUPT, "'%s' is not a safetensors file%s", f->path, hint)
                     : dm_error(err, DM_ECORRUPT,
                                "'%s' is not a safetensors file: a header of %llu bytes in a file of %lld (at most %d)",
                                f->path, (unsigned long long)n, (long long)size, MAX_HEADER);
    }
    if (!(text = malloc((size_t)n + 1)))
        return dm_error(err, DM_ENOMEM, "out of memory: header of '%s'", f->path);
    if ((s = dm_file_read_at(f->fd, f->path, 8, text, (size_t)n, err))) {
        free(text);
        return s;
    }
    if (!n || text[0] != '{')
        s = dm_error(err, DM_ECORRUPT, "'%s' is not a safetensors file: its header does not begin with '{'", f->path);
    else
        s = parse_header(f, text, (size_t)n, (uint64_t)size - 8 - n, err);
    free(text);
    return s ? s : lay_out(f, 8 + n, (uint64_t)size - 8 - n, err);
}

dm_status dm_st_open(const char *path, dm_st **out, dm_err *err) { return dm_st_open_in(NULL, path, out, err); }

dm_status dm_st_open_in(const dm_folder *in, const char *name, dm_st **out, dm_err *err)
{
    dm_arena *a;
    int64_t size;
    dm_status s;
    dm_st *f;
    int fd;

    if ((s = dm_folder_file(in, name, O_RDONLY, &fd, &size, err)))
        return s;
    a = dm_arena_new();
    f = a ? dm_alloc(a, sizeof *f) : NULL;
    if (!f || !(f->path = in ? dm_sprintf(a, "%s/%s", in->path, name) : dm_strdup(a, name))) {
        close(fd);
        dm_arena_free(a);
        return dm_error(err, DM_ENOMEM, "out of memory: unable to open '%s'", name);
    }
    f->arena = a;
    f->fd = fd;
    if ((s = load(f, size, err))) {
        dm_st_close(f);
        return s;
    }
    *out = f;
    return DM_OK;
}

void dm_st_close(dm_st *f)
{
    if (!f)
        return;
    for (int64_t i = 0; i < f->n_files; i++)
        dm_st_close(f->files[i]);
    if (f->fd >= 0)
        close(f->fd);
    dm_arena_free(f->arena);
}

static dm_status gather(dm_st *f, const dm_st_part *p, int64_t n, const dm_pair *meta, int64_t n_meta, dm_err *err)
{
    bool lost = !(f->tensor = dm_alloc_n(f->arena, (size_t)n, sizeof *f->tensor)) ||
                !(f->by_name = dm_alloc_n(f->arena, (size_t)n, sizeof *f->by_name)) ||
                !(f->from = dm_alloc_n(f->arena, (size_t)n, sizeof(dm_st *))) ||
                !(f->meta = dm_alloc_n(f->arena, (size_t)n_meta, sizeof *f->meta));

    for (int64_t i = 0; i < n_meta && !lost; i++) {
        f->meta[i] = (dm_pair){dm_strdup(f->arena, meta[i].key), dm_strdup(f->arena, meta[i].value)};
        lost = !f->meta[i].key || !f->meta[i].value;
    }
    f->n_meta = lost ? 0 : n_meta;
    for (int64_t i = 0; i < n && !lost; i++) {
        int64_t count = 1;

        f->tensor[i] = *p[i].tensor;
        f->tensor[i].shape = p[i].shape;
        for (int32_t k = 0; k < p[i].shape.rank; k++)
            count *= p[i].shape.dim[k];
        if (count != p[i].tensor->count)
            return dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' cannot be of another shape", f->path,
                            p[i].tensor->name);
        lost = !(f->tensor[i].name = dm_strdup(f->arena, p[i].name));
        f->from[i] = p[i].file;
        f->by_name[i] = &f->tensor[i];
    }
    if (lost)
        return dm_error(err, DM_ENOMEM, "out of memory: tensors of '%s'", f->path);
    f->n = n;
    if (n)
        qsort(f->by_name, (size_t)n, sizeof *f->by_name, cmp_name);
    for (int64_t i = 1; i < n; i++)
        if (!strcmp(f->by_name[i - 1]->name, f->by_name[i]->name))
            return dm_error(err, DM_ECORRUPT, "'%s' has a duplicate tensor '%s'", f->path, f->by_name[i]->name);
    return DM_OK;
}

dm_status dm_st_gather(const char *path, dm_st *const *files, int64_t n_files, const dm_st_part *parts, int64_t n,
                       const dm_pair *meta, int64_t n_meta, dm_st **out, dm_err *err)
{
    dm_arena *a = dm_arena_new();
    dm_st *f = a ? dm_alloc(a, sizeof *f) : NULL;
    dm_status s;

    if (!f || !(f->path = dm_strdup(a, path)) || !(f->files = dm_memdup(a, files, (size_t)n_files * sizeof(dm_st *)))) {
        for (int64_t i = 0; i < n_files; i++)
            dm_st_close(files[i]);
        dm_arena_free(a);
        return dm_error(err, DM_ENOMEM, "out of memory: unable to open '%s'", path);
    }
    f->arena = a;
    f->fd = -1;
    f->n_files = n_files;
    if ((s = gather(f, parts, n, meta, n_meta, err))) {
        dm_st_close(f);
        return s;
    }
    *out = f;
    return DM_OK;
}

int dm_st_fd(const dm_st *f) { return f->fd; }
const char *dm_st_path(const dm_st *f) { return f->path; }
int64_t dm_st_count(const dm_st *f) { return f->n; }
const dm_st_tensor *dm_st_at(const dm_st *f, int64_t i) { return i >= 0 && i < f->n ? &f->tensor[i] : NULL; }

const dm_st_tensor *dm_st_find(const dm_st *f, const char *name)
{
    const dm_st_tensor *const *t = f->n ? bsearch(name, f->by_name, (size_t)f->n, sizeof *f->by_name, cmp_key) : NULL;

    return t ? *t : NULL;
}

bool dm_st_meta_at(const dm_st *f, int64_t i, const char **key, const char **value)
{
    if (i < 0 || i >= f->n_meta)
        return false;
    *key = f->meta[i].key;
    *value = f->meta[i].value;
    return true;
}

const char *dm_st_meta(const dm_st *f, const char *key)
{
    for (int64_t i = 0; i < f->n_meta; i++)
        if (strcmp(f->meta[i].key, key) == 0)
            return f->meta[i].value;
    return NULL;
}

dm_status dm_st_read(const dm_st *f, const dm_st_tensor *t, uint64_t from, void *to, size_t n, dm_err *err)
{
    if (from > t->bytes || n > t->bytes - from)
        return dm_error(err, DM_EINVAL, "unable to read %zu bytes at %llu of tensor '%s': it has %llu", n,
                        (unsigned long long)from, t->name, (unsigned long long)t->bytes);
    if (f->from)
        f = f->from[t - f->tensor];
    return dm_file_read_at(f->fd, f->path, (int64_t)(t->offset + from), to, n, err);
}

/* Into f32 or f64, whichever is not NULL. */
static dm_status convert(const dm_st *f, const dm_st_tensor *t, int64_t first, int64_t n, float *f32, double *f64,
                         dm_err *err)
{
    enum { MOST = 1024 }; /* elements at once: threads may have little stack */
    const int64_t size = (int64_t)dm_st_type_size(t->type);
    unsigned char bytes[MOST * 8];
    double v[MOST];
    dm_status s;

    if (first < 0 || n < 0 || first > t->count || n > t->count - first)
        return dm_error(err, DM_EINVAL, "unable to read %lld elements at %lld of tensor '%s': it has %lld",
                        (long long)n, (long long)first, t->name, (long long)t->count);
    for (int64_t i = 0, k; i < n; i += k) {
        double *to = f64 ? f64 + i : v;

        k = n - i < MOST ? n - i : MOST;
        if ((s = dm_st_read(f, t, (uint64_t)((first + i) * size), bytes, (size_t)(k * size), err)))
            return s;
        if (!dm_st_to_f64(t->type, bytes, k, to))
            return dm_error(err, DM_EINVAL, "unable to convert tensor '%s' of '%s': dtype %s", t->name, f->path,
                            dm_st_type_name(t->type));
        for (int64_t j = 0; f32 && j < k; j++)
            f32[i + j] = (float)v[j];
    }
    return DM_OK;
}

dm_status dm_st_read_f32(const dm_st *f, const dm_st_tensor *t, int64_t first, int64_t n, float *to, dm_err *err)
{
    if (t->type == DM_ST_F32 && first >= 0 && n >= 0 && first <= t->count && n <= t->count - first)
        return dm_st_read(f, t, (uint64_t)first * 4, to, (size_t)n * 4, err);
    return convert(f, t, first, n, to, NULL, err);
}

dm_status dm_st_read_f64(const dm_st *f, const dm_st_tensor *t, int64_t first, int64_t n, double *to, dm_err *err)
{
    return convert(f, t, first, n, NULL, to, err);
}

static void print_shape(const dm_shape *s, char *to, size_t n)
{
    size_t at = (size_t)snprintf(to, n, "[");

    for (int32_t i = 0; i < s->rank && at < n; i++)
        at += (size_t)(s->dim[i] < 0 ? snprintf(to + at, n - at, i ? ", any" : "any")
                                     : snprintf(to + at, n - at, i ? ", %lld" : "%lld", (long long)s->dim[i]));
    if (at < n)
        snprintf(to + at, n - at, "]");
}

dm_status dm_st_expect(const dm_st *f, const char *name, const dm_shape *want, const dm_st_tensor **out, dm_err *err)
{
    const dm_st_tensor *t = dm_st_find(f, name);
    char is[200], should[200];
    bool same;

    if (!t)
        return dm_error(err, DM_ECORRUPT, "'%s' has no tensor '%s'", f->path, name);
    same = t->shape.rank == want->rank;
    for (int32_t i = 0; same && i < want->rank; i++)
        same = want->dim[i] < 0 || want->dim[i] == t->shape.dim[i];
    if (!same) {
        print_shape(&t->shape, is, sizeof is);
        print_shape(want, should, sizeof should);
        return dm_error(err, DM_ECORRUPT, "'%s': tensor '%s' is %s; %s is needed", f->path, name, is, should);
    }
    *out = t;
    return DM_OK;
}
