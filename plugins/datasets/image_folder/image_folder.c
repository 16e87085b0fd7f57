/* image_folder: the PNG, JPEG and WebP files below a folder, in the order of their names; 8 bits, grey or colour,
 * turned as their EXIF says, over a background where they have alpha. With labels, the class is the subfolder. Sizes
 * may differ: the host resizes. Every file's header is read when the folder is opened, its pixels when they are wanted.
 */
#include "folder.h"
#include "image_file.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static const dm_param params[] = {
    DM_PATH(cfg, folder, NULL, "folder of the train split, read with all folders below, or one image"),
    DM_PATH(cfg, test_folder, "", "folder of the test split; empty = no such split, or a share of folder (split)"),
    DM_REAL(cfg, split, "0", 0, 0.9, "",
            "share of folder that is the test split; an image is in it or not by the hash of its name alone"),
    DM_BOOL(cfg, labels, "false", "label each image by the subfolder of folder that it is in, sorted by name"),
    DM_STRING(cfg, background, "white",
              "what is seen through alpha: white, black, #rrggbb, or none, which takes the hidden colours as they are"),
    DM_BOOL(cfg, orient, "true", "turn images as their EXIF says"),
    DM_BOOL(cfg, webp, "true", "read .webp files too"),
    DM_ENUM(cfg, on_error, "stop", "stop|skip",
            "an image that cannot be read ends training, or is left out, or replaced by the next where only its pixels "
            "tell"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"background", "none"}, {"orient", "false"}, {"webp", "false"}, {NULL, NULL}};

typedef struct state { image_list list; class_list classes; image_rules rules; } state;
enum { MOST_TOLD = 5 };

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

static dm_status read_background(dm_ctx *c, image_rules *r)
{
    const char *text = ((const cfg *)c->cfg)->background;
    bool hex = *text == '#' && strlen(text) == 7;

    r->blend = strcmp(text, "none") != 0;
    if (!r->blend || !strcmp(text, "black"))
        return DM_OK;
    if (!strcmp(text, "white")) {
        memset(r->background, 255, sizeof r->background);
        return DM_OK;
    }
    for (int i = 1; hex && i < 7; i++) {
        const int v = digit(text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] - 'A' + 'a') : text[i]);

        hex = v >= 0;
        r->background[(i - 1) / 2] = (unsigned char)(r->background[(i - 1) / 2] << 4 | (hex ? v : 0));
    }
    return hex ? DM_OK
               : dm_fail(c, DM_EINVAL, "background is '%s'; white, black, none and a colour as #rrggbb are allowed",
                         text);
}

/* Images that cannot be read: where they are left out, the first are named in the log, else in the error, so many. */
typedef struct trouble { int64_t n; bool all, stop; } trouble;

static void tell(dm_ctx *c, const dm_err *why, trouble *t)
{
    if (t->n++ >= MOST_TOLD && !t->all)
        return;
    if (t->stop)
        dm_fail_also(c, why->code, "%s", why->msg);
    else
        c->host->log(c, "left out: %s", why->msg);
}

/* A large folder takes long: that it goes on is said now and then. */
static void tell_progress(dm_ctx *c, int64_t i, int64_t n, time_t *last)
{
    const time_t now = i % 256 ? *last : time(NULL);

    if (now - *last < 5)
        return;
    *last = now;
    c->host->log(c, "looking at images: %lld of %lld", (long long)i, (long long)n);
}

/* The header of each file; those that cannot be read go. */
static dm_status check_files(dm_ctx *c, size_t below, trouble *t, dm_data_info *info)
{
    state *st = c->self;
    image_list *l = &st->list;
    int64_t kept = 0;
    time_t last = time(NULL);

    for (int64_t i = 0; i < l->n; i++) {
        image m = l->image[i];
        dm_err why = {DM_OK, ""};
        dm_ctx own = *c;
        image_file j;

        tell_progress(c, i, l->n, &last);
        own.err = &why;
        if (image_check(&own, m.path, &st->rules, &j)) {
            if (why.code == DM_ENOMEM || why.code == DM_EIO)
                return dm_fail(c, why.code, "%s", why.msg);
            tell(c, &why, t);
            free(m.path);
            continue;
        }
        m.w = j.w, m.h = j.h, m.c = j.c;
        l->image[kept++] = m;
        info->shape.dim[0] = m.c > info->shape.dim[0] ? m.c : info->shape.dim[0];
        info->shape.dim[1] = m.h > info->shape.dim[1] ? m.h : info->shape.dim[1];
        info->shape.dim[2] = m.w > info->shape.dim[2] ? m.w : info->shape.dim[2];
    }
    l->n = kept;
    for (int64_t i = 0; ((const cfg *)c->cfg)->labels && i < kept; i++)
        if (folder_find_class(c, &st->classes, l->image[i].path + below, l->image[i].path, &l->image[i].label))
            return c->err->code;
    return DM_OK;
}

