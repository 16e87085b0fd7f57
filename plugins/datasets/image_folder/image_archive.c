/* Archives through libarchive; see image_archive.h. An entry is found again by reading on from where it begins. */
#define _POSIX_C_SOURCE 200809L
#include "image_archive.h"

#include "image_file.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 1 << 16, MAX_NAME = 4096, MAX_RATIO = 1032 /* of deflate */ };

/* What libarchive reads from: the file from `start` on. */
typedef struct stream {
    const image_archive *file;
    int64_t start, at;
    int fault;                     /* errno of a read that failed */
    unsigned char block[BLOCK];
} stream;

static la_ssize_t read_block(struct archive *r, void *user, const void **to)
{
    stream *s = user;
    ssize_t got;

    do
        got = pread(s->file->fd - 1, s->block, sizeof s->block, (off_t)s->at);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        s->fault = errno;
        archive_set_error(r, errno, "%s", strerror(errno));
        return -1;
    }
    s->at += got;
    *to = s->block;
    return got;
}

static la_int64_t skip(struct archive *r, void *user, la_int64_t n)
{
    stream *s = user;
    const int64_t left = s->file->bytes - s->at, by = n < left ? n : left > 0 ? left : 0;

    (void)r;
    s->at += by;
    return by;
}

static dm_status fail(dm_ctx *c, struct archive *r, const stream *s)
{
    const char *path = s->file->path, *why = archive_error_string(r);

    if (s->fault)
        return dm_fail(c, DM_EIO, "unable to read '%s': %s", path, strerror(s->fault));
    if (archive_errno(r) == ENOMEM)
        return dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", path);
    return dm_fail(c, DM_ECORRUPT, "'%s' is not a zip or tar file that can be read: near byte %lld: %s", path,
                   (long long)(s->start + archive_filter_bytes(r, -1)), why ? why : "it is damaged");
}

/* Neither other compressions of the whole nor other formats: those that images can be found in by their place. */
static dm_status begin(dm_ctx *c, const image_archive *a, int64_t at, stream **s, struct archive **r)
{
    *r = archive_read_new();
    if (!*r || !(*s = malloc(sizeof **s)) || archive_read_support_format_tar(*r) != ARCHIVE_OK ||
        archive_read_support_format_zip_streamable(*r) != ARCHIVE_OK)
        return dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", a->path);
    **s = (stream){.file = a, .start = at, .at = at};
    if (archive_read_set_read_callback(*r, read_block) != ARCHIVE_OK ||
        archive_read_set_skip_callback(*r, skip) != ARCHIVE_OK ||
        archive_read_set_callback_data(*r, *s) != ARCHIVE_OK || archive_read_open1(*r) != ARCHIVE_OK)
        return fail(c, *r, *s);
    return DM_OK;
}

static void end(stream *s, struct archive *r)
{
    if (r)
        archive_read_free(r);
    free(s);
}

/* A name that cannot be written in the locale is a warning; NULL, without an error, behind the last entry. */
static dm_status next(dm_ctx *c, struct archive *r, const stream *s, struct archive_entry **e, const char **name)
{
    const int got = archive_read_next_header(r, e);

    *name = NULL;
    if (got == ARCHIVE_EOF)
        return DM_OK;
    if (got != ARCHIVE_OK && (got != ARCHIVE_WARN || archive_errno(r) == ENOMEM))
        return fail(c, r, s);
    if (!(*name = archive_entry_pathname_utf8(*e)))
        *name = archive_entry_pathname(*e);
    if (!*name || strlen(*name) > MAX_NAME)
        return dm_fail(c, DM_ECORRUPT, "'%s': the entry near byte %lld has no name, or one of more than %d bytes",
                       s->file->path, (long long)(s->start + archive_read_header_position(r)), MAX_NAME);
    while (**name == '/' || !strncmp(*name, "./", 2))
        *name += **name == '/' ? 1 : 2;
    return DM_OK;
}

dm_status image_archive_walk(dm_ctx *c, const image_archive *a, image_archive_each *each, void *user)
{
    struct archive *r = NULL;
    struct archive_entry *e;
    stream *s = NULL;
    const char *name;
    dm_status rc;

    for (rc = begin(c, a, 0, &s, &r); !rc && !(rc = next(c, r, s, &e, &name)) && name;)
        if ((archive_entry_hardlink(e) || archive_entry_symlink(e)) && image_has_name(name, true))
            rc = dm_fail(c, DM_EINVAL,
                         "'%s/%s' is a link to another entry, which is not followed; write the archive with tar "
                         "--dereference --hard-dereference, or unpack it to a folder",
                         a->path, name);
        else if (archive_entry_filetype(e) == AE_IFREG && !archive_entry_hardlink(e))
            rc = each(c, user, name, archive_read_header_position(r));
    end(s, r);
    return rc;
}

