/* Conditions that are made of the image itself; see conditions.h. */
#include "data/conditions.h"

#include "base/philox.h"
#include "device/ops.h"
#include "device/tensor.h"

#include <math.h>
#include <string.h>

/* Random numbers of one example, in turn. */
typedef struct numbers { uint32_t key[2], ctr[4], word[4]; int next; } numbers;

static numbers begin(uint64_t seed, uint32_t step, uint32_t index)
{
    return (numbers){.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                     .ctr = {(uint32_t)DM_PURPOSE_CONDITION << 24, step, 0, index}, .next = 4};
}

/* Uniform in (0,1). */
static double draw(numbers *r)
{
    if (r->next == 4) {
        dm_philox(r->key, r->ctr, r->word);
        r->ctr[2]++;
        r->next = 0;
    }
    return dm_uniform(r->word[r->next++]);
}

/* A whole number from low to high. */
static int64_t between(numbers *r, int64_t low, int64_t high)
{
    return low + (int64_t)(draw(r) * (double)(high - low + 1));
}

static void downscale(const dm_shape *x, int64_t factor, const float *from, float *to)
{
    const int64_t h = x->dim[1], w = x->dim[2];

    for (int64_t row = 0; row < x->dim[0] * h / factor; row++)
        for (int64_t column = 0; column < w / factor; column++) {
            double sum = 0;

            for (int64_t i = 0; i < factor; i++)
                for (int64_t j = 0; j < factor; j++)
                    sum += (double)from[(row * factor + i) * w + column * factor + j];
            *to++ = (float)(sum / (double)(factor * factor));
        }
}

/* Luma of three channels (ITU-R 601). */
static void grey(const dm_shape *x, const float *from, float *to)
{
    const int64_t plane = x->dim[1] * x->dim[2];

    for (int64_t i = 0; i < plane; i++)
        to[i] = 0.299f * from[i] + 0.587f * from[plane + i] + 0.114f * from[2 * plane + i];
}

static void noised(int64_t n, double deviation, const float *from, numbers *r, float *to)
{
    for (int64_t i = 0; i < n; i += 2) {
        const double radius = deviation * sqrt(-2 * log(draw(r))), angle = 6.283185307179586 * draw(r);

        to[i] = (float)((double)from[i] + radius * cos(angle));
        if (i + 1 < n)
            to[i + 1] = (float)((double)from[i + 1] + radius * sin(angle));
    }
}

static void box(float *mask, int64_t h, int64_t w, double most, numbers *r)
{
    const int64_t low_h = h / 8 > 0 ? h / 8 : 1, low_w = w / 8 > 0 ? w / 8 : 1;
    const int64_t most_h = (int64_t)(most * (double)h), most_w = (int64_t)(most * (double)w);
    const int64_t tall = between(r, low_h, most_h > low_h ? most_h : low_h),
                  wide = between(r, low_w, most_w > low_w ? most_w : low_w);
    const int64_t top = between(r, 0, h - tall), left = between(r, 0, w - wide);

    for (int64_t y = top; y < top + tall; y++)
        for (int64_t x = left; x < left + wide; x++)
            mask[y * w + x] = 1;
}

static void dot(float *mask, int64_t h, int64_t w, double y, double x, double radius)
{
    for (int64_t i = (int64_t)ceil(y - radius); i <= (int64_t)floor(y + radius); i++)
        for (int64_t j = (int64_t)ceil(x - radius); j <= (int64_t)floor(x + radius); j++)
            if (i >= 0 && i < h && j >= 0 && j < w &&
                ((double)i - y) * ((double)i - y) + ((double)j - x) * ((double)j - x) <= radius * radius)
                mask[i * w + j] = 1;
}

/* A line of a brush, which turns a few times. */
static void stroke(float *mask, int64_t h, int64_t w, numbers *r)
{
    const double side = (double)(h < w ? h : w), radius = side * (0.02 + 0.06 * draw(r)) + 0.5;
    double y = draw(r) * (double)h, x = draw(r) * (double)w, angle = 6.283185307179586 * draw(r);

    for (int64_t turns = between(r, 1, 4); turns > 0; turns--) {
        const double length = side * (0.1 + 0.3 * draw(r));

        for (double at = 0; at < length; at += 0.5) {
            dot(mask, h, w, y, x, radius);
            y = fmin(fmax(y + 0.5 * sin(angle), 0), (double)(h - 1));
            x = fmin(fmax(x + 0.5 * cos(angle), 0), (double)(w - 1));
        }
        angle += 2.4 * (draw(r) - 0.5);
    }
}

/* What is known, 0 in its holes, and as one more channel 1 in them. */
static void mask(const dm_shape *x, double hole, const float *from, numbers *r, float *to)
{
    const int64_t h = x->dim[1], w = x->dim[2], plane = h * w;
    float *holes = to + x->dim[0] * plane;

    memset(holes, 0, (size_t)plane * sizeof *holes);
    if (draw(r) < 0.5)
        for (int64_t n = between(r, 1, 2); n > 0; n--)
            box(holes, h, w, hole, r);
    else
        for (int64_t n = between(r, 1, 4); n > 0; n--)
            stroke(holes, h, w, r);
    for (int64_t i = 0; i < x->dim[0] * plane; i++)
        to[i] = holes[i % plane] > 0 ? 0 : from[i];
}

void dm_condition_derive(const dm_set_condition *set, const dm_conditions *c, int32_t k, const dm_shape *example,
                         const float *x, uint64_t seed, uint32_t step, uint32_t index, float *out)
{
    numbers r = begin(seed, step, index);

    switch (c->derive[k]) {
    case DM_DERIVE_DOWNSCALE: downscale(example, set->factor, x, out); break;
    case DM_DERIVE_MASK: mask(example, set->hole, x, &r, out); break;
    case DM_DERIVE_GREY: grey(example, x, out); break;
    case DM_DERIVE_NOISED: noised(dm_shape_count(example), set->noise, x, &r, out); break;
    default: break;
    }
}
