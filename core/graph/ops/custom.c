/* Ops that plugins bring. */
#include "graph/ops/families.h"
#include "graph/tape.h"

#include <string.h>

/* Whether a plugin's op is whole; else the reason is recorded. */
static bool usable(dm_graph_core *g, const dm_op *op, const dm_val *in, const dm_val *out)
{
    if (!op || !in || !out)
        dm_graph_fail(g, DM_EINVAL, "custom was given NULL for its %s", !op ? "op" : !in ? "inputs" : "outputs");
    else if (!g->owner)
        dm_graph_fail(g, DM_EINVAL, "custom may be called in build() and loss() alone");
    else if (!dm_instance_static(op))
        dm_graph_fail(g, DM_EINVAL,
                      "custom was given an op on the stack or heap; it is used after the call, make it static const");
    else if (!op->name || !*op->name)
        dm_graph_fail(g, DM_EINVAL, "custom was given an op without a name");
    else if (!DM_HAS(dm_op, op, backward))
        dm_graph_fail(g, DM_EINVAL, "op '%s' has size %u where the interface has %zu", op->name, (unsigned)op->size,
                      sizeof *op);
    else if (op->n_in < 1 || op->n_in > DM_MAX_IN || op->n_out < 1 || op->n_out > DM_MAX_OUT)
        dm_graph_fail(g, DM_EINVAL, "op '%s' has %d inputs and %d outputs; 1 to %d of each are allowed", op->name,
                      (int)op->n_in, (int)op->n_out, (int)DM_MAX_IN);
    else if (!op->shape || !op->forward)
        dm_graph_fail(g, DM_EINVAL, "op '%s' has no function '%s', which is required", op->name,
                      op->shape ? "forward" : "shape");
    return !g->err.code;
}

static dm_status custom(const dm_graph *api, const dm_op *op, const dm_val *in, dm_val *out)
{
    dm_graph_core *g = dm_graph_of(api);
    dm_shape si[DM_MAX_IN], so[DM_MAX_OUT];
    dm_val given[DM_MAX_IN], vi[DM_MAX_IN], vo[DM_MAX_OUT];
    char name[112];
    dm_err why;
    dm_status rc;
    dm_gnode *n;

    for (int i = 0; op && in && i < op->n_in && i < DM_MAX_IN; i++) /* in and out may be one array */
        given[i] = in[i];
    for (int i = 0; op && out && i < op->n_out && i < DM_MAX_OUT; i++)
        out[i] = DM_FAILED;
    if (g->err.code || !usable(g, op, in, out))
        return g->err.code;
    snprintf(name, sizeof name, "op '%.100s'", op->name);
    if (!dm_graph_holds(g, name, given, op->n_in))
        return g->err.code;
    for (int i = 0; i < op->n_in; i++) {
        si[i] = api->shape(api, given[i]);
        vi[i] = dm_graph_to_rows(g, given[i]);
    }
    memset(so, 0, sizeof so);
    dm_call_host_enter();
    rc = DM_CALL(g->owner, DM_CB_OP_SHAPE, &why, op->shape(&g->owner->ctx, si, so));
    dm_call_host_leave();
    if (rc)
        return dm_graph_fail(g, rc, "%s: %.900s", name, why.msg), g->err.code;
    for (int i = 0; i < op->n_out; i++) {
        if (so[i].rank < 0 || so[i].rank > 8)
            return dm_graph_fail(g, DM_EINVAL, "%s: its shape() gives output %d the rank %d", name, i, (int)so[i].rank),
                   g->err.code;
        for (int k = 0; k < so[i].rank; k++)
            if (so[i].dim[k] < 1)
                return dm_graph_fail(g, DM_EINVAL, "%s: its shape() gives output %d the extent %lld at axis %d", name,
                                     i, (long long)so[i].dim[k], k),
                       g->err.code;
        vo[i] = dm_graph_value(g, &so[i], DM_DT_F32, false);
    }
    if (!(n = dm_graph_node(g, DM_OP_CUSTOM, vi, op->n_in, vo, op->n_out)))
        return g->err.code;
    n->custom = op;
    for (int i = 0; i < op->n_out; i++)
        out[i] = dm_graph_to_image(g, vo[i]);
    return g->err.code;
}

/* The plan clears each din and calls the plugin, which adds to it. */
static void custom_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_val out[DM_MAX_OUT] = {DM_NONE};
    dm_gnode *made;

    (void)dy;
    if (!n->custom->backward) {
        dm_graph_fail(t->g, DM_EINVAL,
                      "op '%s' of plugin '%s' has no backward, and its input needs a gradient; add one, or put "
                      "stop_gradient before it",
                      n->custom->name, n->owner->plugin->name);
        return;
    }
    for (int i = 0; i < n->op.n_in; i++)
        out[i] = dm_tape_like_wanted(t, n->in[i]);
    if (!(made = dm_graph_node(t->g, DM_OP_CUSTOM_DX, n->in, n->op.n_in, out, n->op.n_in)))
        return;
    made->custom = n->custom;
    made->owner = n->owner;
    for (int i = 0; i < n->op.n_out; i++) {
        made->written[i] = n->out[i];
        made->dout[i] = t->grad[n->out[i]];
    }
    for (int i = 0; i < n->op.n_in; i++)
        if (out[i] >= 0)
            dm_tape_give(t, n->in[i], out[i]);
}

static const dm_op_def rows[] = {
    {.kind = DM_OP_CUSTOM, .name = "custom", .flags = DM_OP_PLUGINS, .gradient = custom_gradient},
    {.kind = DM_OP_CUSTOM_DX, .name = "custom_dx", .flags = DM_OP_PLUGINS | DM_OP_BACKWARD},
    {0},
};

static void fill(dm_graph *api)
{
    api->custom = custom;
}

const dm_op_family dm_family_custom = {rows, fill};
