/* The graph's values, nodes and weights, and their keys. */
#include "graph/graph_scope.h"

#include "plugin/callback.h"
#include "settings/param.h"

#include <stdlib.h>
#include <string.h>

dm_graph_core *dm_graph_of(const dm_graph *g)
{
    dm_call_progress();
    return dm_graph_scope_of(g)->core;
}

dm_val dm_graph_fail(dm_graph_core *g, dm_status code, const char *fmt, ...)
{
    va_list ap;

    if (g->err.code)
        return DM_FAILED;
    va_start(ap, fmt);
    vsnprintf(g->err.msg, sizeof g->err.msg, fmt, ap);
    va_end(ap);
    g->err.code = code;
    return DM_FAILED;
}

bool dm_graph_returned(dm_graph_core *g, const dm_instance *i, const char *callback, dm_val y)
{
    const char *name = i->plugin->name;

    if (g->err.code)
        return false;
    if (y >= 0 && (size_t)y < g->n_values && !i->err.code)
        return true;
    if (i->err.code && i->err.msg[0]) /* dm_fail is a failure, whatever is returned then */
        dm_graph_fail(g, i->err.code, "plugin '%s': %.960s", name, i->err.msg);
    else if (y < 0)
        dm_graph_fail(g, DM_EINVAL,
                      "plugin '%s': %s returned no value and gave no reason; `return dm_fail(...)` gives one", name,
                      callback);
    else
        dm_graph_fail(g, DM_EINVAL, "plugin '%s': %s returned %d, which is not a value of this graph", name, callback,
                      (int)y);
    return false;
}

bool dm_graph_holds(dm_graph_core *g, const char *op, const dm_val *in, int n)
{
    for (int i = 0; i < n && !g->err.code; i++)
        if (in[i] == DM_NONE)
            dm_graph_fail(g, DM_EINVAL, "%s: input %d is DM_NONE; a value is required", op, i);
        else if (in[i] < 0)
            dm_graph_fail(g, DM_EINVAL, "%s: input %d comes from a call that failed", op, i);
        else if ((size_t)in[i] >= g->n_values)
            dm_graph_fail(g, DM_EINVAL, "%s: input %d is %d, which is not a value of this graph", op, i, (int)in[i]);
    return !g->err.code;
}

bool dm_graph_has(dm_graph_core *g, const char *op, dm_dtype type, const dm_val *in, int n)
{
    if (!dm_graph_holds(g, op, in, n))
        return false;
    for (int i = 0; i < n && !g->err.code; i++)
        if ((type == DM_DT_I32) != (g->values[in[i]].type == DM_DT_I32))
            dm_graph_fail(g, DM_EINVAL,
                          type == DM_DT_I32 ? "%s: input %d holds f32; labels or indices, i32[N], are required"
                                            : "%s: input %d holds labels or indices, i32; embedding, gather, "
                                              "cross_entropy and ops of plugins take these",
                          op, i);
    return !g->err.code;
}

static dm_val no_memory(dm_graph_core *g) { return dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph"); }

void dm_graph_free(dm_graph_core *g)
{
    if (!g)
        return;
    free(g->values);
    free(g->nodes);
    free(g->weights);
    dm_names_free(&g->weight_names);
    dm_arena_free(g->arena);
    free(g);
}

/* Names go to files and messages. */
static bool printable(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < ' ' || *s == 127)
            return false;
    return true;
}

