/* What the formats share: the file's kind, alpha, orientation; see image_file.h. */
#define _XOPEN_SOURCE 700
#include "image_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <libexif/exif-data.h>

enum { MAX_EXIF = 1 << 20, SMALL = 16 << 20 /* pixels */ };

bool image_fail(image_file *j, const char *msg)
{
    snprintf(j->msg, sizeof j->msg, "%s", msg);
    return false;
}

bool image_no_memory(image_file *j)
{
    j->no_memory = true;
    return image_fail(j, "out of memory");
}

bool image_no_read(image_file *j)
{
    j->no_read = true;
    return image_fail(j, strerror(errno));
}

bool image_holds(image_file *j, double w, double h, double least_bytes)
{
    if (w * h <= SMALL || least_bytes <= (double)j->bytes)
        return true;
    snprintf(j->msg, sizeof j->msg, "its %lld bytes cannot hold the %.0f x %.0f pixels that its header says",
             (long long)j->bytes, w, h);
    return false;
}

bool image_begin(image_file *j, double w, double h, int32_t c, int32_t planes, bool pixels)
{
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE || w * h * planes > MAX_BYTES) {
        snprintf(j->msg, sizeof j->msg, "it is %.0f x %.0f pixels; at most %d a side and 256 MiB in all are read", w, h,
                 MAX_SIDE);
        return false;
    }
    j->w = (int32_t)w;
    j->h = (int32_t)h;
    j->c = c;
    j->planes = planes;
    if (!pixels)
        return true;
    j->pixels = malloc((size_t)j->w * (size_t)j->h * (size_t)planes);
    j->row = malloc((size_t)j->h * sizeof *j->row);
    for (int32_t y = 0; j->pixels && j->row && y < j->h; y++)
        j->row[y] = j->pixels + (size_t)y * (size_t)j->w * (size_t)planes;
    return (j->pixels && j->row) || image_no_memory(j);
}

/* libexif drops what it has no memory for, without a word. */
static _Thread_local bool exif_lost;

static void *exif_alloc(ExifLong n)
{
    void *p = calloc(n ? n : 1, 1);

    exif_lost |= !p;
    return p;
}

static void *exif_realloc(void *old, ExifLong n)
{
    void *p = realloc(old, n ? n : 1);

    exif_lost |= !p;
    return p;
}

void image_take_exif(image_file *j, const unsigned char *data, size_t n)
{
    static const unsigned char head[] = {'E', 'x', 'i', 'f', 0, 0};
    const bool headed = n >= sizeof head && !memcmp(data, head, sizeof head);
    unsigned char *all;
    ExifMem *memory;
    ExifData *exif;
    ExifEntry *entry;

    if (!j->rules->orient || n < 8 || n > MAX_EXIF)
        return;
    exif_lost = false;
    memory = exif_mem_new(exif_alloc, exif_realloc, free);
    if (!memory || !(all = malloc(n + sizeof head))) {
        exif_mem_unref(memory);
        image_no_memory(j);
        return;
    }
    memcpy(all, head, sizeof head);
    memcpy(all + (headed ? 0 : sizeof head), data, n);
    if ((exif = exif_data_new_mem(memory))) {
        exif_data_unset_option(exif, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION); /* nothing is put right or added */
        exif_data_load_data(exif, all, (unsigned)(n + (headed ? 0 : sizeof head)));
    }
    entry = exif ? exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION) : NULL;
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->components == 1 && entry->size >= 2) {
        const int turn = exif_get_short(entry->data, exif_data_get_byte_order(exif));

        j->turn = turn >= 1 && turn <= 8 ? turn : 1;
    }
    if (exif)
        exif_data_unref(exif);
    exif_mem_unref(memory);
    free(all);
    if (exif_lost)
        image_no_memory(j);
}

/* Grey or colour with alpha to what is seen over the background, in place. */
static void blend(const image_file *j, unsigned char *pixels)
{
    const size_t n = (size_t)j->w * (size_t)j->h;
    const unsigned char *from = pixels;

    for (size_t i = 0; i < n; i++, from += j->planes) {
        const unsigned a = from[j->planes - 1];

        for (int32_t k = 0; k < j->c; k++)
            *pixels++ = (unsigned char)((from[k] * a + j->rules->background[k] * (255 - a) + 127) / 255);
    }
}

/* The pixel of the file that is seen at x, y of what is w wide and h high. */
static size_t turned(const image_file *j, int32_t x, int32_t y)
{
    const int32_t right = j->w - 1, bottom = j->h - 1;
    int32_t sx = x, sy = y;

    switch (j->turn) {
    case 2: sx = right - x; break;
    case 3: sx = right - x, sy = bottom - y; break;
    case 4: sy = bottom - y; break;
    case 5: sx = y, sy = x; break;
    case 6: sx = y, sy = bottom - x; break;
    case 7: sx = right - y, sy = bottom - x; break;
    case 8: sx = right - y, sy = x; break;
    default: break;
    }
    return (size_t)sy * (size_t)j->w + (size_t)sx;
}

