/* image_folder: the PNG, JPEG and WebP files below a folder or in an archive, in the order of their names; 8 bits, grey
 * or colour, turned as their EXIF says, over a background where they have alpha. Sizes may differ: the host resizes.
 * Every file's header is read when the folder is opened, its pixels when they are wanted. A class, numbers and an image
 * of the same name in another folder may be told with each.
 */
#include "labels.h"
#include "pairs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

static const dm_param params[] = {
    DM_PATH(cfg, folder, NULL,
            "folder of the train split, read with all folders below, or a .zip or .tar file of images, or one image"),
    DM_PATH(cfg, test_folder, "", "folder of the test split; empty = no test split, or a share of folder (split)"),
    DM_REAL(cfg, split, "0", 0, 0.9, "",
            "share of folder that is the test split; the hash of an image's name decides"),
    DM_BOOL(cfg, labels, "false",
            "label each image by the subfolder of folder that it is in, sorted by name; in an archive by "
            "its dataset.json or .cls files, if it has them"),
    DM_PATH(cfg, table, "",
            "CSV file with columns file, class (optional), and numbers, which are the vector; or a dataset.json"),
    DM_PATH(cfg, test_table, "", "the same for test_folder"),
    DM_STRING(cfg, columns, "",
              "the table's columns that are numbers, separated by commas; empty = all but file and class"),
    DM_PATH(cfg, paired_folder, "",
            "folder or archive with an image of the same name for each, which becomes its condition"),
    DM_PATH(cfg, test_paired_folder, "", "the same for test_folder"),
    DM_STRING(cfg, background, "white",
              "colour behind transparent pixels: white, black, #rrggbb, or none, which takes the hidden colours as "
              "they are"),
    DM_BOOL(cfg, orient, "true", "turn images as their EXIF says"),
    DM_BOOL(cfg, webp, "true", "read .webp files too"),
    DM_BOOL(cfg, links, "true",
            "follow symbolic links; false skips them, so that an image with several names counts once"),
    DM_ENUM(cfg, on_error, "stop", "stop|skip",
            "an unreadable image ends training (stop), or is left out, or replaced by the next if only its pixels "
            "show it (skip)"),
    DM_END,
};

/* What runs of before had. */
static const dm_earlier earlier[] = {{"background", "none"}, {"orient", "false"}, {"webp", "false"}, {NULL, NULL}};

typedef struct state {
    source images, pairs;
    class_list classes;
    table table;
    image_rules rules;
    int32_t vector, pair;          /* which of the conditions they are; -1: they are not told */
} state;
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

/* The header of an image, and of what it is paired with. */
static dm_status check_image(dm_ctx *c, image *m)
{
    state *st = c->self;
    image_file j;

    if (source_check(c, &st->images, m, &st->rules, &j))
        return c->err->code;
    m->w = j.w, m->h = j.h, m->c = j.c;
    return m->pair < 0 ? DM_OK : pairs_check(c, &st->pairs, m->pair, &st->rules);
}