/* What became of the trouble. */
static dm_status judge(dm_ctx *c, const char *dir, const trouble *t, int64_t all, dm_data_info *info)
{
    if (DM_HAS(dm_data_info, info, unreadable))
        info->unreadable = t->n;
    if (t->n && !t->stop)
        c->host->log(c, "%lld of %lld images below '%s' cannot be read and are left out", (long long)t->n,
                     (long long)all, dir);
    if (t->n && t->stop)
        return dm_fail_also(c, DM_ECORRUPT, "%lld of %lld images cannot be read; 'demist check --data' lists all that "
                                            "are damaged, on_error: skip leaves them out",
                            (long long)t->n, (long long)all);
    if (t->n == all)
        return dm_fail(c, DM_ECORRUPT, "none of the %lld images below '%s' can be read", (long long)all, dir);
    return DM_OK;
}

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    const cfg *p = c->cfg;
    const bool test = strcmp(split, "train") != 0, survey = DM_HAS(dm_data_info, info, survey) && info->survey;
    const char *dir = test && *p->test_folder ? p->test_folder : p->folder;
    trouble t = {.all = survey, .stop = p->on_error == ON_ERROR_STOP && !survey};
    state *st = c->self;
    char left[256];
    int64_t all;
    size_t below;                  /* where in a path the part below dir begins */

    if (test && !*p->test_folder && p->split == 0)
        return dm_fail(c, DM_ENOENT, "no test split: neither test_folder nor split is set");
    if (p->split > 0 && *p->test_folder)
        return dm_fail(c, DM_EINVAL, "split is %g, but test_folder names a test split; give one of both", p->split);
    st->rules.orient = p->orient;
    if (read_background(c, &st->rules) || (p->labels && folder_classes(c, p->folder, &st->classes)) ||
        folder_list(c, dir, p->webp, &st->list))
        return c->err->code;
    folder_left_out(&st->list, left, sizeof left);
    if (st->list.n == 0)
        return dm_fail(c, DM_EINVAL, "'%s' has 0 images: no .png, .jpg, .jpeg%s below it%s%s", dir,
                       p->webp ? " or .webp" : "", *left ? ", but " : "", left);
    if (*left && (!test || *p->test_folder))
        c->host->log(c, "left out below '%s', not being PNG, JPEG%s: %s", dir, p->webp ? " or WebP" : "", left);
    below = strcmp(st->list.image[0].path, dir) ? strlen(dir) + 1 : 0;
    if (p->split > 0)
        folder_split(&st->list, below, p->split, test);
    all = st->list.n;
    info->shape.rank = 3;
    if (all && (check_files(c, below, &t, info) || judge(c, dir, &t, all, info)))
        return c->err->code;
    info->count = st->list.n;
    info->classes = st->classes.n;
    info->high = 255;
    info->levels = 256;
    if (DM_HAS(dm_data_info, info, replaces))
        info->replaces = p->on_error == ON_ERROR_SKIP;
    return DM_OK;
}

static dm_status shape_(dm_ctx *c, int64_t index, dm_shape *shape)
{
    const image *m = &((const state *)c->self)->list.image[index];

    *shape = (dm_shape){3, {m->c, m->h, m->w}};
    return DM_OK;
}

static const char *name_(dm_ctx *c, int64_t index) { return ((const state *)c->self)->list.image[index].path; }

static const char *class_name(dm_ctx *c, int32_t label) { return ((const state *)c->self)->classes.name[label]; }

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const state *st = c->self;
    const image *m = &st->list.image[index];
    image_file j;

    if (image_open(c, m->path, &st->rules, true, &j))
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

    folder_list_free(&st->list);
    folder_classes_free(&st->classes);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "image_folder", .version = "2", .license = "Apache-2.0",
    .doc = "the PNG, JPEG and WebP files below a folder", .params = params, .earlier = earlier,
    .cfg_size = sizeof(cfg), .self_size = sizeof(state), .close = close_,
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_, .shape = shape_,
                                   .name = name_, .class_name = class_name}, };
