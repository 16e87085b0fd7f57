/* The families of ops, each a list of rows that ends in one without a name. */
#ifndef DEMIST_CORE_OP_FAMILIES_H
#define DEMIST_CORE_OP_FAMILIES_H

#include "graph/op_def.h"

extern const dm_op_def dm_ops_conv[], dm_ops_matmul[], dm_ops_reduce[], dm_ops_broadcast[], dm_ops_activation[],
    dm_ops_norm[], dm_ops_attention[], dm_ops_shape[], dm_ops_resize[], dm_ops_embed[], dm_ops_random[], dm_ops_loss[],
    dm_ops_copy[], dm_ops_custom[];

#endif
