/* Predictions by tiles; see tiling.h. */
#include "sample/tiling.h"

#include "device/kernels.h"
#include "model/batch_fit.h"
#include "sample/tiles.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_AT_ONCE = 16 };

/* Of the rows and columns of an image. */
static int64_t area(const int64_t size[2]) { return size[0] * size[1]; }
static const int64_t *whole(const dm_tiling *t) { return &t->big.shape.dim[1]; }
static int64_t tile_area(const dm_tiling *t) { return area(t->tile) * t->factor * t->factor; }

int64_t dm_tiling_tiles(const dm_tiling *t) { return area(t->n); }

/* ---- a pass ---------------------------------------------------------------------------------- */

/* Where tile i begins, in the small image. */
static void place(const dm_tiling *t, int64_t i, int64_t at[2])
{
    at[0] = dm_tiles_begin(t->small[0], t->tile[0], t->n[0], i / t->n[1]);
    at[1] = dm_tiles_begin(t->small[1], t->tile[1], t->n[1], i % t->n[1]);
}

/* The part of an image of C channels and `of` rows and columns that begins at `at`, `size` rows and columns. */
static void take_tile(const float *from, int64_t C, const int64_t of[2], const int64_t at[2], const int64_t size[2],
                      float *to)
{
    for (int64_t k = 0; k < C; k++)
        for (int64_t y = 0; y < size[0]; y++, to += size[1])
            memcpy(to, from + (k * of[0] + at[0] + y) * of[1] + at[1], (size_t)size[1] * sizeof *to);
}

/* One channel of tile i, NULL standing for ones, added to what is averaged. */
static void add_tile(const dm_tiling *t, int64_t i, const float *said, float *sum)
{
    const int64_t *of = whole(t), size[2] = {t->tile[0] * t->factor, t->tile[1] * t->factor};
    int64_t at[2];

    place(t, i, at);
    for (int64_t y = 0; y < size[0]; y++)
        for (int64_t x = 0; x < size[1]; x++) {
            const float w = (float)(dm_tiles_weight(size[0], y) * dm_tiles_weight(size[1], x));

            sum[(at[0] * t->factor + y) * of[1] + at[1] * t->factor + x] += said ? w * *said++ : w;
        }
}

/* Tiles from `first` on, and their conditions. */
static void take_tiles(dm_tiling *t, int64_t first, int64_t there)
{
    const int64_t size[2] = {t->tile[0] * t->factor, t->tile[1] * t->factor};

    for (int64_t i = 0; i < there; i++) {
        int64_t at[2];

        place(t, first + i, at);
        take_tile(t->image, t->channels, t->small, at, t->tile,
                  t->conditions[0].value[0] + i * t->conditions[0].size[0]);
        at[0] *= t->factor;
        at[1] *= t->factor;
        take_tile(t->x, t->channels, whole(t), at, size, t->tiles + i * t->channels * area(size));
    }
}

/* A batch of tiles by the model itself, with the class and the image, or without. */
static dm_status run(dm_tiling *t, bool none, const dm_point *p, const dm_affine *a, dm_said *said, dm_err *err)
{
    dm_forward *f;
    dm_status rc;

    for (int64_t i = 0; i < t->batch; i++) {
        t->c_in[i] = a->c_in;
        t->c_noise[i] = a->c_noise;
    }
    if ((rc = dm_forwards_get(t->m->forwards, t->batch, NULL, 0, &f, err)) ||
        (rc = dm_buf_write(dm_forward_input(f), 0, (size_t)(t->batch * t->channels * tile_area(t)) * sizeof *t->tiles,
                           t->tiles, err)) ||
        (rc = dm_forward_level(f, p, a, err)) ||
        (rc = dm_forward_set_conditions(f, &t->conditions[none], dm_forwards_serial(t->m->forwards), err)) ||
        (rc = dm_forward_run(f, t->c_in, t->c_noise, t->labels[none], err)))
        return rc;
    *said = (dm_said){NULL, dm_forward_output(f), *p, *a, tile_area(t) * dm_net_out_channels(t->m->s.model)};
    return DM_OK;
}

static dm_status run_guide(dm_tiling *t, const dm_point *p, dm_said *said, dm_err *err)
{
    const dm_status rc = dm_buf_write(t->guide_tiles, 0, dm_buf_bytes(t->guide_tiles), t->tiles, err);

    return rc ? rc : dm_guide_predict(t->guide, t->guide_tiles, t->batch, p, t->labels[0], &t->conditions[0],
                                      dm_forwards_serial(t->m->forwards), said, err);
}

