/* One example; see data_example.h. */
#include "data/data_example.h"

#include "device/ops.h"
#include "base/philox.h"
#include "data/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void dm_example_scratch_fini(dm_example_scratch *r)
{
    free(r->raw);
    free(r->plane);
    *r = (dm_example_scratch){0};
}

static bool grow(float **p, size_t *cap, int64_t n)
{
    if ((size_t)n <= *cap)
        return true;
    free(*p);
    *p = malloc((size_t)n * sizeof **p);
    *cap = *p ? (size_t)n : 0;
    return *p;
}

void dm_example_draw_init(dm_example_draw *d, uint64_t seed, uint64_t position)
{
    const uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    const uint32_t ctr[4] = {(uint32_t)DM_PURPOSE_AUGMENT << 24, (uint32_t)position, (uint32_t)(position >> 32), 0};
    uint32_t u[4];

    dm_philox(key, ctr, u);
    d->flip = u[0] >> 31;
    d->y = dm_uniform(u[1]);
    d->x = dm_uniform(u[2]);
}

dm_status dm_example_shape(const dm_instance *i, int64_t index, const dm_shape *largest, dm_shape *out, dm_err *err)
{
    const dm_dataset *set = i->plugin->dataset;
    dm_err why = {DM_OK, ""};
    dm_ctx c = dm_instance_ctx(i, &why);
    dm_status rc;

    *out = *largest;
    if (!DM_HAS(dm_dataset, set, shape) || !set->shape)
        return DM_OK;
    if ((rc = DM_CALL_WITH(i, DM_CB_DATA_SHAPE, &why, err, set->shape(&c, index, out))))
        return rc;
    for (int32_t k = 0; k < 8; k++) {
        out->dim[k] = k < largest->rank ? out->dim[k] : 1;
        if (out->rank != largest->rank || out->dim[k] < 1 || out->dim[k] > largest->dim[k])
            return dm_error(err, DM_EABI, "plugin '%s': the shape of example %lld exceeds the largest that it "
                                          "declared",
                            i->plugin->name, (long long)index);
    }
    return DM_OK;
}

/* The example as the plugin has it, checked. */
static dm_status read_raw(const dm_instance *i, const dm_example_rules *r, int64_t index, int64_t n, float *x,
                          int32_t *label, dm_err *err)
{
    dm_err why = {DM_OK, ""};
    dm_ctx c = dm_instance_ctx(i, &why);
    dm_status rc;

    if ((rc = DM_CALL_WITH(i, DM_CB_READ, &why, err, i->plugin->dataset->read(&c, index, x, label))))
        return rc;
    if (label && (*label < 0 || *label >= r->classes))
        return dm_error(err, DM_ECORRUPT, "data set '%s': example %lld has label %d; it has %d classes",
                        i->plugin->name, (long long)index, (int)*label, (int)r->classes);
    for (int64_t k = 0; k < n; k++)
        if (!isfinite(x[k]))
            return dm_error(err, DM_ECORRUPT, "data set '%s': value %lld of example %lld is not finite",
                            i->plugin->name, (long long)k, (long long)index);
    return DM_OK;
}

dm_status dm_example_raw(const dm_instance *i, const dm_example_rules *r, dm_example_scratch *scratch, int64_t index,
                         dm_shape *shape, int32_t *label, dm_err *err)
{
    const dm_status e = dm_example_shape(i, index, &r->largest, shape, err);
    const int64_t n = e ? 0 : dm_shape_count(shape);

    if (e)
        return e;
    if (!grow(&scratch->raw, &scratch->raw_cap, n))
        return dm_error(err, DM_ENOMEM, "out of memory: an example of %lld values", (long long)n);
    return read_raw(i, r, index, n, scratch->raw, label, err);
}

/* The part of an image that is used: all of it, or the largest of the target's aspect. */
typedef struct window { int64_t y, x, h, w; } window;

static window cut(const dm_example_rules *r, const dm_shape *s, const dm_example_draw *draw)
{
    const int64_t h = s->dim[1], w = s->dim[2], oh = r->out.dim[1], ow = r->out.dim[2];
    const bool random = r->crop == DM_CROP_RANDOM && draw;
    window v = {0, 0, h, w};

    if (r->crop == DM_CROP_NONE)
        return v;
    if (w * oh > h * ow)
        v.w = (h * ow + oh / 2) / oh;
    else
        v.h = (w * oh + ow / 2) / ow;
    v.w = v.w < 1 ? 1 : v.w;
    v.h = v.h < 1 ? 1 : v.h;
    v.y = random ? (int64_t)(draw->y * (double)(h - v.h + 1)) : (h - v.h) / 2;
    v.x = random ? (int64_t)(draw->x * (double)(w - v.w + 1)) : (w - v.w) / 2;
    return v;
}

