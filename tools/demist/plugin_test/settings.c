/* Settings of the plugin under test, and data for them; see settings.h. */
#include "plugin_test/settings.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "device/tensor.h"

const plugin_test_data plugin_test_datas[] = {
    {"points f32[2]", {1, {2, 1, 1, 1, 1, 1, 1, 1}}, 0, 0},
    {"points f32[2] of 2 classes", {1, {2, 1, 1, 1, 1, 1, 1, 1}}, 2, 0},
    {"points of 256 levels", {1, {2, 1, 1, 1, 1, 1, 1, 1}}, 0, 256},
    {"images f32[1,16,16]", {3, {1, 16, 16, 1, 1, 1, 1, 1}}, 0, 0},
    {"images f32[3,32,32]", {3, {3, 32, 32, 1, 1, 1, 1, 1}}, 0, 0},
    {"images of 2 classes", {3, {1, 16, 16, 1, 1, 1, 1, 1}}, 2, 256},
    {"images f32[2,12,20]", {3, {2, 12, 20, 1, 1, 1, 1, 1}}, 0, 0},
    {"images f32[1,11,7]", {3, {1, 11, 7, 1, 1, 1, 1, 1}}, 0, 0},
    {NULL, {0, {0}}, 0, 0}};

dm_data_info plugin_test_info(const plugin_test_data *d)
{
    const double end = d->levels ? 1 : 0;

    return (dm_data_info){.size = sizeof(dm_data_info), .count = 64, .shape = d->shape, .classes = d->classes,
                          .levels = d->levels, .low = -end, .high = end};
}

const char *plugin_test_show(plugin_test *t, const char *const *changes)
{
    const char *all = "";

    for (; *changes && all; changes++)
        all = dm_sprintf(t->arena, "%s%s%s", all, *all ? " " : "", *changes);
    return !all ? "?" : *all ? all : "its defaults";
}

const char *const *plugin_test_both(plugin_test *t, const char *const *a, const char *const *b)
{
    size_t n = 0, m = 0;
    const char **both;

    while (a[n])
        n++;
    while (b[m])
        m++;
    if (!(both = dm_alloc_n(t->arena, n + m + 1, sizeof *both)))
        return NULL;
    memcpy((void *)both, (const void *)a, n * sizeof *a);
    memcpy((void *)(both + n), (const void *)b, m * sizeof *b);
    return both;
}

static dm_status examine(plugin_test *t, const char *const *changes, const dm_data_info *data, const char **why,
                         dm_err *err)
{
    const char *text;
    dm_session s;
    const dm_status rc = plugin_test_examine(t, changes, data, &s, &text, err);

    dm_session_fini(&s);
    *why = strstr(text, "error: device: ") == strstr(text, "error: ") && *text ? "" : plugin_test_reason(t, text);
    return rc;
}

static bool gives_data(const plugin_test *t)
{
    bool given = false;

    for (int i = 0; i < t->n_given; i++)
        given |= !strncmp(t->given[i], "data.", 5);
    return given && t->kind != DM_KIND_DATASET;
}

const plugin_test_data *plugin_test_list(plugin_test *t)
{
    plugin_test_data *own;
    const char *text;
    dm_session s;
    dm_err err = {0};

    if (!gives_data(t))
        return plugin_test_datas;
    if (t->datas)
        return t->datas;
    if (!(own = dm_alloc_n(t->arena, 2, sizeof *own))) {
        plugin_test_fail(t, "out of memory");
        return NULL;
    }
    if (plugin_test_examine(t, PLUGIN_TEST_AS_IT_IS, NULL, &s, &text, &err) || s.data.shape.rank < 1)
        plugin_test_fail(t, "the data that were given: %s", err.code ? err.msg : plugin_test_reason(t, text));
    else if ((own->name = dm_sprintf(t->arena, "the data that were given, f32[%s]",
                                     dm_shape_show(&s.data.shape).text)) != NULL) {
        own->shape = s.data.shape;
        own->classes = s.data.classes;
        own->levels = s.data.levels;
        t->datas = own;
    }
    dm_session_fini(&s);
    return t->datas;
}

