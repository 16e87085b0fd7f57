/* Which conditions an experiment has; see conditions.h. */
#include "data/conditions.h"

#include "device/tensor.h"
#include "graph/graph_shape.h"

#include <string.h>

static const char *const names[] = {[DM_DERIVE_DOWNSCALE] = "downscale", [DM_DERIVE_MASK] = "mask",
                                    [DM_DERIVE_GREY] = "grey", [DM_DERIVE_NOISED] = "noised"};

/* The shape of what is derived from an image of C x H x W. */
static dm_status derive_shape(const dm_set_condition *set, int64_t derive, const dm_shape *x, dm_shape *out,
                              dm_err *err)
{
    *out = *x;
    if (x->rank != 3)
        return dm_error(err, DM_EINVAL, "derive: %s needs images; the data are points", names[derive]);
    if (derive == DM_DERIVE_MASK)
        out->dim[0]++;
    if (derive == DM_DERIVE_GREY && x->dim[0] != 3)
        return dm_error(err, DM_EINVAL, "derive: grey needs images with 3 channels; these have %lld",
                        (long long)x->dim[0]);
    if (derive == DM_DERIVE_GREY)
        out->dim[0] = 1;
    if (derive != DM_DERIVE_DOWNSCALE)
        return DM_OK;
    if (x->dim[1] % set->factor || x->dim[2] % set->factor)
        return dm_error(err, DM_EINVAL, "factor: %lld does not divide the %lld x %lld pixels of the images",
                        (long long)set->factor, (long long)x->dim[2], (long long)x->dim[1]);
    out->dim[1] /= set->factor;
    out->dim[2] /= set->factor;
    return DM_OK;
}

dm_status dm_conditions_find(const dm_set_condition *set, const dm_reals *drop, const dm_data_info *data,
                             dm_conditions *out, dm_section_id *at, dm_err *err)
{
    const int32_t class = data->classes > 0, given = data->n_conditions, all = given + set->derive.n + class;
    dm_status rc;

    *out = (dm_conditions){.together = drop->n < 2};
    *at = DM_SEC_CONDITION;
    if (all > DM_MAX_CONDITIONS)
        return dm_error(err, DM_EINVAL, "derive: %d conditions; at most %d", (int)all, DM_MAX_CONDITIONS);
    for (int32_t k = 0; k < given; k++) {
        out->derive[k] = DM_DERIVE_NONE;
        out->is[k] = data->conditions[k];
    }
    out->n = given + set->derive.n;
    for (int32_t k = given; k < out->n; k++) {
        const int64_t derive = set->derive.v[k - given];

        out->derive[k] = (int32_t)derive;
        out->is[k] = (dm_condition){.name = names[derive], .kind = DM_CONDITION_IMAGE};
        if ((rc = derive_shape(set, derive, &data->shape, &out->is[k].shape, err)))
            return rc;
    }
    *at = DM_SEC_TRAIN;
    if (drop->n > 1 && drop->n != all)
        return dm_error(err, DM_EINVAL,
                        "drop_condition: %d values; the conditions are %s: give one for all, or one each", (int)drop->n,
                        dm_conditions_show(out, data->classes).text);
    for (int32_t k = 0; k < out->n; k++)
        out->drop[k] = !drop->n ? 0 : drop->v[out->together ? 0 : k + class];
    out->drop_class = drop->n && class ? drop->v[0] : 0;
    return DM_OK;
}

static const struct { const char *name; int32_t rank; } kinds[] = {
    [DM_CONDITION_CLASS] = {"class", 0},
    [DM_CONDITION_VECTOR] = {"vector", 1},
    [DM_CONDITION_IMAGE] = {"image", 3},
    [DM_CONDITION_SEQUENCE] = {"sequence", 2},
};

const char *dm_condition_kind_name(dm_condition_kind kind) { return kinds[kind].name; }
int32_t dm_condition_rank(dm_condition_kind kind) { return kinds[kind].rank; }

int64_t dm_condition_size(const dm_condition *is)
{
    return dm_shape_count(&is->shape) + (is->kind == DM_CONDITION_SEQUENCE);
}

int64_t dm_conditions_given(const dm_conditions *c)
{
    int64_t n = 0;

    for (int32_t k = 0; k < c->n; k++)
        n += c->derive[k] == DM_DERIVE_NONE ? dm_condition_size(&c->is[k]) : 0;
    return n;
}

dm_conditions_shown dm_conditions_show(const dm_conditions *c, int32_t classes)
{
    dm_conditions_shown s = {"nothing"};
    size_t at = 0;

    if (classes)
        at = (size_t)snprintf(s.text, sizeof s.text, "class of %d", (int)classes);
    for (int32_t k = 0; k < c->n && at < sizeof s.text; k++) {
        const dm_condition *is = &c->is[k];

        at += (size_t)snprintf(s.text + at, sizeof s.text - at, "%s%s (%s %s)", at ? ", " : "", is->name,
                               dm_condition_kind_name(is->kind), dm_shape_show(&is->shape).text);
    }
    return s;
}

bool dm_condition_same(const dm_condition *a, const dm_condition *b)
{
    return !strcmp(a->name, b->name) && a->kind == b->kind && dm_same_shape(&a->shape, &b->shape);
}

bool dm_conditions_same(const dm_conditions *a, const dm_conditions *b)
{
    bool same = a->n == b->n;

    for (int32_t k = 0; k < a->n && same; k++)
        same = dm_condition_same(&a->is[k], &b->is[k]);
    return same;
}
