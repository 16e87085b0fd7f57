/* TensorBoard event files; see tb_events.h. Field numbers: event.proto and summary.proto. */
#include "run/tb_events.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MAX_RECORD = 1 << 28, VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

struct dm_tb { int fd; char *path; };

uint32_t dm_crc32c(const void *data, size_t n)
{
    static const uint32_t table[16] = { /* the polynomial 0x82f63b78 over half a byte */
        0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
        0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
    };
    const unsigned char *p = data;
    uint32_t c = ~0u;

    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        c = c >> 4 ^ table[c & 15];
        c = c >> 4 ^ table[c & 15];
    }
    return ~c;
}

static uint32_t masked(const void *data, size_t n)
{
    const uint32_t c = dm_crc32c(data, n);

    return (c >> 15 | c << 17) + 0xa282ead8u;
}

/* Bytes that grow; once memory failed, p is NULL and stays so. */
typedef struct bytes { unsigned char *p; size_t n, cap; bool failed; } bytes;

static void put(bytes *b, const void *data, size_t n)
{
    if (!b->failed && n > b->cap - b->n) {
        const size_t cap = (b->n + n) * 2;
        void *p = n > SIZE_MAX / 4 - b->n ? NULL : realloc(b->p, cap);

        b->failed = !p;
        b->p = p ? p : b->p;
        b->cap = p ? cap : b->cap;
    }
    if (b->failed || n == 0)
        return;
    memcpy(b->p + b->n, data, n);
    b->n += n;
}

static void put_le(bytes *b, uint64_t v, int n)
{
    unsigned char c[8];

    for (int i = 0; i < n; i++)
        c[i] = (unsigned char)(v >> 8 * i);
    put(b, c, (size_t)n);
}

static void put_varint(bytes *b, uint64_t v)
{
    for (; v > 127; v >>= 7)
        put_le(b, v | 128, 1);
    put_le(b, v, 1);
}

static void put_key(bytes *b, int field, int wire) { put_varint(b, (uint64_t)(field << 3 | wire)); }

static void put_int(bytes *b, int field, int64_t v)
{
    put_key(b, field, VARINT);
    put_varint(b, (uint64_t)v);
}

static void put_bytes(bytes *b, int field, const void *data, size_t n)
{
    put_key(b, field, BYTES);
    put_varint(b, n);
    put(b, data, n);
}

static void put_head(bytes *b, double wall, int64_t step)
{
    uint64_t bits;

    memcpy(&bits, &wall, 8);
    put_key(b, 1, FIXED64);
    put_le(b, bits, 8);
    if (step)
        put_int(b, 2, step);
}

/* Frames the event, writes it at once, and frees it. */
static dm_status put_record(dm_tb *t, bytes *event, dm_err *err)
{
    bytes r = {0};
    dm_status s;

    put_le(&r, event->n, 8);
    if (!r.failed)
        put_le(&r, masked(r.p, 8), 4);
    put(&r, event->p, event->n);
    put_le(&r, masked(event->p, event->n), 4);
    s = r.failed || event->failed ? dm_error(err, DM_ENOMEM, "out of memory: an event of '%s'", t->path)
                                  : dm_file_write(t->fd, t->path, r.p, r.n, err);
    free(r.p);
    free(event->p);
    return s;
}

dm_status dm_tb_scalars(dm_tb *t, int64_t step, double wall, const dm_field *f, int n, dm_err *err)
{
    bytes event = {0}, summary = {0};

    put_head(&event, wall, step);
    for (int i = 0; i < n; i++) {
        const float v = (float)f[i].value;
        bytes value = {0};
        uint32_t bits;

        memcpy(&bits, &v, 4);
        put_bytes(&value, 1, f[i].name, strlen(f[i].name));
        put_key(&value, 2, FIXED32);
        put_le(&value, bits, 4);
        put_bytes(&summary, 1, value.p, value.n);
        summary.failed |= value.failed;
        free(value.p);
    }
    put_bytes(&event, 5, summary.p, summary.n);
    event.failed |= summary.failed;
    free(summary.p);
    return put_record(t, &event, err);
}

dm_status dm_tb_image(dm_tb *t, int64_t step, double wall, const char *tag, int32_t width, int32_t height,
                      int32_t channels, const void *png, size_t n, dm_err *err)
{
    bytes event = {0}, summary = {0}, value = {0}, image = {0};

    put_int(&image, 1, height);
    put_int(&image, 2, width);
    put_int(&image, 3, channels);
    put_bytes(&image, 4, png, n);
    put_bytes(&value, 1, tag, strlen(tag));
    put_bytes(&value, 4, image.p, image.n);
    put_bytes(&summary, 1, value.p, value.n);
    put_head(&event, wall, step);
    put_bytes(&event, 5, summary.p, summary.n);
    event.failed |= summary.failed | value.failed | image.failed;
    free(image.p);
    free(value.p);
    free(summary.p);
    return put_record(t, &event, err);
}