const char *plugin_test_add_reason(plugin_test *t, const char *said, const plugin_test_data *d, const char *why)
{
    return strstr(said, why) ? said : dm_sprintf(t->arena, "%s%s%s: %s", said, *said ? "; " : "", d->name, why);
}

const plugin_test_data *plugin_test_taken(plugin_test *t, const char *const *changes, const char **why, dm_err *err)
{
    const plugin_test_data *d = plugin_test_list(t);
    const char *said = "";

    *why = "its data cannot be read";
    for (; d && d->name; d++) {
        const dm_data_info data = plugin_test_info(d);

        if (examine(t, changes, &data, why, err))
            return NULL;
        if (!**why)
            return d;
        if (!(said = plugin_test_add_reason(t, said, d, *why))) {
            dm_error(err, DM_ENOMEM, "out of memory");
            return NULL;
        }
    }
    if (*said)
        *why = said;
    return NULL;
}

bool plugin_test_refused(plugin_test *t, const plugin_test_data *d, const char **why, dm_err *err)
{
    const dm_data_info data = plugin_test_info(d);

    return examine(t, PLUGIN_TEST_AS_IT_IS, &data, why, err) || **why;
}

/* With a network for points, or else one for images. */
static dm_status examine_data(plugin_test *t, const char *const *changes, const char **why, dm_err *err)
{
    static const char *const networks[][6] = {
        {"network.use=mlp"},
        {"network.use=unet", "network.channels=[8]", "network.attend=[0]", "network.layers=1", "network.groups=4"}};
    const char *const *all;
    dm_status rc = DM_OK;

    for (int k = 0; k < 2 && !rc && (!k || strstr(*why, "is for points")); k++)
        rc = (all = plugin_test_both(t, changes, networks[k])) ? examine(t, all, NULL, why, err)
                                                                : dm_error(err, DM_ENOMEM, "out of memory");
    return rc;
}

dm_status plugin_test_try(plugin_test *t, const char *const *changes, plugin_test_setting *s, const char **why,
                          dm_err *err)
{
    const dm_data_info points = {.size = sizeof points, .count = 64, .shape = plugin_test_datas[0].shape,
                                 .classes = t->kind == DM_KIND_GUIDANCE ? 2 : 0};
    const plugin_test_data *taken;
    dm_status rc;

    *why = "";
    if (t->kind == DM_KIND_NETWORK || t->kind == DM_KIND_OBJECTIVE) {
        taken = plugin_test_taken(t, changes, why, err);
        s->works = taken != NULL;
        s->with = taken ? taken->name : "";
        return err->code;
    }
    rc = t->kind == DM_KIND_DATASET ? examine_data(t, changes, why, err) : examine(t, changes, &points, why, err);
    s->works = !rc && !**why;
    s->with = "demist's other plugins";
    return rc;
}

/* A NumPy file of floats in [-1, 1], with the class behind each example, or of bytes. */
static dm_status write_npy(const char *path, const plugin_test_data *d, dm_err *err)
{
    enum { COUNT = 64 };
    const int64_t D = dm_shape_count(&d->shape), row = D + (d->classes > 0);
    const size_t each = d->levels ? 1 : sizeof(float);
    char head[128], shape[48];
    const size_t n = sizeof head + (size_t)(COUNT * row) * each;
    char *all = malloc(n);
    dm_status rc;

    if (!all)
        return dm_error(err, DM_ENOMEM, "out of memory");
    if (d->shape.rank == 1)
        snprintf(shape, sizeof shape, "(%d, %lld)", (int)COUNT, (long long)row);
    else
        snprintf(shape, sizeof shape, "(%d, %lld, %lld, %lld)", (int)COUNT, (long long)d->shape.dim[0],
                 (long long)d->shape.dim[1], (long long)d->shape.dim[2]);
    memset(head, ' ', sizeof head);
    memcpy(head, "\x93NUMPY\x01\x00\x76\x00", 10);
    snprintf(head + 10, sizeof head - 10, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
             d->levels ? "|u1" : "<f4", shape);
    head[10 + strlen(head + 10)] = ' ';
    head[sizeof head - 1] = '\n';
    memcpy(all, head, sizeof head);
    for (int64_t i = 0; i < COUNT * row; i++) {
        const float v = i % row == D ? (float)(i / row % d->classes) : (float)(0.8 * sin(1.7 * (double)i));
        const unsigned char byte = (unsigned char)(127.5f + 127 * v);

        memcpy(all + sizeof head + (size_t)i * each, d->levels ? (const void *)&byte : &v, each);
    }
    rc = dm_file_write_atomic(path, all, n, err);
    free(all);
    return rc;
}

