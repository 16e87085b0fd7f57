/* image_folder: the PNG and JPEG files below a folder, in the order of their names; 8 bits, grey or
 * colour, without alpha. With labels, the class is the subfolder. Sizes may differ: the host resizes.
 * Every file's header is read when the folder is opened, its pixels when they are wanted. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>
#include <jpeglib.h>
#include <png.h>
#include <demist/plugin.h>

typedef struct { const char *folder, *test_folder; bool labels; } cfg;

static const dm_param params[] = {
    DM_PATH(cfg, folder, NULL, "folder of the train split, read with all folders below"),
    DM_PATH(cfg, test_folder, "", "folder of the test split; empty = no such split"),
    DM_BOOL(cfg, labels, "false", "label each image by the subfolder of folder that it is in, sorted by name"),
    DM_END,
};

typedef struct { char *path; int32_t w, h, c, label; } image;
typedef struct { image *image; char **class; int64_t n, cap; int32_t classes; } state;
enum { MAX_SIDE = 16384, MAX_BYTES = 256 << 20, MAX_DEPTH = 16, MAX_SCANS = 200, MAX_IMAGES = 1 << 28 };

/* ---- files ------------------------------------------------------------- */

/* One file being decoded: extents, then pixels with channels last. */
typedef struct { FILE *f; jmp_buf jump; char msg[200]; int32_t w, h,
                c; unsigned char *pixels; unsigned char **row; } job;

static bool fail(job *j, const char *msg)
{
    snprintf(j->msg, sizeof j->msg, "%s", msg);
    return false;
}

/* Checks the extents and makes room, unless only they are wanted. */
static bool make_room(job *j, double w, double h, int32_t c, bool pixels)
{
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE || w * h * c > MAX_BYTES)
        return fail(j, "more than 16384 pixels a side, or 256 MiB in all");
    j->w = (int32_t)w;
    j->h = (int32_t)h;
    j->c = c;
    if (!pixels)
        return true;
    j->pixels = malloc((size_t)j->w * (size_t)j->h * (size_t)c);
    j->row = malloc((size_t)j->h * sizeof *j->row);
    for (int32_t y = 0; j->pixels && j->row && y < j->h; y++)
        j->row[y] = j->pixels + (size_t)y * (size_t)j->w * (size_t)c;
    return (j->pixels && j->row) || fail(j, "out of memory");
}

static void png_failed(png_structp png, png_const_charp msg)
{
    job *j = png_get_error_ptr(png);

    fail(j, msg);
    longjmp(j->jump, 1);
}

static void png_warned(png_structp png, png_const_charp msg) { (void)png, (void)msg; }

static bool take_png(job *j, png_structp png, png_infop info, bool pixels)
{
    if (setjmp(j->jump))
        return false;
    png_set_user_limits(png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_cache_max(png, 100);
    png_set_chunk_malloc_max(png, 8 << 20);
    png_init_io(png, j->f);
    png_read_info(png, info);
    const bool colour = png_get_color_type(png, info) & PNG_COLOR_MASK_COLOR;
    if (!make_room(j, png_get_image_width(png, info), png_get_image_height(png, info), colour ? 3 : 1, pixels))
        return false;
    if (!pixels)
        return true;
    png_set_expand(png);
    png_set_scale_16(png);
    png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
    if (png_get_rowbytes(png, info) != (size_t)j->w * (size_t)j->c)
        return fail(j, "pixels of a kind that is not known");
    png_read_image(png, j->row);
    png_read_end(png, NULL);
    return true;
}

static bool read_png(job *j, bool pixels)
{
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, j, png_failed, png_warned);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    const bool ok = info ? take_png(j, png, info, pixels) : fail(j, "out of memory");

    png_destroy_read_struct(&png, &info, NULL);
    return ok;
}

static void jpeg_failed(j_common_ptr d)
{
    job *j = d->client_data;
    char msg[JMSG_LENGTH_MAX];

    d->err->format_message(d, msg);
    fail(j, msg);
    longjmp(j->jump, 1);
}

static void jpeg_warned(j_common_ptr d, int level)
{
    if (level < 0) /* data is damaged or ends early */
        jpeg_failed(d);
}

/* A small file may ask for thousands of passes over a large image. */
static void jpeg_progress(j_common_ptr d)
{
    if (d->is_decompressor && ((j_decompress_ptr)d)->input_scan_number > MAX_SCANS) {
        fail(d->client_data, "too many scans");
        longjmp(((job *)d->client_data)->jump, 1);
    }
}

