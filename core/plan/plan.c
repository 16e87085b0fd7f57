/* Makes a plan: chooses implementations, places memory, records the launches. */
#include "plan/plan.h"

#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ARENAS = 64 };

typedef struct step {
    const dm_impl *impl;
    dm_buf *scratch;
    size_t scratch_bytes;
    int from, to;
    char label[64], why[160];
} step;
/* Memory of one node's at a time. */
typedef struct packed_form { dm_buf *buf; size_t node; } packed_form;

struct dm_plan {
    dm_device *device;
    const dm_graph_core *graph;
    dm_wset *weights;
    dm_plan_options options;
    step *steps;                   /* of each node of the graph */
    dm_buf **bufs;                 /* of each value; borrowed from weights or binds where not owned */
    bool *owned;
    dm_tensor *tensors;            /* of each value, for custom ops */
    dm_buf *arenas[MAX_ARENAS];
    int32_t n_arenas;
    packed_form *packed;           /* for packed weights of weights, where these change with each run */
    size_t n_packed, cap_packed;
    dm_cmds *cmds;
    dm_plan_stats stats;
};

static size_t value_bytes(const dm_graph_core *g, dm_val v)
{
    const dm_desc d = dm_graph_desc(g, v);

    return (size_t)dm_desc_count(&d) * dm_dtype_size(d.type);
}

/* Measures what is worth it, before memory for activations is taken. */
static void measure(const dm_plan *p)
{
    const dm_opnode **ops = calloc(p->graph->n_nodes + 1, sizeof(dm_opnode *));
    size_t n = 0;

    for (size_t i = 0; i < p->graph->n_nodes && ops; i++)
        if (!p->graph->nodes[i].dead && !p->graph->nodes[i].custom)
            ops[n++] = &p->graph->nodes[i].op;
    if (ops)
        dm_choices_measure(p->options.choices, ops, n, p->options.runs);
    free(ops);
}

static dm_status choose_all(dm_plan *p, dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(p->device);
    const char *force = p->options.force ? p->options.force : getenv("DEMIST_IMPL");
    dm_status rc;

    if ((rc = dm_force_check(force, err)))
        return rc;
    if (p->options.choices && !(force && *force))
        measure(p);
    for (size_t i = 0; i < p->graph->n_nodes; i++) {
        const dm_gnode *n = &p->graph->nodes[i];
        step *s = &p->steps[i];
        dm_choice choice;

        if (n->dead)
            continue;
        p->stats.nodes++;
        p->stats.recomputed += n->recomputed;
        p->stats.flops += dm_op_flops(&n->op);
        p->stats.bytes += dm_op_bytes(&n->op);
        if (n->custom) {
            snprintf(s->label, sizeof s->label, "%s %s", dm_op_name(n->op.kind), n->custom->name);
            continue;
        }
        if ((rc = dm_choices_pick(p->options.choices, about, &n->op, force, p->options.trains, &choice, err)))
            return rc;
        s->impl = choice.impl;
        memcpy(s->why, choice.why, sizeof s->why);
        snprintf(s->label, sizeof s->label, "%s/%s", dm_op_name(n->op.kind), s->impl->name);
        s->scratch_bytes = s->impl->scratch ? s->impl->scratch(about, &n->op) : 0;
    }
    return DM_OK;
}

/* Lifetimes of everything the plan must hold itself; results live on to the end. */
static size_t lifetimes(const dm_plan *p, const dm_val *results, int n_results, dm_place *things, dm_val *whose)
{
    const dm_graph_core *g = p->graph;
    int32_t *last = calloc(g->n_values + 1, sizeof *last);
    size_t n = 0;

    if (!last)
        return SIZE_MAX;
    for (size_t i = 0; i < g->n_nodes; i++)
        for (int k = 0; k < DM_MAX_READ && !g->nodes[i].dead; k++)
            if (dm_gnode_read(&g->nodes[i], k) >= 0)
                last[dm_graph_root(g, dm_gnode_read(&g->nodes[i], k))] = (int32_t)i;
    for (int i = 0; i < n_results; i++)
        if (results[i] >= 0)
            last[dm_graph_root(g, results[i])] = (int32_t)g->n_nodes;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dm_gnode *node = &g->nodes[i];

        if (node->dead)
            continue;
        for (int k = 0; k < node->op.n_out; k++) {
            const dm_val v = node->out[k] >= 0 ? dm_graph_root(g, node->out[k]) : DM_NONE;

            if (v >= 0 && g->values[v].source == DM_VAL_NODE && g->values[v].node == (int32_t)i && !p->bufs[v]) {
                whose[n] = v;
                things[n++] = (dm_place){.bytes = value_bytes(g, v), .first = (int32_t)i,
                                         .last = last[v] > (int32_t)i ? last[v] : (int32_t)i};
            }
        }
        if (p->steps[i].scratch_bytes) {
            whose[n] = -1 - (dm_val)i;
            things[n++] = (dm_place){.bytes = p->steps[i].scratch_bytes, .first = (int32_t)i, .last = (int32_t)i};
        }
    }
    free(last);
    return n;
}

