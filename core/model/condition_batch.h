/* The conditions of a batch besides classes and noise levels: their values, as
 * inputs of a graph and on the host. */
#ifndef DEMIST_CORE_CONDITION_BATCH_H
#define DEMIST_CORE_CONDITION_BATCH_H

#include "data/conditions.h"
#include "graph/graph.h"
#include "plan/plan.h"

/* Of a graph; DM_NONE where there is none. input is what is uploaded, value what the network reads of it. */
typedef struct dm_condition_inputs {
    dm_val input[DM_MAX_CONDITIONS], value[DM_MAX_CONDITIONS], given[DM_MAX_CONDITIONS],
        rows[DM_MAX_CONDITIONS];
} dm_condition_inputs;
enum { DM_CONDITION_INPUTS_KEPT = 3 * DM_MAX_CONDITIONS };

void dm_condition_inputs_none(dm_condition_inputs *t);
/* New inputs of a graph for n examples; given where a condition may be null, rows of a sequence. */
void dm_condition_inputs_add(dm_condition_inputs *t, const dm_conditions *c, dm_graph_core *g, int64_t n);
/* Those that a plan has to keep. */
void dm_condition_inputs_keep(const dm_condition_inputs *t, dm_val keep[DM_CONDITION_INPUTS_KEPT]);

/* Of n examples: condition k is value[k] f32[n,...], of which each has size[k] elements, and given[k] f32[n];
 * of a sequence of at most length[k] rows also rows[k] f32[n,length[k]], 1 for each row that is there. */
typedef struct dm_condition_batch {
    int32_t conditions;
    int64_t n, size[DM_MAX_CONDITIONS], length[DM_MAX_CONDITIONS];
    float *value[DM_MAX_CONDITIONS], *given[DM_MAX_CONDITIONS], *rows[DM_MAX_CONDITIONS];
} dm_condition_batch;

/* All null. Zeroed is one of no conditions. */
dm_status dm_condition_batch_init(dm_condition_batch *t, const dm_conditions *c, int64_t n, dm_err *err);
void dm_condition_batch_fini(dm_condition_batch *t);
/* Sets condition k of example i: size[k] values, of a sequence the first n rows. */
void dm_condition_batch_set(dm_condition_batch *t, int32_t k, int64_t i, const float *value, int64_t rows);
/* Condition k of example i becomes null. */
void dm_condition_batch_null(dm_condition_batch *t, int32_t k, int64_t i);
/* The first n of another's from `first` on; those behind them become null. */
void dm_condition_batch_take(dm_condition_batch *t, const dm_condition_batch *from, int64_t first, int64_t n);
dm_status dm_condition_batch_upload(const dm_condition_batch *t, const dm_condition_inputs *to, dm_plan *plan,
                                    dm_err *err);

#endif