/* What an entry must be before anything of it is unpacked; NULL, or what it is instead. */
static const char *fault_of(struct archive *r, struct archive_entry *e)
{
    const char *format = archive_format_name(r);

    if (archive_entry_is_encrypted(e))
        return "is encrypted";
    if (archive_entry_sparse_count(e) > 0)
        return "is a sparse file";
    if (archive_format(r) == ARCHIVE_FORMAT_ZIP &&
        (!format || (!strstr(format, "(uncompressed)") && !strstr(format, "(deflation)"))))
        return "is compressed in another way than by deflate";
    return NULL;
}

static dm_status unpack(dm_ctx *c, struct archive *r, const stream *s, const char *name, int64_t room,
                        unsigned char **bytes, size_t *n)
{
    unsigned char *b = NULL;
    size_t cap = 0;

    for (*n = 0;;) {
        if (*n + 1 >= cap) {
            const size_t more = cap ? cap * 2 : BLOCK, want = more < (size_t)room + 2 ? more : (size_t)room + 2;
            unsigned char *grown = want > cap ? realloc(b, want) : NULL;

            if (!grown) {
                free(b);
                return want > cap ? dm_fail(c, DM_ENOMEM, "out of memory: '%s' of '%s'", name, s->file->path)
                                  : dm_fail(c, DM_ECORRUPT, "'%s/%s' has more than the %lld bytes that are read of it",
                                            s->file->path, name, (long long)room);
            }
            b = grown;
            cap = want;
        }
        const la_ssize_t got = archive_read_data(r, b + *n, cap - 1 - *n);

        if (got < 0) {
            free(b);
            return fail(c, r, s);
        }
        if (!got)
            break;
        *n += (size_t)got;
    }
    b[*n] = 0;
    *bytes = b;
    return DM_OK;
}

dm_status image_archive_read(dm_ctx *c, const image_archive *a, int64_t at, const char *name, int64_t most,
                             unsigned char **bytes, size_t *n)
{
    const int64_t can = a->bytes < most / MAX_RATIO ? a->bytes * MAX_RATIO : most;
    struct archive *r = NULL;
    struct archive_entry *e;
    stream *s = NULL;
    const char *found, *fault;
    dm_status rc = begin(c, a, at, &s, &r);

    if (!rc && !(rc = next(c, r, s, &e, &found))) {
        if (!found || strcmp(found, name))
            rc = dm_fail(c, DM_ECORRUPT, "'%s' has changed since it was opened: '%s' is not where it was", a->path,
                         name);
        else if ((fault = fault_of(r, e)))
            rc = dm_fail(c, DM_ECORRUPT, "'%s/%s' %s, and is not read", a->path, name, fault);
        else
            rc = unpack(c, r, s, name, can, bytes, n);
    }
    end(s, r);
    return rc;
}

/* What begins as something else is called by its name. */
static dm_status check_kind(dm_ctx *c, const image_archive *a)
{
    unsigned char b[6] = {0};

    if (pread(a->fd - 1, b, sizeof b, 0) < 0)
        return dm_fail(c, DM_EIO, "unable to read '%s': %s", a->path, strerror(errno));
    if ((b[0] == 0x1f && b[1] == 0x8b) || !memcmp(b, "\xfd" "7zXZ", 5) || !memcmp(b, "BZh", 3) ||
        !memcmp(b, "\x28\xb5\x2f\xfd", 4))
        return dm_fail(c, DM_EINVAL, "'%s' is compressed as a whole, so that no image can be read by itself; unpack it "
                                     "to a .tar file, or to a folder", a->path);
    return DM_OK;
}

dm_status image_archive_open(dm_ctx *c, const char *path, image_archive *out)
{
    struct stat st;

    *out = (image_archive){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) + 1};
    if (out->fd <= 0)
        return dm_fail(c, errno == EIO ? DM_EIO : DM_EINVAL, "unable to open '%s': %s", path, strerror(errno));
    if (fstat(out->fd - 1, &st))
        return dm_fail(c, DM_EIO, "unable to look at '%s': %s", path, strerror(errno));
    out->bytes = st.st_size;
    return check_kind(c, out);
}

void image_archive_close(image_archive *a)
{
    if (a->fd > 0)
        close(a->fd - 1);
}