static dm_status make_arenas(dm_plan *p, const dm_place *things, const dm_val *whose, size_t n, const size_t *bytes,
                             dm_err *err)
{
    dm_status rc;

    for (int32_t i = 0; i < p->n_arenas; i++) {
        if ((rc = dm_buf_new(p->device, bytes[i], "activations", &p->arenas[i], err)))
            return rc;
        p->stats.arena_bytes += bytes[i];
    }
    for (size_t i = 0; i < n; i++) {
        dm_buf **to = whose[i] < 0 ? &p->steps[-1 - whose[i]].scratch : &p->bufs[whose[i]];

        p->stats.values_bytes += things[i].bytes;
        if ((rc = dm_buf_window(p->arenas[things[i].arena], things[i].offset, things[i].bytes, to, err)))
            return rc;
        if (whose[i] >= 0)
            p->owned[whose[i]] = true;
    }
    return DM_OK;
}

static dm_status place(dm_plan *p, const dm_val *results, int n_results, dm_err *err)
{
    const dm_graph_core *g = p->graph;
    const dm_device_info *about = dm_device_get_info(p->device);
    const size_t most = g->n_nodes * (DM_MAX_OUT + 1) + 1;
    dm_place *things = calloc(most, sizeof *things);
    dm_val *whose = calloc(most, sizeof *whose);
    size_t bytes[MAX_ARENAS], n = things && whose ? lifetimes(p, results, n_results, things, whose) : SIZE_MAX;
    dm_status rc;

    p->n_arenas = n == SIZE_MAX ? -1
                  : n           ? dm_place_all(things, n, about->align, about->max_alloc, bytes, MAX_ARENAS)
                                : 0;
    if (p->n_arenas < 0) {
        p->n_arenas = 0;
        rc = dm_error(err, DM_ENOMEM, "out of memory while planning");
    } else if (n > 0 && p->n_arenas == 0) {
        rc = dm_error(err, DM_ENOMEM,
                      "a tensor of '%s' is larger than the %llu bytes that '%s' gives at once; use a smaller batch or "
                      "network",
                      p->options.name, (unsigned long long)about->max_alloc, about->name);
    } else {
        p->stats.arenas = p->n_arenas;
        rc = make_arenas(p, things, whose, n, bytes, err);
    }
    free(things);
    free(whose);
    return rc;
}

/* Which memories a live node or a result touches; NULL when memory ran out. */
static bool *used(const dm_graph_core *g, const dm_val *results, int n_results)
{
    bool *is = calloc(g->n_values + 1, sizeof *is);

    if (!is)
        return NULL;
    for (int i = 0; i < n_results; i++)
        if (results[i] >= 0)
            is[dm_graph_root(g, results[i])] = true;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dm_gnode *n = &g->nodes[i];

        for (int k = 0; k < DM_MAX_READ && !n->dead; k++)
            if (dm_gnode_read(n, k) >= 0)
                is[dm_graph_root(g, dm_gnode_read(n, k))] = true;
        for (int k = 0; k < n->op.n_out && !n->dead; k++)
            if (n->out[k] >= 0)
                is[dm_graph_root(g, n->out[k])] = true;
    }
    return is;
}

/* The memory of a weight, a gradient, an input or a constant. */
static dm_status outside_value(dm_plan *p, dm_val i, dm_err *err)
{
    const dm_graph_core *g = p->graph;
    const dm_value *v = &g->values[i];
    const dm_layout *l = dm_wset_layout(p->weights);
    const bool weight = v->source == DM_VAL_WEIGHT || v->source == DM_VAL_GRAD;
    const int32_t k = weight ? dm_layout_find(l, g->weights[v->weight].key) : -1;
    const size_t bytes = value_bytes(g, i);
    dm_status rc;

    if (weight && k < 0)
        return dm_error(err, DM_EINVAL, "weight '%s' is not in the set of weights", g->weights[v->weight].key);
    if (v->source == DM_VAL_WEIGHT) {
        p->bufs[i] = dm_wset_weight(p->weights, k);
        return DM_OK;
    }
    p->owned[i] = true;
    if (v->source == DM_VAL_GRAD)
        return dm_buf_window(p->options.grads, l->offset[k] * sizeof(float), bytes, &p->bufs[i], err);
    if ((rc = dm_buf_new(p->device, bytes, v->name ? v->name : "constant", &p->bufs[i], err)))
        return rc;
    return v->source == DM_VAL_CONST ? dm_buf_write(p->bufs[i], 0, bytes, v->data, err) : DM_OK;
}

