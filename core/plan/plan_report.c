/* What a plan says of itself: where a value is not finite, and what each node is. */
#include "plan/plan_parts.h"

#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- what an op of a plugin leaves as it was ------------------------------------------------ */

static const uint32_t UNWRITTEN = 0x7fe5a5a5; /* a NaN that no arithmetic makes */

/* Before it runs: what was in the memory may be finite, and first overflow in the op that reads it. */
static void spoil(dm_plan *p, const dm_gnode *n)
{
    for (int k = 0; n->op.kind == DM_OP_CUSTOM && k < n->op.n_out; k++) {
        dm_buf *b = n->out[k] >= 0 ? dm_plan_buffer(p, n->out[k]) : NULL;
        const size_t count = b ? dm_buf_bytes(b) / sizeof UNWRITTEN : 0;
        uint32_t *host = malloc((count + 1) * sizeof *host);
        dm_err ignored = {0};

        for (size_t i = 0; host && i < count; i++)
            host[i] = UNWRITTEN;
        if (host && count)
            dm_buf_write(b, 0, count * sizeof *host, host, &ignored);
        free(host);
    }
}

/* The first element of output k that is as it was; -1: none is. */
static int64_t unwritten(dm_plan *p, const dm_gnode *n, int k)
{
    const int64_t count = dm_desc_count(&n->op.out[k]);
    uint32_t *host = malloc(((size_t)count + 1) * sizeof *host);
    dm_err ignored = {0};
    int64_t at = 0;

    if (!host || dm_buf_read(dm_plan_buffer(p, n->out[k]), 0, (size_t)count * sizeof *host, host, &ignored))
        at = count;
    while (at < count && host[at] != UNWRITTEN)
        at++;
    free(host);
    return at < count ? at : -1;
}

static void describe_custom(dm_plan *p, const dm_gnode *n, int k, const char *shape, char *what, size_t size)
{
    const bool forward = n->op.kind == DM_OP_CUSTOM;
    const int64_t at = forward ? unwritten(p, n, k) : -1;
    char more[80] = "";

    if (at >= 0)
        snprintf(more, sizeof more, ", which does not write element %lld of output %d", (long long)at, k);
    snprintf(what, size, "%s op '%s' of plugin '%s' [%s]%s", forward ? "result of" : "gradient by", n->custom->name,
             n->owner->plugin->name, shape, more);
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

        if (n->dead)
            continue;
        spoil(p, n);
        if (dm_plan_run_node(p, i, err))
            continue;
        for (int k = 0; k < n->op.n_out; k++)
            if (n->out[k] >= 0 && !finite(dm_plan_buffer(p, n->out[k]), n->op.out[k].type, err)) {
                const dm_value *v = &g->values[dm_graph_root(g, n->out[k])];
                const char *w = v->source == DM_VAL_GRAD ? g->weights[v->weight].key : weight_of(g, n);
                char shape[96];

                extents(&n->op.out[k], shape, sizeof shape);
                if (n->custom)
                    describe_custom(p, n, k, shape, what, size);
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