/* The same images as an idx file, or the classes of as many: 0, 1, 0, ... */
static dm_status write_idx(const char *path, const plugin_test_data *d, bool labels, dm_err *err)
{
    enum { COUNT = 64, HEAD = 16 };
    const size_t side = (size_t)d->shape.dim[1], values = COUNT * (labels ? 1 : side * side), head = labels ? 8 : HEAD;
    unsigned char *all = calloc(1, HEAD + COUNT * side * side);
    dm_status rc;

    if (!all)
        return dm_error(err, DM_ENOMEM, "out of memory");
    all[2] = 8;
    all[3] = labels ? 1 : 3;
    all[7] = COUNT;
    all[11] = all[15] = labels ? 0 : (unsigned char)side;
    for (size_t i = 0; i < values; i++)
        all[head + i] = labels ? (unsigned char)(i % (size_t)d->classes)
                               : (unsigned char)(127.5 + 127 * sin(1.7 * (double)i));
    rc = dm_file_write_atomic(path, all, head + values, err);
    free(all);
    return rc;
}

/* Images with labels, which NumPy's files have no place for. */
static const char *const *idx_of(plugin_test *t, const plugin_test_data *d, dm_err *err)
{
    const char *images = dm_sprintf(t->arena, "%s/images.idx", t->folder);
    const char *labels = dm_sprintf(t->arena, "%s/labels.idx", t->folder), **changes;

    if (!images || !labels || !(changes = dm_alloc_n(t->arena, 4, sizeof *changes))) {
        dm_error(err, DM_ENOMEM, "out of memory");
        return NULL;
    }
    if (write_idx(images, d, false, err) || write_idx(labels, d, true, err))
        return NULL;
    changes[0] = "data.use=idx";
    changes[1] = dm_sprintf(t->arena, "data.train_images=%s", images);
    changes[2] = dm_sprintf(t->arena, "data.train_labels=%s", labels);
    return changes;
}

const char *const *plugin_test_data_of(plugin_test *t)
{
    static const char *const nothing[] = {NULL};
    const char *file = dm_sprintf(t->arena, "%s/data.npy", t->folder), *why = "out of memory";
    const char **changes = dm_alloc_n(t->arena, 8, sizeof *changes);
    const plugin_test_data *d = NULL;
    const char *const *images;
    dm_err err = {0};

    bool found;

    if (gives_data(t))
        return nothing;
    found = file && changes && (d = plugin_test_taken(t, PLUGIN_TEST_AS_IT_IS, &why, &err)) != NULL;
    if (found && d->classes && d->shape.rank == 3 && (images = idx_of(t, d, &err)))
        return images;
    if (!found || err.code || write_npy(file, d, &err)) {
        plugin_test_fail(t, "%s", err.code ? err.msg : why);
        return NULL;
    }
    changes[0] = "data.use=npy";
    changes[1] = dm_sprintf(t->arena, "data.file=%s", file);
    changes[2] = d->classes ? "data.label=last" : "data.label=none";
    changes[3] = dm_sprintf(t->arena, "data.classes=%d", d->classes ? (int)d->classes : 1);
    return changes;
}