static dm_status outside(dm_plan *p, const dm_val *results, int n_results, dm_err *err)
{
    const dm_graph_core *g = p->graph;
    bool *is = used(g, results, n_results);
    dm_status rc = is ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory while planning");

    for (int i = 0; i < p->options.n_binds; i++)
        p->bufs[p->options.binds[i].value] = p->options.binds[i].buf;
    for (size_t i = 0; i < g->n_values && !rc; i++) {
        const dm_source from = g->values[i].source;

        if (is[i] && !p->bufs[i] && from != DM_VAL_NODE && from != DM_VAL_ALIAS)
            rc = outside_value(p, (dm_val)i, err);
    }
    free(is);
    return rc;
}

static dm_buf *buffer(const dm_plan *p, dm_val v) { return v < 0 ? NULL : p->bufs[dm_graph_root(p->graph, v)]; }

/* The smallest memory that holds packed weights of this node and that none of its others has. */
static dm_status form_scratch(dm_plan *p, size_t node, size_t bytes, dm_buf **out, dm_err *err)
{
    packed_form *best = NULL;
    dm_status rc;

    for (size_t i = 0; i < p->n_packed; i++) {
        packed_form *f = &p->packed[i];

        if (f->node != node && dm_buf_bytes(f->buf) >= bytes &&
            (!best || dm_buf_bytes(f->buf) < dm_buf_bytes(best->buf)))
            best = f;
    }
    if (!best) {
        if (!dm_grow((void **)&p->packed, p->n_packed, &p->cap_packed, sizeof *p->packed))
            return dm_error(err, DM_ENOMEM, "out of memory while planning");
        best = &p->packed[p->n_packed];
        if ((rc = dm_buf_new(p->device, bytes, "packed weights", &best->buf, err)))
            return rc;
        p->n_packed++;
    }
    best->node = node;
    *out = best->buf;
    return DM_OK;
}

static dm_status packed(dm_emit *e, int in, const char *key, size_t bytes, dm_buf **out, dm_cmds **refresh)
{
    dm_plan *p = e->packed_user;
    const dm_value *v;
    size_t at = 0;

    while (&p->graph->nodes[at].op != e->node)
        at++;
    v = &p->graph->values[dm_graph_root(p->graph, p->graph->nodes[at].in[in])];
    if (p->options.grads || v->source != DM_VAL_WEIGHT) { /* new at each step, or at each run */
        *refresh = e->cmds;
        return form_scratch(p, at, bytes, out, e->err);
    }
    return dm_wset_packed(p->weights, dm_layout_find(dm_wset_layout(p->weights), p->graph->weights[v->weight].key),
                           key, bytes, out, refresh, e->err);
}

static dm_status emit_custom(dm_plan *p, const dm_gnode *n, step *s, dm_err *err)
{
    dm_tensor *in[DM_MAX_IN], *out[DM_MAX_OUT], *dout[DM_MAX_OUT], *written[DM_MAX_OUT];
    dm_recording recording = {.cmds = p->cmds, .label = s->label};
    dm_ctx *ctx = &n->owner->ctx;
    const bool forward = n->op.kind == DM_OP_CUSTOM;
    dm_status rc = DM_OK;
    int before = dm_cmds_count(p->cmds);

    for (int i = 0; i < DM_MAX_IN; i++) {
        in[i] = n->in[i] < 0 ? NULL : &p->tensors[n->in[i]];
        out[i] = n->out[i] < 0 ? NULL : &p->tensors[n->out[i]];
        written[i] = n->written[i] < 0 ? NULL : &p->tensors[n->written[i]];
        dout[i] = n->dout[i] < 0 ? NULL : &p->tensors[n->dout[i]];
    }
    n->owner->services->recording = &recording;
    if (forward) {
        rc = DM_CALL(n->owner, DM_CB_FORWARD, err, n->custom->forward(ctx, in, out));
    } else {
        for (int i = 0; i < DM_MAX_OUT && !rc; i++)
            if (out[i])
                rc = dm_cmds_zero(p->cmds, out[i]->buf, 0, dm_buf_bytes(out[i]->buf), err);
        before = dm_cmds_count(p->cmds);
        if (!rc)
            rc = DM_CALL(n->owner, DM_CB_BACKWARD, err, n->custom->backward(ctx, in, written, dout, out));
    }
    n->owner->services->recording = NULL;
    if (!rc && dm_cmds_count(p->cmds) == before)
        rc = dm_error(err, DM_EINVAL, "%s launches nothing, so %s", forward ? "forward()" : "backward()",
                      forward ? "its outputs are never written" : "its gradients are 0; without one it is a constant");
    return rc ? dm_error_prefix(err, "op '%s': ", n->custom->name) : DM_OK;
}

