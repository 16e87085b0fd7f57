/* WebP through libwebp; see image_file.h. */
#include "image_file.h"

#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

enum { HEAD = 64, MAX_FILE = 256 << 20 };

/* The file, or as much of its beginning as is wanted; on the heap. */
static unsigned char *read_bytes(image_file *j, size_t most, size_t *n)
{
    long size = fseek(j->f, 0, SEEK_END) ? -1 : ftell(j->f);
    unsigned char *b;

    if (size < 0 || size > MAX_FILE || fseek(j->f, 0, SEEK_SET)) {
        image_fail(j, "it is larger than 256 MiB, or cannot be read");
        return NULL;
    }
    *n = (size_t)size < most ? (size_t)size : most;
    if (!(b = malloc(*n + 1))) {
        image_fail(j, "out of memory");
        return NULL;
    }
    if (fread(b, 1, *n, j->f) != *n) {
        image_fail(j, "it cannot be read");
        free(b);
        return NULL;
    }
    return b;
}

static void take_exif(image_file *j, const unsigned char *b, size_t n)
{
    const WebPData data = {b, n};
    WebPDemuxer *d = WebPDemux(&data);
    WebPChunkIterator chunk;

    if (d && WebPDemuxGetChunk(d, "EXIF", 1, &chunk)) {
        image_take_exif(j, chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(d);
}

static bool decode(image_file *j, const unsigned char *b, size_t n)
{
    const int stride = j->w * j->planes;
    const size_t size = (size_t)stride * (size_t)j->h;

    if (j->planes == 4 ? WebPDecodeRGBAInto(b, n, j->pixels, size, stride)
                       : WebPDecodeRGBInto(b, n, j->pixels, size, stride))
        return true;
    return image_fail(j, "it is damaged or ends early");
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
    if (!image_begin(j, f.width, f.height, 3, f.has_alpha && j->rules->blend ? 4 : 3, pixels))
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
