/* dm_model_sample: images from a trained model. */
#include "sample/model_handle.h"

#include "base/clock.h"
#include "text/plain_text.h"
#include "sample/condition_request.h"
#include "sample/classes.h"
#include "sample/edit_request.h"
#include "session/examine.h"
#include "session/session_source.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void dm_images_free(dm_images *im)
{
    if (!im || !DM_HAS(dm_images, im, x))
        return;
    free(im->x);
    im->x = NULL;
}

static dm_status check_finite(const char *name, const float *x, int64_t n, dm_err *err)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return dm_error(err, DM_EINVAL, "the given noise %s has %s at element %lld; it must be finite", name,
                            isnan(x[i]) ? "NaN" : "an infinite value", (long long)i);
    return DM_OK;
}

static dm_status check_noise(const dm_session *s, const dm_sample_options *o, int64_t count, dm_err *err)
{
    const dm_shape *have = &o->noise_shape;
    const dm_shape want = dm_net_batch_shape(&s->data.shape, have->dim[0], s->data.shape.dim[0]);

    if (have->rank != want.rank || memcmp(have->dim, want.dim, (size_t)want.rank * sizeof want.dim[0]))
        return dm_error(err, DM_EINVAL,
                        "the given noise is of rank %d with %lld channels; this model's images need rank %d, %lld x "
                        "%lld x %lld each",
                        (int)have->rank, have->rank > 1 ? (long long)have->dim[1] : 0, (int)want.rank,
                        (long long)want.dim[1], (long long)want.dim[2], (long long)want.dim[3]);
    if (count > have->dim[0])
        return dm_error(err, DM_EINVAL, "%lld images were requested; the given noise is for %lld", (long long)count,
                        (long long)have->dim[0]);
    if (o->z && count != have->dim[0])
        return dm_error(err, DM_EINVAL, "with z, all %lld images of the noise must be drawn, not %lld",
                        (long long)have->dim[0], (long long)count);
    return check_finite("x", o->noise, dm_shape_count(&want), err);
}

static dm_status check_draws(const dm_session *s, const dm_sample_options *o, int64_t count, dm_err *err)
{
    const dm_shape draws = {3, {o->draws, count, dm_shape_count(&s->data.shape)}};
    dm_status rc;

    if (!o->z)
        return !o->draws ? DM_OK
                         : dm_error(err, DM_EINVAL, "%lld draws of noise, but z is NULL",
                                    (long long)o->draws);
    if ((rc = dm_check_array("the given noise z", &draws, sizeof *o->z, err)))
        return rc;
    return check_finite("z", o->z, dm_shape_count(&draws), err);
}

/* What one call draws. */
typedef struct request { int64_t count; int32_t *labels; dm_condition_batch conditions; dm_editing editing; } request;