/* Plane k of the result from the planes of the source: its own, grey for colours, or the luma of three (ITU-R 601). */
static void pick(const float *from, int64_t channels, int64_t plane, int64_t k, int64_t wanted, float *to)
{
    if (wanted == 1 && channels == 3)
        for (int64_t i = 0; i < plane; i++)
            to[i] = 0.299f * from[i] + 0.587f * from[plane + i] + 0.114f * from[2 * plane + i];
    else
        memcpy(to, from + (wanted == channels ? k : 0) * plane, (size_t)plane * sizeof *to);
}

/* What fell between two levels goes to the nearer. */
static void to_levels(const dm_example_rules *r, float *x, int64_t n)
{
    const double step = (r->high - r->low) / (r->levels - 1);

    for (int64_t i = 0; i < n; i++) {
        const double v = rint(((double)x[i] - r->low) / step);

        x[i] = (float)(r->low + step * fmin(fmax(v, 0), r->levels - 1));
    }
}

static dm_status transform(const dm_example_rules *r, dm_example_scratch *scratch, const dm_shape *s,
                           const dm_example_draw *draw, float *x, dm_err *err)
{
    const int64_t channels = s->dim[0], from = s->dim[1] * s->dim[2], to = r->out.dim[1] * r->out.dim[2];
    const window v = cut(r, s, draw);
    dm_status e;

    if (channels != r->out.dim[0] && channels != 1 && !(channels == 3 && r->out.dim[0] == 1))
        return dm_error(err, DM_EINVAL, "data.channels is %lld; images with %lld channels cannot be converted to "
                                        "that",
                        (long long)r->out.dim[0], (long long)channels);
    if (!grow(&scratch->plane, &scratch->plane_cap, channels * to))
        return dm_error(err, DM_ENOMEM, "out of memory: resizing an image");
    for (int64_t k = 0; k < channels; k++)
        if ((e = dm_resize(scratch->raw + k * from + v.y * s->dim[2] + v.x, v.h, v.w, s->dim[2],
                           scratch->plane + k * to, r->out.dim[1], r->out.dim[2], err)))
            return e;
    for (int64_t k = 0; k < r->out.dim[0]; k++)
        pick(scratch->plane, channels, to, k, r->out.dim[0], x + k * to);
    if (r->levels)
        to_levels(r, x, r->out.dim[0] * to);
    return DM_OK;
}

void dm_example_mirror(float *x, int64_t rows, int64_t w)
{
    for (int64_t y = 0; y < rows; y++, x += w)
        for (int64_t i = 0; i < w / 2; i++) {
            const float t = x[i];

            x[i] = x[w - 1 - i];
            x[w - 1 - i] = t;
        }
}

dm_status dm_example_make(const dm_instance *i, const dm_example_rules *r, dm_example_scratch *scratch, int64_t index,
                          const dm_example_draw *draw, float *x, int32_t *label, dm_err *err)
{
    const dm_shape *o = &r->out;
    bool same = true;
    int64_t n = 1, out = 1;
    dm_shape s;
    dm_status e;

    if ((e = dm_example_shape(i, index, &r->largest, &s, err)))
        return e;
    for (int32_t k = 0; k < s.rank; k++) {
        n *= s.dim[k];
        out *= o->dim[k];
        same &= s.dim[k] == o->dim[k];
    }
    if (!same && !grow(&scratch->raw, &scratch->raw_cap, n))
        return dm_error(err, DM_ENOMEM, "out of memory: an example of %lld values", (long long)n);
    if ((e = read_raw(i, r, index, n, same ? x : scratch->raw, label, err)))
        return e;
    if (!same && (e = transform(r, scratch, &s, draw, x, err)))
        return e;
    if (r->flip && draw && draw->flip)
        dm_example_mirror(x, o->dim[0] * o->dim[1], o->dim[2]);
    if (r->levels) {
        const float half = (float)((r->high - r->low) / 2), low = (float)r->low;

        for (int64_t k = 0; k < out; k++)
            x[k] = (x[k] - low) / half - 1;
    }
    return DM_OK;
}
