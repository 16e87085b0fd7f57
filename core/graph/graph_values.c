/* The values of the public graph table that no op makes: weights, constants, what a gradient does not pass, and the
 * experiment's network. */
#include "graph/graph_scope.h"
#include "graph/graph_shape.h"
#include "plugin/callback.h"

#include <math.h>

static dm_val weight(const dm_graph *g, const char *name, const dm_shape *s, double initial)
{
    dm_graph_core *c = dm_graph_of(g);

    if (!name || !s || s->rank < 0 || s->rank > 8)
        return dm_graph_fail(c, DM_EINVAL, "weight '%s' has rank %d; it needs a name, and a rank of 0 to 8",
                             name ? name : "", s ? (int)s->rank : -1);
    if (!isfinite(initial))
        return dm_graph_fail(c, DM_EINVAL, "weight '%s%s' is initialized to %g; it must be finite",
                             dm_graph_scope_of(g)->prefix, name, initial);
    return dm_graph_to_image(c, dm_graph_weight_value(c, dm_graph_key(g, name, ""), s, DM_INIT_CONSTANT, initial));
}

static dm_val constant(const dm_graph *api, const float *v, const dm_shape *s)
{
    dm_graph_core *g = dm_graph_of(api);
    const int64_t count = !v || !s || s->rank < 0 || s->rank > 8 ? -1 : dm_product(s->dim, 0, s->rank);
    const float *copy;
    dm_val x;

    if (count < 1 || count > INT64_C(1) << 30)
        return dm_graph_fail(g, DM_EINVAL, "a constant of rank %d with %lld elements is not possible",
                             s ? (int)s->rank : -1, (long long)count);
    for (int64_t i = 0; i < count; i++) /* infinity is for masks */
        if (isnan(v[i]))
            return dm_graph_fail(g, DM_EINVAL, "element %lld of a constant of %lld in scope '%s' is NaN", (long long)i,
                                 (long long)count, dm_graph_scope_of(api)->prefix);
    if (!(copy = dm_memdup(g->arena, v, (size_t)count * sizeof *v)))
        return dm_graph_fail(g, DM_ENOMEM, "out of memory for a constant of %lld elements", (long long)count);
    if ((x = dm_graph_value(g, s, DM_DT_F32, false)) < 0)
        return DM_FAILED;
    g->values[x].source = DM_VAL_CONST;
    g->values[x].data = copy;
    return dm_graph_to_image(g, x);
}

static dm_val indices(const dm_graph *api, const int32_t *v, int64_t n)
{
    dm_graph_core *g = dm_graph_of(api);
    const int32_t *copy;
    dm_val x;

    if (!v || n < 1 || n > INT64_C(1) << 30)
        return dm_graph_fail(g, DM_EINVAL, "%lld indices are not possible", (long long)n);
    if (!(copy = dm_memdup(g->arena, v, (size_t)n * sizeof *v)))
        return dm_graph_fail(g, DM_ENOMEM, "out of memory for %lld indices", (long long)n);
    if ((x = dm_graph_value(g, &(dm_shape){1, {n}}, DM_DT_I32, false)) < 0)
        return DM_FAILED;
    g->values[x].source = DM_VAL_CONST;
    g->values[x].data = copy;
    return x;
}

static dm_val stop_gradient(const dm_graph *api, dm_val x)
{
    dm_graph_core *g = dm_graph_of(api);
    const dm_shape s = api->shape(api, x);
    dm_val y;

    if (!dm_graph_has(g, "stop_gradient", DM_DT_F32, &x, 1))
        return DM_FAILED;
    if ((y = dm_graph_alias(g, x, &s, g->values[x].image)) >= 0)
        g->values[y].needs_grad = false;
    return y;
}

static dm_val network(const dm_graph *g, int32_t weights, dm_val x, dm_val noise, dm_val labels)
{
    dm_graph_core *c = dm_graph_of(g);

    /* of some models labels are vectors */
    const bool vectors = labels >= 0 && (size_t)labels < c->n_values && c->values[labels].type == DM_DT_F32;
    dm_val y;

    if (!dm_graph_has(c, "network", DM_DT_F32, &x, 1) ||
        (noise != DM_NONE && !dm_graph_has(c, "network: noise", DM_DT_F32, &noise, 1)) ||
        (labels != DM_NONE && !dm_graph_has(c, "network: labels", vectors ? DM_DT_F32 : DM_DT_I32, &labels, 1)))
        return DM_FAILED;
    if (!c->network || dm_call_which() == DM_CB_BUILD)
        return dm_graph_fail(c, DM_EINVAL, "a network cannot run a network");
    dm_call_host_enter();
    y = c->network(c->network_user, g, weights, x, noise, labels);
    dm_call_host_leave();
    return y;
}

void dm_graph_fill_values(dm_graph *api)
{
    api->weight = weight;
    api->constant = constant;
    api->indices = indices;
    api->stop_gradient = stop_gradient;
    api->network = network;
}