/* Of each class as many, one class after the other. */
static dm_status ask_for_classes(const dm_session *s, const dm_sample_options *o, request *r, dm_err *err)
{
    const int64_t given = o->noise ? o->noise_shape.dim[0] : r->count;
    int32_t *classes = NULL;
    int64_t n, each;
    dm_status rc;

    if (o->labels || o->n_classes < 0 || !o->classes)
        return dm_error(err, DM_EINVAL, "%lld classes%s", (long long)o->n_classes,
                        o->labels          ? ", but labels are given too; give only one of them"
                        : o->n_classes < 0 ? ": the number must be 0 or above"
                                           : ", but the array is NULL");
    if ((rc = dm_classes_find(s, o->classes, o->n_classes, &classes, &n, err)))
        return rc;
    each = o->count ? o->count : given ? given / n : 1;
    if (each < 1 || each > INT64_MAX / n || (given && each * n > given) || (given && !o->count && each * n != given))
        rc = dm_error(err, DM_EINVAL, "unable to draw %lld images of each of %lld classes%s", (long long)each,
                      (long long)n,
                      given ? ": the given noise or condition has another number of images" : "; at least 1");
    else if (!(r->labels = dm_array(each * n, 1, sizeof *r->labels)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the classes of %lld images", (long long)(each * n));
    r->count = each * n;
    for (int64_t i = 0; !rc && i < r->count; i++)
        r->labels[i] = classes[i / each];
    free(classes);
    return rc;
}

static dm_status count_images(const dm_model *m, const dm_sample_options *o, request *r, dm_err *err)
{
    const dm_session *s = &m->s;
    dm_status rc;

    if ((rc = dm_condition_request_count(o->conditions, o->n_conditions, &r->count, err)) ||
        (rc = dm_edit_count(o, &r->count, err)))
        return rc;
    if (o->n_classes)
        return ask_for_classes(s, o, r, err);
    r->count = o->count ? o->count : o->noise ? o->noise_shape.dim[0] : r->count ? r->count : 1;
    if (!o->labels && s->data.classes && dm_net_reads_labels(s->model))
        dm_session_log(s, DM_LOG_INFO, "no class given: image i has class i mod %d", (int)s->data.classes);
    return r->count > 0 ? DM_OK : dm_error(err, DM_EINVAL, "%lld images; it must be 1 or more", (long long)r->count);
}

/* All that can be known before anything is allocated for the images. */
static dm_status check_request(const dm_model *m, const dm_sample_options *o, bool inverts, request *r, dm_err *err)
{
    int64_t *count = &r->count;
    const dm_session *s = &m->s;
    dm_shape all;
    dm_status rc;

    if ((rc = dm_model_check_sampled(m, err)))
        return rc;
    if (inverts && (o->noise || o->z))
        return dm_error(err, DM_EINVAL, "an inversion takes no noise: it computes the noise of its images");
    if (o->noise && (rc = dm_check_array("the given noise", &o->noise_shape, sizeof *o->noise, err)))
        return rc;
    if ((rc = count_images(m, o, r, err)))
        return rc;
    all = dm_net_batch_shape(&s->data.shape, *count, s->data.shape.dim[0]);
    if ((rc = dm_check_array("the request", &all, sizeof(float), err)))
        return rc;
    /* Noise is told apart by an image's index in 32 bits. */
    if (o->first_index < 0 || o->first_index > UINT32_MAX || *count > (int64_t)UINT32_MAX + 1 - o->first_index)
        return dm_error(err, DM_EINVAL, "%lld images from %lld; indices are from 0 to %lld", (long long)*count,
                        (long long)o->first_index, (long long)UINT32_MAX);
    if ((rc = dm_condition_request_fill(s, o->conditions, o->n_conditions, *count, &r->conditions, err)) ||
        (rc = dm_edit_request(s, o, *count, inverts, &r->editing, err)) ||
        (rc = dm_model_check_labels(m, o->labels, *count, err)) || (rc = check_draws(s, o, *count, err)))
        return rc;
    return o->noise ? check_noise(s, o, *count, err) : DM_OK;
}

static dm_status describe(const dm_model *m, const dm_sample_options *o, dm_images *out, dm_err *err)
{
    const dm_status rc = dm_model_describe(m, out, err);
    size_t n;

    for (int64_t i = 0; i < o->n_classes && (n = strlen(out->about)) < sizeof out->about - 1; i++)
        snprintf(out->about + n, sizeof out->about - n, "%s%s", i ? "," : " class=", o->classes[i]);
    dm_plain_text(out->about);
    return rc;
}

/* The sampler of the last call, if it is the same. */
static dm_status set_up(dm_model *m, int64_t count, const dm_editing *what, dm_err *err)
{
    dm_status rc;

    if (m->sampler && dm_image_sampler_serves(m->sampler, count, what))
        return DM_OK;
    dm_image_sampler_free(m->sampler);
    m->sampler = NULL;
    if (!what && (rc = dm_session_warn_of_sampling(&m->s, m->s.model, err)))
        return rc;
    return dm_image_sampler_new(&m->s, m->forwards, count, what, &m->sampler, err);
}

/* Strength 0: the images themselves. */
static dm_status copy_images(const dm_editing *what, int64_t count, int64_t example, dm_images *out)
{
    for (int64_t i = 0; i < count; i++)
        memcpy(out->x + i * example, what->from + (what->n_from == 1 ? 0 : i) * example,
               (size_t)example * sizeof *out->x);
    return DM_OK;
}

static dm_status sample(dm_model *m, const dm_sample_options *o, bool inverts, dm_images *out, dm_err *err)
{
    dm_sample_job d = {.first_index = o->first_index,
                       .noise = o->noise,
                       .z = o->z,
                       .draws = o->draws,
                       .trace = o->trace,
                       .trace_user = o->trace_user,
                       .progress = true};
    const dm_session *s = &m->s;
    const double began = dm_seconds();
    request r = {0};
    dm_status rc = check_request(m, o, inverts, &r, err);
    const dm_editing *what = r.editing.from ? &r.editing : NULL;
    const bool changes = !what || what->strength > 0;

    d.count = r.count;
    d.labels = r.labels ? r.labels : o->labels;
    d.conditions = r.conditions.conditions ? &r.conditions : NULL;
    d.editing = what;
    d.comm = o->trace ? NULL : m->comm; /* a trace is of all images: every rank draws them all */
    if (!rc && changes) {
        const int64_t n = dm_sample_share(&d).n;

        rc = set_up(m, n ? n : 1, what, err);
    }
    if ((rc = dm_comm_agree(m->comm, rc, NULL, err)))
        goto done;
    out->shape = dm_net_batch_shape(&s->data.shape, d.count, s->data.shape.dim[0]);
    out->pixels = s->data.levels > 0 && !dm_st_meta(s->checkpoint, "latents");
    if (!(out->x = dm_array(dm_shape_count(&out->shape), 1, sizeof *out->x)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)d.count);
    if ((rc = dm_comm_agree(m->comm, rc, NULL, err)))
        goto done;
    if ((rc = changes ? dm_image_sampler_draw(m->sampler, &d, out->x, &out->steps, &out->evaluations, err)
                            : copy_images(what, d.count, dm_shape_count(&s->data.shape), out)))
        goto done;
    out->seconds = dm_seconds() - began;
    if (!(rc = describe(m, o, out, err)) && m->profile)
        rc = dm_session_log_profile(s, err);
done:
    free(r.labels);
    dm_condition_batch_fini(&r.conditions);
    return rc;
}

static dm_status call(dm_model *m, const dm_sample_options *options, bool inverts, dm_images *out, dm_err *err)
{
    dm_sample_options o;
    dm_images im = {.size = sizeof im};
    dm_model_call call;
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_images, out, x, err)) || (rc = DM_SIZED_READ(dm_sample_options, &o, options, err)))
        return rc;
    if (!m)
        return dm_model_missing(err);
    if (!(rc = dm_model_call_begin(m, o.overrides, o.n_overrides, o.seed, o.callbacks, &call, err)))
        rc = sample(m, &o, inverts, &im, err);
    dm_model_call_end(m, &call);
    if (rc)
        dm_images_free(&im);
    else
        DM_SIZED_WRITE(dm_images, out, &im);
    return rc;
}

dm_status dm_model_sample(dm_model *m, const dm_sample_options *options, dm_images *out, dm_err *err)
{
    return call(m, options, false, out, err);
}

dm_status dm_model_invert(dm_model *m, const dm_sample_options *options, dm_images *out, dm_err *err)
{
    return call(m, options, true, out, err);
}
