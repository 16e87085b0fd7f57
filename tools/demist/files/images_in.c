/* Images that a command reads; see images_in.h. */
#include "files/images_in.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/folder.h"
#include "device/tensor.h"
#include "files/output.h"
#include "format/array_file.h"
#include "settings/param.h"

/* An array as it is; one of so few axes gets an axis of one in front. */
static dm_status array_read(const char *path, int32_t rank, images_in *out, dm_err *err)
{
    dm_array_file *f;
    dm_status rc;
    int64_t n;

    if ((rc = dm_array_file_open(path, NULL, &f, err)))
        return rc;
    out->shape = dm_array_file_shape(f);
    n = dm_shape_count(&out->shape);
    if (n < 1 || !(out->x = dm_array(n, 1, sizeof *out->x)))
        rc = dm_error(err, n < 1 ? DM_EINVAL : DM_ENOMEM, n < 1 ? "'%s' has no values" : "out of memory: '%s'", path);
    else
        rc = dm_array_file_read(f, 0, n, out->x, err);
    if (out->shape.rank == rank) {
        memmove(out->shape.dim + 1, out->shape.dim, 7 * sizeof out->shape.dim[0]);
        out->shape.dim[0] = 1;
        out->shape.rank++;
    }
    dm_array_file_close(f);
    return rc;
}

/* Those that are compressed as a whole too: the plugin says what to do with them. */
static bool is_archive(const char *path)
{
    static const char *const ends[] = {".zip", ".tar",     ".tar.gz", ".tgz",    ".tar.xz",
                                       ".txz", ".tar.bz2", ".tbz2",   ".tar.zst"};
    bool is = false;

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        is = is || output_ends_in(path, ends[i]);
    return is;
}

dm_status images_in_look(const char *path, bool *holds, dm_err *err)
{
    dm_path_kind kind;
    const dm_status rc = dm_path_look(path, &kind, err);

    *holds = !rc && (kind == DM_PATH_FOLDER || (kind == DM_PATH_FILE && is_archive(path)));
    return rc;
}

/* The experiment that a file or folder of images is; on the heap. */
static char *text_of(const char *path)
{
    const char *form = output_ends_in(path, ".npy") ? "data: {use: npy, file: %s}\n"
                                                    : "data: {use: image_folder, folder: %s}\n";
    dm_arena *a = dm_arena_new();
    const char *name = a ? dm_param_quote(path, a) : NULL, *text = name ? dm_sprintf(a, form, name) : NULL;
    char *out = text ? strdup(text) : NULL;

    dm_arena_free(a);
    return out;
}

dm_status images_in_open(dm_data_alone *a, const char *path, const char *const *overrides, int n,
                         const dm_callbacks *cb, dm_err *err)
{
    dm_status rc;
    char *text;

    if (!dm_text_is_utf8(path))
        return dm_error(err, DM_EINVAL, "the name '%s' is not UTF-8, which an experiment is; rename it", path);
    text = text_of(path);
    rc = text ? dm_data_alone_open(a, path, text, overrides, n, cb, err)
              : dm_error(err, DM_ENOMEM, "out of memory for '%s'", path);
    free(text);
    return rc;
}

static dm_status read_all(dm_data_alone *a, const char *path, images_in *out, dm_err *err)
{
    dm_data *d;
    dm_status rc = dm_data_open(a->experiment, "train", &a->services, &d, err);
    const dm_data_info *i;

    if (rc)
        return rc;
    i = dm_data_get_info(d);
    out->shape = (dm_shape){.rank = i->shape.rank + 1, .dim = {i->count}};
    memcpy(out->shape.dim + 1, i->shape.dim, (size_t)i->shape.rank * sizeof i->shape.dim[0]);
    if (!(out->x = dm_array(i->count, dm_shape_count(&i->shape), sizeof *out->x)))
        rc = dm_error(err, DM_ENOMEM, "out of memory: '%s'", path);
    else
        rc = dm_data_at(d, 0, i->count, out->x, NULL, err);
    dm_data_close(d);
    return rc;
}

dm_status images_in_read(const char *path, int64_t channels, const dm_callbacks *cb, images_in *out, dm_err *err)
{
    const bool array = output_ends_in(path, ".npy");
    char wanted[40];
    const char *overrides[] = {wanted};
    dm_path_kind kind;
    dm_data_alone a;
    dm_status rc;

    *out = (images_in){0};
    if (output_ends_in(path, ".safetensors"))
        return array_read(path, -1, out, err);
    if ((rc = dm_path_look(path, &kind, err)))
        return rc;
    if (kind == DM_PATH_NOTHING) /* where it is opened, an experiment that nobody wrote would be at fault */
        return dm_error(err, DM_ENOENT, "unable to open '%s': no such file or folder", path);
    if (!array && channels != 1 && channels != 3)
        return dm_error(err, DM_EINVAL, "'%s': pictures have 1 or 3 channels, and %lld are wanted; give F.safetensors",
                        path, (long long)channels);
    snprintf(wanted, sizeof wanted, "data.channels=%lld", (long long)channels);
    if (!(rc = images_in_open(&a, path, overrides, array ? 0 : 1, cb, err))) {
        rc = read_all(&a, path, out, err);
        dm_data_alone_close(&a);
    }
    if (rc)
        images_in_fini(out);
    return rc;
}

void images_in_fini(images_in *in)
{
    free(in->x);
    in->x = NULL;
}

/* NULL where the model has none such, which sampling will say. */
static const dm_condition *condition_of(const dm_model_properties *model, const char *name)
{
    for (int64_t k = 0; k < model->n_conditions; k++)
        if (!strcmp(model->conditions[k].name, name))
            return &model->conditions[k];
    return NULL;
}

static dm_status condition_read(const char *path, const dm_condition *is, const dm_callbacks *cb, images_in *out,
                                dm_err *err)
{
    if (is && is->kind != DM_CONDITION_IMAGE)
        return array_read(path, is->shape.rank, out, err);
    return images_in_read(path, is ? is->shape.dim[0] : 1, cb, out, err);
}

dm_status conditions_in_read(const char *const *given, int n, const dm_model_properties *model, const dm_callbacks *cb,
                             conditions_in *out, dm_err *err)
{
    const size_t room = (size_t)n + 2; /* one more for who adds one */
    dm_status rc = DM_OK;

    *out = (conditions_in){calloc(room, sizeof *out->value), calloc(room, sizeof *out->file),
                           calloc(room, sizeof *out->name), 0};
    if (!out->value || !out->file || !out->name)
        return dm_error(err, DM_ENOMEM, "out of memory for conditions");
    for (int i = 0; i < n && !rc; i++) {
        const char *equals = strchr(given[i], '=');

        if (!equals || equals == given[i] || !equals[1])
            return dm_error(err, DM_EINVAL, "--condition %s: give NAME=FILE", given[i]);
        if (!(out->name[i] = strndup(given[i], (size_t)(equals - given[i]))))
            return dm_error(err, DM_ENOMEM, "out of memory for conditions");
        out->n = i + 1;
        rc = condition_read(equals + 1, condition_of(model, out->name[i]), cb, &out->file[i], err);
        out->value[i] = (dm_condition_value){out->name[i], out->file[i].x, out->file[i].shape};
    }
    return rc;
}

void conditions_in_fini(conditions_in *in)
{
    for (int i = 0; i < in->n; i++) {
        images_in_fini(&in->file[i]);
        free(in->name[i]);
    }
    free(in->value);
    free(in->file);
    free(in->name);
    *in = (conditions_in){0};
}
