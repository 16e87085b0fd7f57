/* A graph of ops as the network and the objective describe it: values, the nodes that make them,
 * and weights by name. Values of rank 4 are images: logically N,C,H,W as plugins see them, stored
 * N,H,W,C. Nodes hold extents as stored (ops.h). Knows no device. */
#ifndef DEMIST_CORE_GRAPH_H
#define DEMIST_CORE_GRAPH_H

#include "base/arena.h"
#include "base/names.h"
#include "plugin/instance.h"
#include "device/ops.h"

typedef enum dm_source {
    DM_VAL_NODE,                   /* made by a node */
    DM_VAL_INPUT,                  /* given by the caller of the plan, under its name */
    DM_VAL_CONST,                  /* data that never changes */
    DM_VAL_WEIGHT,
    DM_VAL_GRAD,                   /* the gradient arena's part for a weight */
    DM_VAL_ALIAS,                  /* other extents for the memory of `of` */
} dm_source;

typedef struct dm_value {
    dm_source source;
    dm_dtype type;
    bool image;                    /* rank 4, stored N,H,W,C */
    bool needs_grad;
    dm_shape shape;                /* logical */
    dm_val of;                     /* ALIAS: whose memory, itself no alias */
    int32_t node;                  /* NODE: who makes it; -1 otherwise */
    int32_t weight;                /* WEIGHT, GRAD: index of the weight */
    const char *name;              /* INPUT */
    const void *data;              /* CONST, as stored: f32 or i32 */
} dm_value;

typedef struct dm_gnode {
    dm_opnode op;
    dm_val in[DM_MAX_IN], out[DM_MAX_OUT]; /* DM_NONE where absent */
    bool dead;
    bool backward;                 /* appended by dm_graph_differentiate or later */
    bool recomputed;                    /* computes again what the forward pass did not keep */
    const dm_op *custom;           /* CUSTOM, CUSTOM_DX */
    dm_instance *owner;            /* whose plugin brought the custom op */
    /* CUSTOM_DX also reads what the forward op wrote, and the gradients of that. */
    dm_val written[DM_MAX_OUT], dout[DM_MAX_OUT];
} dm_gnode;

/* The k-th value that a node reads, DM_NONE where there is none; k in [0,DM_MAX_READ). */
enum { DM_MAX_READ = DM_MAX_IN + 2 * DM_MAX_OUT };
static inline dm_val dm_gnode_read(const dm_gnode *n, int k)
{
    return k < DM_MAX_IN                ? n->in[k]
           : k < DM_MAX_IN + DM_MAX_OUT ? n->written[k - DM_MAX_IN]
                                        : n->dout[k - DM_MAX_IN - DM_MAX_OUT];
}

enum { DM_KEY_MAX = 255 };
typedef enum dm_init { DM_INIT_CONSTANT, DM_INIT_UNIFORM } dm_init;

typedef struct dm_weight {
    const char *key;               /* as in checkpoints; at most DM_KEY_MAX bytes */
    dm_shape shape;
    dm_init init;
    double initial;                /* CONSTANT: the value; UNIFORM: the bound, 1 / sqrt(fan in) */
    int32_t build;                 /* the network call that declared it last, to refuse a name used twice */
    dm_val value;                  /* in this graph */
    bool trained;                  /* a gradient can reach it, */
    bool frozen;                   /* or only stop_gradient keeps it from doing so; dm_graph_mark_trained */
    bool reached;                  /* the gradient of dm_graph_differentiate reaches it */
} dm_weight;

typedef struct dm_graph_core {
    dm_arena *arena;
    dm_value *values;
    size_t n_values, cap_values;
    dm_gnode *nodes;
    size_t n_nodes, cap_nodes;
    dm_weight *weights;
    size_t n_weights, cap_weights;
    dm_names weight_names;         /* their keys, with their places in weights */
    int32_t builds;                /* network calls so far */
    bool training;                 /* dropout is there */
    bool fixed_weights;            /* no gradient with respect to them */
    dm_instance *owner;            /* the plugin that is describing now */
    /* What g->network does; user is the model's. */
    dm_val (*network)(void *user, const dm_graph *g, int32_t weights, dm_val x, dm_val noise, dm_val labels);
    void *network_user;
    dm_val state;                  /* u32[16], for dropout and noise; DM_NONE until asked for */
    dm_err err;                    /* the first failure */
} dm_graph_core;

/* An empty graph; the public table for its top level scope is *api, alive as long as the graph. */
dm_status dm_graph_new(dm_graph_core **out, const dm_graph **api, dm_err *err);
void dm_graph_free(dm_graph_core *g);
dm_graph_core *dm_graph_of(const dm_graph *api);

/* ---- for the host: the parts that plugins do not see. All return DM_FAILED on failure. ---- */

#define DM_FAILED ((dm_val)-1)
/* Records the first failure; returns DM_FAILED. */
dm_val dm_graph_fail(dm_graph_core *g, dm_status code, const char *fmt, ...) DM_PRINTF(3, 4);
/* Whether a plugin's callback returned a value of this graph, without a failure on the way; else the reason is
 * recorded. */
