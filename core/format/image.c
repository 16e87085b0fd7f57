/* Pictures of tensors and points; see image.h. */
#include "format/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE = 65535, MAX_BYTES = 1 << 30 };

void dm_picture_fini(dm_picture *p)
{
    free(p->pixels);
    p->pixels = NULL;
}

uint8_t dm_pixel(float x)
{
    const float v = x / 2 + 0.5f;

    return !(v > 0) ? 0 : v >= 1 ? 255 : (uint8_t)rintf(v * 255);
}

static dm_status make(int64_t width, int64_t height, int32_t channels, uint8_t fill, dm_picture *out, dm_err *err)
{
    if (width < 1 || height < 1 || width > MAX_SIDE || height > MAX_SIDE || width * height * channels > MAX_BYTES)
        return dm_error(err, DM_EINVAL, "a picture of %lld x %lld pixels is too large; take fewer images at once",
                        (long long)width, (long long)height);
    *out = (dm_picture){(int32_t)width, (int32_t)height, channels, malloc((size_t)(width * height * channels))};
    if (!out->pixels)
        return dm_error(err, DM_ENOMEM, "out of memory: a picture of %lld x %lld pixels", (long long)width,
                        (long long)height);
    memset(out->pixels, fill, (size_t)(width * height * channels));
    return DM_OK;
}

dm_status dm_picture_grid(const float *x, int64_t n, int64_t c, int64_t h, int64_t w, int64_t columns, int32_t gap,
                          dm_picture *out, dm_err *err)
{
    const int32_t channels = c == 3 ? 3 : 1;
    const int64_t strips = c / channels, wide = strips * w; /* of an image */
    dm_status s;

    if (n < 1 || c < 1 || h < 1 || w < 1 || n > MAX_BYTES || h > MAX_SIDE || w > MAX_SIDE || c > MAX_SIDE)
        return dm_error(err, DM_EINVAL, "unable to draw %lld images of %lld x %lld pixels as a picture", (long long)n,
                        (long long)w,
                        (long long)h);
    if (columns < 1)
        columns = (int64_t)ceil(sqrt((double)n));
    columns = columns < n ? columns : n;
    s = make(columns * (wide + gap) - gap, ((n + columns - 1) / columns) * (h + gap) - gap, channels, 0, out, err);
    if (s)
        return s;
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = 0; k < c; k++)
            for (int64_t y = 0; y < h; y++) {
                const float *row = x + ((i * c + k) * h + y) * w;
                const int64_t left = (i % columns) * (wide + gap) + (strips > 1 ? k * w : 0),
                              at = ((i / columns) * (h + gap) + y) * out->width + left;

                for (int64_t j = 0; j < w; j++)
                    out->pixels[(at + j) * channels + (channels > 1 ? k : 0)] = dm_pixel(row[j]);
            }
    return DM_OK;
}

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y ? 1 : 0;
}

/* 1.1 times the 99 % quantile of the larger coordinate's magnitude; 1 where there is none. */
static dm_status find_limit(const float *x, int64_t n, const float *like, int64_t m, double *limit, dm_err *err)
{
    float *v = malloc((size_t)(n + m) * sizeof *v + 1);
    int64_t k = 0;

    if (!v)
        return dm_error(err, DM_ENOMEM, "out of memory for a picture of %lld points", (long long)(n + m));
    for (int64_t i = 0; i < n + m; i++) {
        const float *p = i < n ? x + 2 * i : like + 2 * (i - n), r = fmaxf(fabsf(p[0]), fabsf(p[1]));

        if (isfinite(r))
            v[k++] = r;
    }
    if (k)
        qsort(v, (size_t)k, sizeof *v, rising);
    *limit = k ? 1.1 * (double)v[(k - 1) * 99 / 100] : 0;
    *limit = *limit > 0 ? *limit : 1;
    free(v);
    return DM_OK;
}

static void dot(const dm_picture *p, double x, double y, int radius, const uint8_t colour[3])
{
    if (!(x >= 0 && x < p->width && y >= 0 && y < p->height))
        return;
    for (int j = (int)y - radius; j <= (int)y + radius; j++)
        for (int i = (int)x - radius; i <= (int)x + radius; i++)
            if (i >= 0 && i < p->width && j >= 0 && j < p->height)
                memcpy(p->pixels + ((size_t)j * (size_t)p->width + (size_t)i) * 3, colour, 3);
}

static void dots(const dm_picture *p, const float *x, int64_t n, double limit, const uint8_t colour[3])
{
    const double scale = p->width / 2.0 / limit;
    const int radius = p->width >= 400 ? 1 : 0;

    for (int64_t i = 0; i < n; i++)
        dot(p, p->width / 2.0 + scale * (double)x[2 * i], p->height / 2.0 - scale * (double)x[2 * i + 1], radius,
            colour);
}

dm_status dm_picture_scatter(const float *x, int64_t n, const float *like, int64_t m, int32_t side, double limit,
                             dm_picture *out, dm_err *err)
{
    static const uint8_t grey[3] = {200, 200, 200}, blue[3] = {31, 95, 180};
    dm_status s;

    if ((limit <= 0 && (s = find_limit(x, n, like, m, &limit, err))) || (s = make(side, side, 3, 255, out, err)))
        return s;
    dots(out, like, m, limit, grey);
    dots(out, x, n, limit, blue);
    return DM_OK;
}
