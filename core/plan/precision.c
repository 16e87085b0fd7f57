/* bf16 or f16 where it pays: which values are stored so, and the casts between them and the rest. Weights, their
 * gradients, statistics, vectors, losses and results are f32 in every plan. */
#include "plan/choices.h"
#include "plan/precision.h"
#include "device/impl.h"
#include "graph/op_def.h"

#include <stdlib.h>
#include <string.h>

static bool has(const dm_opnode *n, dm_op_flags flag) { return dm_op_def_of(n->kind)->flags & flag; }

/* Could v's memory be 16 bits wide at all? */
static bool eligible(const dm_graph_core *g, dm_val v)
{
    const dm_value *r = &g->values[dm_graph_root(g, v)];

    return r->source == DM_VAL_NODE && r->type == DM_DT_F32 && r->shape.rank >= 3;
}

enum { ABOVE = 1, BELOW = 2, FIXED = 4 }; /* a heavy op somewhere before it; somewhere behind; must stay f32 */

static void look_above(const dm_graph_core *g, char *marks)
{
    for (size_t i = 0; i < g->n_nodes; i++) {
        const dm_gnode *n = &g->nodes[i];
        bool above = has(&n->op, DM_OP_HEAVY);

        for (int k = 0; k < n->op.n_in && !n->dead; k++)
            above |= n->in[k] >= 0 && dm_op_may_be_16bit(&n->op, false, k) && marks[dm_graph_root(g, n->in[k])] & ABOVE;
        for (int k = 0; k < n->op.n_out && !n->dead; k++)
            if (n->out[k] >= 0 && eligible(g, n->out[k])) {
                const bool may = dm_op_may_be_16bit(&n->op, true, k);

                marks[dm_graph_root(g, n->out[k])] |= (may && above ? ABOVE : 0) | (may ? 0 : FIXED);
            }
    }
}

static void look_below(const dm_graph_core *g, char *marks)
{
    for (size_t i = g->n_nodes; i-- > 0;) {
        const dm_gnode *n = &g->nodes[i];
        bool below = has(&n->op, DM_OP_HEAVY);

        for (int k = 0; k < n->op.n_out && !n->dead; k++)
            below |=
                n->out[k] >= 0 && dm_op_may_be_16bit(&n->op, true, k) && marks[dm_graph_root(g, n->out[k])] & BELOW;
        for (int k = 0; k < n->op.n_in && !n->dead; k++)
            if (n->in[k] >= 0 && below && dm_op_may_be_16bit(&n->op, false, k))
                marks[dm_graph_root(g, n->in[k])] |= BELOW;
    }
}

void dm_graph_choose_16bit(dm_graph_core *g, dm_dtype type, const dm_val *results, int n)
{
    char *marks = calloc(g->n_values ? g->n_values : 1, 1);

    if (!marks) {
        dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph");
        return;
    }
    look_above(g, marks);
    look_below(g, marks);
    for (int i = 0; i < n; i++)
        if (results[i] >= 0)
            marks[dm_graph_root(g, results[i])] |= FIXED;
    for (size_t i = 0; i < g->n_values; i++)
        if (eligible(g, (dm_val)i) && marks[i] == (ABOVE | BELOW) && g->values[i].source == DM_VAL_NODE)
            g->values[i].type = type;
    for (size_t i = 0; i < g->n_values; i++)
        g->values[i].type = g->values[dm_graph_root(g, (dm_val)i)].type;
    free(marks);
}

/* ---- casts --------------------------------------------------------------------------------- */

/* The list is made anew, casts put in; the latest cast of each value is kept for those that read it next. One to f32 is
 * made again for those that read it later, as gradients do: else it would be kept in memory for them, in 32 bits. */
typedef struct casting {
    dm_graph_core *g;
    dm_val *cast;
    size_t *made;                  /* node that each is of */
    size_t n_values;
    const dm_device_info *dev;
} casting;
enum { NEAR = 16 };

static dm_val as(casting *s, dm_val v, dm_dtype type)
{
    dm_graph_core *g = s->g;
    dm_val c;

    if (v < 0 || g->values[v].type == type)
        return v;
    if ((size_t)v < s->n_values && s->cast[v] != DM_NONE &&
        (type != DM_DT_F32 || g->n_nodes - s->made[v] <= NEAR))
        return s->cast[v];
    c = dm_graph_cast(g, v, type);
    if ((size_t)v < s->n_values && c >= 0) {
        s->cast[v] = c;
        s->made[v] = g->n_nodes;
    }
    return c;
}

/* The type of what may be 16 bits wide in this node, as its values are. */
static dm_dtype wanted(const dm_graph_core *g, const dm_gnode *n)
{
    if (n->out[0] >= 0 && dm_op_may_be_16bit(&n->op, true, 0) && !has(&n->op, DM_OP_MIXED))
        return g->values[n->out[0]].type;
    for (int k = 0; k < n->op.n_out; k++)
        if (n->out[k] >= 0 && dm_dtype_is_16bit(g->values[n->out[k]].type))
            return g->values[n->out[k]].type;
    for (int k = 0; k < n->op.n_in; k++)
        if (n->in[k] >= 0 && dm_op_may_be_16bit(&n->op, false, k) && dm_dtype_is_16bit(g->values[n->in[k]].type))
            return g->values[n->in[k]].type;
    return DM_DT_F32;
}

