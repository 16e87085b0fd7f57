/* Editing as a caller asks for it; see edit_request.h. */
#include "sample/edit_request.h"

#include <math.h>
#include <string.h>

dm_status dm_edit_count(const dm_sample_options *o, int64_t *count, dm_err *err)
{
    dm_status rc;

    if (!o->start && o->mask)
        return dm_error(err, DM_EINVAL, "there is a mask but no images to apply it to; give the images (start)");
    if (!o->start && (o->jump_length || o->resamplings))
        return dm_error(err, DM_EINVAL, "jumps need images to change and a mask");
    if (!o->start && o->strength != 0) /* also where it is NaN */
        return dm_error(err, DM_EINVAL, "a strength of %g needs images to change; give them (start)", o->strength);
    if (!o->start)
        return DM_OK;
    if ((rc = dm_check_array("the array of images", &o->start_shape, sizeof *o->start, err)) ||
        (o->mask && (rc = dm_check_array("the mask", &o->mask_shape, sizeof *o->mask, err))))
        return rc;
    if (o->mask && o->start_shape.dim[0] > 1 && o->mask_shape.dim[0] > 1 &&
        o->start_shape.dim[0] != o->mask_shape.dim[0])
        return dm_error(err, DM_EINVAL, "%lld images and %lld masks do not match; give one mask, or one for each image",
                        (long long)o->start_shape.dim[0], (long long)o->mask_shape.dim[0]);
    if (o->start_shape.dim[0] > 1)
        *count = o->start_shape.dim[0];
    else if (o->mask && o->mask_shape.dim[0] > 1)
        *count = o->mask_shape.dim[0];
    return DM_OK;
}

static dm_status check_values(const char *what, const float *x, const dm_shape *s, float low, float high, dm_err *err)
{
    for (int64_t i = 0, n = dm_shape_count(s); i < n; i++)
        if (!isfinite(x[i]) || x[i] < low || x[i] > high)
            return dm_error(err, DM_EINVAL, isfinite(x[i]) ? "%s: element %lld is %g; it must be from %g to %g"
                                                           : "%s: element %lld is not finite",
                            what, (long long)i, (double)x[i], (double)low, (double)high);
    return DM_OK;
}

/* [N,...] of the model's examples, for one image or for all. */
static dm_status check_shape(const char *what, const dm_shape *have, const dm_shape *example, int64_t channels,
                             int64_t count, dm_err *err)
{
    const dm_shape want = dm_net_batch_shape(example, have->dim[0], channels);

    if (have->rank != want.rank || memcmp(have->dim, want.dim, (size_t)want.rank * sizeof want.dim[0]))
        return dm_error(err, DM_EINVAL,
                        "%s have rank %d, %lld x %lld x %lld each; this model's have rank %d, %lld x %lld x %lld",
                        what, (int)have->rank, (long long)have->dim[1], (long long)have->dim[2],
                        (long long)have->dim[3], (int)want.rank, (long long)want.dim[1], (long long)want.dim[2],
                        (long long)want.dim[3]);
    if (have->dim[0] != 1 && have->dim[0] < count)
        return dm_error(err, DM_EINVAL, "%lld images were requested; %s are %lld", (long long)count, what,
                        (long long)have->dim[0]);
    return DM_OK;
}

static dm_status take_jumps(const dm_sample_options *o, bool inverts, dm_jumps *out, dm_err *err)
{
    const int64_t length = o->jump_length, times = o->resamplings;

    if (!length && !times)
        return DM_OK;
    if (inverts || !o->mask)
        return dm_error(err, DM_EINVAL, "jumps need a mask; they blend the part that it redraws with the part that it "
                                        "keeps");
    if (length < 1 || times < 1 || length > INT32_MAX || times > INT32_MAX)
        return dm_error(err, DM_EINVAL, "jumps of %lld steps, %lld times; both must be from 1 to %d", (long long)length,
                        (long long)times, INT32_MAX);
    *out = (dm_jumps){(int32_t)length, (int32_t)times};
    return DM_OK;
}

dm_status dm_edit_request(const dm_session *s, const dm_sample_options *o, int64_t count, bool inverts, dm_editing *out,
                          dm_err *err)
{
    const dm_shape *example = &s->data.shape;
    dm_status rc;

    *out = (dm_editing){0};
    if (!o->start)
        return inverts ? dm_error(err, DM_EINVAL, "there are no images to invert; give them (start)") : DM_OK;
    if (!inverts && !(o->strength >= 0 && o->strength <= 1))
        return dm_error(err, DM_EINVAL, "the strength is %g; it must be from 0 to 1", o->strength);
    if ((rc = check_shape("the images", &o->start_shape, example, example->dim[0], count, err)) ||
        (rc = check_values("the images", o->start, &o->start_shape, -INFINITY, INFINITY, err)))
        return rc;
    if (o->mask && !inverts) {
        if (example->rank != 3)
            return dm_error(err, DM_EINVAL, "a mask needs images; this model's examples are points");
        if ((rc = check_shape("the masks", &o->mask_shape, example, 1, count, err)) ||
            (rc = check_values("the mask", o->mask, &o->mask_shape, 0, 1, err)))
            return rc;
        out->mask = o->mask;
        out->n_mask = o->mask_shape.dim[0];
    }
    if ((rc = take_jumps(o, inverts, &out->jumps, err)))
        return rc;
    out->from = o->start;
    out->n_from = o->start_shape.dim[0];
    out->strength = inverts ? 1 : o->strength;
    out->inverts = inverts;
    return DM_OK;
}
