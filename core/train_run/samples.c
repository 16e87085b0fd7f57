/* Sample grids during training. */
#include "train_run/train_run.h"

#include "text/plain_text.h"
#include "format/image.h"
#include "sample/example_conditions.h"

#include <stdlib.h>

/* As a picture, where there is one of this shape. */
static dm_status write(const dm_session *s, const dm_run *folder, dm_tb *events, int64_t step, double wall,
                       const dm_shape *shape, const float *x, dm_err *err)
{
    const int64_t count = shape->dim[0];
    dm_picture p = {0};
    uint8_t *png = NULL;
    char name[64], about[256];
    size_t size;
    dm_status rc = DM_OK;

    snprintf(about, sizeof about, "demist %s name=%s sampler=%s seed=%lld step=%lld", dm_version(),
             s->experiment->run.name, s->experiment->section[DM_SEC_SAMPLER].plugin->name,
             (long long)s->experiment->run.seed, (long long)step);
    dm_plain_text(about);
    snprintf(name, sizeof name, "samples/step-%08lld.png", (long long)step);
    if (shape->rank == 4)
        rc = dm_picture_grid(x, count, shape->dim[1], shape->dim[2], shape->dim[3], 0, 2, &p, err);
    else if (shape->dim[1] == 2)
        rc = dm_picture_scatter(x, count, NULL, 0, 512, 0, &p, err);
    if (!rc && p.pixels && !(rc = dm_png_encode(&p, &(dm_pair){"demist", about}, 1, &png, &size, err)) &&
        !(rc = dm_folder_add(dm_run_folder(folder), "samples", err)) && /* it may have been cleared meanwhile */
        !(rc = dm_run_write(folder, name, png, size, err)))
        rc = dm_tb_image(events, step, wall, "samples", p.width, p.height, p.channels, png, size, err);
    dm_picture_fini(&p);
    free(png);
    return rc;
}

dm_status dm_train_samples(dm_session *s, const dm_run *folder, dm_tb *events, const dm_train_state *state, double wall,
                           dm_err *err)
{
    dm_sample_job d = {.count = s->experiment->train.sample_count, .comm = s->comm};
    const dm_shape shape = dm_net_batch_shape(&s->data.shape, d.count, s->data.shape.dim[0]);
    float *x = dm_array(dm_shape_count(&shape), 1, sizeof *x);
    dm_example_conditions of = {0};
    dm_status rc = x ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %lld samples", (long long)d.count);

    if (!rc && !(rc = dm_example_conditions_new(s, s->examples, d.count, &of, err)) && of.conditions.conditions) {
        d.conditions = &of.conditions;
        d.labels = of.labels;
    }
    if (!(rc = dm_comm_agree(s->comm, rc, NULL, err)) &&
        !(rc = dm_draw_images(s, state->n_ema ? state->ema[0] : state->model, &d, x, NULL, NULL, err)) && folder)
        rc = write(s, folder, events, state->step, wall, &shape, x, err);
    free(x);
    dm_example_conditions_fini(&of);
    return rc;
}
