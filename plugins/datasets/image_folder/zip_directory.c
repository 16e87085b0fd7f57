/* The central directory, Zip64 too; see zip_directory.h. libarchive reads it only of an archive as a whole, and what
 * lies in the file without being in it is what other programs do not see. */
#define _POSIX_C_SOURCE 200809L
#include "zip_directory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Bytes of the fixed part of each record, and of the longest comment. */
enum { END = 22, LOCATOR = 20, END64 = 56, RECORD = 46, LOCAL = 30, MAX_COMMENT = 65535 };
static const uint32_t in_zip64 = 0xffffffffu;

/* What the end of the file says of the directory. */
typedef struct place {
    int64_t at, bytes, n;
    int64_t before;                /* bytes that lie before the archive, where what it says begins behind them */
    bool wide;
} place;
typedef struct file { const char *path; int fd; int64_t bytes; } file;

static uint64_t number(const unsigned char *b, int bytes)
{
    uint64_t v = 0;

    for (int i = bytes; i-- > 0;)
        v = v << 8 | b[i];
    return v;
}

static bool begins(const unsigned char *b, const char *kind)
{
    return b[0] == 'P' && b[1] == 'K' && !memcmp(b + 2, kind, 2);
}

static dm_status bad(dm_ctx *c, const file *f, int64_t at, const char *why)
{
    return dm_fail(c, DM_ECORRUPT, "'%s' is not a zip or tar file that can be read: near byte %lld: %s", f->path,
                   (long long)at, why);
}

