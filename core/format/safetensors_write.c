/* Writing safetensors; see safetensors.h. */
#include "format/safetensors.h"

#include "base/file.h"

#include "text/json_text.h"
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { CHUNK = 1 << 20 };

/* A file and the CRC-32 of what was put into it; digits: where that belongs, 0 = nowhere. */
typedef struct writer { dm_file_out out; uLong crc; int64_t digits; } writer;

static dm_status put(writer *w, const void *data, size_t n, dm_err *err)
{
    w->crc = crc32(w->crc, data, (uInt)n);
    return dm_file_put(&w->out, data, n, err);
}

/* Bytes of a tensor, or DM_EINVAL where its shape cannot be. */
static dm_status measure(const dm_st_source *t, uint64_t *bytes, dm_err *err)
{
    uint64_t n = dm_st_type_size(t->type);

    if (t->shape.rank < 0 || t->shape.rank > 8)
        return dm_error(err, DM_EINVAL, "unable to write tensor '%s': rank %d", t->name, (int)t->shape.rank);
    for (int32_t i = 0; i < t->shape.rank; i++) {
        const int64_t d = t->shape.dim[i];

        if (d < 0 || (d && n > (uint64_t)INT64_MAX / (uint64_t)d))
            return dm_error(err, DM_EINVAL, "unable to write tensor '%s': its shape overflows", t->name);
        n *= (uint64_t)d;
    }
    *bytes = n;
    return DM_OK;
}

static dm_status describe(json_t *root, const dm_st_source *t, uint64_t *at, dm_err *err)
{
    json_t *shape = json_array(), *v;
    uint64_t bytes = 0;
    dm_status s;

    if (json_object_get(root, t->name) || strcmp(t->name, "__metadata__") == 0) {
        json_decref(shape);
        return dm_error(err, DM_EINVAL, "unable to write tensor '%s': the name is taken", t->name);
    }
    if ((s = measure(t, &bytes, err))) {
        json_decref(shape);
        return s;
    }
    if (bytes > (uint64_t)INT64_MAX - *at) {
        json_decref(shape);
        return dm_error(err, DM_EINVAL, "unable to write tensor '%s': the file would be too large", t->name);
    }
    for (int32_t i = 0; i < t->shape.rank; i++)
        json_array_append_new(shape, json_integer(t->shape.dim[i]));
    v = json_pack("{s:s, s:o, s:[I, I]}", "dtype", dm_st_type_name(t->type), "shape", shape, "data_offsets",
                  (json_int_t)*at, (json_int_t)(*at + bytes));
    if (json_object_set_new(root, t->name, v))
        return dm_error(err, DM_EINVAL, "unable to write tensor '%s': its name is not UTF-8", t->name);
    *at += bytes;
    return DM_OK;
}

static const char no_sum[] = "00000000";

static dm_status describe_meta(json_t *root, const dm_pair *meta, int64_t n, dm_err *err)
{
    json_t *o = json_object();

    for (int64_t i = 0; i < n; i++)
        if (json_object_get(o, meta[i].key) ||
            json_object_set_new(o, meta[i].key,
                                json_string(strcmp(meta[i].key, DM_ST_CHECKSUM) ? meta[i].value : no_sum))) {
            json_decref(o);
            return dm_error(err, DM_EINVAL, "unable to write metadata '%s': given twice, or not UTF-8", meta[i].key);
        }
    return json_object_set_new(root, "__metadata__", o) ? dm_error(err, DM_ENOMEM, "out of memory: metadata") : DM_OK;
}

static dm_status put_header(writer *w, const dm_st_source *t, int64_t n, const dm_pair *meta, int64_t n_meta,
                            dm_err *err)
{
    json_t *root = dm_json_new();
    dm_status s = n_meta ? describe_meta(root, meta, n_meta, err) : DM_OK;
    unsigned char head[8];
    char *text = NULL, *sum;
    uint64_t at = 0;
    size_t len, pad;

    for (int64_t i = 0; i < n && !s; i++)
        s = describe(root, &t[i], &at, err);
    if (!(text = dm_json_text(root, JSON_COMPACT))) /* whatever else was said */
        s = dm_error(err, DM_ENOMEM, "out of memory: safetensors header");
    json_decref(root);
    if (s) {
        free(text);
        return s;
    }
    len = strlen(text);
    pad = (8 - len % 8) % 8;
    for (int i = 0; i < 8; i++)
        head[i] = (unsigned char)((uint64_t)(len + pad) >> 8 * i);
    sum = strstr(text, "\"" DM_ST_CHECKSUM "\":\"00000000\"");
    w->digits = sum ? 8 + (sum - text) + (int64_t)strlen("\"" DM_ST_CHECKSUM "\":\"") : 0;
    if (!(s = put(w, head, 8, err)) && !(s = put(w, text, len, err)))
        s = put(w, "        ", pad, err);
    free(text);
    return s;
}

static dm_status put_tensor(writer *w, const dm_st_source *t, char *buf, dm_err *err)
{
    uint64_t bytes = 0;
    dm_status s;

    if ((s = measure(t, &bytes, err)))
        return s;
    for (uint64_t i = 0, n; i < bytes; i += n) {
        const void *from = buf;

        n = bytes - i < CHUNK ? bytes - i : CHUNK;
        if (t->data)
            from = (const char *)t->data + i;
        else if ((s = t->fill(t->user, i, buf, (size_t)n, err)))
            return s;
        if ((s = put(w, from, (size_t)n, err)))
            return s;
    }
    return DM_OK;
}

dm_status dm_st_write(const char *path, const dm_st_source *t, int64_t n, const dm_pair *meta, int64_t n_meta,
                      dm_err *err)
{
    return dm_st_write_in(NULL, path, t, n, meta, n_meta, err);
}

dm_status dm_st_write_in(const dm_folder *in, const char *name, const dm_st_source *t, int64_t n, const dm_pair *meta,
                         int64_t n_meta, dm_err *err)
{
    char *buf = malloc(CHUNK), sum[24];
    writer w = {{.fd = -1}, crc32(0, NULL, 0), 0};
    dm_status s = buf ? dm_file_begin_in(&w.out, in, name, err)
                      : dm_error(err, DM_ENOMEM, "out of memory: unable to write '%s'", name);

    if (!s)
        s = put_header(&w, t, n, meta, n_meta, err);
    for (int64_t i = 0; i < n && !s; i++)
        s = put_tensor(&w, &t[i], buf, err);
    if (!s && w.digits) {
        snprintf(sum, sizeof sum, "%08lx", w.crc);
        s = dm_file_put_at(&w.out, w.digits, sum, 8, err);
    }
    if (!s)
        s = dm_file_commit(&w.out, err);
    dm_file_abort(&w.out);
    free(buf);
    return s;
}