static bool take_jpeg(job *j, struct jpeg_decompress_struct *d, bool pixels)
{
    struct jpeg_progress_mgr progress = {.progress_monitor = jpeg_progress};

    if (setjmp(j->jump))
        return false;
    jpeg_create_decompress(d);
    d->client_data = j;
    d->progress = &progress;
    d->mem->max_memory_to_use = 2L * MAX_BYTES;
    jpeg_stdio_src(d, j->f);
    jpeg_read_header(d, TRUE);
    if (d->num_components != 1 && d->num_components != 3)
        return fail(j, "neither grey nor three colours");
    if (!make_room(j, d->image_width, d->image_height, d->num_components, pixels))
        return false;
    if (!pixels)
        return true;
    d->out_color_space = j->c == 1 ? JCS_GRAYSCALE : JCS_RGB;
    d->dct_method = JDCT_ISLOW;
    jpeg_start_decompress(d);
    while (d->output_scanline < d->output_height)
        jpeg_read_scanlines(d, j->row + d->output_scanline, 1);
    jpeg_finish_decompress(d);
    return true;
}

static bool read_jpeg(job *j, bool pixels)
{
    struct jpeg_decompress_struct d = {0};
    struct jpeg_error_mgr e;

    d.err = jpeg_std_error(&e);
    e.error_exit = jpeg_failed;
    e.emit_message = jpeg_warned;
    d.client_data = j;
    const bool ok = take_jpeg(j, &d, pixels);
    jpeg_destroy_decompress(&d);
    return ok;
}

/* Extents, and pixels if wanted, which the caller frees. */
static dm_status decode(dm_ctx *c, const char *path, job *j, bool pixels)
{
    unsigned char b[4] = {0};
    struct stat st;
    bool ok;

    memset(j, 0, sizeof *j);
    if (stat(path, &st) || !S_ISREG(st.st_mode) || !(j->f = fopen(path, "rb")))
        return dm_fail(c, DM_EIO, "unable to open '%s'", path);
    ok = fread(b, 1, 4, j->f) == 4 && fseek(j->f, 0, SEEK_SET) == 0;
    if (ok && memcmp(b, "\x89PNG", 4) == 0)
        ok = read_png(j, pixels);
    else if (ok && b[0] == 0xff && b[1] == 0xd8)
        ok = read_jpeg(j, pixels);
    else
        ok = fail(j, "neither PNG nor JPEG");
    fclose(j->f);
    free(j->row);
    if (!ok)
        free(j->pixels);
    return ok ? DM_OK : dm_fail(c, DM_ECORRUPT, "'%s' is no image that can be read: %s", path, j->msg);
}

/* ---- folders ----------------------------------------------------------- */

static bool has_image_name(const char *name)
{
    const char *dot = strrchr(name, '.');

    return dot && (!strcasecmp(dot, ".png") || !strcasecmp(dot, ".jpg") || !strcasecmp(dot, ".jpeg"));
}

static char *join(const char *a, const char *b)
{
    const size_t n = strlen(a) + strlen(b) + 2;
    char *p = malloc(n);

    if (p)
        snprintf(p, n, "%s/%s", a, b);
    return p;
}

/* Takes the path. */
static dm_status add_image(dm_ctx *c, char *path)
{
    state *st = c->self;

    if (st->n == st->cap) {
        const int64_t cap = st->cap ? st->cap * 2 : 1024;
        image *more = cap <= MAX_IMAGES ? realloc(st->image, (size_t)cap * sizeof *more) : NULL;

        if (!more) {
            free(path);
            return dm_fail(c, DM_ENOMEM, "out of memory: more than %lld images", (long long)st->n);
        }
        st->image = more;
        st->cap = cap;
    }
    st->image[st->n++] = (image){.path = path};
    return DM_OK;
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }
static int by_path(const void *a, const void *b) { return strcmp(((const image *)a)->path, ((const image *)b)->path); }

/* Adds all images below dir; hidden files and folders are left out. */
static dm_status walk(dm_ctx *c, const char *dir, int depth)
{
    DIR *d = opendir(dir);
    dm_status s = DM_OK;
    struct stat sb;

    if (!d)
        return dm_fail(c, DM_EINVAL, "unable to read folder '%s'", dir);
    for (struct dirent *e; !s && (e = readdir(d));) {
        char *path;

        if (e->d_name[0] == '.')
            continue;
        if (!(path = join(dir, e->d_name)))
            s = dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", dir);
        else if (has_image_name(e->d_name) && stat(path, &sb) == 0 && S_ISREG(sb.st_mode))
            s = add_image(c, path), path = NULL;
        else if (stat(path, &sb) == 0 && S_ISDIR(sb.st_mode))
            s = depth < MAX_DEPTH ? walk(c, path, depth + 1)
                                  : dm_fail(c, DM_EINVAL, "'%s' is more than %d folders deep", path, MAX_DEPTH);
        free(path);
    }
    closedir(d);
    return s;
}

