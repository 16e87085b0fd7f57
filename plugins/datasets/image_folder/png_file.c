/* PNG through libpng; see image_file.h. */
#include "image_file.h"

#include <stdlib.h>
#include <string.h>
#include <png.h>
#include <zlib.h>

enum { MAX_RATIO = 1032 /* of deflate */, MAX_EXIF = 1 << 20 };

static void failed(png_structp png, png_const_charp msg)
{
    image_file *j = png_get_error_ptr(png);

    image_fail(j, msg);
    longjmp(j->jump, 1);
}

static void warned(png_structp png, png_const_charp msg) { (void)png, (void)msg; }

static png_voidp allocate(png_structp png, png_alloc_size_t n)
{
    void *p = malloc(n);

    if (!p)
        image_no_memory(png_get_mem_ptr(png));
    return p;
}

static void release(png_structp png, png_voidp p)
{
    (void)png;
    free(p);
}

static uint32_t number(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

/* A chunk with EXIF data may also come after the pixels, which libpng reads the extents before. */
static bool take_exif(image_file *j)
{
    unsigned char head[12], *b;
    uint32_t n;

    for (int64_t at = 8; !fseek(j->f, (long)at, SEEK_SET) && fread(head, 1, 8, j->f) == 8; at += 12 + (int64_t)n) {
        n = number(head);
        if (!memcmp(head + 4, "IEND", 4))
            break;
        if (memcmp(head + 4, "eXIf", 4) || n > MAX_EXIF)
            continue;
        if (!(b = malloc((size_t)n + 4)))
            return image_no_memory(j);
        if (fread(b, 1, (size_t)n + 4, j->f) == (size_t)n + 4 &&
            crc32(crc32(0, head + 4, 4), b, n) == number(b + n))
            image_take_exif(j, b, n);
        free(b);
        break;
    }
    return (!ferror(j->f) && !fseek(j->f, 0, SEEK_SET)) || image_no_read(j);
}

/* libpng has a limit of its own, and calls what is beyond it invalid. */
static bool check_header(image_file *j)
{
    unsigned char b[24];
    uint32_t extent[2];

    if (fread(b, 1, sizeof b, j->f) != sizeof b || fseek(j->f, 0, SEEK_SET))
        return image_fail(j, "it ends within its header");
    for (int k = 0; k < 2; k++)
        extent[k] = number(b + 16 + 4 * k);
    return memcmp(b + 12, "IHDR", 4) || !extent[0] || !extent[1] ||
           image_begin(j, extent[0], extent[1], 1, 1, false);
}

/* Text and colour profiles are left unread: they may ask for much memory. EXIF data are read by take_exif. */
static void set_limits(png_structp png)
{
    static const png_byte unwanted[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0eXIf";

    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unwanted, sizeof unwanted / 5);
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_cache_max(png, 100);
    png_set_chunk_malloc_max(png, 8 << 20);
}

static bool take(image_file *j, png_structp png, png_infop info, bool pixels)
{
    const unsigned char *b = j->rules->background;

    if (setjmp(j->jump))
        return false;
    set_limits(png);
    png_init_io(png, j->f);
    png_read_info(png, info);
    const bool colour = png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR;
    const bool alpha = j->rules->blend && (png_get_color_type(png, info) & PNG_COLOR_MASK_ALPHA ||
                                           png_get_valid(png, info, PNG_INFO_tRNS));
    const bool tinted = !colour && alpha && (b[0] != b[1] || b[1] != b[2]); /* grey over a colour */
    const int32_t c = colour || tinted ? 3 : 1;
    if (!image_holds(j, png_get_image_width(png, info), png_get_image_height(png, info),
                     (double)png_get_rowbytes(png, info) * png_get_image_height(png, info) / MAX_RATIO))
        return false;
    if (!image_begin(j, png_get_image_width(png, info), png_get_image_height(png, info), c, c + alpha, pixels))
        return false;
    if (!pixels)
        return true;
    png_set_expand(png);
    png_set_scale_16(png);
    if (tinted)
        png_set_gray_to_rgb(png);
    if (!alpha)
        png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (size_t)j->w * (size_t)j->planes)
        return image_fail(j, "pixels of a kind that is not known");
    png_read_image(png, j->row);
    png_read_end(png, NULL);
    return true;
}

bool image_read_png(image_file *j, bool pixels)
{
    png_structp png = check_header(j) && (!j->rules->orient || take_exif(j))
                          ? png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, failed, warned, j, allocate, release)
                          : NULL;
    png_infop info = png ? png_create_info_struct(png) : NULL;
    const bool ok = info ? take(j, png, info, pixels) : *j->msg ? false : image_no_memory(j);

    png_destroy_read_struct(&png, &info, NULL);
    return ok;
}