static dm_status emit(dm_plan *p, size_t at, dm_err *err)
{
    const dm_gnode *n = &p->graph->nodes[at];
    step *s = &p->steps[at];
    dm_emit e = {.dev = p->device,
                 .node = &n->op,
                 .scratch = s->scratch,
                 .cmds = p->cmds,
                 .label = s->label,
                 .work = {dm_op_flops(&n->op), dm_op_bytes(&n->op)},
                 .err = err,
                 .packed = packed,
                 .packed_user = p};
    dm_status rc;

    for (int i = 0; i < DM_MAX_IN; i++)
        e.in[i] = buffer(p, n->in[i]);
    for (int i = 0; i < DM_MAX_OUT; i++)
        e.out[i] = buffer(p, n->out[i]);
    s->from = dm_cmds_count(p->cmds);
    rc = n->custom ? emit_custom(p, n, s, err) : s->impl->emit(&e);
    s->to = dm_cmds_count(p->cmds);
    return rc;
}

static void make_tensors(dm_plan *p)
{
    for (size_t i = 0; i < p->graph->n_values; i++)
        p->tensors[i] = (dm_tensor){.shape = p->graph->values[i].shape, .buf = buffer(p, (dm_val)i)};
}

dm_status dm_plan_new(dm_device *d, const dm_graph_core *g, dm_wset *weights, const dm_val *results, int n_results,
                      const dm_plan_options *o, dm_plan **out, dm_err *err)
{
    dm_plan *p = calloc(1, sizeof *p);
    dm_status rc = DM_OK;

    if (!p || !(p->steps = calloc(g->n_nodes + 1, sizeof *p->steps)) ||
        !(p->bufs = calloc(g->n_values + 1, sizeof *p->bufs)) ||
        !(p->owned = calloc(g->n_values + 1, sizeof *p->owned)) ||
        !(p->tensors = calloc(g->n_values + 1, sizeof *p->tensors))) {
        dm_plan_free(p);
        return dm_error(err, DM_ENOMEM, "out of memory for a plan");
    }
    p->device = d;
    p->graph = g;
    p->weights = weights;
    p->options = *o;
    if (!(rc = dm_cmds_new(d, &p->cmds, err)) && !(rc = choose_all(p, err)) &&
        !(rc = outside(p, results, n_results, err)) && !(rc = place(p, results, n_results, err))) {
        make_tensors(p);
        for (size_t i = 0; i < g->n_nodes && !rc; i++)
            if (!g->nodes[i].dead)
                rc = emit(p, i, err);
    }
    if (rc) {
        dm_plan_free(p);
        return dm_error_prefix(err, "plan '%s': ", o->name);
    }
    p->stats.commands = dm_cmds_count(p->cmds);
    p->options.binds = NULL;
    *out = p;
    return DM_OK;
}

void dm_plan_free(dm_plan *p)
{
    if (!p)
        return;
    dm_cmds_free(p->cmds);
    for (size_t i = 0; p->graph && i < p->graph->n_nodes && p->steps; i++)
        dm_buf_free(p->steps[i].scratch);
    for (size_t i = 0; p->graph && i < p->graph->n_values && p->bufs && p->owned; i++)
        if (p->owned[i])
            dm_buf_free(p->bufs[i]);
    for (int32_t i = 0; i < p->n_arenas; i++)
        dm_buf_free(p->arenas[i]);
    for (size_t i = 0; i < p->n_packed; i++)
        dm_buf_free(p->packed[i].buf);
    free(p->packed);
    free(p->steps);
    free(p->bufs);
    free(p->owned);
    free(p->tensors);
    free(p);
}

dm_buf *dm_plan_buffer(const dm_plan *p, dm_val v) { return buffer(p, v); }

dm_status dm_plan_run(dm_plan *p, dm_err *err)
{
    const dm_status rc = dm_wset_refresh(p->weights, err);

    return rc ? rc : dm_cmds_run(p->cmds, err);
}

