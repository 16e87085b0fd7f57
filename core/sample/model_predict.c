/* dm_model_predict: the network alone. */
#include "sample/model_handle.h"

#include "model/objective.h"
#include "sample/condition_request.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static dm_status check_vectors(const dm_session *s, const dm_predict_options *o, dm_err *err)
{
    const int64_t given = o->vectors ? o->vector_width : 0;

    if (o->vector_width < 0 || (o->vector_width && !o->vectors))
        return dm_error(err, DM_EINVAL, "labels y have width %lld, but y is NULL",
                        (long long)o->vector_width);
    if (given == s->label_width)
        return DM_OK;
    if (!s->label_width)
        return dm_error(err, DM_EINVAL, "labels y are vectors; this model's labels are %s",
                        s->data.classes ? "classes" : "none");
    return dm_error(err, DM_EINVAL, "this model needs labels y f32[N,%lld]; %s", (long long)s->label_width,
                    given ? "the given ones have another length" : "none are given");
}

/* The timesteps that the network reads lie between those of the first and the noisiest level. */
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
            return dm_error(err, DM_EINVAL, "t[%lld] is %g; this model's timesteps are %g to %g", (long long)i, t[i],
                            low, high);
    return DM_OK;
}

static dm_status check_inputs(const dm_model *m, const dm_predict_options *o, dm_err *err)
{
    const dm_session *s = &m->s;
    int64_t many;
    dm_status rc;

    if (!o->x || !o->t)
        return dm_error(err, DM_EINVAL, "%s is NULL; a prediction needs x and t", o->x ? "t" : "x");
    if ((rc = dm_check_array("x", &o->shape, sizeof *o->x, err)))
        return rc;
    if (o->shape.rank != s->data.shape.rank + 1 || o->shape.dim[1] != s->data.shape.dim[0])
        return dm_error(err, DM_EINVAL, "x has rank %d and %lld channels; this model needs rank %d and %lld",
                        (int)o->shape.rank, o->shape.rank > 1 ? (long long)o->shape.dim[1] : 0,
                        (int)s->data.shape.rank + 1, (long long)s->data.shape.dim[0]);
    if ((rc = check_vectors(s, o, err)) || (rc = dm_condition_request_count(o->conditions, o->n_conditions, &many,
                                                                            err)))
        return rc;
    for (int64_t i = 0, count = dm_shape_count(&o->shape); i < count && !s->experiment->run.allow_nan; i++)
        if (!isfinite(o->x[i]))
            return dm_error(err, DM_EINVAL,
                            "x has a value that is not finite, at element %lld; allow_nan=true takes it as it is",
                            (long long)i);
    if ((rc = dm_model_check_labels(m, o->labels, o->shape.dim[0], err)))
        return rc;
    return check_steps(s, o->t, o->shape.dim[0], err);
}

/* Labels, where there are none, are class 0: also in a pass that had others before. */
static dm_status run(dm_model *m, const dm_predict_options *o, dm_forward *f, dm_err *err)
{
    const dm_session *s = &m->s;
    const int64_t n = o->shape.dim[0];
    const bool zeros = s->data.classes && !o->labels && !s->label_width;
    double *ones = malloc((size_t)n * sizeof *ones);
    int32_t *labels = zeros ? calloc((size_t)n, sizeof *labels) : NULL;
    dm_condition_batch conditions = {0};
    dm_status rc =
        ones && (labels || !zeros) ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for %lld inputs", (long long)n);

    for (int64_t i = 0; i < n && !rc; i++)
        ones[i] = 1;
    if (zeros)
        dm_session_log(s, DM_LOG_DEBUG, "no labels y given: using class 0");
    if (!rc && !(rc = dm_condition_request_fill(s, o->conditions, o->n_conditions, n, &conditions, err)) &&
        conditions.conditions)
        rc = dm_forward_set_conditions(f, &conditions, dm_forwards_serial(m->forwards), err);
    if (!rc &&
        !(rc = dm_buf_write(dm_forward_input(f), 0, (size_t)dm_shape_count(&o->shape) * sizeof *o->x, o->x, err)) &&
        (!s->label_width || !(rc = dm_forward_vectors(f, o->vectors, err))))
        rc = dm_forward_run(f, ones, o->t, zeros ? labels : o->labels, err);
    free(ones);
    free(labels);
    dm_condition_batch_fini(&conditions);
    return rc;
}

static dm_status predict(dm_model *m, const dm_predict_options *o, dm_images *out, dm_err *err)
{
    dm_shape example = {.rank = o->shape.rank - 1, .dim = {1, 1, 1, 1, 1, 1, 1, 1}};
    dm_forward *f;
    size_t bytes;
    dm_status rc;

    if ((rc = check_inputs(m, o, err)))
        return rc;
    for (int32_t i = 1; i < o->shape.rank; i++)
        example.dim[i - 1] = o->shape.dim[i];
    if ((rc = dm_forwards_get(m->forwards, o->shape.dim[0], &example, 0, &f, err)) || (rc = run(m, o, f, err)))
        return rc;
    out->shape = dm_forward_shape(f);
    bytes = (size_t)dm_shape_count(&out->shape) * sizeof *out->x;
    if (!(out->x = malloc(bytes)))
        return dm_error(err, DM_ENOMEM, "out of memory for the outputs");
    if ((rc = dm_buf_read(dm_forward_output(f), 0, bytes, out->x, err)))
        return rc;
    return m->profile ? dm_session_log_profile(&m->s, err) : DM_OK;
}

dm_status dm_model_predict(dm_model *m, const dm_predict_options *options, dm_images *out, dm_err *err)
{
    dm_predict_options o;
    dm_images im = {.size = sizeof im};
    dm_model_call call;
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_images, out, x, err)) || (rc = DM_SIZED_READ(dm_predict_options, &o, options, err)))
        return rc;
    if (!m)
        return dm_model_missing(err);
    if (!(rc = dm_model_call_begin(m, NULL, 0, NULL, o.callbacks, &call, err)))
        rc = predict(m, &o, &im, err);
    dm_model_call_end(m, &call);
    if (rc)
        dm_images_free(&im);
    else
        DM_SIZED_WRITE(dm_images, out, &im);
    return rc;
}
