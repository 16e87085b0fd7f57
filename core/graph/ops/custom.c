/* Ops that plugins bring. */
#include "graph/ops/families.h"
#include "graph/tape.h"

/* The plan clears each din and calls the plugin, which adds to it. */
static void custom_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    dm_val out[DM_MAX_OUT] = {DM_NONE};
    dm_gnode *made;

    (void)dy;
    if (!n->custom->backward) {
        dm_graph_fail(t->g, DM_EINVAL,
                      "op '%s' of plugin '%s' has no backward, and a gradient is wanted of its input; give it one, or "
                      "put stop_gradient before it",
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

const dm_op_def dm_ops_custom[] = {
    {.kind = DM_OP_CUSTOM, .name = "custom", .flags = DM_OP_PLUGINS, .gradient = custom_gradient},
    {.kind = DM_OP_CUSTOM_DX, .name = "custom_dx", .flags = DM_OP_PLUGINS | DM_OP_BACKWARD},
    {0},
};