dm_plan_stats dm_plan_get_info(const dm_plan *p) { return p->stats; }

/* The key of the first weight that a node reads; "" if it reads none. */
static const char *weight_of(const dm_graph_core *g, const dm_gnode *n)
{
    for (int k = 0; k < n->op.n_in; k++)
        if (n->in[k] >= 0) {
            const dm_value *v = &g->values[dm_graph_root(g, n->in[k])];

            if (v->source == DM_VAL_WEIGHT)
                return g->weights[v->weight].key;
        }
    return "";
}

/* All ones in the exponent, bits 14 to 7 of an f32's upper half and 14 to 10 of an f16, is not finite. */
static bool finite(dm_buf *b, dm_dtype type, dm_err *err)
{
    const size_t size = dm_dtype_size(type), n = dm_buf_bytes(b) / size;
    uint16_t *host = malloc(n * size);
    bool good = true;

    if (!host || dm_buf_read(b, 0, n * size, host, err)) {
        free(host);
        return true;
    }
    for (size_t i = 0; i < n && good; i++) {
        const uint16_t upper =
            dm_dtype_is_16bit(type) ? host[i] : (uint16_t)(((const uint32_t *)(const void *)host)[i] >> 16);
        const uint16_t exponent = type == DM_DT_F16 ? 0x7c00 : 0x7f80;

        good = (upper & exponent) != exponent;
    }
    free(host);
    return good;
}

static void extents(const dm_desc *d, char *text, size_t size)
{
    size_t at = 0;

    for (int32_t i = 0; i < d->rank && at < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%lld", i ? "x" : "", (long long)d->dim[i]);
    if (d->rank < 1)
        snprintf(text, size, "1");
}

bool dm_plan_find_nonfinite(dm_plan *p, char *what, size_t size, dm_err *err)
{
    const dm_graph_core *g = p->graph;

    for (int32_t i = 0; i < dm_wset_layout(p->weights)->n; i++)
        if (!finite(dm_wset_weight(p->weights, i), DM_DT_F32, err)) {
            snprintf(what, size, "weight '%s'", dm_wset_layout(p->weights)->weights[i].key);
            return true;
        }
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i].source == DM_VAL_INPUT && g->values[i].type == DM_DT_F32 && p->bufs[i] &&
            !finite(p->bufs[i], DM_DT_F32, err)) {
            snprintf(what, size, "input '%s'", g->values[i].name);
            return true;
        }
    if (dm_wset_refresh(p->weights, err))
        return false;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dm_gnode *n = &g->nodes[i];

        if (n->dead || dm_cmds_run_range(p->cmds, p->steps[i].from, p->steps[i].to, err))
            continue;
        for (int k = 0; k < n->op.n_out; k++)
            if (n->out[k] >= 0 && !finite(buffer(p, n->out[k]), n->op.out[k].type, err)) {
                const dm_value *v = &g->values[dm_graph_root(g, n->out[k])];
                const char *w = v->source == DM_VAL_GRAD ? g->weights[v->weight].key : weight_of(g, n);
                char shape[96];

                extents(&n->op.out[k], shape, sizeof shape);
                if (n->custom)
                    snprintf(what, size, "%s op '%s' of plugin '%s' [%s]",
                             n->op.kind == DM_OP_CUSTOM ? "result of" : "gradient by", n->custom->name,
                             n->owner->plugin->name, shape);
                else
                    snprintf(what, size, "%s %s [%s]%s%s%s", v->source == DM_VAL_GRAD ? "gradient by" : "result of",
                         dm_op_name(n->op.kind), shape, *w ? " at '" : "", w, *w ? "'" : "");
                return true;
            }
    }
    return false;
}

void dm_plan_explain(const dm_plan *p, void (*line)(void *user, const char *text), void *user)
{
    for (size_t i = 0; i < p->graph->n_nodes; i++) {
        const dm_gnode *n = &p->graph->nodes[i];
        char text[512], shape[96];

        if (n->dead)
            continue;
        extents(&n->op.out[0], shape, sizeof shape);
        snprintf(text, sizeof text, "%-28s %-20s %9.3f MFLOP %9.3f MB  %s%s%s", p->steps[i].label, shape,
                 dm_op_flops(&n->op) * 1e-6, dm_op_bytes(&n->op) * 1e-6, weight_of(p->graph, n),
                 *p->steps[i].why && *weight_of(p->graph, n) ? "  " : "", p->steps[i].why);
        line(user, text);
    }
}