/* The subfolders of dir, sorted: the classes. */
static dm_status list_classes(dm_ctx *c, const char *dir)
{
    DIR *d = opendir(dir);
    state *st = c->self;
    dm_status s = DM_OK;
    struct stat sb;

    if (!d)
        return dm_fail(c, DM_EINVAL, "unable to read folder '%s'", dir);
    for (struct dirent *e; !s && (e = readdir(d));) {
        char *path = join(dir, e->d_name), **more;

        if (path && e->d_name[0] != '.' && stat(path, &sb) == 0 && S_ISDIR(sb.st_mode)) {
            more = realloc(st->class, (size_t)(st->classes + 1) * sizeof *more);
            st->class = more ? more : st->class;
            if (more && (more[st->classes] = strdup(e->d_name)))
                st->classes++;
            else
                s = dm_fail(c, DM_ENOMEM, "out of memory: names in '%s'", dir);
        }
        free(path);
    }
    closedir(d);
    if (!s && st->classes == 0)
        return dm_fail(c, DM_EINVAL, "labels: true, but '%s' has no subfolders", dir);
    if (!s)
        qsort(st->class, (size_t)st->classes, sizeof *st->class, by_name);
    return s;
}

/* The class of an image whose path goes on with `below`. */
static dm_status find_class(dm_ctx *c, const char *below, const char *path, int32_t *label)
{
    const state *st = c->self;
    const size_t n = strcspn(below, "/");

    for (int32_t i = 0; below[n] && i < st->classes; i++)
        if (strlen(st->class[i]) == n && memcmp(st->class[i], below, n) == 0) {
            *label = i;
            return DM_OK;
        }
    return dm_fail(c, DM_EINVAL, "labels: true, but '%s' is in no subfolder of '%s'", path,
                   ((const cfg *)c->cfg)->folder);
}

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    const cfg *p = c->cfg;
    const char *dir = strcmp(split, "train") ? p->test_folder : p->folder;
    state *st = c->self;
    job j;

    if (!*dir)
        return dm_fail(c, DM_ENOENT, "no test split: test_folder is not set");
    if ((p->labels && list_classes(c, p->folder)) || walk(c, dir, 0))
        return c->err->code;
    if (st->n == 0)
        return dm_fail(c, DM_EINVAL, "'%s' has 0 images: no .png, .jpg or .jpeg below it", dir);
    qsort(st->image, (size_t)st->n, sizeof *st->image, by_path);
    info->shape.rank = 3;
    for (int64_t i = 0; i < st->n; i++) {
        image *m = &st->image[i];

        if (decode(c, m->path, &j, false) || (p->labels && find_class(c, m->path + strlen(dir) + 1, m->path,
                                                                      &m->label)))
            return c->err->code;
        m->w = j.w, m->h = j.h, m->c = j.c;
        info->shape.dim[0] = m->c > info->shape.dim[0] ? m->c : info->shape.dim[0];
        info->shape.dim[1] = m->h > info->shape.dim[1] ? m->h : info->shape.dim[1];
        info->shape.dim[2] = m->w > info->shape.dim[2] ? m->w : info->shape.dim[2];
    }
    info->count = st->n;
    info->classes = st->classes;
    info->high = 255;
    info->levels = 256;
    return DM_OK;
}

static dm_status shape_(dm_ctx *c, int64_t index, dm_shape *shape)
{
    const image *m = &((const state *)c->self)->image[index];

    *shape = (dm_shape){3, {m->c, m->h, m->w}};
    return DM_OK;
}

static const char *name_(dm_ctx *c, int64_t index) { return ((const state *)c->self)->image[index].path; }

static const char *class_name(dm_ctx *c, int32_t label) { return ((const state *)c->self)->class[label]; }

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const image *m = &((const state *)c->self)->image[index];
    job j;

    if (decode(c, m->path, &j, true))
        return c->err->code;
    if (j.w != m->w || j.h != m->h || j.c != m->c) {
        free(j.pixels);
        return dm_fail(c, DM_ECORRUPT, "'%s' has changed since the folder was opened", m->path);
    }
    const size_t plane = (size_t)m->w * (size_t)m->h, channels = (size_t)m->c;
    for (size_t k = 0; k < channels; k++)
        for (size_t i = 0; i < plane; i++)
            *x++ = j.pixels[i * channels + k];
    free(j.pixels);
    if (label)
        *label = m->label;
    return DM_OK;
}

static void close_(dm_ctx *c)
{
    state *st = c->self;

    for (int64_t i = 0; i < st->n; i++)
        free(st->image[i].path);
    for (int32_t i = 0; i < st->classes; i++)
        free(st->class[i]);
    free(st->image);
    free(st->class);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "image_folder", .version = "1", .license = "Apache-2.0",
    .doc = "the PNG and JPEG files below a folder", .params = params,
    .cfg_size = sizeof(cfg), .self_size = sizeof(state), .close = close_,
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_, .shape = shape_,
                                   .name = name_, .class_name = class_name}, };
