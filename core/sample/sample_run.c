/* dm_sample and dm_predict: what a trained model gives. */
#include "sample/sample_job.h"
#include "session/session_read.h"
#include "session/session_source.h"

#include "base/plain_text.h"
#include "session/examine.h"
#include "model/objective.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void dm_images_free(dm_images *im)
{
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

/* Classes are 0..classes - 1, and one more stands for none. */
static dm_status check_labels(const dm_session *s, const int32_t *labels, int64_t n, dm_err *err)
{
    if (labels && !s->data.classes)
        dm_session_log(s, DM_LOG_WARNING, "this model has no classes; the labels are left out");
    for (int64_t i = 0; i < n && labels && s->data.classes; i++)
        if (labels[i] < 0 || labels[i] > s->data.classes)
            return dm_error(err, DM_EINVAL, "label %lld is %d; this model has classes 0 to %d, and %d for none",
                            (long long)i, (int)labels[i], (int)s->data.classes - 1, (int)s->data.classes);
    return DM_OK;
}

static dm_status check_request(const dm_session *s, const dm_sample_options *o, int64_t *count, dm_err *err)
{
    const dm_shape want =
        dm_net_batch_shape(&s->data.shape, o->noise ? o->noise_shape.dim[0] : 1, s->data.shape.dim[0]);
    dm_status rc;

    *count = o->count ? o->count : o->noise ? o->noise_shape.dim[0] : 1;
    if (*count < 1)
        return dm_error(err, DM_EINVAL, "%lld images; at least 1", (long long)*count);
    if ((rc = check_labels(s, o->labels, *count, err)) || !o->noise)
        return rc;
    if (o->noise_shape.rank != want.rank ||
        memcmp(o->noise_shape.dim, want.dim, (size_t)want.rank * sizeof want.dim[0]))
        return dm_error(err, DM_EINVAL,
                        "the given noise is of rank %d with %lld channels; this model's images need rank %d, %lld x "
                        "%lld x %lld each",
                        (int)o->noise_shape.rank, (long long)o->noise_shape.dim[1], (int)want.rank,
                        (long long)want.dim[1], (long long)want.dim[2], (long long)want.dim[3]);
    if (*count > o->noise_shape.dim[0])
        return dm_error(err, DM_EINVAL, "%lld images are asked for; the given noise is for %lld", (long long)*count,
                        (long long)o->noise_shape.dim[0]);
    if ((rc = check_finite("x", o->noise, dm_shape_count(&want), err)) ||
        (o->z && (rc = check_finite("z", o->z, o->draws * dm_shape_count(&want), err))))
        return rc;
    if (o->z && *count != o->noise_shape.dim[0])
        return dm_error(err, DM_EINVAL, "with given z all %lld images of the noise must be drawn, not %lld",
                        (long long)o->noise_shape.dim[0], (long long)*count);
    return DM_OK;
}

static void describe(const dm_session *s, dm_images *out)
{
    const dm_experiment *e = s->experiment;

    snprintf(out->about, sizeof out->about, "demist %s name=%s sampler=%s steps=%d seed=%lld checkpoint=%s",
             dm_version(), e->run.name, e->section[DM_SEC_SAMPLER].plugin->name, (int)out->steps,
             (long long)e->run.seed, dm_st_meta(s->checkpoint, "step"));
    dm_plain_text(out->about);
}

static dm_status sample(dm_session *s, const dm_sample_options *o, dm_images *out, dm_err *err)
{
    dm_sample_job d = {.first_index = o->first_index,
                       .noise = o->noise,
                       .z = o->z,
                       .draws = o->draws,
                       .labels = o->labels,
                       .trace = o->trace,
                       .trace_user = o->trace_user,
                       .progress = true};
    const double began = now();
    dm_wset *weights = NULL;
    dm_status rc;

    if ((rc = check_request(s, o, &d.count, err)))
        return rc;
    out->shape = dm_net_batch_shape(&s->data.shape, d.count, s->data.shape.dim[0]);
    if ((o->begin && (rc = o->begin(o->begin_user, &out->shape, err))) || (rc = dm_session_open(s, o->profile, err)) ||
        (rc = dm_session_warn_of_sampling(s, s->model, err)) || (rc = dm_session_weights(s, o->raw, &weights, err)))
        return rc;
    out->pixels = s->data.levels > 0;
    if (!(out->x = malloc((size_t)dm_shape_count(&out->shape) * sizeof *out->x)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)d.count);
    if (!rc && !(rc = dm_draw_images(s, weights, &d, out->x, &out->steps, &out->evaluations, err))) {
        out->seconds = now() - began;
        describe(s, out);
        rc = o->profile ? dm_session_log_profile(s, err) : DM_OK;
    }
    dm_wset_free(weights);
    return rc;
}

dm_status dm_sample(const char *run, const dm_sample_options *o, dm_images *out, dm_err *err)
{
    dm_session s;
    dm_status rc;

    *out = (dm_images){.size = sizeof *out};
    if ((rc = dm_session_read_run(&s, run, o->overrides, o->n_overrides, &o->callbacks, err)))
        return rc;
    if (!s.noise || !s.experiment->section[DM_SEC_OBJECTIVE].plugin->objective->affine)
        rc = dm_error(err, DM_EINVAL, "'%s' is no diffusion model; there is nothing to sample", run);
    else if (dm_st_meta(s.checkpoint, "not_sampled"))
        rc = dm_error(err, DM_EINVAL, "'%s' cannot be sampled: %s", run, dm_st_meta(s.checkpoint, "not_sampled"));
    else
        rc = sample(&s, o, out, err);
    dm_session_fini(&s);
    if (rc)
        dm_images_free(out);
    return rc;
}

static dm_status check_vectors(const dm_session *s, const dm_predict_options *o, dm_err *err)
{
    const int64_t given = DM_HAS(dm_predict_options, o, vector_width) && o->vectors ? o->vector_width : 0;

    if (given == s->label_width)
        return DM_OK;
    if (!s->label_width)
        return dm_error(err, DM_EINVAL, "labels y are vectors; this model's labels are %s",
                        s->data.classes ? "classes" : "none");
    return dm_error(err, DM_EINVAL, "this model needs labels y f32[N,%lld]; %s", (long long)s->label_width,
                    given ? "those given are of another length" : "none are given");
}

/* The steps that the network is told of lie between those of the first and the noisiest level. */
static dm_status check_steps(const dm_session *s, const double *t, int64_t n, dm_err *err)
{
    dm_instance *obj = dm_net_objective(s->model);
    double low, high;
    dm_point first, last;
    dm_affine a, b;
    dm_status rc;

    if (!dm_net_diffuses(s->model))
        return DM_OK;
    dm_noise_at(s->noise, dm_noise_discrete(s->noise) ? 1 : 0, &first);
    dm_noise_at(s->noise, dm_noise_T(s->noise), &last);
    if ((rc = dm_objective_affine(obj, &first, &a, err)) || (rc = dm_objective_affine(obj, &last, &b, err)))
        return rc;
    low = fmin(a.c_noise, b.c_noise);
    high = fmax(a.c_noise, b.c_noise);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(t[i]) || t[i] < low || t[i] > high)
            return dm_error(err, DM_EINVAL, "t[%lld] is %g; this model knows steps from %g to %g", (long long)i, t[i],
                            low, high);
    return DM_OK;
}

