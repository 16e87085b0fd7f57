/* Copies: sums in place, and other types. */
#include "graph/ops/families.h"
#include "graph/tape.h"



static void cast_gradient(dm_tape *t, const dm_gnode *n, dm_val dy) { dm_tape_give(t, n->in[0], dy); }

static const dm_op_def rows[] = {
    {.kind = DM_OP_ACCUM, .name = "accum", .in = {{"x", 0}}, .out = {{"y", 0}}, .each = 1, .flags = DM_OP_BACKWARD},
    {.kind = DM_OP_CAST,
     .name = "cast",
     .in = {{"x", 0}},
     .out = {{"y", 0}},
     .flags = DM_OP_CHEAP,
     .gradient = cast_gradient},
    {0},
};

const dm_op_family dm_family_copy = {rows, NULL};