/* Those that cannot be read go. */
static dm_status check_files(dm_ctx *c, trouble *t, dm_data_info *info)
{
    state *st = c->self;
    image_list *l = &st->images.list;
    int64_t kept = 0;
    time_t last = time(NULL);

    for (int64_t i = 0; i < l->n; i++) {
        image m = l->image[i];
        dm_err why = {DM_OK, ""};
        dm_ctx own = *c;

        tell_progress(c, i, l->n, &last);
        own.err = &why;
        if (check_image(&own, &m)) {
            if (why.code == DM_ENOMEM || why.code == DM_EIO)
                return dm_fail(c, why.code, "%s", why.msg);
            tell(c, &why, t);
            folder_forget(&l->image[i]);
            l->image[i] = (image){.path = NULL};
            continue;
        }
        l->image[i] = (image){.path = NULL};
        l->image[kept++] = m;
        info->shape.dim[0] = m.c > info->shape.dim[0] ? m.c : info->shape.dim[0];
        info->shape.dim[1] = m.h > info->shape.dim[1] ? m.h : info->shape.dim[1];
        info->shape.dim[2] = m.w > info->shape.dim[2] ? m.w : info->shape.dim[2];
    }
    l->n = kept;
    return *((const cfg *)c->cfg)->paired_folder ? pairs_same_size(c, &st->pairs, l) : DM_OK;
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

/* A test split has a folder of its own, or a share of the only one. */
static bool has_own_folder(const cfg *p, bool test) { return test && *p->test_folder; }

/* What belongs to the test split's own folder must be given too, where the train split has it. */
static dm_status check_settings(dm_ctx *c, bool test)
{
    const cfg *p = c->cfg;

    if (test && !*p->test_folder && p->split == 0)
        return dm_fail(c, DM_ENOENT, "no test split: neither test_folder nor split is set");
    if (p->split > 0 && *p->test_folder)
        return dm_fail(c, DM_EINVAL, "split is %g, but test_folder names a test split; give one of both", p->split);
    if (*p->columns && !*p->table)
        return dm_fail(c, DM_EINVAL, "columns: there is no table; set table");
    if (has_own_folder(p, test) && *p->table && !*p->test_table)
        return dm_fail(c, DM_ENOENT, "no test split: test_table is not set");
    if (has_own_folder(p, test) && *p->paired_folder && !*p->test_paired_folder)
        return dm_fail(c, DM_ENOENT, "no test split: test_paired_folder is not set");
    return DM_OK;
}

static list_rules listing(const cfg *p) { return (list_rules){.webp = p->webp, .links = p->links}; }

static dm_status list_images(dm_ctx *c, bool test)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const image_list *l = &st->images.list;
    const char *dir = has_own_folder(p, test) ? p->test_folder : p->folder;
    const list_rules rules = listing(p);
    char left[256], links[64] = "";

    if (source_list(c, dir, &rules, &st->images))
        return c->err->code;
    folder_left_out(l, left, sizeof left);
    if (l->links)
        snprintf(links, sizeof links, "%lld symbolic link%s (links is false)", (long long)l->links,
                 l->links == 1 ? "" : "s");
    if (l->n == 0)
        return dm_fail(c, DM_EINVAL, "'%s' has 0 images: no .png, .jpg, .jpeg%s below it%s%s%s%s", dir,
                       p->webp ? " or .webp" : "", *left || *links ? ", but " : "", left,
                       *left && *links ? " and " : "", links);
    if (*links && (!test || *p->test_folder))
        c->host->log(c, "left out below '%s': %s", dir, links);
    if (*left && (!test || *p->test_folder))
        c->host->log(c, "left out below '%s', not being PNG, JPEG%s: %s", dir, p->webp ? " or WebP" : "", left);
    return DM_OK;
}

/* The classes of the train split, where the test split's folder is another: a folder's subfolders tell them. */
static dm_status list_classes(dm_ctx *c)
{
    const cfg *p = c->cfg;
    state *st = c->self;
    const list_rules rules = listing(p);
    source train = {.dir = p->folder, .labels = -1};
    table t = {0};
    struct stat sb;
    dm_status s = *p->table ? table_open(c, p->table, p->columns, &t) : DM_OK;

    if (!s && (t.classes || stat(p->folder, &sb) || !S_ISDIR(sb.st_mode)) &&
        !(s = source_list(c, p->folder, &rules, &train)))
        s = labels_read(c, &train, &t);
    if (!s)
        s = labels_list(c, &train, &t, &st->classes);
    source_free(&train);
    table_close(&t);
    return s;
}

static dm_status read_labels(dm_ctx *c, bool test)
{
    const cfg *p = c->cfg;
    const bool own = has_own_folder(p, test);
    state *st = c->self;
    dm_status s;

    if ((*p->table && table_open(c, own ? p->test_table : p->table, p->columns, &st->table)) ||
        labels_read(c, &st->images, &st->table))
        return c->err->code;
    if (!st->images.list.image[0].class)
        return DM_OK;
    s = own ? list_classes(c) : labels_list(c, &st->images, &st->table, &st->classes);
    return s ? s : labels_number(c, &st->classes, &st->images);
}

static dm_status match_pairs(dm_ctx *c, bool test)
{
    const cfg *p = c->cfg;
    const list_rules rules = listing(p);
    state *st = c->self;

    if (!*p->paired_folder)
        return DM_OK;
    if (source_list(c, has_own_folder(p, test) ? p->test_paired_folder : p->paired_folder, &rules, &st->pairs))
        return c->err->code;
    return pairs_match(c, &st->images, &st->pairs);
}