/* Sets the types that node n would have, were `type` its type. */
static void set_types(const dm_graph_core *g, dm_gnode *n, dm_dtype type)
{
    const dm_op_def *def = dm_op_def_of(n->op.kind);
    const dm_dtype y =
        def->flags & DM_OP_MIXED && dm_dtype_is_16bit(type) && n->out[0] >= 0 ? g->values[n->out[0]].type : type;

    for (int k = 0; k < n->op.n_in; k++)
        if (n->in[k] >= 0)
            n->op.in[k].type = dm_op_may_be_16bit(&n->op, false, k) ? (def->in[k].flags & DM_ARG_AS_OUTPUT ? y : type)
                             : dm_dtype_is_16bit(g->values[n->in[k]].type) ? DM_DT_F32 : g->values[n->in[k]].type;
    for (int k = 0; k < n->op.n_out; k++)
        if (n->out[k] >= 0)
            n->op.out[k].type = dm_op_may_be_16bit(&n->op, true, k)            ? y
                                : dm_dtype_is_16bit(g->values[n->out[k]].type) ? DM_DT_F32
                                                                             : g->values[n->out[k]].type;
}

static bool supported(const casting *s, const dm_opnode *n)
{
    const dm_impl *impl;
    dm_err ignored = {0};
    bool forced;

    return dm_choose(s->dev, n, NULL, getenv("DEMIST_IMPL"), &impl, &forced, &ignored) == DM_OK;
}

bool dm_multiplies_bf16(const dm_device_info *dev)
{
    enum { SIDE = 32, CHANNELS = 64 };
    const dm_desc x = {DM_DT_BF16, 4, {1, SIDE, SIDE, CHANNELS, 1, 1, 1, 1}}, none = {.rank = -1};
    const dm_opnode conv = {.kind = DM_OP_CONV2D,
                            .n_in = 5,
                            .n_out = 1,
                            .in = {x, {DM_DT_F32, 4, {CHANNELS, CHANNELS, 3, 3, 1, 1, 1, 1}}, none, none, none},
                            .out = {x},
                            .a.conv = {3, 1, {1, 1}}};
    const dm_impl *impl;
    dm_err ignored = {0};
    bool forced;

    return dm_choose(dev, &conv, NULL, NULL, &impl, &forced, &ignored) == DM_OK;
}

static void insert_casts(casting *s, dm_gnode n)
{
    dm_graph_core *g = s->g;
    dm_val to[DM_MAX_OUT];
    dm_gnode *made;

    if (n.op.kind == DM_OP_CAST) {
        n.op.in[0].type = g->values[n.in[0]].type;
        n.op.out[0].type = g->values[n.out[0]].type;
    } else {
        set_types(g, &n, wanted(g, &n));
        if (!n.custom && dm_dtype_is_16bit(dm_op_16bit_type(&n.op)) && !supported(s, &n.op))
            set_types(g, &n, DM_DT_F32);
    }
    for (int k = 0; k < n.op.n_in; k++)
        n.in[k] = n.in[k] >= 0 ? as(s, n.in[k], n.op.in[k].type) : n.in[k];
    for (int k = 0; k < n.op.n_out; k++) {
        to[k] = n.out[k];
        if (n.out[k] >= 0 && g->values[n.out[k]].type != n.op.out[k].type) {
            const dm_shape shape = g->values[n.out[k]].shape;

            n.out[k] = dm_graph_value(g, &shape, n.op.out[k].type, g->values[n.out[k]].image);
        }
    }
    if (g->err.code || !(made = dm_graph_node(g, n.op.kind, n.in, n.op.n_in, n.out, n.op.n_out)))
        return;
    memcpy(n.op.in, made->op.in, sizeof n.op.in);
    memcpy(n.op.out, made->op.out, sizeof n.op.out);
    *made = n;
    for (int k = 0; k < n.op.n_out; k++)
        if (n.out[k] != to[k])
            dm_graph_node(g, DM_OP_CAST, &n.out[k], 1, &to[k], 1);
}

void dm_graph_insert_casts(dm_graph_core *g, const dm_device_info *dev)
{
    dm_gnode *old = g->nodes;
    const size_t n_old = g->n_nodes;
    casting s = {g, malloc((g->n_values + 1) * sizeof *s.cast), calloc(g->n_values + 1, sizeof *s.made), g->n_values,
                 dev};

    if (!s.cast || !s.made) {
        free(s.cast);
        free(s.made);
        dm_graph_fail(g, DM_ENOMEM, "out of memory for the graph");
        return;
    }
    for (size_t i = 0; i < g->n_values; i++)
        s.cast[i] = DM_NONE;
    g->nodes = NULL;
    g->n_nodes = g->cap_nodes = 0;
    for (size_t i = 0; i < n_old && !g->err.code; i++)
        if (!old[i].dead)
            insert_casts(&s, old[i]);
    for (size_t i = 0; i < g->n_values; i++)
        if (g->values[i].source == DM_VAL_ALIAS)
            g->values[i].node = g->values[g->values[i].of].node;
    free(old);
    free(s.cast);
    free(s.made);
}