const char *dm_graph_key(const dm_graph *g, const char *name, const char *suffix)
{
    const dm_graph_scope *s = dm_graph_scope_of(g);
    const char *key = name ? dm_sprintf(s->core->arena, "%s%s%s", s->prefix, name, suffix) : NULL;

    if (key && strlen(key) <= DM_KEY_MAX && dm_text_is_utf8(key) && printable(key))
        return key;
    if (!name)
        dm_graph_fail(s->core, DM_EINVAL, "a weight below '%.256s' has the name NULL", s->prefix);
    else if (!key)
        dm_graph_fail(s->core, DM_ENOMEM, "out of memory for the graph");
    else if (strlen(key) > DM_KEY_MAX)
        dm_graph_fail(s->core, DM_EINVAL,
                      "the weight '%.64s...' has a name of %zu bytes with its scopes; at most %d fit a "
                      "checkpoint",
                      key, strlen(key), DM_KEY_MAX);
    else
        dm_graph_fail(s->core, DM_EINVAL, "the weight '%s' has a name that is not printable UTF-8", key);
    return NULL;
}

/* No tensor has as many elements, and no product of some of its extents with an element's size can wrap. */
static const int64_t max_count = (int64_t)1 << 50;

static dm_val add_value(dm_graph_core *g, const dm_value *v)
{
    if (g->err.code)
        return DM_FAILED;
    if (v->shape.rank < 0 || v->shape.rank > 8)
        return dm_graph_fail(g, DM_EINVAL, "a tensor of rank %d; 0 to 8 are allowed", (int)v->shape.rank);
    for (int32_t i = 0; i < v->shape.rank; i++)
        if (v->shape.dim[i] < 1)
            return dm_graph_fail(g, DM_EINVAL, "extent %d is %lld", (int)i, (long long)v->shape.dim[i]);
    if (dm_shape_count(&v->shape) > max_count)
        return dm_graph_fail(g, DM_EINVAL, "a tensor of more than 2^50 elements, extent 0 being %lld",
                             (long long)v->shape.dim[0]);
    if (!dm_grow((void **)&g->values, g->n_values, &g->cap_values, sizeof *g->values))
        return no_memory(g);
    g->values[g->n_values] = *v;
    for (int32_t i = v->shape.rank; i < 8; i++)
        g->values[g->n_values].shape.dim[i] = 1;
    return (dm_val)g->n_values++;
}

dm_val dm_graph_value(dm_graph_core *g, const dm_shape *s, dm_dtype type, bool image)
{
    return add_value(
        g, &(dm_value){.source = DM_VAL_NODE, .type = type, .image = image, .shape = *s, .of = DM_NONE, .node = -1});
}

dm_val dm_graph_input(dm_graph_core *g, const char *name, const dm_shape *s, dm_dtype type, bool image)
{
    return add_value(g, &(dm_value){.source = DM_VAL_INPUT,
                                    .type = type,
                                    .image = image,
                                    .shape = *s,
                                    .of = DM_NONE,
                                    .node = -1,
                                    .name = name});
}

dm_val dm_graph_state(dm_graph_core *g)
{
    if (g->state == DM_NONE)
        g->state = dm_graph_input(g, "state", &(dm_shape){1, {DM_STATE_WORDS}}, DM_DT_I32, false);
    return g->state;
}

dm_val dm_graph_root(const dm_graph_core *g, dm_val v)
{
    return v >= 0 && g->values[v].source == DM_VAL_ALIAS ? g->values[v].of : v;
}

dm_val dm_graph_alias(dm_graph_core *g, dm_val x, const dm_shape *s, bool image)
{
    const dm_value *v;

    if (x < 0)
        return DM_FAILED;
    v = &g->values[x];
    return add_value(g, &(dm_value){.source = DM_VAL_ALIAS,
                                    .type = v->type,
                                    .image = image,
                                    .needs_grad = v->needs_grad,
                                    .shape = *s,
                                    .of = dm_graph_root(g, x),
                                    .node = v->node});
}

dm_desc dm_graph_desc(const dm_graph_core *g, dm_val v)
{
    const dm_value *x = &g->values[v];
    dm_desc d = {.type = x->type, .rank = x->shape.rank};

    memcpy(d.dim, x->shape.dim, sizeof d.dim);
    if (x->image) {
        d.dim[1] = x->shape.dim[2];
        d.dim[2] = x->shape.dim[3];
        d.dim[3] = x->shape.dim[1];
    }
    return d;
}

