/* Resizing; see resize.h. */
#include "data/resize.h"

#include <math.h>
#include <stdlib.h>

/* The weights of one axis: output i is the sum of weight[i * most + k] * input[first[i] + k]. */
typedef struct axis { int64_t most, *first, *count; float *weight; } axis;

static void axis_fini(axis *a)
{
    free(a->first);
    free(a->weight);
}

static bool axis_init(axis *a, int64_t in, int64_t out)
{
    const double scale = (double)in / (double)out, reach = scale > 1 ? scale : 1;

    a->most = (int64_t)ceil(reach) * 2 + 1;
    a->first = malloc((size_t)out * 2 * sizeof *a->first);
    a->weight = malloc((size_t)(out * a->most) * sizeof *a->weight);
    if (!a->first || !a->weight)
        return false;
    a->count = a->first + out;
    for (int64_t i = 0; i < out; i++) {
        const double centre = ((double)i + 0.5) * scale;
        const int64_t from = (int64_t)(centre - reach + 0.5), to = (int64_t)(centre + reach + 0.5);
        float *w = a->weight + i * a->most;
        double sum = 0;

        a->first[i] = from > 0 ? from : 0;
        a->count[i] = (to < in ? to : in) - a->first[i];
        for (int64_t k = 0; k < a->count[i]; k++)
            sum += fmax(0, 1 - fabs(((double)(a->first[i] + k) + 0.5 - centre) / reach));
        for (int64_t k = 0; k < a->count[i]; k++)
            w[k] = (float)(fmax(0, 1 - fabs(((double)(a->first[i] + k) + 0.5 - centre) / reach)) / sum);
    }
    return true;
}

static void rows(const axis *x, const float *from, int64_t h, int64_t stride, float *to, int64_t ow)
{
    for (int64_t y = 0; y < h; y++)
        for (int64_t i = 0; i < ow; i++) {
            const float *v = from + y * stride + x->first[i], *w = x->weight + i * x->most;
            float sum = 0;

            for (int64_t k = 0; k < x->count[i]; k++)
                sum += w[k] * v[k];
            to[y * ow + i] = sum;
        }
}

static void columns(const axis *y, const float *from, float *to, int64_t oh, int64_t ow)
{
    for (int64_t j = 0; j < oh; j++) {
        float *row = to + j * ow;

        for (int64_t i = 0; i < ow; i++)
            row[i] = 0;
        for (int64_t k = 0; k < y->count[j]; k++) {
            const float w = y->weight[j * y->most + k], *v = from + (y->first[j] + k) * ow;

            for (int64_t i = 0; i < ow; i++)
                row[i] += w * v[i];
        }
    }
}

dm_status dm_resize(const float *from, int64_t h, int64_t w, int64_t stride, float *to, int64_t oh, int64_t ow,
                    dm_err *err)
{
    axis x = {0}, y = {0};
    float *middle = malloc((size_t)(h * ow) * sizeof *middle);
    const bool ok = middle && axis_init(&x, w, ow) && axis_init(&y, h, oh);

    if (ok) {
        rows(&x, from, h, stride, middle, ow);
        columns(&y, middle, to, oh, ow);
    }
    axis_fini(&x);
    axis_fini(&y);
    free(middle);
    return ok ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory: resizing an image to %lld x %lld", (long long)ow,
                                 (long long)oh);
}
