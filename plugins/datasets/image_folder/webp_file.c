/* WebP through libwebp; see image_file.h. */
#include "image_file.h"

#include <stdlib.h>
#include <string.h>
#include <webp/decode.h>

enum { HEAD = 64, MAX_FILE = 256 << 20, MAX_RATIO = 16384 /* pixels a byte: a plain surface takes none */ };

/* The file, or as much of its beginning as is wanted; on the heap. */
static unsigned char *read_bytes(image_file *j, size_t most, size_t *n)
{
    long size = fseek(j->f, 0, SEEK_END) ? -1 : ftell(j->f);
    unsigned char *b;

    if (size < 0 || fseek(j->f, 0, SEEK_SET)) {
        image_no_read(j);
        return NULL;
    }
    if (size > MAX_FILE) {
        image_fail(j, "it is larger than 256 MiB");
        return NULL;
    }
    *n = (size_t)size < most ? (size_t)size : most;
    if (!(b = malloc(*n + 1))) {
        image_no_memory(j);
        return NULL;
    }
    if (fread(b, 1, *n, j->f) != *n) {
        image_fail(j, "it cannot be read");
        free(b);
        return NULL;
    }
    return b;
}

/* The chunk of EXIF data in the file's list of chunks, if all of it is there. */
static void take_exif(image_file *j, const unsigned char *b, size_t n)
{
    for (size_t at = 12, size; n - at >= 8; at += 8 + size + size % 2) {
        size = b[at + 4] | (size_t)b[at + 5] << 8 | (size_t)b[at + 6] << 16 | (size_t)b[at + 7] << 24;
        if (size > n - at - 8 || size + size % 2 > n - at - 8)
            return;
        if (!memcmp(b + at, "EXIF", 4)) {
            image_take_exif(j, b + at + 8, size);
            return;
        }
    }
}

static VP8StatusCode decode_once(const image_file *j, const unsigned char *b, size_t n)
{
    WebPDecoderConfig how;
    VP8StatusCode s;

    if (!WebPInitDecoderConfig(&how)) /* libwebp is of another version than the one that demist was built with */
        return VP8_STATUS_INVALID_PARAM;
    how.output.colorspace = j->planes == 4 ? MODE_RGBA : MODE_RGB;
    how.output.is_external_memory = 1;
    how.output.u.RGBA = (WebPRGBABuffer){.rgba = j->pixels, .stride = j->w * j->planes,
                                         .size = (size_t)j->w * (size_t)j->planes * (size_t)j->h};
    s = WebPDecode(b, n, &how);
    WebPFreeDecBuffer(&how.output);
    return s;
}

/* libwebp does not tell damage from memory that it lacked for alpha. */
static bool decode(image_file *j, const unsigned char *b, size_t n)
{
    const size_t room = (size_t)j->w * (size_t)j->h * 8 + (1 << 20);
    VP8StatusCode s = VP8_STATUS_OUT_OF_MEMORY;
    void *probe;

    for (int tries = 0; tries < 2 && s; tries++) {
        if (!(probe = malloc(room)))
            return image_no_memory(j);
        free(probe);
        s = decode_once(j, b, n);
        if (s == VP8_STATUS_OUT_OF_MEMORY)
            return image_no_memory(j);
    }
    return s == VP8_STATUS_OK || image_fail(j, "it is damaged or ends early");
}

/* Whether it has EXIF data, as its extended header says, which then end the file. */
static bool has_exif(const unsigned char *b, size_t n) { return n > 20 && b[15] == 'X' && b[20] & 0x08; }

static bool take(image_file *j, const unsigned char *b, size_t n, bool pixels)
{
    WebPBitstreamFeatures f;

    if (WebPGetFeatures(b, n, &f) != VP8_STATUS_OK)
        return image_fail(j, "its header is damaged");
    if (f.has_animation)
        return image_fail(j, "it is an animation");
    if (!image_holds(j, f.width, f.height, (double)f.width * f.height / MAX_RATIO) ||
        !image_begin(j, f.width, f.height, 3, f.has_alpha && j->rules->blend ? 4 : 3, pixels))
        return false;
    if (j->rules->orient && has_exif(b, n))
        take_exif(j, b, n);
    return !pixels || decode(j, b, n);
}

bool image_read_webp(image_file *j, bool pixels)
{
    size_t n;
    unsigned char *b = read_bytes(j, pixels ? MAX_FILE : HEAD, &n);
    bool ok;

    if (b && !pixels && j->rules->orient && has_exif(b, n)) {
        free(b);
        b = read_bytes(j, MAX_FILE, &n);
    }
    ok = b && take(j, b, n, pixels);
    free(b);
    return ok;
}
