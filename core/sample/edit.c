/* Images that are changed; see edit.h. */
#include "sample/edit.h"

#include "base/arena.h"
#include "device/kernels.h"
#include "device/ops.h"
#include "device/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dm_edit {
    dm_device *device;
    dm_buf *x0, *mask, *z;         /* f32[n,...]; mask and z NULL without */
    float *host;                   /* a batch */
    int64_t n, example, pixels;
    bool inverts, from_noise;
};

dm_status dm_edit_new(dm_device *d, const dm_editing *what, const dm_shape *example, int64_t n, dm_edit **out,
                      dm_err *err)
{
    dm_edit *e = calloc(1, sizeof *e);
    const size_t bytes = (size_t)(n * dm_shape_count(example)) * sizeof *e->host;
    dm_status rc;

    if (!e)
        return dm_error(err, DM_ENOMEM, "out of memory for editing");
    *e = (dm_edit){.device = d, .n = n, .example = dm_shape_count(example), .inverts = what->inverts,
                   .from_noise = what->strength >= 1 && !what->inverts};
    e->pixels = e->example / example->dim[0];
    if (!(e->host = dm_array(n, e->example, sizeof *e->host)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for editing %lld images", (long long)n);
    else if (!(rc = dm_buf_new(d, bytes, "editing", &e->x0, err)) && what->mask &&
             !(rc = dm_buf_new(d, bytes, "editing", &e->mask, err)))
        rc = dm_buf_new(d, bytes, "editing", &e->z, err);
    if (rc)
        dm_edit_free(e);
    else
        *out = e;
    return rc;
}

void dm_edit_free(dm_edit *e)
{
    if (!e)
        return;
    dm_buf_free(e->x0);
    dm_buf_free(e->mask);
    dm_buf_free(e->z);
    free(e->host);
    free(e);
}

dm_status dm_edit_batch(dm_edit *e, const dm_editing *what, int64_t first, int64_t there, dm_err *err)
{
    const size_t bytes = (size_t)(e->n * e->example) * sizeof *e->host;
    dm_status rc;

    memset(e->host, 0, bytes);
    for (int64_t i = 0; i < there; i++)
        memcpy(e->host + i * e->example, what->from + (what->n_from == 1 ? 0 : first + i) * e->example,
               (size_t)e->example * sizeof *e->host);
    if ((rc = dm_buf_write(e->x0, 0, bytes, e->host, err)) || !e->mask)
        return rc;
    for (int64_t i = 0; i < e->n; i++) {
        const float *m = what->mask + (what->n_mask == 1 || i >= there ? 0 : first + i) * e->pixels;

        for (int64_t k = 0; k < e->example; k++)
            e->host[i * e->example + k] = m[k % e->pixels];
    }
    return dm_buf_write(e->mask, 0, bytes, e->host, err);
}

/* x is the noise that sampling begins with: unit noise where the process preserves variance, else sigma times that. */
static dm_status begin(dm_edit *e, const dm_point *p, dm_buf *x, dm_err *err)
{
    const double k[] = {p->alpha, e->inverts ? 0 : p->sigma / dm_noise_start(p)};
    dm_buf *const of[] = {e->x0, x};

    return dm_launch_sum(e->device, x, k, of, 2, e->n * e->example, err);
}

dm_status dm_edit_step(dm_edit *e, const dm_point *p, int32_t i, uint64_t seed, uint32_t index, dm_buf *x,
                       dm_err *err)
{
    const dm_randn r = {.seed = seed, .purpose = DM_PURPOSE_EDIT, .step = (uint32_t)i, .first_index = index};
    const dm_keep k = {.x = x, .m = e->mask, .x0 = e->x0, .z = e->z, .alpha = p->alpha, .sigma = p->sigma,
                       .count = e->n * e->example};
    dm_status rc;

    if (!i && !e->from_noise)
        return begin(e, p, x, err);
    if (!i || !e->mask || (rc = dm_launch_randn(e->device, e->z, e->n, e->example, &r, err)))
        return !i || !e->mask ? DM_OK : rc;
    return dm_launch_keep(e->device, &k, err);
}
