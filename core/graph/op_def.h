/* What is known of each op, declared once: its row stands beside the function that describes it and its gradient rule
 * in core/graph/ops/, one file a family, and everything that has to know ops apart reads it. Implementations are the
 * backends' (device/impl.h). */
#ifndef DEMIST_CORE_OP_DEF_H
#define DEMIST_CORE_OP_DEF_H

#include "device/ops.h"

#include <stddef.h>

typedef struct dm_tape dm_tape;
typedef struct dm_gnode dm_gnode;

typedef enum dm_op_arg_flags {
    DM_ARG_OPTIONAL = 1,           /* may be absent */
    DM_ARG_16BIT = 2,              /* may be 16 bits wide */
    DM_ARG_AS_OUTPUT = 4,          /* where the output's type differs from the inputs', it has the output's */
    DM_ARG_ACCUM = 8,              /* an output that is added to where the node says so, and written else */
    DM_ARG_LAYER = 16,             /* a layer's weight, where it is a weight: the node is that layer, of its input 0 */
} dm_op_arg_flags;
typedef struct dm_op_arg { const char *name; unsigned flags; } dm_op_arg;

typedef enum dm_op_flags {
    DM_OP_CHEAP = 1,     /* bound by memory: computed again in the backward pass rather than kept for it */
    DM_OP_HEAVY = 2,     /* what 16-bit types are for; other ops pass them on, or read f32 */
    DM_OP_MIXED = 4,     /* its output may be f32 where its inputs are 16 bits wide */
    DM_OP_CONSTANT = 8,  /* needs no gradient: it reads nothing that has one */
    DM_OP_BACKWARD = 16, /* needs no gradient: it is made by gradient rules alone */
    DM_OP_PLUGINS = 32,  /* a plugin's: it has as many inputs and outputs as that says, and no implementation */
} dm_op_flags;

/* An attribute of the key: where in dm_opnode it lies. The list of a kind ends in {0}. */
typedef enum dm_op_attr_type { DM_ATTR_BOOL, DM_ATTR_INT, DM_ATTR_LONG, DM_ATTR_WORD, DM_ATTR_REAL } dm_op_attr_type;
typedef struct dm_op_attr { const char *name; dm_op_attr_type type; size_t at; int count; } dm_op_attr;
#define DM_ATTRS(t, name, member, n) {name, t, offsetof(dm_opnode, a.member), n}
#define DM_ATTR(t, name, member) DM_ATTRS(t, name, member, 1)
extern const dm_op_attr dm_attrs_conv[], dm_attrs_reduce[], dm_attrs_bcast[]; /* of more than one family */

typedef struct dm_op_def {
    dm_op_kind kind;
    const char *name;              /* as --profile, keys and forced implementations have it: "conv2d_dx" */
    dm_op_arg in[DM_MAX_IN], out[DM_MAX_OUT];
    const dm_op_attr *attrs;       /* what of dm_opnode.a its implementations read; NULL: nothing */
    double each;                   /* operations for each element of output 0, or of the input `of` where that is set */
    int of;                        /* 1 + the number of that input */
    double (*flops)(const dm_opnode *n); /* where it is not that simple; NULL otherwise */
    bool (*may_be_16bit)(const dm_opnode *n, bool out, int k); /* where attributes decide, too; NULL otherwise */
    unsigned flags;
    /* Makes n a problem of the same kind that the portable implementation solves at once: of about so many operations
     * where extents can be cut; NULL where it is as fast as others. */
    void (*shrink)(dm_opnode *n, double most);
    /* Whether a training step, whose forward pass n may be part of, is worse where n's products of f32 are split in two
     * bf16; NULL: no. */
    bool (*full_precision)(const dm_opnode *n, bool forward);
    /* Appends what gives the gradients of n's inputs, and hands them on. n is a copy: the list that it came from grows.
     * dy: the gradient of output 0, always there but for DM_OP_PLUGINS. */
    void (*gradient)(dm_tape *t, const dm_gnode *n, dm_val dy);
} dm_op_def;

const dm_op_def *dm_op_def_of(dm_op_kind kind);
/* The functions of all families, in the table that plugins see. */
void dm_ops_fill(dm_graph *api);
/* "conv2d", "conv2d_dx", ... as --profile and forced implementations name them. */
const char *dm_op_name(dm_op_kind kind);
/* May input k (or output k) be 16 bits wide? All that may are of one type in a node, but for convolutions and linear
 * layers: x (dy) is 16 bits wide there, y (dx) with the residual may be f32. What else an op reads or writes is f32
 * always. */
bool dm_op_may_be_16bit(const dm_opnode *n, bool out, int k);
/* Whether what the op adds to may be written instead. */
bool dm_op_may_write(dm_op_kind kind);
/* Multiplications and additions of one run, and the bytes its inputs and outputs have. */
double dm_op_flops(const dm_opnode *n);
double dm_op_bytes(const dm_opnode *n);

/* All that an op's implementations see of it, in one line of text: equal ops, and only they, have equal keys.
 * "conv2d f32[8,32,32,128] f32[128,128,3,3] - - - > f32[8,32,32,128] k=3 stride=1 pad=1,1". The length that it has
 * or would have; size 512 is enough for every op. */
size_t dm_op_key(const dm_opnode *n, char *text, size_t size);

#endif