dm_gnode *dm_graph_node(dm_graph_core *g, dm_op_kind kind, const dm_val *in, int n_in, const dm_val *out, int n_out)
{
    static const dm_desc absent = {.rank = -1};
    bool needs_grad = false;
    dm_gnode *n;

    if (g->err.code)
        return NULL;
    if (!dm_grow((void **)&g->nodes, g->n_nodes, &g->cap_nodes, sizeof *g->nodes)) {
        no_memory(g);
        return NULL;
    }
    n = &g->nodes[g->n_nodes++];
    memset(n, 0, sizeof *n);
    n->op.kind = kind;
    n->op.n_in = n_in;
    n->op.n_out = n_out;
    n->owner = g->owner;
    for (int i = 0; i < DM_MAX_IN; i++) {
        n->in[i] = i < n_in ? in[i] : DM_NONE;
        n->op.in[i] = n->in[i] >= 0 ? dm_graph_desc(g, n->in[i]) : absent;
        needs_grad |= n->in[i] >= 0 && g->values[n->in[i]].needs_grad;
    }
    for (int i = 0; i < DM_MAX_OUT; i++) {
        n->written[i] = n->dout[i] = DM_NONE;
        n->out[i] = i < n_out ? out[i] : DM_NONE;
        n->op.out[i] = n->out[i] >= 0 ? dm_graph_desc(g, n->out[i]) : absent;
        if (n->out[i] >= 0 && g->values[n->out[i]].source == DM_VAL_NODE) {
            g->values[n->out[i]].node = (int32_t)(n - g->nodes);
            g->values[n->out[i]].needs_grad = needs_grad;
        }
    }
    return n;
}

dm_gnode *dm_graph_op1(dm_graph_core *g, dm_op_kind kind, const dm_val *in, int n_in, const dm_shape *s, bool image,
                       dm_val *out)
{
    for (int i = 0; i < n_in; i++)
        if (in[i] < 0 && in[i] != DM_NONE) {
            *out = DM_FAILED;
            return NULL;
        }
    *out = dm_graph_value(g, s, DM_DT_F32, image);
    return *out < 0 ? NULL : dm_graph_node(g, kind, in, n_in, out, 1);
}

dm_val dm_graph_weight_value(dm_graph_core *g, const char *key, const dm_shape *s, dm_init init, double initial)
{
    dm_weight *w;
    int32_t known;

    if (g->err.code || !key)
        return DM_FAILED;
    known = dm_names_find(&g->weight_names, key);
    w = known < 0 ? NULL : &g->weights[known];
    if (w && w->build == g->builds)
        return dm_graph_fail(g, DM_EINVAL, "weight '%s' is declared twice", key);
    if (w && (w->shape.rank != s->rank || memcmp(w->shape.dim, s->dim, (size_t)s->rank * sizeof s->dim[0])))
        return dm_graph_fail(g, DM_EINVAL, "weight '%s' changes its shape from one build to the next", key);
    if (!w) {
        if (!dm_grow((void **)&g->weights, g->n_weights, &g->cap_weights, sizeof *g->weights))
            return no_memory(g);
        w = &g->weights[g->n_weights];
        *w = (dm_weight){.key = key, .shape = *s, .init = init, .initial = initial};
        for (int32_t i = s->rank; i < 8; i++)
            w->shape.dim[i] = 1;
        w->value = add_value(g, &(dm_value){.source = DM_VAL_WEIGHT,
                                            .type = DM_DT_F32,
                                            .needs_grad = !g->fixed_weights,
                                            .shape = *s,
                                            .of = DM_NONE,
                                            .node = -1,
                                            .weight = (int32_t)g->n_weights});
        if (w->value < 0)
            return DM_FAILED;
        if (!dm_names_add(&g->weight_names, key, (int32_t)g->n_weights))
            return no_memory(g);
        g->n_weights++;
    }
    w->build = g->builds;
    return w->value;
}
