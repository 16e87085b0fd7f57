/* Names beside the rows of a picture; see image.h. */
#include "format/image.h"

#include "text/plain_text.h"
#include "format/glyphs.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_LETTERS = 24, MARGIN = 3, ROW_OF_LARGE = 48 };

/* The next character of UTF-8, and how many bytes it has; '?' where the font has none. */
static int next(const char *s, uint32_t *c)
{
    const unsigned char *p = (const unsigned char *)s;
    const int n = dm_utf8_length(s);

    *c = n == 1 ? p[0] : n == 2 ? (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f) : '?';
    if (*c < 32 || (*c > 126 && *c < 160) || *c > 255)
        *c = '?';
    return n ? n : 1;
}

static int letters(const char *s)
{
    uint32_t c;
    int n = 0;

    while (*s && n < MOST_LETTERS) {
        s += next(s, &c);
        n++;
    }
    return n;
}

static void put_letter(const dm_picture *p, uint32_t c, int64_t left, int64_t top, int scale)
{
    const unsigned char *rows = glyphs[c < 127 ? c - 32 : c - 160 + 95];

    for (int64_t y = 0; y < GLYPH_HEIGHT * scale; y++)
        for (int64_t x = 0; x < GLYPH_WIDTH * scale; x++)
            if (rows[y / scale] >> (GLYPH_WIDTH - 1 - x / scale) & 1 && top + y >= 0 && top + y < p->height)
                memset(p->pixels + ((top + y) * p->width + left + x) * p->channels, 255, (size_t)p->channels);
}

dm_status dm_picture_label_rows(dm_picture *p, const char *const *names, int32_t n, dm_err *err)
{
    const int64_t row = p->height / (n > 0 ? n : 1);
    const int scale = row >= ROW_OF_LARGE ? 2 : 1;
    const size_t bytes = (size_t)p->width * (size_t)p->channels;
    dm_picture wide = *p;
    int most = 0;

    if (n < 1 || row < GLYPH_HEIGHT - 2)
        return DM_OK;
    for (int32_t i = 0; i < n; i++)
        most = letters(names[i]) > most ? letters(names[i]) : most;
    wide.width += most * GLYPH_WIDTH * scale + 2 * MARGIN;
    if (!(wide.pixels = calloc((size_t)wide.height, (size_t)wide.width * (size_t)wide.channels)))
        return dm_error(err, DM_ENOMEM, "out of memory: a picture of %d x %d pixels", (int)wide.width,
                        (int)wide.height);
    for (int64_t y = 0; y < p->height; y++)
        memcpy(wide.pixels + (y * wide.width + wide.width - p->width) * p->channels, p->pixels + (size_t)y * bytes,
               bytes);
    for (int32_t i = 0; i < n; i++) {
        const int64_t top = (p->height - (n - 1) * (p->height / n)) / 2; /* half a row */
        const char *s = names[i];
        uint32_t c;

        for (int k = 0, all = letters(s); k < all; k++) {
            s += next(s, &c);
            put_letter(&wide, c, MARGIN + k * GLYPH_WIDTH * scale, i * p->height / n + top - GLYPH_HEIGHT * scale / 2,
                       scale);
        }
    }
    dm_picture_fini(p);
    *p = wide;
    return DM_OK;
}