/* What one of a guidance's guesses says of the batch of tiles that was taken. */
static dm_status say(dm_tiling *t, int of, int64_t first, int64_t there, const dm_point *p, const dm_affine *a,
                     dm_said *said, dm_err *err)
{
    const int64_t plane = area(whole(t));
    dm_status rc = of == DM_OF_GUIDE ? run_guide(t, p, said, err) : run(t, of == DM_OF_NONE, p, a, said, err);

    if (rc || (rc = dm_buf_read(said->F, 0, (size_t)(there * said->stride) * sizeof *t->said, t->said, err)))
        return rc;
    for (int64_t i = 0; i < there; i++)
        for (int64_t k = 0; k < said->stride / tile_area(t); k++)
            add_tile(t, first + i, t->said + i * said->stride + k * tile_area(t), t->F[of] + k * plane);
    return DM_OK;
}

/* Of all tiles, as if it was said of the whole x. */
static dm_status average(dm_tiling *t, int of, dm_buf *x, const dm_point *p, dm_said *said, dm_err *err)
{
    const int64_t plane = area(whole(t)), channels = said->stride / tile_area(t);
    dm_status rc = DM_OK;

    for (int64_t i = 0; i < channels * plane; i++)
        t->F[of][i] /= t->weight[i % plane];
    said->x = x;
    said->F = t->out[of];
    said->stride = channels * plane;
    if (of == DM_OF_GUIDE) {
        const double k = hypot(said->at.alpha, said->at.sigma) / hypot(p->alpha, p->sigma);

        said->x = t->guide_x;
        rc = dm_launch_sum(t->m->s.device, t->guide_x, &k, &x, 1, t->channels * plane, err);
    }
    return rc ? rc : dm_buf_write(t->out[of], 0, (size_t)said->stride * sizeof *t->F[of], t->F[of], err);
}

dm_status dm_tiling_guesses(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, uint32_t uses,
                            dm_said said[DM_OF_COUNT], dm_err *err)
{
    dm_tiling *t = user;
    const int64_t plane = area(whole(t)), tiles = dm_tiling_tiles(t);
    dm_status rc = dm_buf_read(x, 0, (size_t)(t->channels * plane) * sizeof *t->x, t->x, err);

    for (int of = 0; of < DM_OF_COUNT; of++)
        if (uses & DM_USES(of))
            memset(t->F[of], 0, (size_t)(t->most * plane) * sizeof *t->F[of]);
    for (int64_t first = 0; first < tiles && !rc; first += t->batch) {
        const int64_t there = tiles - first < t->batch ? tiles - first : t->batch;

        take_tiles(t, first, there);
        for (int of = 0; of < DM_OF_COUNT && !rc; of++)
            if (uses & DM_USES(of))
                rc = say(t, of, first, there, p, a, &said[of], err);
    }
    for (int of = 0; of < DM_OF_COUNT && !rc; of++)
        if (uses & DM_USES(of))
            rc = average(t, of, x, p, &said[of], err);
    return rc;
}

dm_status dm_tiling_forward(void *user, dm_buf *x, const dm_point *p, const dm_affine *a, dm_buf **F, dm_err *err)
{
    dm_said said[DM_OF_COUNT];
    const dm_status rc = dm_tiling_guesses(user, x, p, a, DM_USES(DM_OF_CLASS), said, err);

    *F = said[DM_OF_CLASS].F;
    return rc;
}

/* ---- opening --------------------------------------------------------------------------------- */

static dm_status fit(dm_tiling *t, dm_err *err)
{
    const int64_t tiles = dm_tiling_tiles(t), asked = t->m->s.experiment->sampler.batch,
                  most = asked ? asked : MOST_AT_ONCE;
    dm_forward *f;
    dm_err why = {0};
    bool again = false;
    dm_status rc;

    t->batch = tiles < most ? tiles : most;
    do {
        why = (dm_err){0};
        rc = dm_forwards_get(t->m->forwards, t->batch, NULL, t->passes * (double)tiles / (double)t->batch, &f, &why);
    } while (rc && !asked && dm_batch_fit(&t->batch, &again, rc));
    return rc ? dm_error(err, rc, "%s", why.msg) : DM_OK;
}

