/* What each template says; see init.h. */
#include "init/init.h"

#include <assert.h>
#include <string.h>

#include "base/error.h"

enum { LEAST_SIDE = 4, ATTENDED = 16 }; /* of the coarsest level; at most of one with attention (Ho et al. 2020) */

/* How large images and networks are. */
typedef struct scale {
    int64_t side, without;         /* the largest that images are kept at; where it is not known what they are */
    int levels;                    /* of the U-Net, at most */
    const char *first, *other;     /* channels of the finest level, of those below */
    bool attends;
} scale;
static const scale small_scale = {64, 32, 4, "32", "64", false}, base_scale = {128, 32, 6, "128", "256", true};

/* A small network that gives something to look at within minutes on a CPU. */
static const init_value small_values[] = {
    {DM_SEC_NETWORK, "layers", "1"}, {DM_SEC_NETWORK, "groups", "8"}, {DM_SEC_NETWORK, "dropout", "0"},
    {DM_SEC_TRAIN, "steps", "3000"}, {DM_SEC_TRAIN, "lr", "1e-3"}, {DM_SEC_TRAIN, "warmup", "100"},
    {DM_SEC_TRAIN, "decay", "cosine"}, {DM_SEC_TRAIN, "ema", "[0.995]"}, {DM_SEC_TRAIN, "save_every", "500"},
    {DM_SEC_TRAIN, "sample_every", "500"}, {0}};
/* Ho et al. 2020's network and learning rate. */
static const init_value base_values[] = {
    {DM_SEC_TRAIN, "steps", "100000"}, {DM_SEC_TRAIN, "warmup", "1000"}, {DM_SEC_TRAIN, "log_every", "50"},
    {DM_SEC_TRAIN, "sample_every", "1000"}, {0}};
static const init_value classes_values[] = {
    {DM_SEC_DATA, "labels", "true"}, {DM_SEC_NETWORK, "class_embed", "table"},
    {DM_SEC_TRAIN, "drop_condition", "[0.1]"}, {0}};
static const init_value points_values[] = {
    {DM_SEC_TRAIN, "steps", "3000"}, {DM_SEC_TRAIN, "batch", "256"}, {DM_SEC_TRAIN, "lr", "3e-3"},
    {DM_SEC_TRAIN, "warmup", "50"}, {DM_SEC_TRAIN, "decay", "cosine"}, {DM_SEC_TRAIN, "ema", "[0.995]"}, {0}};

static void add(init_experiment *e, dm_section_id section, const char *key, const char *value)
{
    assert(e->n < INIT_MOST_VALUES);
    e->value[e->n++] = (init_value){section, key, value};
}

static void add_all(init_experiment *e, const init_value *v)
{
    for (; v->key; v++)
        add(e, v->section, v->key, v->value);
}

/* Levels that halve both sides without a rest, the coarsest not below LEAST_SIDE. */
static int levels_of(int64_t h, int64_t w, int most)
{
    int n = 1;

    for (; n < most && h % 2 == 0 && w % 2 == 0 && (h < w ? h : w) / 2 >= LEAST_SIDE; n++)
        h /= 2, w /= 2;
    return n;
}

static dm_status add_network(init_experiment *e, const scale *s, int64_t h, int64_t w, dm_arena *a, dm_err *err)
{
    const int n = levels_of(h, w, s->levels);
    const char *channels = s->first, *attend = "";

    for (int l = 0; l < n && channels && attend; l++) {
        const int64_t side = (h < w ? h : w) >> l;
        const bool attends = s->attends && side <= ATTENDED && side > ATTENDED / 2;

        channels = l ? dm_sprintf(a, "%s, %s", channels, s->other) : channels;
        attend = dm_sprintf(a, "%s%s%d", attend, l ? ", " : "", attends);
    }
    channels = channels ? dm_sprintf(a, "[%s]", channels) : NULL;
    attend = attend ? dm_sprintf(a, "[%s]", attend) : NULL;
    if (!channels || !attend)
        return dm_error(err, DM_ENOMEM, "out of memory for an experiment");
    add(e, DM_SEC_NETWORK, "channels", channels);
    add(e, DM_SEC_NETWORK, "attend", attend);
    return DM_OK;
}

/* The side of a square to cut images to: about theirs, of which three levels can be made. */
static int64_t square_of(const init_images *i, const scale *s)
{
    const int64_t side = (i->side + 4) / 8 * 8;

    return side < 8 ? 8 : side > s->side ? s->side : side;
}

/* Images of one size that a U-Net can halve twice stay as they are, up to a side; else a square is cut from them. */
static dm_status add_images(init_experiment *e, const scale *s, const init_images *i, dm_arena *a, dm_err *err)
{
    int64_t h = s->without, w = s->without;
    bool crop = true;

    if (i) {
        crop = i->least[0] != i->most[0] || i->least[1] != i->most[1] || i->most[0] > s->side || i->most[1] > s->side ||
               levels_of(i->most[0], i->most[1], 3) < 3;
        h = crop ? square_of(i, s) : i->most[0];
        w = crop ? h : i->most[1];
    }
    const char *size = h == w ? dm_sprintf(a, "[%lld]", (long long)h)
                              : dm_sprintf(a, "[%lld, %lld]", (long long)h, (long long)w);
    if (!size)
        return dm_error(err, DM_ENOMEM, "out of memory for an experiment");
    add(e, DM_SEC_DATA, "size", size);
    add(e, DM_SEC_DATA, "crop", crop ? "center" : "none");
    add(e, DM_SEC_DATA, "channels", i && i->channels == 1 ? "1" : "3");
    return add_network(e, s, h, w, a, err);
}

dm_status init_template(const char *template, const char *name, const init_images *images, const char *folder,
                        dm_arena *a, init_experiment *out, dm_err *err)
{
    const bool points = !strcmp(template, "points"), base = !strcmp(template, "base");
    init_experiment *e = out;

    *e = (init_experiment){{[DM_SEC_DATA] = points ? "toy2d" : "image_folder",
                            [DM_SEC_SCHEDULE] = points ? "linear" : "cosine",
                            [DM_SEC_NETWORK] = points ? "mlp" : "unet",
                            [DM_SEC_OBJECTIVE] = "simple",
                            [DM_SEC_SAMPLER] = points ? "ddim" : "ddpm"}, .n = 0};
    add(e, DM_SEC_RUN, "name", name);
    if (points) {
        add_all(e, points_values);
        return DM_OK;
    }
    add(e, DM_SEC_OBJECTIVE, "predict", "v");
    add_all(e, base ? base_values : small_values);
    if (!strcmp(template, "classes")) {
        e->use[DM_SEC_GUIDANCE] = "cfg";
        add_all(e, classes_values);
    }
    if (folder)
        add(e, DM_SEC_DATA, "folder", folder);
    if (images && images->unreadable)
        add(e, DM_SEC_DATA, "on_error", "skip");
    if (images && !(e->about = init_images_text(images, a)))
        return dm_error(err, DM_ENOMEM, "out of memory for an experiment");
    return add_images(e, base ? &base_scale : &small_scale, images, a, err);
}