static dm_status take(dm_ctx *c, const file *f, int64_t at, size_t n, unsigned char *to)
{
    while (n > 0) {
        const ssize_t got = pread(f->fd, to, n, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dm_fail(c, DM_EIO, "unable to read '%s': %s", f->path, strerror(errno));
        if (!got)
            return bad(c, f, at, "the file has become shorter");
        to += got;
        at += got;
        n -= (size_t)got;
    }
    return DM_OK;
}

/* Where there are more entries or bytes than the record at the end can say, one before it does, which another between
 * both leads to. */
static dm_status find_wide(dm_ctx *c, const file *f, int64_t end, place *p)
{
    unsigned char b[END64];
    int64_t at;

    if (end < LOCATOR)
        return bad(c, f, end, "its directory is damaged");
    if (take(c, f, end - LOCATOR, LOCATOR, b))
        return c->err->code;
    at = (int64_t)number(b + 8, 8);
    if (!begins(b, "\6\7") || at < 0 || at > end - LOCATOR - END64)
        return bad(c, f, end - LOCATOR, "its directory is damaged");
    if (take(c, f, at, END64, b))
        return c->err->code;
    if (!begins(b, "\6\6"))
        return bad(c, f, at, "its directory is damaged");
    *p = (place){.at = (int64_t)number(b + 48, 8), .bytes = (int64_t)number(b + 40, 8),
                 .n = (int64_t)number(b + 32, 8), .wide = true};
    return DM_OK;
}

/* A program that unpacks its archive lies before it, and often nothing was told of that: places are counted from where
 * the archive begins. end: where the directory should. */
static dm_status look_before(dm_ctx *c, const file *f, int64_t end, place *p)
{
    const int64_t before = end - p->bytes - p->at;
    unsigned char there[4], moved[4];

    if (p->wide || before <= 0 || !p->n)
        return DM_OK;
    if (take(c, f, p->at, sizeof there, there) || take(c, f, p->at + before, sizeof moved, moved))
        return c->err->code;
    if (begins(there, "\1\2") || !begins(moved, "\1\2"))
        return DM_OK;
    p->at += before;
    p->before = before;
    return DM_OK;
}

static dm_status find(dm_ctx *c, const file *f, place *p)
{
    const int64_t most = f->bytes < END + MAX_COMMENT ? f->bytes : END + MAX_COMMENT, from = f->bytes - most;
    unsigned char *tail = malloc((size_t)most + 1);
    int64_t i = most - END;
    dm_status s;

    if (!tail)
        return dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", f->path);
    if ((s = take(c, f, from, (size_t)most, tail)))
        goto out;
    while (i >= 0 && (!begins(tail + i, "\5\6") || i + END + (int64_t)number(tail + i + 20, 2) > most))
        i--;
    if (i < 0) {
        s = bad(c, f, f->bytes, "the directory at its end is missing, so it is truncated or other data follows it");
        goto out;
    }
    *p = (place){.at = (int64_t)number(tail + i + 16, 4), .bytes = (int64_t)number(tail + i + 12, 4),
                 .n = (int64_t)number(tail + i + 10, 2)};
    if (number(tail + i + 4, 2) != 0 && number(tail + i + 4, 2) != 0xffff)
        s = dm_fail(c, DM_EINVAL, "'%s' is one of several parts of a zip file; join them (zip -s 0), or unpack them to "
                                  "a folder", f->path);
    else if (p->at == in_zip64 || p->bytes == in_zip64 || p->n == 0xffff)
        s = find_wide(c, f, from + i, p);
    if (!s && (p->at < 0 || p->bytes < 0 || p->n < 0 || p->at > from + i || p->bytes > from + i - p->at))
        s = bad(c, f, from + i, "its directory would lie outside of it");
    if (!s)
        s = look_before(c, f, from + i, p);
out:
    free(tail);
    return s;
}

/* A length or place that does not fit in 32 bits: the next of those in the extra field of Zip64. */
static bool widen(int64_t *v, const unsigned char **extra, const unsigned char *end)
{
    if (*v != in_zip64)
        return true;
    if (!*extra || end - *extra < 8)
        return false;
    *v = (int64_t)number(*extra, 8);
    *extra += 8;
    return true;
}

static bool widen_all(zip_entry *e, const unsigned char *extra, size_t n)
{
    const unsigned char *wide = NULL, *end = extra + n;

    while (end - extra >= 4 && !wide) {
        const int64_t m = (int64_t)number(extra + 2, 2);

        if (m > end - extra - 4)
            break;
        if (number(extra, 2) == 1)
            wide = extra + 4, end = wide + m;
        else
            extra += 4 + m;
    }
    return widen(&e->size, &wide, end) && widen(&e->packed, &wide, end) && widen(&e->at, &wide, end);
}

/* The record at *at of the directory's bytes; false where it is none, or leads out of the file. */
static bool take_record(const unsigned char *text, const place *p, int64_t *at, zip_entry *e)
{
    const unsigned char *b = text + *at;
    const int64_t n = p->bytes, last = p->at - p->before;
    int64_t name, extra, comment;

    if (n - *at < RECORD || !begins(b, "\1\2"))
        return false;
    name = (int64_t)number(b + 28, 2), extra = (int64_t)number(b + 30, 2), comment = (int64_t)number(b + 32, 2);
    if (name + extra + comment > n - *at - RECORD)
        return false;
    *e = (zip_entry){.at = (int64_t)number(b + 42, 4), .packed = (int64_t)number(b + 20, 4),
                     .size = (int64_t)number(b + 24, 4), .name = (const char *)b + RECORD, .name_bytes = (size_t)name,
                     .link = b[5] == 3 && (b[41] >> 4) == 10 /* S_IFLNK */};
    *at += RECORD + name + extra + comment;
    if (!widen_all(e, b + RECORD + name, (size_t)extra) || e->at < 0 || e->packed < 0 || e->size < 0 ||
        e->at > last - LOCAL - name || e->packed > last - LOCAL - name - e->at)
        return false;
    e->at += p->before;
    return true;
}

static int by_place(const void *a, const void *b)
{
    const int64_t x = ((const zip_entry *)a)->at, y = ((const zip_entry *)b)->at;

    return x < y ? -1 : x > y;
}

/* What lies over another is packed once and unpacked often. */
static dm_status check_overlaps(dm_ctx *c, const file *f, const zip_directory *d)
{
    for (int64_t i = 1; i < d->n; i++) {
        const zip_entry *e = &d->entry[i - 1];

        if (e->at + LOCAL + (int64_t)e->name_bytes + e->packed > e[1].at)
            return bad(c, f, e[1].at, "two of its entries lie over each other");
    }
    return DM_OK;
}

dm_status zip_directory_read(dm_ctx *c, const char *path, int fd, int64_t bytes, zip_directory *out)
{
    const file f = {path, fd, bytes};
    place p = {0};
    int64_t at = 0;

    if (find(c, &f, &p))
        return c->err->code;
    out->text = malloc((size_t)p.bytes + 1);
    out->entry = malloc(((size_t)p.bytes / RECORD + 1) * sizeof *out->entry);
    if (!out->text || !out->entry)
        return dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", path);
    if (take(c, &f, p.at, (size_t)p.bytes, out->text))
        return c->err->code;
    while (at < p.bytes) {
        if (!take_record(out->text, &p, &at, &out->entry[out->n]))
            return bad(c, &f, p.at + at, "its directory is damaged");
        out->n++;
    }
    if (p.wide ? out->n != p.n : (out->n & 0xffff) != p.n) /* programs without Zip64 let it wrap */
        return bad(c, &f, p.at, "its directory has not as many entries as it says");
    qsort(out->entry, (size_t)out->n, sizeof *out->entry, by_place);
    return check_overlaps(c, &f, out);
}

void zip_directory_free(zip_directory *d)
{
    free(d->entry);
    free(d->text);
}

const zip_entry *zip_directory_find(const zip_directory *d, int64_t at)
{
    const zip_entry key = {.at = at};

    return d->n ? bsearch(&key, d->entry, (size_t)d->n, sizeof *d->entry, by_place) : NULL;
}
