/* What gradient rules are written with. Gradients of weights are added into the gradient arena (DM_VAL_GRAD), so that
 * micro-batches accumulate. */
#ifndef DEMIST_CORE_TAPE_H
#define DEMIST_CORE_TAPE_H

#include "graph/graph.h"

typedef struct dm_tape {
    dm_graph_core *g;
    dm_val *grad;                  /* of each memory that was there at the start; DM_NONE = none yet */
    dm_val *weight;                /* the GRAD value of each weight; DM_NONE = not asked for yet */
} dm_tape;

/* Is a gradient of v asked for? */
bool dm_tape_wants(const dm_tape *t, dm_val v);
bool dm_tape_is_weight(const dm_tape *t, dm_val v);
/* d is a gradient of v, of v's shape and storage. */
void dm_tape_give(dm_tape *t, dm_val v, dm_val d);
/* A new value like v; DM_NONE from the second where it is not wanted. */
dm_val dm_tape_like(dm_tape *t, dm_val v);
dm_val dm_tape_like_wanted(dm_tape *t, dm_val v);
/* The output that an op with accum writes for input v: the arena's part for a weight, else a new
 * value; DM_NONE if it is not wanted. */
dm_val dm_tape_output_for(dm_tape *t, dm_val v);
/* Hands on what dm_tape_output_for gave, unless it went into the arena. */
void dm_tape_give_output(dm_tape *t, dm_val v, dm_val d);
/* kind(in...) of the shape of v, given to v. attrs: copied from n. */
void dm_tape_give_op(dm_tape *t, dm_op_kind kind, const dm_gnode *n, const dm_val *in, int n_in, dm_val v);
/* The sum of dy over all but its last stored axis, into bias b. */
void dm_tape_bias(dm_tape *t, dm_val dy, dm_val b);

#endif
