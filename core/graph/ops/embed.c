/* Vectors for numbers and classes. */
#include "graph/ops/families.h"
#include "graph/tape.h"

static void embedding_gradient(dm_tape *t, const dm_gnode *n, dm_val dy)
{
    const dm_val w = n->in[1], dw = dm_tape_output_for(t, w);
    dm_gnode *made;

    if (dw >= 0 && (made = dm_graph_node(t->g, DM_OP_EMBEDDING_DW, (dm_val[]){n->in[0], dy}, 2, &dw, 1)))
        made->op.accum = dm_tape_is_weight(t, w);
    dm_tape_give_output(t, w, dw);
}

static const dm_op_attr embed[] = {DM_ATTR(DM_ATTR_BOOL, "flip", embed.flip), {0}};

const dm_op_def dm_ops_embed[] = {
    {.kind = DM_OP_TIME_EMBED,
     .name = "time_embed",
     .in = {{"t", 0}, {"freq", 0}},
     .out = {{"y", 0}},
     .attrs = embed,
     .each = 4,
     .flags = DM_OP_CONSTANT},
    {.kind = DM_OP_EMBEDDING,
     .name = "embedding",
     .in = {{"i", 0}, {"w", 0}},
     .out = {{"y", 0}},
     .gradient = embedding_gradient},
    {.kind = DM_OP_EMBEDDING_DW,
     .name = "embedding_dw",
     .in = {{"i", 0}, {"dy", 0}},
     .out = {{"dw", DM_ARG_ACCUM}},
     .flags = DM_OP_BACKWARD},
    {0},
};
