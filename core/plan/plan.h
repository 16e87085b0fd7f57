/* A plan: a graph made into a fixed list of kernel calls over a few arenas, for one device and one set
 * of weights. Allocates when made, never when run. */
#ifndef DEMIST_CORE_PLAN_H
#define DEMIST_CORE_PLAN_H

#include "plan/choices.h"
#include "plan/weights.h"

typedef struct dm_plan dm_plan;

/* A buffer of the caller's for an input or a result. */
typedef struct dm_bind { dm_val value; dm_buf *buf; } dm_bind;

typedef struct dm_plan_options {
    const dm_bind *binds;
    int n_binds;
    dm_buf *grads;                 /* flat, laid out as the weights; NULL where nothing is differentiated */
    const char *force;             /* "conv2d=portable,matmul=vec16" or "portable"; NULL = $DEMIST_IMPL or none */
    dm_choices *choices;           /* NULL: implementations are chosen by rule */
    bool trains;                   /* a run's numbers depend on it: its choices are kept with the run */
    double runs;                   /* how often it is expected to run; 0 = not often enough to measure for it */
    const char *name;              /* for messages and --profile: "grad", "forward" */
} dm_plan_options;

/* The graph must outlive the plan; dead nodes are left out. */
dm_status dm_plan_new(dm_device *d, const dm_graph_core *g, dm_wset *weights, const dm_val *results, int n_results,
                      const dm_plan_options *o, dm_plan **out, dm_err *err);
void dm_plan_free(dm_plan *p);
/* The memory of an input or a result. */
dm_buf *dm_plan_buffer(const dm_plan *p, dm_val v);
/* Enqueues everything, packed weights first where they are stale. */
dm_status dm_plan_run(dm_plan *p, dm_err *err);
/* Whom a run tells how far it is: reached(user, i) once the commands up to those of node after[i] are enqueued, and
 * none of a later node; they ascend, and -1 is before all. */
typedef struct dm_plan_watch {
    const int32_t *after;
    int n;
    dm_status (*reached)(void *user, int i, dm_err *err);
    void *user;
} dm_plan_watch;
dm_status dm_plan_run_watched(dm_plan *p, const dm_plan_watch *w, dm_err *err);
/* Of each `each` floats of the gradients, n such: the last node that writes there, -1 where none does. */
void dm_plan_last_writes(const dm_plan *p, size_t each, int32_t *after, size_t n);
/* The share of the plan's FLOP that is left after that node; 1 after none, which is -1. */
double dm_plan_left(const dm_plan *p, int32_t after);
/* Runs again node by node and says which first gave a value that is not finite; false if none did. */
bool dm_plan_find_nonfinite(dm_plan *p, char *what, size_t size, dm_err *err);

typedef struct dm_plan_stats {
    int32_t nodes, commands;
    int32_t recomputed;            /* nodes that make again what was not kept */
    double flops, bytes;           /* of one run */
    size_t arena_bytes, values_bytes; /* activations and scratch as planned; and what they would take without sharing */
    int32_t arenas;
} dm_plan_stats;
dm_plan_stats dm_plan_get_info(const dm_plan *p);
/* One line a node: its name, implementation, extents, work, and why that implementation. Calls back with each line. */
void dm_plan_explain(const dm_plan *p, void (*line)(void *user, const char *text), void *user);

/* Places things in as few bytes as possible: bytes, first and last step each is alive; offsets come back.
 * limit: the most one arena may have. Returns the number of arenas, 0 if one thing is above the limit,
 * -1 when memory ran out. */
typedef struct dm_place { size_t bytes; int32_t first, last; int32_t arena; size_t offset; } dm_place;
int32_t dm_place_all(dm_place *things, size_t n, size_t align, size_t limit, size_t *arena_bytes, int32_t max_arenas);

#endif
