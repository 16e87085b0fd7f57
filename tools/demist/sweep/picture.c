/* What a cell of a sweep draws, kept beside its figures; see sweep.h. */
#include "sweep/sweep.h"

#include <stdlib.h>

#include "base/file.h"
#include "format/image.h"

enum { POINTS = 2000, SIDE = 240 };

static dm_status draw(const sweep *s, const char *run, const char *const *overrides, int n, dm_images *im, dm_err *err)
{
    const dm_model_options how = {.size = sizeof how, .overrides = overrides, .n_overrides = n,
                                  .raw = s->request.raw, .callbacks = s->request.callbacks};
    dm_model_properties what = {.size = sizeof what};
    dm_sample_options o = {.size = sizeof o, .count = s->samples};
    dm_model *m;
    dm_status rc;

    if ((rc = dm_model_open(run, &how, &m, err)))
        return rc;
    if (!(rc = dm_model_info(m, &what, err)) && what.diffuses) {
        if (what.shape.rank == 1)
            o.count = POINTS;
        rc = dm_model_sample(m, &o, im, err);
    }
    dm_model_close(m);
    return rc;
}

/* *png is NULL where there is nothing to see. */
static dm_status encode(const dm_images *im, uint8_t **png, size_t *size, dm_err *err)
{
    const int64_t *d = im->shape.dim;
    dm_picture p = {0};
    dm_status rc = DM_OK;

    *png = NULL;
    if (im->x && im->shape.rank == 4)
        rc = dm_picture_grid(im->x, d[0], d[1], d[2], d[3], 0, 2, &p, err);
    else if (im->x && im->shape.rank == 2 && d[1] == 2)
        rc = dm_picture_scatter(im->x, d[0], NULL, 0, SIDE, 0, &p, err);
    if (!rc && p.pixels)
        rc = dm_png_encode(&p, &(dm_pair){"demist", im->about}, 1, png, size, err);
    dm_picture_fini(&p);
    return rc;
}

dm_status sweep_draw_cell(sweep *s, sweep_cell *c, const char *run, const char *hash, dm_err *err)
{
    const char *name = dm_sprintf(s->arena, "cells/%s-%lld.png", hash, (long long)s->samples);
    const char **overrides = c->overrides;
    dm_images im = {.size = sizeof im};
    int n = c->n_overrides;
    uint8_t *png = NULL;
    size_t size = 0;
    bool there;
    dm_status rc;

    if (!name)
        return dm_error(err, DM_ENOMEM, "out of memory for a cell of the sweep");
    if ((rc = dm_folder_has(&s->folder, name, &there, err)))
        return rc;
    if (there) {
        c->picture = name;
        return DM_OK;
    }
    if ((!s->is_run && (rc = sweep_sampling_overrides(s, c, &overrides, &n, err))) ||
        (rc = draw(s, run, overrides, n, &im, err)) || (rc = encode(&im, &png, &size, err)) ||
        (png && (rc = dm_file_write_in(&s->folder, name, png, size, err))))
        c->picture = NULL;
    else if (png)
        c->picture = name;
    dm_images_free(&im);
    free(png);
    return rc;
}