static dm_status allocate(dm_tiling *t, uint32_t uses, dm_err *err)
{
    const int64_t plane = area(whole(t)), n = t->batch;
    bool whole_F = true;

    t->x = dm_array(t->channels, plane, sizeof *t->x);
    for (int of = 0; of < DM_OF_COUNT; of++)
        if (uses & DM_USES(of))
            whole_F = (t->F[of] = dm_array(t->most, plane, sizeof *t->F[of])) && whole_F;
    t->weight = calloc((size_t)plane, sizeof *t->weight);
    t->tiles = calloc((size_t)(n * t->channels * tile_area(t)), sizeof *t->tiles);
    t->said = dm_array(n * t->most, tile_area(t), sizeof *t->said);
    t->labels[0] = dm_array(n, 1, sizeof *t->labels[0]);
    t->labels[1] = dm_array(n, 1, sizeof *t->labels[1]);
    t->c_in = dm_array(n, 1, sizeof *t->c_in);
    t->c_noise = dm_array(n, 1, sizeof *t->c_noise);
    if (!t->x || !whole_F || !t->weight || !t->tiles || !t->said || !t->labels[0] || !t->labels[1] || !t->c_in ||
        !t->c_noise)
        return dm_error(err, DM_ENOMEM, "out of memory for images of %lld x %lld pixels", (long long)whole(t)[1],
                        (long long)whole(t)[0]);
    for (int64_t i = 0; i < n; i++) {
        t->labels[0][i] = t->label;
        t->labels[1][i] = t->m->s.data.classes;
    }
    for (int64_t i = 0; i < dm_tiling_tiles(t); i++)
        add_tile(t, i, NULL, t->weight);
    return DM_OK;
}

/* What guidance needs besides the model. */
static dm_status open_guide(dm_tiling *t, dm_err *err)
{
    dm_session *s = &t->m->s;
    const size_t image = (size_t)(t->channels * area(whole(t))) * sizeof(float),
                 tiles = (size_t)(t->batch * t->channels * tile_area(t)) * sizeof(float);
    dm_status rc;

    if (!*s->experiment->guidance.guide)
        return DM_OK;
    if ((rc = dm_guide_open(s, s->experiment->guidance.guide, &t->guide, err)) ||
        (rc = dm_buf_new(s->device, tiles, "guidance", &t->guide_tiles, err)) ||
        (rc = dm_buf_new(s->device, image, "guidance", &t->guide_x, err)))
        return rc;
    if (dm_guide_out_channels(t->guide) > t->most)
        t->most = dm_guide_out_channels(t->guide);
    return DM_OK;
}

dm_status dm_tiling_open(dm_tiling *t, dm_err *err)
{
    const dm_session *s = &t->m->s;
    const uint32_t uses = DM_USES(DM_OF_CLASS) | (dm_guiding_wanted(s->experiment)
                                                      ? s->experiment->section[DM_SEC_GUIDANCE].plugin->guidance->uses
                                                      : 0);
    dm_status rc;

    t->channels = s->data.shape.dim[0];
    t->most = dm_net_out_channels(s->model);
    if ((rc = fit(t, err)) || (rc = open_guide(t, err)) || (rc = allocate(t, uses, err)))
        return rc;
    for (int i = 0; i < 2 && !rc; i++)
        rc = dm_condition_batch_init(&t->conditions[i], dm_net_conditions(s->model), t->batch, err);
    for (int64_t i = 0; i < t->batch && !rc; i++)
        t->conditions[0].given[0][i] = 1; /* each tile's part of the image, written in place */
    for (int of = 0; of < DM_OF_COUNT && !rc; of++)
        if (uses & DM_USES(of))
            rc = dm_buf_new(s->device, (size_t)(t->most * area(whole(t))) * sizeof(float), "the average of tiles",
                            &t->out[of], err);
    return rc;
}

void dm_tiling_close(dm_tiling *t)
{
    dm_guide_close(t->guide);
    for (int of = 0; of < DM_OF_COUNT; of++) {
        dm_buf_free(t->out[of]);
        free(t->F[of]);
    }
    dm_buf_free(t->guide_tiles);
    dm_buf_free(t->guide_x);
    for (int i = 0; i < 2; i++) {
        dm_condition_batch_fini(&t->conditions[i]);
        free(t->labels[i]);
    }
    free(t->x);
    free(t->weight);
    free(t->tiles);
    free(t->said);
    free(t->c_in);
    free(t->c_noise);
}
