/* JPEG through libjpeg; see image_file.h. */
#include "image_file.h"

#include <string.h>
#include <jpeglib.h>
#include <jerror.h>

enum { MAX_SCANS = 200 };

static void failed(j_common_ptr d)
{
    image_file *j = d->client_data;
    char msg[JMSG_LENGTH_MAX];

    d->err->format_message(d, msg);
    if (d->err->msg_code == JERR_OUT_OF_MEMORY)
        image_no_memory(j);
    else
        image_fail(j, msg);
    longjmp(j->jump, 1);
}

/* What cameras and programs leave behind where no pixel lies. */
static bool is_harmless(int code)
{
    return code == JWRN_EXTRANEOUS_DATA || code == JWRN_TOO_MUCH_DATA || code == JWRN_ADOBE_XFORM ||
           code == JWRN_JFIF_MAJOR || code == JWRN_BOGUS_PROGRESSION;
}

static void warned(j_common_ptr d, int level)
{
    if (level < 0 && !is_harmless(d->err->msg_code)) /* data is damaged or ends early */
        failed(d);
}

/* A small file may ask for thousands of passes over a large image. */
static void progress(j_common_ptr d)
{
    if (d->is_decompressor && ((j_decompress_ptr)d)->input_scan_number > MAX_SCANS) {
        image_fail(d->client_data, "too many scans");
        longjmp(((image_file *)d->client_data)->jump, 1);
    }
}

/* At least a bit of each 8 x 8 block of one component; arithmetic coding may take less. */
static double least_bytes(const struct jpeg_decompress_struct *d)
{
    return (double)d->image_width * d->image_height / (8 * 8 * 8) / (d->arith_code ? 64 : 1);
}

static void take_markers(image_file *j, const struct jpeg_decompress_struct *d)
{
    for (const struct jpeg_marker_struct *m = d->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && !memcmp(m->data, "Exif\0", 6))
            image_take_exif(j, m->data, m->data_length);
}

/* Ink to light, in place; Adobe's programs store what is left of the light. */
static void to_rgb(image_file *j, bool inverted)
{
    const size_t n = (size_t)j->w * (size_t)j->h;
    const unsigned char *from = j->pixels;
    unsigned char *to = j->pixels;

    for (size_t i = 0; i < n; i++, from += 4) {
        const unsigned black = inverted ? from[3] : 255u - from[3];

        for (int k = 0; k < 3; k++)
            *to++ = (unsigned char)(((inverted ? from[k] : 255u - from[k]) * black + 127) / 255);
    }
    j->planes = 3;
}

static bool take(image_file *j, struct jpeg_decompress_struct *d, bool pixels)
{
    struct jpeg_progress_mgr watch = {.progress_monitor = progress};

    if (setjmp(j->jump))
        return false;
    jpeg_create_decompress(d);
    d->client_data = j;
    d->progress = &watch;
    d->mem->max_memory_to_use = 2L * MAX_BYTES;
    jpeg_stdio_src(d, j->f);
    if (j->rules->orient)
        jpeg_save_markers(d, JPEG_APP0 + 1, 0xffff);
    jpeg_read_header(d, TRUE);
    const bool cmyk = d->jpeg_color_space == JCS_CMYK || d->jpeg_color_space == JCS_YCCK;
    if (d->num_components != 1 && d->num_components != 3 && !cmyk)
        return image_fail(j, "it is neither grey nor of three colours nor CMYK");
    if (!image_holds(j, d->image_width, d->image_height, least_bytes(d)))
        return false;
    if (!image_begin(j, d->image_width, d->image_height, d->num_components == 1 ? 1 : 3, d->num_components, pixels))
        return false;
    take_markers(j, d);
    if (!pixels) {
        j->planes = j->c;
        return true;
    }
    d->out_color_space = cmyk ? JCS_CMYK : j->c == 1 ? JCS_GRAYSCALE : JCS_RGB;
    d->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(d);
    while (d->output_scanline < d->output_height)
        jpeg_read_scanlines(d, j->row + d->output_scanline, 1);
    jpeg_finish_decompress(d);
    if (cmyk)
        to_rgb(j, d->saw_Adobe_marker);
    return true;
}

bool image_read_jpeg(image_file *j, bool pixels)
{
    struct jpeg_decompress_struct d = {0};
    struct jpeg_error_mgr e;

    d.err = jpeg_std_error(&e);
    e.error_exit = failed;
    e.emit_message = warned;
    d.client_data = j;
    const bool ok = take(j, &d, pixels);
    jpeg_destroy_decompress(&d);
    return ok;
}
