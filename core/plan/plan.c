/* Makes a plan: chooses implementations, places memory, records the launches. */
#include "plan/plan_parts.h"

#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

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

static const char *force_of(const dm_plan *p) { return p->options.force ? p->options.force : getenv("DEMIST_IMPL"); }

dm_status dm_plan_choose(dm_plan *p, size_t at, dm_err *err)
{
    const dm_device_info *about = dm_device_get_info(p->device);
    const dm_opnode *n = &p->graph->nodes[at].op;
    dm_plan_step *s = &p->steps[at];
    dm_choice choice;
    dm_status rc;

    if ((rc = dm_choices_pick(p->options.choices, p->refused, about, n, force_of(p), p->options.trains, &choice, err)))
        return rc;
    s->impl = choice.impl;
    memcpy(s->why, choice.why, sizeof s->why);
    snprintf(s->label, sizeof s->label, "%s/%s", dm_op_name(n->kind), s->impl->name);
    s->scratch_bytes = s->impl->scratch ? s->impl->scratch(about, n) : 0;
    return DM_OK;
}

static dm_status choose_all(dm_plan *p, dm_err *err)
{
    const char *force = force_of(p);
    dm_status rc;

    if ((rc = dm_force_check(force, err)))
        return rc;
    if (p->options.choices && !(force && *force))
        measure(p);
    for (size_t i = 0; i < p->graph->n_nodes; i++) {
        const dm_gnode *n = &p->graph->nodes[i];
        dm_plan_step *s = &p->steps[i];

        if (n->dead)
            continue;
        p->stats.nodes++;
        p->stats.recomputed += n->recomputed;
        p->stats.flops += dm_op_flops(&n->op);
        p->stats.bytes += dm_op_bytes(&n->op);
        if (n->custom)
            snprintf(s->label, sizeof s->label, "%s %s", dm_op_name(n->op.kind), n->custom->name);
        else if ((rc = dm_plan_choose(p, i, err)))
            return rc;
    }
    return DM_OK;
}

bool dm_plan_refuse(dm_plan *p, size_t at, const dm_err *why)
{
    const dm_opnode *n = &p->graph->nodes[at].op;

    if (why->code != DM_EDEVICE || p->graph->nodes[at].custom)
        return false;
    return p->options.choices ? dm_choices_refuse(p->options.choices, n, p->steps[at].impl, why->msg)
                              : dm_refused_add(p->refused, n, p->steps[at].impl, why->msg);
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
    size_t bytes[DM_PLAN_ARENAS], n = things && whose ? lifetimes(p, results, n_results, things, whose) : SIZE_MAX;
    dm_status rc;

    p->n_arenas = n == SIZE_MAX ? -1
                  : n           ? dm_place_all(things, n, about->align, about->max_alloc, bytes, DM_PLAN_ARENAS)
                                : 0;
    if (p->n_arenas < 0) {
        p->n_arenas = 0;
        rc = dm_error(err, DM_ENOMEM, "out of memory while planning");
    } else if (n > 0 && p->n_arenas == 0) {
        rc = dm_error(err, DM_ENOMEM,
                      "a tensor of '%s' is larger than the %llu bytes that '%s' allows in one buffer; use a smaller "
                      "batch or network",
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
    dm_packed_form *best = NULL;
    dm_status rc;

    for (size_t i = 0; i < p->n_packed; i++) {
        dm_packed_form *f = &p->packed[i];

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

static dm_status emit_custom(dm_plan *p, const dm_gnode *n, const dm_plan_step *s, dm_err *err)
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

dm_status dm_plan_emit(dm_plan *p, size_t at, bool own, dm_err *err)
{
    const dm_gnode *n = &p->graph->nodes[at];
    dm_plan_step *s = &p->steps[at];
    dm_emit e = {.dev = p->device,
                 .node = &n->op,
                 .scratch = own ? s->own_scratch : s->scratch,
                 .cmds = own ? s->own : p->cmds,
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
    if (own)
        return s->impl->emit(&e);
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

/* *refused: an implementation was, so that the plan is to be made again with others. */
static dm_status emit_all(dm_plan *p, bool *refused, dm_err *err)
{
    dm_status rc = DM_OK;

    for (size_t i = 0; i < p->graph->n_nodes && !rc; i++) {
        dm_err why = {0};

        if (p->graph->nodes[i].dead || !(rc = dm_plan_emit(p, i, false, &why)))
            continue;
        if (dm_plan_refuse(p, i, &why)) {
            *refused = true;
            rc = DM_OK;
        } else {
            rc = dm_error(err, why.code, "%s", why.msg);
        }
    }
    return rc;
}

static dm_status make(dm_plan *p, const dm_val *results, int n_results, bool *refused, dm_err *err)
{
    dm_status rc;

    if ((rc = dm_cmds_new(p->device, &p->cmds, err)) || (rc = choose_all(p, err)) ||
        (rc = outside(p, results, n_results, err)) || (rc = place(p, results, n_results, err)))
        return rc;
    make_tensors(p);
    return emit_all(p, refused, err);
}

static dm_plan *blank(dm_device *d, const dm_graph_core *g, dm_wset *weights, const dm_plan_options *o)
{
    dm_plan *p = calloc(1, sizeof *p);

    if (!p || !(p->steps = calloc(g->n_nodes + 1, sizeof *p->steps)) ||
        !(p->bufs = calloc(g->n_values + 1, sizeof *p->bufs)) ||
        !(p->owned = calloc(g->n_values + 1, sizeof *p->owned)) ||
        !(p->tensors = calloc(g->n_values + 1, sizeof *p->tensors))) {
        dm_plan_free(p);
        return NULL;
    }
    p->device = d;
    p->graph = g;
    p->weights = weights;
    p->options = *o;
    return p;
}

/* Once more for each set of implementations that was refused, which are fewer each time. */
dm_status dm_plan_new(dm_device *d, const dm_graph_core *g, dm_wset *weights, const dm_val *results, int n_results,
                      const dm_plan_options *o, dm_plan **out, dm_err *err)
{
    dm_refused *refused = o->choices ? NULL : dm_refused_new();
    dm_plan *p = NULL;
    dm_status rc = DM_OK;
    bool again = true;

    if (!o->choices && !refused)
        return dm_error(err, DM_ENOMEM, "out of memory for a plan");
    while (again && !rc) {
        const dm_wset_mark before = dm_wset_here(weights);

        again = false;
        if (!(p = blank(d, g, weights, o))) {
            dm_refused_free(refused);
            return dm_error(err, DM_ENOMEM, "out of memory for a plan");
        }
        p->refused = refused;
        rc = make(p, results, n_results, &again, err);
        if (rc || again) {
            p->refused = NULL;
            dm_plan_free(p);
            dm_wset_back(weights, before);
        }
    }
    if (rc) {
        dm_refused_free(refused);
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
    dm_refused_free(p->refused);
    for (size_t i = 0; p->graph && i < p->graph->n_nodes && p->steps; i++) {
        dm_buf_free(p->steps[i].scratch);
        dm_cmds_free(p->steps[i].own);
        dm_buf_free(p->steps[i].own_scratch);
    }
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

dm_plan_stats dm_plan_get_info(const dm_plan *p) { return p->stats; }