static dm_status check_inputs(const dm_session *s, const dm_predict_options *o, dm_err *err)
{
    const int64_t count = dm_shape_count(&o->shape);

    for (int64_t i = 0; i < count && !s->experiment->run.allow_nan; i++)
        if (!isfinite(o->x[i]))
            return dm_error(err, DM_EINVAL,
                            "x has a value that is not finite, at element %lld; allow_nan=true takes it as it is",
                            (long long)i);
    return check_labels(s, o->labels, o->shape.dim[0], err);
}

static dm_status predict(dm_session *s, const dm_predict_options *o, dm_images *out, dm_err *err)
{
    const int64_t n = o->shape.dim[0], C = s->data.shape.dim[0];
    dm_shape example = {.rank = o->shape.rank - 1, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
    dm_wset *weights = NULL;
    dm_forward *f = NULL;
    double *ones;
    dm_status rc;

    if (o->shape.rank != s->data.shape.rank + 1 || o->shape.dim[1] != C)
        return dm_error(err, DM_EINVAL, "x has rank %d and %lld channels; this model needs rank %d and %lld",
                        (int)o->shape.rank, (long long)o->shape.dim[1], (int)s->data.shape.rank + 1, (long long)C);
    if ((rc = check_vectors(s, o, err)) || (rc = check_inputs(s, o, err)))
        return rc;
    if (s->data.classes && !o->labels)
        dm_session_log(s, DM_LOG_DEBUG, "no labels y are given; class 0 is taken");
    for (int32_t i = 1; i < o->shape.rank; i++)
        example.dim[i - 1] = o->shape.dim[i];
    if (!(ones = calloc((size_t)n, sizeof *ones)))
        return dm_error(err, DM_ENOMEM, "out of memory for %lld inputs", (long long)n);
    for (int64_t i = 0; i < n; i++)
        ones[i] = 1;
    if (!(rc = dm_session_open(s, o->profile, err)) && !(rc = check_steps(s, o->t, n, err)) &&
        !(rc = dm_session_weights(s, o->raw, &weights, err)) &&
        !(rc = dm_forward_new(s->model, weights, n, &example, &f, err)) &&
        !(rc = dm_buf_write(dm_forward_input(f), 0, (size_t)dm_shape_count(&o->shape) * sizeof *o->x, o->x, err)) &&
        (!s->label_width || !(rc = dm_forward_vectors(f, o->vectors, err))) &&
        !(rc = dm_forward_run(f, ones, o->t, o->labels, err))) {
        out->shape = dm_forward_shape(f);
        if (!(out->x = malloc((size_t)dm_shape_count(&out->shape) * sizeof *out->x)))
            rc = dm_error(err, DM_ENOMEM, "out of memory for the outputs");
        else
            rc =
                dm_buf_read(dm_forward_output(f), 0, (size_t)dm_shape_count(&out->shape) * sizeof *out->x, out->x, err);
    }
    if (!rc && o->profile)
        rc = dm_session_log_profile(s, err);
    dm_forward_free(f);
    dm_wset_free(weights);
    free(ones);
    return rc;
}

dm_status dm_predict(const char *run, const dm_predict_options *o, dm_images *out, dm_err *err)
{
    dm_session s;
    dm_status rc;

    *out = (dm_images){.size = sizeof *out};
    if ((rc = dm_session_read_run(&s, run, o->overrides, o->n_overrides, &o->callbacks, err)))
        return rc;
    rc = predict(&s, o, out, err);
    dm_session_fini(&s);
    if (rc)
        dm_images_free(out);
    return rc;
}
