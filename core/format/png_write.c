/* PNG files through libpng; see image.h. */
#include "format/image.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

/* What libpng's callbacks reach: the bytes so far, and what went wrong. */
typedef struct job { uint8_t *bytes; size_t n, cap; char msg[200]; } job;

static void on_error(png_structp png, png_const_charp msg)
{
    job *j = png_get_error_ptr(png);

    snprintf(j->msg, sizeof j->msg, "%s", msg);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp msg)
{
    (void)png;
    (void)msg;
}

static void on_write(png_structp png, png_bytep data, png_size_t n)
{
    job *j = png_get_io_ptr(png);

    if (n > j->cap - j->n) {
        const size_t cap = (j->n + n) * 2;
        uint8_t *p = n > SIZE_MAX / 4 - j->n ? NULL : realloc(j->bytes, cap);

        if (!p)
            png_error(png, "out of memory");
        j->bytes = p;
        j->cap = cap;
    }
    memcpy(j->bytes + j->n, data, n);
    j->n += n;
}

static void on_flush(png_structp png) { (void)png; }

static bool is_ascii(const char *s)
{
    while (*s && (unsigned char)*s < 128)
        s++;
    return !*s;
}

/* false: libpng failed and j->msg says why. All that is changed after setjmp lies in *j. */
static bool encode(png_structp png, png_infop info, const dm_picture *p, png_text *t, int n, job *j)
{
    const size_t row = (size_t)p->width * (size_t)p->channels;

    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, j, on_write, on_flush);
    png_set_IHDR(png, info, (png_uint_32)p->width, (png_uint_32)p->height, 8,
                 p->channels == 3 ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (n)
        png_set_text(png, info, t, n);
    png_write_info(png, info);
    for (int32_t y = 0; y < p->height; y++)
        png_write_row(png, p->pixels + (size_t)y * row);
    png_write_end(png, info);
    return true;
}

dm_status dm_png_encode(const dm_picture *p, const dm_pair *text, int n, uint8_t **out, size_t *size, dm_err *err)
{
    job j = {.msg = "out of memory"};
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &j, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    png_text *t = calloc((size_t)n + 1, sizeof *t);
    bool ok = info && t;

    for (int i = 0; ok && i < n; i++) { /* libpng does not change them */
        t[i].compression = is_ascii(text[i].value) ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        t[i].key = (char *)(uintptr_t)text[i].key;
        t[i].text = (char *)(uintptr_t)text[i].value;
    }
    ok = ok && encode(png, info, p, t, n, &j);
    png_destroy_write_struct(&png, &info);
    free(t);
    if (!ok) {
        free(j.bytes);
        return dm_error(err, DM_ENOMEM, "out of memory for a PNG of %d x %d pixels: %s", (int)p->width, (int)p->height,
                        j.msg);
    }
    *out = j.bytes;
    *size = j.n;
    return DM_OK;
}

dm_status dm_png_write(const char *path, const dm_picture *p, const dm_pair *text, int n, dm_err *err)
{
    uint8_t *bytes;
    size_t size;
    dm_status s;

    if ((s = dm_png_encode(p, text, n, &bytes, &size, err)))
        return s;
    s = dm_file_write_atomic(path, bytes, size, err);
    free(bytes);
    return s;
}