/* What is told of an image besides its class. */
static void add_conditions(const cfg *p, state *st, dm_data_info *info)
{
    const image *first = st->images.list.n ? &st->images.list.image[0] : NULL;

    st->vector = st->pair = -1;
    if (st->table.path && st->table.width) {
        st->vector = info->n_conditions++;
        info->conditions[st->vector] =
            (dm_condition){.name = "vector", .kind = DM_CONDITION_VECTOR, .shape = {1, {st->table.width}}};
    }
    if (*p->paired_folder && first) {
        const image *m = &st->pairs.list.image[first->pair];

        st->pair = info->n_conditions++;
        info->conditions[st->pair] =
            (dm_condition){.name = "image", .kind = DM_CONDITION_IMAGE, .shape = {3, {m->c, m->h, m->w}}};
    }
}

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    const cfg *p = c->cfg;
    const bool test = strcmp(split, "train") != 0, survey = DM_HAS(dm_data_info, info, survey) && info->survey;
    trouble t = {.all = survey, .stop = p->on_error == ON_ERROR_STOP && !survey};
    state *st = c->self;
    int64_t all;

    st->rules.orient = p->orient;
    if (check_settings(c, test) || read_background(c, &st->rules) || list_images(c, test) || read_labels(c, test) ||
        match_pairs(c, test))
        return c->err->code;
    if (p->split > 0)
        folder_split(&st->images.list, st->images.below, p->split, test);
    all = st->images.list.n;
    info->shape.rank = 3;
    if (all && (check_files(c, &t, info) || judge(c, st->images.dir, &t, all, info)))
        return c->err->code;
    add_conditions(p, st, info);
    info->count = st->images.list.n;
    info->classes = st->classes.n;
    info->high = 255;
    info->levels = 256;
    if (DM_HAS(dm_data_info, info, replaces))
        info->replaces = p->on_error == ON_ERROR_SKIP;
    return DM_OK;
}

static const image *image_at(const dm_ctx *c, int64_t index)
{
    return &((const state *)c->self)->images.list.image[index];
}

static dm_status shape_(dm_ctx *c, int64_t index, dm_shape *shape)
{
    const image *m = image_at(c, index);

    *shape = (dm_shape){3, {m->c, m->h, m->w}};
    return DM_OK;
}

static const char *name_(dm_ctx *c, int64_t index) { return image_at(c, index)->path; }

static const char *class_name(dm_ctx *c, int32_t label)
{
    const state *st = c->self;

    return st->classes.name ? st->classes.name[label] : NULL;
}

/* Its pixels, channel after channel. */
static dm_status read_planes(dm_ctx *c, const source *s, const image *m, float *x)
{
    image_file j;

    if (source_read(c, s, m, &((const state *)c->self)->rules, &j))
        return c->err->code;
    const size_t plane = (size_t)m->w * (size_t)m->h, channels = (size_t)m->c;
    for (size_t k = 0; k < channels; k++)
        for (size_t i = 0; i < plane; i++)
            *x++ = j.pixels[i * channels + k];
    free(j.pixels);
    return DM_OK;
}

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const image *m = image_at(c, index);

    if (read_planes(c, &((const state *)c->self)->images, m, x))
        return c->err->code;
    if (label)
        *label = m->label;
    return DM_OK;
}

static dm_status read_condition(dm_ctx *c, int64_t index, int32_t k, float *x, int64_t *rows)
{
    const state *st = c->self;
    const image *m = image_at(c, index), *pair = m->pair < 0 ? NULL : &st->pairs.list.image[m->pair];
    const table *t = &st->table;

    (void)rows;
    if (k == st->vector) {
        memcpy(x, t->numbers + t->row[m->row].number, (size_t)t->width * sizeof *x);
        return DM_OK;
    }
    if (read_planes(c, &st->pairs, pair, x))
        return c->err->code;
    for (size_t i = 0; i < (size_t)pair->w * (size_t)pair->h * (size_t)pair->c; i++)
        x[i] = x[i] / 127.5f - 1;
    return DM_OK;
}

static void close_(dm_ctx *c)
{
    state *st = c->self;

    source_free(&st->images);
    source_free(&st->pairs);
    labels_free(&st->classes);
    table_close(&st->table);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "image_folder", .version = "2", .license = "Apache-2.0",
    .doc = "the PNG, JPEG and WebP files below a folder or in an archive", .params = params, .earlier = earlier,
    .cfg_size = sizeof(cfg), .self_size = sizeof(state), .close = close_,
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_, .shape = shape_,
                                   .name = name_, .class_name = class_name,
                                   .read_condition = read_condition},
};