bool dm_graph_returned(dm_graph_core *g, const dm_instance *i, const char *callback, dm_val y);
/* Whether an op's inputs are values of this graph: a plugin may pass DM_NONE, or anything. Else the reason is
 * recorded. */
bool dm_graph_holds(dm_graph_core *g, const char *op, const dm_val *in, int n);
/* The same, and of this type. */
bool dm_graph_has(dm_graph_core *g, const char *op, dm_dtype type, const dm_val *in, int n);
/* A named input. image: rank 4, given as N,H,W,C; false: as the shape says. */
dm_val dm_graph_input(dm_graph_core *g, const char *name, const dm_shape *s, dm_dtype type, bool image);
/* The state buffer u32[16] (ops.h), an input named "state". */
dm_val dm_graph_state(dm_graph_core *g);
/* A rank 4 value stored N,C,H,W as an image, and back; others pass unchanged. */
dm_val dm_graph_to_image(dm_graph_core *g, dm_val x);
dm_val dm_graph_to_rows(dm_graph_core *g, dm_val x);
/* Unit Gaussians shaped like `like`. */
dm_val dm_graph_randn(dm_graph_core *g, dm_val like, uint32_t purpose, uint32_t node, uint32_t draw);
/* Another shape for the same memory (same count of elements). */
dm_val dm_graph_alias(dm_graph_core *g, dm_val x, const dm_shape *s, bool image);
/* A node of this kind with these inputs (DM_NONE = absent) and outputs of the given values; extents
 * are filled in. The caller sets attributes on the node returned, NULL when memory ran out. */
dm_gnode *dm_graph_node(dm_graph_core *g, dm_op_kind kind, const dm_val *in, int n_in, const dm_val *out, int n_out);
/* A new value for a node to make. */
dm_val dm_graph_value(dm_graph_core *g, const dm_shape *s, dm_dtype type, bool image);
/* One node with one output of this shape. */
dm_gnode *dm_graph_op1(dm_graph_core *g, dm_op_kind kind, const dm_val *in, int n_in, const dm_shape *s, bool image,
                       dm_val *out);
/* The full key of a weight in this scope; NULL where there is no name, or memory ran out: the graph has failed. */
const char *dm_graph_key(const dm_graph *g, const char *name, const char *suffix);
dm_val dm_graph_weight_value(dm_graph_core *g, const char *key, const dm_shape *s, dm_init init, double initial);
/* a + b elementwise, same extents. */
dm_val dm_graph_sum2(dm_graph_core *g, dm_val a, dm_val b);
/* x summed to the shape and storage of `like`, whose broadcast it is. */
dm_val dm_graph_reduce_like(dm_graph_core *g, dm_val x, dm_val like);
/* x repeated to this shape; itself if it has it. */
dm_val dm_graph_broadcast(dm_graph_core *g, dm_val x, const dm_shape *s);
/* The memory's own value, through aliases. */
dm_val dm_graph_root(const dm_graph_core *g, dm_val v);
static inline dm_value *dm_graph_at(const dm_graph_core *g, dm_val v) { return &g->values[v]; }
dm_desc dm_graph_desc(const dm_graph_core *g, dm_val v);

/* ---- passes ----------------------------------------------------------------- */

/* Merges silu into group norms, and additions into convolutions; results[n] stay as they are. */
void dm_graph_fuse(dm_graph_core *g, const dm_val *results, int n);
/* Appends the gradient of sum(seed * y) with respect to every weight, added into DM_VAL_GRAD values.
 * inputs[n]: also with respect to these; their gradients come back in grads (DM_NONE: none). */
dm_status dm_graph_differentiate(dm_graph_core *g, dm_val y, dm_val seed, const dm_val *inputs, int n, dm_val *grads,
                                 dm_err *err);
/* Where each gradient by a weight is made by one op that can write it instead of adding to it: from now on all of them
 * are written, and true. Else nothing is changed. For a batch that is one micro-batch. */
bool dm_graph_write_gradients(dm_graph_core *g);
/* Sets reached[] of the values that y is made of, or, with gradients, that a gradient of y reaches; it has one for each
 * value, all false. */
void dm_graph_reach(const dm_graph_core *g, dm_val y, bool gradients, bool *reached);
/* Marks the weights that a gradient of y reaches, and those that only stop_gradient keeps from it. */
void dm_graph_mark_trained(dm_graph_core *g, dm_val y);
/* Does any node read v? */
bool dm_graph_reads(const dm_graph_core *g, dm_val v);
/* Marks nodes dead that no result and no accumulation needs. */
void dm_graph_prune(dm_graph_core *g, const dm_val *results, int n);
/* Numbers the dropouts by their place, counted from the result. */
void dm_graph_number_dropouts(dm_graph_core *g, dm_val result);

/* What is cheap to compute is computed again in the backward pass instead of kept for it, where that frees at least so
 * many bytes a node; results[n] stay. The last pass before a plan. */
void dm_graph_recompute(dm_graph_core *g, const dm_val *results, int n, size_t least);
/* x as this type: itself, or cast. */
dm_val dm_graph_cast(dm_graph_core *g, dm_val x, dm_dtype type);

/* Sets what no op makes in the table that plugins see. */
void dm_graph_fill_values(dm_graph *api);

#endif