static bool take_varint(const unsigned char *p, size_t n, size_t *at, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && *at < n; shift += 7) {
        const unsigned char c = p[(*at)++];

        *v |= (uint64_t)(c & 127) << shift;
        if (c < 128)
            return true;
    }
    return false;
}

/* The step of an event, 0 where it has none; false where the bytes are no event. */
static bool event_step(const unsigned char *p, size_t n, int64_t *step)
{
    uint64_t key, v = 0;
    size_t at = 0;

    *step = 0;
    while (at < n) {
        if (!take_varint(p, n, &at, &key))
            return false;
        const int wire = (int)(key & 7);
        if ((wire == VARINT || wire == BYTES) && !take_varint(p, n, &at, &v))
            return false;
        const uint64_t skip = wire == BYTES ? v : wire == FIXED64 ? 8 : wire == FIXED32 ? 4 : 0;
        if ((wire != VARINT && !skip && wire != BYTES) || skip > n - at)
            return false;
        if (key >> 3 == 2 && wire == VARINT)
            *step = (int64_t)v;
        at += (size_t)skip;
    }
    return true;
}

static uint64_t take_le(const unsigned char *p, int n)
{
    uint64_t v = 0;

    while (n--)
        v = v << 8 | p[n];
    return v;
}

/* The whole record at `at` on the heap with its length in *n; NULL where the sound part of the file ends. */
static unsigned char *take_record(int fd, const char *path, int64_t at, int64_t size, size_t *n)
{
    unsigned char head[12], *r;
    uint64_t len;

    if (size - at < 16 || dm_file_read_at(fd, path, at, head, 12, NULL) || masked(head, 8) != take_le(head + 8, 4))
        return NULL;
    len = take_le(head, 8);
    if (len > MAX_RECORD || len > (uint64_t)(size - at - 16) || !(r = malloc((size_t)len + 16)))
        return NULL;
    if (dm_file_read_at(fd, path, at, r, (size_t)len + 16, NULL) || masked(r + 12, (size_t)len) != take_le(r + 12 + len,
                                                                                                           4)) {
        free(r);
        return NULL;
    }
    *n = (size_t)len + 16;
    return r;
}

static dm_status copy_until(int fd, int64_t size, int64_t last, dm_file_out *out, int64_t *kept, dm_err *err)
{
    unsigned char *r;
    dm_status s = DM_OK;
    int64_t step;
    size_t n;

    *kept = 0;
    for (int64_t at = 0; !s && (r = take_record(fd, out->path, at, size, &n)); at += (int64_t)n) {
        if (event_step(r + 12, n - 16, &step) && step <= last) {
            s = dm_file_put(out, r, n, err);
            ++*kept;
        }
        free(r);
    }
    return s;
}

/* Leaves what is to be kept; *kept records of it. */
static dm_status cut(const dm_folder *in, const char *name, int64_t last, int64_t *kept, dm_err *err)
{
    dm_file_out out = {.fd = -1};
    int64_t size = 0;
    int fd = -1;
    dm_status s = dm_folder_file(in, name, O_RDONLY, &fd, &size, err);

    *kept = 0;
    if (s && s != DM_ENOENT)
        return s;
    if (!(s = dm_file_begin_in(&out, in, name, err)) && fd >= 0 && last >= 0)
        s = copy_until(fd, size, last, &out, kept, err);
    if (!s)
        s = dm_file_commit(&out, err);
    dm_file_abort(&out);
    if (fd >= 0)
        close(fd);
    return s;
}

dm_status dm_tb_open(const dm_folder *in, const char *name, int64_t last, dm_tb **out, dm_err *err)
{
    static const char version[] = "brain.Event:2";
    dm_tb *t = NULL;
    bytes event = {0};
    int64_t kept;
    dm_status s = cut(in, name, last, &kept, err);

    if (s)
        return s;
    if (!(t = calloc(1, sizeof *t)) || !(t->path = dm_folder_path(in, name))) {
        free(t);
        return dm_error(err, DM_ENOMEM, "out of memory: opening '%s'", name);
    }
    t->fd = -1;
    s = dm_folder_file(in, name, O_WRONLY | O_APPEND, &t->fd, NULL, err);
    if (!s && kept == 0) {
        put_head(&event, (double)time(NULL), 0);
        put_bytes(&event, 3, version, sizeof version - 1);
        s = put_record(t, &event, err);
    }
    if (s)
        dm_tb_close(t);
    else
        *out = t;
    return s;
}

void dm_tb_close(dm_tb *t)
{
    if (!t)
        return;
    if (t->fd >= 0)
        close(t->fd);
    free(t->path);
    free(t);
}
