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

/* What every entry may unpack to, and how often its packed bytes beyond that: images are packed by themselves. */
enum { BLOCK = 1 << 16, MAX_NAME = 4096, SMALL = 16 << 20, MAX_RATIO = 64 };

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

/* Neither other compressions of the whole nor other formats: those that images can be found in by their place. An
 * entry of a zip is read as of one without a directory. */
static dm_status begin(dm_ctx *c, const image_archive *a, int64_t at, stream **s, struct archive **r)
{
    *r = archive_read_new();
    if (!*r || !(*s = malloc(sizeof **s)) ||
        (a->zip ? archive_read_support_format_zip_streamable(*r) : archive_read_support_format_tar(*r)) != ARCHIVE_OK)
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

/* A link is an error where it is called as an image is. */
static dm_status visit(dm_ctx *c, const image_archive *a, struct archive_entry *e, const char *name, int64_t at,
                       bool link, image_archive_each *each, void *user)
{
    if (link && image_has_name(name, true))
        return dm_fail(c, DM_EINVAL,
                       "'%s/%s' is a link to another entry, which is not followed; write the archive with what it "
                       "leads to (tar --dereference --hard-dereference, zip without -y), or unpack it to a folder",
                       a->path, name);
    return !link && archive_entry_filetype(e) == AE_IFREG ? each(c, user, name, at) : DM_OK;
}

static dm_status walk_tar(dm_ctx *c, const image_archive *a, image_archive_each *each, void *user)
{
    struct archive *r = NULL;
    struct archive_entry *e;
    stream *s = NULL;
    const char *name;
    dm_status rc;

    for (rc = begin(c, a, 0, &s, &r); !rc && !(rc = next(c, r, s, &e, &name)) && name;)
        rc = visit(c, a, e, name, archive_read_header_position(r),
                   archive_entry_hardlink(e) || archive_entry_symlink(e), each, user);
    end(s, r);
    return rc;
}

/* Where the directory says that an entry is, one of the same name must be. */
static dm_status check_place(dm_ctx *c, const image_archive *a, const zip_entry *z)
{
    enum { HEAD = 30 };
    unsigned char b[HEAD + 65535];
    const size_t n = HEAD + z->name_bytes;
    const ssize_t got = pread(a->fd - 1, b, n, (off_t)z->at);

    if (got < 0)
        return dm_fail(c, DM_EIO, "unable to read '%s': %s", a->path, strerror(errno));
    if ((size_t)got < n || memcmp(b, "PK\3\4", 4) || (b[26] | (size_t)b[27] << 8) != z->name_bytes ||
        memcmp(b + HEAD, z->name, z->name_bytes))
        return dm_fail(c, DM_ECORRUPT,
                       "'%s' is not a zip or tar file that can be read: near byte %lld: no entry there has the name "
                       "in the directory", a->path, (long long)z->at);
    return DM_OK;
}

static dm_status walk_zip(dm_ctx *c, const image_archive *a, image_archive_each *each, void *user)
{
    dm_status rc = DM_OK;

    for (int64_t i = 0; i < a->directory.n && !rc; i++) {
        const zip_entry *z = &a->directory.entry[i];
        struct archive *r = NULL;
        struct archive_entry *e;
        stream *s = NULL;
        const char *name;

        if (!(rc = check_place(c, a, z)) && !(rc = begin(c, a, z->at, &s, &r)) && !(rc = next(c, r, s, &e, &name)) &&
            name)
            rc = visit(c, a, e, name, z->at, z->link, each, user);
        end(s, r);
    }
    return rc;
}

dm_status image_archive_walk(dm_ctx *c, const image_archive *a, image_archive_each *each, void *user)
{
    return (a->zip ? walk_zip : walk_tar)(c, a, each, user);
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

/* How many bytes the entry at `at` says that it has, and may have. */
static dm_status size_of(dm_ctx *c, const image_archive *a, int64_t at, struct archive_entry *e, const char *name,
                         int64_t most, int64_t *size)
{
    const zip_entry *z = zip_directory_find(&a->directory, at);
    const int64_t packed = z ? z->packed : a->bytes;

    *size = z ? z->size : archive_entry_size(e);
    if (*size > most)
        return dm_fail(c, DM_ECORRUPT, "'%s/%s' has %lld bytes; at most %lld are read of it", a->path, name,
                       (long long)*size, (long long)most);
    if (*size > SMALL && (*size - SMALL) / MAX_RATIO > packed)
        return dm_fail(c, DM_ECORRUPT,
                       "'%s/%s' would unpack from %lld bytes to %lld, which no image does; it is not read", a->path,
                       name, (long long)packed, (long long)*size);
    return DM_OK;
}

static dm_status unpack(dm_ctx *c, struct archive *r, const stream *s, const char *name, int64_t size,
                        unsigned char **bytes, size_t *n)
{
    unsigned char *b = malloc((size_t)size + 1); /* one more, to see that there is no more */
    la_ssize_t got = 1;

    if (!b)
        return dm_fail(c, DM_ENOMEM, "out of memory: '%s' of '%s'", name, s->file->path);
    for (*n = 0; got > 0 && *n <= (size_t)size; *n += got > 0 ? (size_t)got : 0)
        got = archive_read_data(r, b + *n, (size_t)size + 1 - *n);
    if (got < 0 || *n != (size_t)size) {
        free(b);
        return got < 0 ? fail(c, r, s)
                       : dm_fail(c, DM_ECORRUPT, "'%s/%s' has %s than the %lld bytes that the archive says",
                                 s->file->path, name, *n > (size_t)size ? "more" : "less", (long long)size);
    }
    b[*n] = 0;
    *bytes = b;
    return DM_OK;
}

dm_status image_archive_read(dm_ctx *c, const image_archive *a, int64_t at, const char *name, int64_t most,
                             unsigned char **bytes, size_t *n)
{
    struct archive *r = NULL;
    struct archive_entry *e;
    stream *s = NULL;
    const char *found, *fault;
    int64_t size;
    dm_status rc = begin(c, a, at, &s, &r);

    if (!rc && !(rc = next(c, r, s, &e, &found))) {
        if (!found || strcmp(found, name))
            rc = dm_fail(c, DM_ECORRUPT, "'%s' has changed since it was opened: '%s' is not where it was", a->path,
                         name);
        else if ((fault = fault_of(r, e)))
            rc = dm_fail(c, DM_ECORRUPT, "'%s/%s' %s, and is not read", a->path, name, fault);
        else if (!(rc = size_of(c, a, at, e, name, most, &size)))
            rc = unpack(c, r, s, name, size, bytes, n);
    }
    end(s, r);
    return rc;
}

/* What begins as something else is called by its name. */
static dm_status look_at_kind(dm_ctx *c, image_archive *a)
{
    enum { TAR = 257 };            /* where a tar file says that it is one */
    unsigned char b[TAR + 5] = {0};
    bool program;

    if (pread(a->fd - 1, b, sizeof b, 0) < 0)
        return dm_fail(c, DM_EIO, "unable to read '%s': %s", a->path, strerror(errno));
    if ((b[0] == 0x1f && b[1] == 0x8b) || !memcmp(b, "\xfd" "7zXZ", 5) || !memcmp(b, "BZh", 3) ||
        !memcmp(b, "\x28\xb5\x2f\xfd", 4))
        return dm_fail(c, DM_EINVAL, "'%s' is compressed as a whole, so that no image can be read by itself; unpack it "
                                     "to a .tar file, or to a folder", a->path);
    program = (!memcmp(b, "MZ", 2) || !memcmp(b, "\x7f" "ELF", 4) || !memcmp(b, "#!", 2)) &&
              memcmp(b + TAR, "ustar", 5) != 0; /* one that unpacks itself */
    a->zip = program || !memcmp(b, "PK\3\4", 4) || !memcmp(b, "PK\5\6", 4);
    return a->zip ? zip_directory_read(c, a->path, a->fd - 1, a->bytes, &a->directory) : DM_OK;
}

dm_status image_archive_open(dm_ctx *c, const char *path, image_archive *out)
{
    struct stat st;

    *out = (image_archive){.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) + 1};
    if (out->fd <= 0)
        return dm_fail(c, errno == EIO ? DM_EIO : DM_EINVAL, "unable to open '%s': %s", path, strerror(errno));
    if (fstat(out->fd - 1, &st))
        return dm_fail(c, DM_EIO, "unable to access '%s': %s", path, strerror(errno));
    out->bytes = st.st_size;
    return look_at_kind(c, out);
}

void image_archive_close(image_archive *a)
{
    if (a->fd > 0)
        close(a->fd - 1);
    zip_directory_free(&a->directory);
}