/* Turns pixels, if they are there, and extents. */
static bool turn(image_file *j)
{
    const bool sideways = j->turn > 4;
    const int32_t w = sideways ? j->h : j->w, h = sideways ? j->w : j->h;
    unsigned char *out, *to;

    if (j->turn == 1)
        return true;
    if (j->pixels) {
        if (!(out = to = malloc((size_t)w * (size_t)h * (size_t)j->c)))
            return image_no_memory(j);
        for (int32_t y = 0; y < h; y++)
            for (int32_t x = 0; x < w; x++, to += j->c)
                memcpy(to, j->pixels + turned(j, x, y) * (size_t)j->c, (size_t)j->c);
        free(j->pixels);
        j->pixels = out;
    }
    j->w = w;
    j->h = h;
    return true;
}

static bool read_kind(image_file *j, bool pixels)
{
    unsigned char b[12] = {0};
    const size_t n = fread(b, 1, sizeof b, j->f);

    if (ferror(j->f))
        return image_no_read(j);
    if (n == 0)
        return image_fail(j, "it is empty");
    if (fseek(j->f, 0, SEEK_SET))
        return image_no_read(j);
    if (memcmp(b, "\x89PNG", 4) == 0)
        return image_read_png(j, pixels);
    if (b[0] == 0xff && b[1] == 0xd8)
        return image_read_jpeg(j, pixels);
    if (memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBP", 4) == 0)
        return image_read_webp(j, pixels);
    if (n >= 8 && memcmp(b, "version ", 8) == 0)
        return image_fail(j, "it seems to be a pointer of git-lfs; 'git lfs pull' fetches the file itself");
    return image_fail(j, "neither PNG nor JPEG nor WebP");
}

/* What is not there, or not for us, is a fault of the folder; all else is one of the machine. */
static dm_status fail_to_open(dm_ctx *c, const char *path)
{
    const int why = errno;
    const bool refused = why == ENOENT || why == ENOTDIR || why == EACCES || why == EPERM || why == ELOOP ||
                         why == ENAMETOOLONG;

    return dm_fail(c, why == ENOMEM ? DM_ENOMEM : refused ? DM_EINVAL : DM_EIO, "unable to open '%s': %s", path,
                   strerror(why));
}

static FILE *open_stream(const image_from *from)
{
    return from->bytes ? fmemopen(from->bytes, from->n, "rb") : fopen(from->path, "rb");
}

static dm_status open_file(dm_ctx *c, const image_from *from, image_file *j)
{
    struct stat st = {.st_mode = S_IFREG, .st_size = (off_t)from->n};

    if (!from->bytes && stat(from->path, &st))
        return fail_to_open(c, from->path);
    if (!S_ISREG(st.st_mode))
        return dm_fail(c, DM_EINVAL, "unable to open '%s': not a regular file", from->path);
    if (!(j->f = open_stream(from)))
        return fail_to_open(c, from->path);
    j->bytes = st.st_size;
    return DM_OK;
}

dm_status image_open(dm_ctx *c, const image_from *from, const image_rules *rules, bool pixels, image_file *j)
{
    const char *path = from->path;
    bool ok;

    memset(j, 0, sizeof *j);
    j->rules = rules;
    j->turn = 1;
    if (open_file(c, from, j))
        return c->err->code;
    ok = read_kind(j, pixels) && !j->no_memory && !j->no_read;
    if (ferror(j->f) && !j->no_read)
        ok = image_no_read(j);
    fclose(j->f);
    free(j->row);
    if (ok && j->pixels && j->planes > j->c)
        blend(j, j->pixels);
    ok = ok && turn(j);
    if (!ok) {
        free(j->pixels);
        j->pixels = NULL;
    }
    if (j->no_memory)
        return dm_fail(c, DM_ENOMEM, "out of memory: reading '%s'", path);
    if (j->no_read)
        return dm_fail(c, DM_EIO, "unable to read '%s': %s", path, j->msg);
    return ok ? DM_OK : dm_fail(c, DM_ECORRUPT, "'%s' is not an image that can be read: %s", path, j->msg);
}

/* The end that each format has. */
static bool ends_well(const image_from *from)
{
    unsigned char head[12] = {0}, tail[12] = {0};
    FILE *f = open_stream(from);
    bool well = false;

    if (!f)
        return false;
    if (fread(head, 1, sizeof head, f) == sizeof head && !fseek(f, -(long)sizeof tail, SEEK_END) &&
        fread(tail, 1, sizeof tail, f) == sizeof tail) {
        const long size = ftell(f);
        const unsigned long riff =
            head[4] | (unsigned long)head[5] << 8 | (unsigned long)head[6] << 16 | (unsigned long)head[7] << 24;

        well = !memcmp(head, "RIFF", 4) ? riff + 8 <= (unsigned long)size
               : head[0] == 0xff        ? tail[10] == 0xff && tail[11] == 0xd9
                                        : !memcmp(tail + 4, "IEND", 4);
    }
    fclose(f);
    return well;
}

dm_status image_check(dm_ctx *c, const image_from *from, const image_rules *rules, image_file *j)
{
    const dm_status s = image_open(c, from, rules, false, j);
    dm_status whole;

    if (s || ends_well(from))
        return s;
    whole = image_open(c, from, rules, true, j);
    free(j->pixels);
    j->pixels = NULL;
    return whole;
}

bool image_has_name(const char *name, bool webp)
{
    const char *dot = strrchr(name, '.');

    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg") ||
                   (webp && !strcasecmp(dot, ".webp")));
}
