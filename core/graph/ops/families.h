/* The families of ops: rows, and the functions that describe them in a graph. */
#ifndef DEMIST_CORE_OP_FAMILIES_H
#define DEMIST_CORE_OP_FAMILIES_H

#include "graph/op_def.h"

typedef struct dm_op_family {
    const dm_op_def *rows;         /* the last without a name */
    void (*fill)(dm_graph *api);   /* sets its functions in the table that plugins see; NULL: it has none */
} dm_op_family;

extern const dm_op_family dm_family_conv, dm_family_matmul, dm_family_reduce, dm_family_broadcast, dm_family_activation,
    dm_family_unary,
    dm_family_norm, dm_family_attention, dm_family_shape, dm_family_resize, dm_family_embed, dm_family_random,
    dm_family_loss, dm_family_copy, dm_family_custom, dm_family_rope;

#endif
