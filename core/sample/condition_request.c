/* Conditions by name; see condition_request.h. */
#include "sample/condition_request.h"

#include "text/suggest.h"

#include <math.h>
#include <string.h>

dm_status dm_condition_request_count(const dm_condition_value *v, int64_t n, int64_t *count, dm_err *err)
{
    const char *of = "";
    dm_status rc;

    *count = 0;
    if (n < 0 || (n && !v))
        return dm_error(err, DM_EINVAL, "%lld conditions%s", (long long)n,
                        n < 0 ? ": the number must be 0 or above" : ", but the array is NULL");
    for (int64_t i = 0; i < n; i++) {
        if (!v[i].name)
            return dm_error(err, DM_EINVAL, "condition %lld of %lld has no name", (long long)i + 1, (long long)n);
        if (!v[i].x)
            continue;
        if ((rc = dm_check_array(v[i].name, &v[i].shape, sizeof *v[i].x, err)))
            return rc;
        if (v[i].shape.dim[0] == 1)
            continue;
        if (*count && *count != v[i].shape.dim[0])
            return dm_error(err, DM_EINVAL, "condition '%s' has %lld images, and '%s' has %lld; give as many of each, "
                                            "or one for all", of, (long long)*count,
                            v[i].name, (long long)v[i].shape.dim[0]);
        *count = v[i].shape.dim[0];
        of = v[i].name;
    }
    return DM_OK;
}

static dm_status unknown(const dm_conditions *c, int32_t classes, const char *name, dm_err *err)
{
    dm_nearest near;

    if (!strcmp(name, "class"))
        return dm_error(err, DM_EINVAL, "the class is not given as a condition but as classes, by name or number "
                                        "(--class)");
    if (!c->n)
        return dm_error(err, DM_EINVAL, "condition '%.60s': this model takes %s", name,
                        classes ? "no condition but the class" : "no conditions");
    dm_nearest_init(&near, name);
    for (int32_t k = 0; k < c->n; k++)
        dm_nearest_try(&near, c->is[k].name);
    return dm_error(err, DM_EINVAL, "there is no condition '%.60s'%s%s%s; this model takes %s", name,
                    near.best ? "; did you mean '" : "", near.best ? near.best : "", near.best ? "'?" : "",
                    dm_conditions_show(c, classes).text);
}

static dm_status check_value(const dm_condition *is, const dm_condition_value *v, int64_t count, dm_err *err)
{
    dm_conditions one = {.n = 1, .is = {*is}};
    bool fits = v->shape.rank == is->shape.rank + 1;

    for (int32_t i = 0; i < is->shape.rank && fits; i++)
        fits = is->kind == DM_CONDITION_SEQUENCE && i == 0 ? v->shape.dim[1] <= is->shape.dim[0]
                                                           : v->shape.dim[i + 1] == is->shape.dim[i];
    if (!fits) {
        dm_conditions given = one;

        given.is[0].shape = (dm_shape){.rank = v->shape.rank - 1};
        memcpy(given.is[0].shape.dim, v->shape.dim + 1, 7 * sizeof v->shape.dim[0]);
        return dm_error(err, DM_EINVAL, "this model takes %s, not %s", dm_conditions_show(&one, 0).text,
                        dm_conditions_show(&given, 0).text);
    }
    if (v->shape.dim[0] != 1 && v->shape.dim[0] < count)
        return dm_error(err, DM_EINVAL, "%lld images were requested; condition '%s' has %lld", (long long)count,
                        is->name, (long long)v->shape.dim[0]);
    for (int64_t i = 0, all = dm_shape_count(&v->shape); i < all; i++)
        if (!isfinite(v->x[i]))
            return dm_error(err, DM_EINVAL, "condition '%s' has %s at element %lld; it must be finite", is->name,
                            isnan(v->x[i]) ? "NaN" : "an infinite value", (long long)i);
    return DM_OK;
}

/* The caller's value of condition k; NULL where there is none. */
static dm_status find(const dm_conditions *c, int32_t k, const dm_condition_value *v, int64_t n,
                      const dm_condition_value **out, dm_err *err)
{
    *out = NULL;
    for (int64_t i = 0; i < n; i++) {
        if (strcmp(v[i].name, c->is[k].name))
            continue;
        if (*out)
            return dm_error(err, DM_EINVAL, "condition '%s' is given twice", v[i].name);
        *out = &v[i];
    }
    if ((!*out || !(*out)->x) && !(c->drop[k] > 0)) {
        const dm_conditions one = {.n = 1, .is = {c->is[k]}};

        return dm_error(err, DM_EINVAL,
                        "this model needs %s; only a model trained with train.drop_condition works without it",
                        dm_conditions_show(&one, 0).text);
    }
    return DM_OK;
}

/* Image i condition k; a sequence may have fewer rows than the longest. */
static void tell(dm_condition_batch *out, int32_t k, int64_t i, const dm_condition_value *its)
{
    const int64_t n = dm_shape_count(&its->shape) / its->shape.dim[0];

    dm_condition_batch_null(out, k, i);
    memcpy(out->value[k] + i * out->size[k], its->x + (its->shape.dim[0] == 1 ? 0 : i) * n,
           (size_t)n * sizeof *its->x);
    out->given[k][i] = 1;
    for (int64_t j = 0; out->length[k] && j < its->shape.dim[1]; j++)
        out->rows[k][i * out->length[k] + j] = 1;
}

static dm_status fill(const dm_conditions *c, const dm_condition_value *v, int64_t n, int64_t count,
                      dm_condition_batch *out, dm_err *err)
{
    const dm_condition_value *its;
    dm_status rc;

    for (int32_t k = 0; k < c->n; k++) {
        if ((rc = find(c, k, v, n, &its, err)))
            return rc;
        if (!its || !its->x)
            continue;
        if ((rc = check_value(&c->is[k], its, count, err)))
            return rc;
        for (int64_t i = 0; i < count; i++)
            tell(out, k, i, its);
    }
    return DM_OK;
}

dm_status dm_condition_request_fill(const dm_session *s, const dm_condition_value *v, int64_t n, int64_t count,
                                    dm_condition_batch *out, dm_err *err)
{
    const dm_conditions *c = dm_net_conditions(s->model);
    dm_status rc;

    *out = (dm_condition_batch){0};
    for (int64_t i = 0; i < n; i++) {
        bool known = false;

        for (int32_t k = 0; k < c->n; k++)
            known |= !strcmp(c->is[k].name, v[i].name);
        if (!known)
            return unknown(c, s->data.classes, v[i].name, err);
    }
    if (!c->n)
        return DM_OK;
    if (!(rc = dm_condition_batch_init(out, c, count, err)) && (rc = fill(c, v, n, count, out, err)))
        dm_condition_batch_fini(out);
    return rc;
}
