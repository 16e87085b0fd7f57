/* PNG through libpng; see image_file.h. */
#include "image_file.h"

#include <stdlib.h>
#include <string.h>
#include <png.h>

static void failed(png_structp png, png_const_charp msg)
{
    image_file *j = png_get_error_ptr(png);

    image_fail(j, msg);
    longjmp(j->jump, 1);
}

static void warned(png_structp png, png_const_charp msg) { (void)png, (void)msg; }

/* libpng has a limit of its own, and calls what is beyond it invalid. */
static bool check_header(image_file *j)
{
    unsigned char b[24];
    uint32_t extent[2];

    if (fread(b, 1, sizeof b, j->f) != sizeof b || fseek(j->f, 0, SEEK_SET))
        return image_fail(j, "it ends within its header");
    for (int k = 0; k < 2; k++)
        extent[k] = (uint32_t)b[16 + 4 * k] << 24 | (uint32_t)b[17 + 4 * k] << 16 | (uint32_t)b[18 + 4 * k] << 8 |
                    b[19 + 4 * k];
    return memcmp(b + 12, "IHDR", 4) || !extent[0] || !extent[1] ||
           image_begin(j, extent[0], extent[1], 1, 1, false);
}

/* Text and colour profiles are left unread: they may ask for much memory. */
static void set_limits(png_structp png)
{
    static const png_byte unwanted[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT";

    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unwanted, sizeof unwanted / 5);
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_cache_max(png, 100);
    png_set_chunk_malloc_max(png, 8 << 20);
}

static bool take(image_file *j, png_structp png, png_infop info, bool pixels)
{
    const unsigned char *b = j->rules->background;
    png_bytep exif;
    png_uint_32 n;

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
    if (png_get_eXIf_1(png, info, &n, &exif) == PNG_INFO_eXIf)
        image_take_exif(j, exif, n);
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
    png_structp png = check_header(j) ? png_create_read_struct(PNG_LIBPNG_VER_STRING, j, failed, warned) : NULL;
    png_infop info = png ? png_create_info_struct(png) : NULL;
    const bool ok = info ? take(j, png, info, pixels) : *j->msg ? false : image_fail(j, "out of memory");

    png_destroy_read_struct(&png, &info, NULL);
    return ok;
}
