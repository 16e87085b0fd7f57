/* What the files of a plan share: how it is made (plan.c), run (plan_run.c) and described (plan_report.c). */
#ifndef DEMIST_CORE_PLAN_PARTS_H
#define DEMIST_CORE_PLAN_PARTS_H

#include "plan/plan.h"

enum { DM_PLAN_ARENAS = 64 };

typedef struct dm_plan_step {
    const dm_impl *impl;
    dm_buf *scratch;
    size_t scratch_bytes;
    int from, to;                  /* in the plan's commands */
    dm_cmds *own;                  /* instead of those, where they could not be launched; with memory of its own */
    dm_buf *own_scratch;
    char label[64], why[160];
} dm_plan_step;
/* Memory of one node's at a time. */
typedef struct dm_packed_form { dm_buf *buf; size_t node; } dm_packed_form;

struct dm_plan {
    dm_device *device;
    const dm_graph_core *graph;
    dm_wset *weights;
    dm_plan_options options;
    dm_plan_step *steps;                /* of each node of the graph */
    dm_buf **bufs;                 /* of each value; borrowed from weights or binds where not owned */
    bool *owned;
    dm_tensor *tensors;            /* of each value, for custom ops */
    dm_buf *arenas[DM_PLAN_ARENAS];
    int32_t n_arenas;
    dm_packed_form *packed;        /* for packed weights of weights, where these change with each run */
    size_t n_packed, cap_packed;
    dm_cmds *cmds;
    bool ran, own;                 /* it ran once; steps have commands of their own */
    const dm_plan_watch *split_for; /* for which cmds are split */
    dm_refused *refused;           /* what does not run here, where there are no choices that know it */
    dm_plan_stats stats;
};

/* plan.c: the implementation of node `at`, of those that were not refused. */
dm_status dm_plan_choose(dm_plan *p, size_t at, dm_err *err);
/* Records the launches of node `at` into p->cmds, or (own) into commands and scratch of its own. */
dm_status dm_plan_emit(dm_plan *p, size_t at, bool own, dm_err *err);
/* Whether that is what the implementation failed by, so that another may do; it is noted then. */
bool dm_plan_refuse(dm_plan *p, size_t at, const dm_err *why);
/* plan_run.c: one node's launches. */
dm_status dm_plan_run_node(dm_plan *p, size_t at, dm_err *err);

#endif
