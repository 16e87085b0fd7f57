/* Strips of steps; see strip.h. */
#include "files/strip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "device/tensor.h"

static void begin(strip *s, const dm_trace_info *now)
{
    s->rows = now->count < s->rows ? (int)now->count : s->rows;
    for (int row = 0; row < s->rows; row++)
        s->stride[row] = 1;
    s->example = now->example;
    s->x = dm_array((int64_t)s->rows * STRIP_FRAMES, s->example, sizeof *s->x);
    s->failed = !s->x;
}

static float *frame_of(const strip *s, int64_t row, int frame)
{
    return s->x + (row * STRIP_FRAMES + frame) * s->example;
}

/* Room for those behind: every second is left. */
static void thin(strip *s, int64_t row)
{
    for (int k = 1; k < STRIP_FRAMES / 2; k++) {
        s->signal[row][k] = s->signal[row][2 * k];
        memcpy(frame_of(s, row, k), frame_of(s, row, 2 * k), (size_t)s->example * sizeof *s->x);
    }
    s->stride[row] *= 2;
}

/* How many steps there will be is not known of a sampler that chooses its own. */
void strip_put(void *user, const dm_trace_info *now)
{
    strip *s = user;
    const double signal = 1 / sqrt(1 + exp(-now->log_snr));

    if (!s->x && !s->failed)
        begin(s, now);
    for (int64_t row = now->first; row < now->first + now->n_images && row < s->rows && !s->failed; row++) {
        int frame;

        s->last[row] = now->i;
        if (now->i % s->stride[row])
            continue;
        if (now->i / s->stride[row] == STRIP_FRAMES)
            thin(s, row);
        frame = now->i / s->stride[row];
        s->signal[row][frame] = signal;
        s->kept[row] = frame + 1;
        memcpy(frame_of(s, row, frame), now->x + (row - now->first) * s->example, (size_t)s->example * sizeof *s->x);
    }
}

void strip_choose(const double *signal, int n, int columns, int *out)
{
    int at = -1;

    for (int k = 0; k < columns; k++) {
        const double wanted = signal[0] + (signal[n - 1] - signal[0]) * k / (columns > 1 ? columns - 1 : 1);
        int best = ++at;

        /* Each is another frame, and enough are left for those behind it. */
        for (; at <= n - columns + k; at++)
            if (fabs(signal[at] - wanted) < fabs(signal[best] - wanted))
                best = at;
        out[k] = at = best;
    }
}

/* The frames of a row before its image: the last that was kept may be the image itself. */
static int before_image(const strip *s, int row)
{
    const int n = s->kept[row];

    return n && (n - 1) * s->stride[row] == s->last[row] ? n - 1 : n;
}

static void fill_row(const strip *s, const dm_images *im, int row, int columns, float *x)
{
    const int before = before_image(s, row), n = before + 1, shown = n < columns ? n : columns;
    double signal[STRIP_FRAMES + 1];
    int chosen[STRIP_COLUMNS];

    memcpy(signal, s->signal[row], (size_t)before * sizeof *signal);
    signal[before] = 1;
    strip_choose(signal, n, shown, chosen);
    for (int k = 0; k < columns; k++) {
        const int frame = k < shown ? chosen[k] : before;
        const float *from = frame == before ? im->x + row * s->example
                                            : frame_of(s, row, frame);

        memcpy(x + k * s->example, from, (size_t)s->example * sizeof *x);
    }
}

dm_status strip_picture(strip *s, const dm_images *im, dm_picture *out, dm_err *err)
{
    const int64_t *d = im->shape.dim;
    int columns = 1;
    dm_status rc;
    float *x;

    if (!s->x) { /* no step was taken */
        s->rows = d[0] < s->rows ? (int)d[0] : s->rows;
        s->example = dm_shape_count(&im->shape) / d[0];
    }
    for (int row = 0; row < s->rows; row++)
        columns = before_image(s, row) + 1 > columns ? before_image(s, row) + 1 : columns;
    columns = columns < STRIP_COLUMNS ? columns : STRIP_COLUMNS;
    x = s->failed ? NULL : dm_array((int64_t)s->rows * columns, s->example, sizeof *x);
    if (!x)
        return dm_error(err, DM_ENOMEM, "out of memory for a strip of %d images", s->rows);
    for (int row = 0; row < s->rows; row++)
        fill_row(s, im, row, columns, x + (int64_t)row * columns * s->example);
    rc = dm_picture_grid(x, (int64_t)s->rows * columns, d[1], d[2], d[3], columns, s->rows * columns > 1 ? 2 : 0, out,
                         err);
    free(x);
    return rc;
}

void strip_fini(strip *s)
{
    free(s->x);
    s->x = NULL;
}
