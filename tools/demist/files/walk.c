/* Steps on the way to images; see walk.h. */
#include "files/walk.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "device/tensor.h"
#include "files/output.h"

enum { FEW = 64 }; /* steps that there is room for at first */

/* Room for step i of n: a sampler that chooses its own steps seldom takes as many as it may. */
static bool reach(walk_steps *t, int64_t i, int64_t n)
{
    const int64_t more = t->room ? 2 * t->room : FEW, room = more <= n ? more : n + 1;
    float *x;

    if (i < t->room)
        return true;
    if (!(x = dm_array(room * t->n, t->example, sizeof *x)))
        return false;
    if (t->x)
        memcpy(x, t->x, (size_t)(t->room * t->n * t->example) * sizeof *x);
    free(t->x);
    t->x = x;
    t->room = room;
    return true;
}

static void put(void *user, const dm_trace_info *now)
{
    walk_steps *t = user;

    if (!t->x && !t->failed) {
        t->n = now->count;
        t->example = now->example;
        t->last = calloc((size_t)t->n, sizeof *t->last);
        t->failed = !t->last;
    }
    t->failed = t->failed || !reach(t, now->i, now->n);
    t->steps = now->i > t->steps ? now->i : t->steps;
    for (int64_t i = now->first; i < now->first + now->n_images && !t->failed; i++)
        t->last[i] = now->i;
    if (!t->failed)
        memcpy(t->x + ((size_t)now->i * (size_t)t->n + (size_t)now->first) * (size_t)t->example, now->x,
               (size_t)now->n_images * (size_t)t->example * sizeof *t->x);
}

/* Images that took fewer steps than others stay where they are. */
static void fill(walk_steps *t)
{
    for (int64_t n = 0; n < t->n; n++)
        for (int32_t i = t->last[n] + 1; i <= t->steps; i++)
            memcpy(t->x + (i * t->n + n) * t->example, t->x + (t->last[n] * t->n + n) * t->example,
                   (size_t)t->example * sizeof *t->x);
}

dm_status output_walk_begin(output_walk *w, const char *path, dm_sample_options *o, dm_err *err)
{
    *w = (output_walk){.path = path, .strip.rows = STRIP_ROWS};
    if (!path)
        return DM_OK;
    w->drawn = output_ends_in(path, ".png");
    if (output_is_pattern(path) || !(w->drawn || output_ends_in(path, ".safetensors")))
        return dm_error(err, DM_EINVAL, "'%s': the trace is one file, F.png or F.safetensors", path);
    o->trace = w->drawn ? strip_put : put;
    o->trace_user = w->drawn ? (void *)&w->strip : &w->all;
    return DM_OK;
}

static dm_status write_all(const char *path, walk_steps *t, const dm_images *im, dm_err *err)
{
    dm_shape s = {.rank = im->shape.rank + 1};

    if (!t->x && !t->failed) /* no step was taken: the images are those that were given */
        put(t, &(dm_trace_info){.count = im->shape.dim[0], .n_images = im->shape.dim[0], .x = im->x,
                                .example = dm_shape_count(&im->shape) / im->shape.dim[0]});
    if (t->failed)
        return dm_error(err, DM_ENOMEM, "out of memory for %d steps of %lld images", (int)t->steps + 1,
                        (long long)t->n);
    fill(t);
    s.dim[0] = t->steps + 1;
    for (int32_t i = 0; i < im->shape.rank; i++)
        s.dim[i + 1] = im->shape.dim[i];
    return output_tensor(path, "x", &s, t->x, im->about, err);
}

dm_status output_walk_write(output_walk *w, const dm_images *im, dm_err *err)
{
    dm_picture p = {0};
    dm_status rc;

    if (!w->path)
        return DM_OK;
    if (!w->drawn)
        return write_all(w->path, &w->all, im, err);
    if (im->shape.rank != 4)
        return dm_error(err, DM_EINVAL, "the strip of points is not a picture; give F.safetensors");
    if (!(rc = strip_picture(&w->strip, im, &p, err)))
        rc = output_picture(w->path, &p, im, err);
    dm_picture_fini(&p);
    return rc;
}

void output_walk_fini(output_walk *w)
{
    free(w->all.x);
    free(w->all.last);
    strip_fini(&w->strip);
}
