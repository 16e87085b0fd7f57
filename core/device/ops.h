/* The ops of a plan, as implementations see them (what else is known of an op: graph/op_def.h): every tensor is
 * row-major in the extents given here, f32 unless said otherwise. Images are stored channels last: [N,H,W,C].
 *
 * Each op is one enum value with its inputs, outputs and attributes below; `none` marks an input
 * or output that may be absent (its desc has rank -1). `accum`: the outputs so marked are added to
 * (out += result) when node.accum is set, else written. Every element of an output is written.
 * Results never depend on how many work-items run: no atomics, fixed order of every sum. */
#ifndef DEMIST_CORE_OPS_H
#define DEMIST_CORE_OPS_H

#include <demist/plugin.h>

enum { DM_MAX_IN = 8, DM_MAX_OUT = 8 };

/* The 16-bit ones are for activations alone (precision.c): bf16, the upper half of an f32, and for their gradients too;
 * f16, IEEE's half. */
typedef enum dm_dtype { DM_DT_F32, DM_DT_I32, DM_DT_BF16, DM_DT_F16 } dm_dtype;
/* rank -1: absent. */
typedef struct dm_desc { dm_dtype type; int32_t rank; int64_t dim[8]; } dm_desc;

typedef enum dm_op_kind {
    /* x[N,H,W,C], w[O,C,k,k], b[O]|none, temb[N,O]|none, res[N,OH,OW,O]|none -> y[N,OH,OW,O]
     * y = conv(x, w) + b + temb (over pixels) + res; attr conv. Zero padding lo = pad[0], hi = pad[1]. */
    DM_OP_CONV2D,
    DM_OP_CONV2D_DX,   /* dy[N,OH,OW,O], w[O,C,k,k] -> dx[N,H,W,C]; a transposed convolution, too */
    DM_OP_CONV2D_DW,   /* x[N,H,W,C], dy[N,OH,OW,O] -> dw[O,C,k,k] accum */
    /* a, b, bias[n]|none -> c[batch,m,n] accum. attr mm: c = op(a) op(b) + bias; a is [batch,m,k], or
     * [batch,k,m] if ta; b is [batch,k,n], or [batch,n,k] if tb; a_batch/b_batch false: the
     * same a/b for all of the batch. (desc ranks may differ: the extents in attr count.) */
    DM_OP_MATMUL,
    /* x -> y accum; attr reduce: x seen as [outer, red, inner], y as [outer, inner]: y = k sum over red */
    DM_OP_REDUCE,
    /* a, b -> y; attr bcast: y seen as dim[0..4), a and b read at element strides (0 = repeated) */
    DM_OP_ADD,
    DM_OP_MUL,
    DM_OP_BROADCAST,   /* a -> y; attr bcast, sa alone */
    DM_OP_SCALE,       /* x -> y = k x + b; attr scale */
    DM_OP_SILU,        /* x -> y */
    DM_OP_SILU_DX,     /* dy, x -> dx */
    DM_OP_GELU,        /* tanh form */
    DM_OP_GELU_DX,
    /* x, gamma[C]|none, beta[C]|none, scale[N,C]|none, shift[N,C]|none -> y, stats[N,groups,2] (mean, 1/sd)
     * attr norm: x seen as [N,L,C] if channels_last else [N,C,L]. y = act(gn(x) gamma + beta), and with
     * scale and shift (both or neither): act((gn(x) gamma + beta) (1 + scale) + shift). act: SiLU if silu. */
    DM_OP_GROUP_NORM,
    /* dy, x, gamma|none, beta|none, stats, scale|none, shift|none -> dx|none, dgamma|none accum,
     * dbeta|none accum, dscale|none, dshift|none. accum concerns dgamma and dbeta alone. */
    DM_OP_GROUP_NORM_DX,
    /* x[rows,C], gamma[C]|none, beta[C]|none -> y, stats[rows,2]; attr norm (eps; N rows, C; L, groups 1) */
    DM_OP_LAYER_NORM,
    DM_OP_LAYER_NORM_DX, /* dy, x, gamma|none, stats -> dx|none, dgamma|none accum, dbeta|none accum */
    /* q[N,L,D], k[N,M,D], v[N,M,D] -> y[N,L,D], lse[N,heads,L]; attr attn. softmax(q k' / sqrt(D / heads)) v,
     * head h is columns [h D/heads, (h+1) D/heads); lse = ln sum exp of the scaled scores */
    DM_OP_ATTENTION,
    DM_OP_ATTENTION_DX, /* dy, q, k, v, y, lse -> dq, dk, dv (all three) */
    /* a|b -> y; attr concat: y seen as [outer, wa + wb]: the first wa of each row from a, the rest from b */
    DM_OP_CONCAT,
    DM_OP_SLICE,       /* x -> y; attr slice: x [outer, width] -> y [outer, count] from `first` */
    DM_OP_PAD,         /* y -> x; attr slice: the reverse, zeros elsewhere */
    DM_OP_PERMUTE,     /* x -> y; attr perm: y's axis i is x's axis axes[i] */
    DM_OP_UPSAMPLE,    /* x[N,H,W,C] -> y[N,fH,fW,C], nearest; attr factor */
    DM_OP_UPSAMPLE_DX, /* dy -> dx: sum over each f x f */
    DM_OP_AVG_POOL,    /* x[N,H,W,C] -> y[N,H/f,W/f,C]; attr factor; extents divide */
    DM_OP_AVG_POOL_DX,
    /* t[N], freq[dim/2] -> y[N,dim]: attr embed: sin(t freq) then cos, or cos first if flip; an odd dim ends in 0 */
    DM_OP_TIME_EMBED,
    DM_OP_EMBEDDING,   /* i i32[N], w[rows,dim] -> y[N,dim]; an index outside gives zeros */
    DM_OP_EMBEDDING_DW, /* i i32[N], dy[N,dim] -> dw[rows,dim] accum */
    /* x, state u32[16] -> y; attr random: y = 0 where the element's uniform is below p, else x / (1 - p). Also
     * its own gradient. */
    DM_OP_DROPOUT,
    /* state u32[16] -> y; attr random: unit Gaussians, sqrt(-2 ln u) times cos and sin of 2 pi v: elements 0 and 1
     * of a block from its words 0 and 1, elements 2 and 3 from words 2 and 3 */
    DM_OP_RANDN,
    DM_OP_CROSS_ENTROPY, /* logits[N,K], labels i32[N] -> y[N], nats; 0 where a label is outside [0,K) */
    DM_OP_CROSS_ENTROPY_DX, /* dy[N], logits, labels -> dlogits */
    /* m1, lv1, m2, lv2 (all of y's shape) -> y: KL(N(m1,e^lv1) || N(m2,e^lv2)), nats */
    DM_OP_GAUSSIAN_KL,
    DM_OP_GAUSSIAN_KL_DX, /* dy, m1, lv1, m2, lv2 -> dm1|none, dlv1|none, dm2|none, dlv2|none */
    /* x, mean, log_var (same shape) -> y: -ln of the mass of N(mean, e^log_var) in x's bin; attr levels:
     * `levels` bins centred on -1..1, the outer two open; computed in the smaller tail; mass held above 1e-12 */
    DM_OP_DISCRETIZED_NLL,
    DM_OP_DISCRETIZED_NLL_DX, /* dy, x, mean, log_var -> dmean|none, dlog_var|none */
    DM_OP_ACCUM,       /* x -> y: y += x */
    DM_OP_CAST,        /* x -> y: from f32 to bf16 or f16, rounded to nearest even, or back */
    /* x -> y, and dy, x -> dx: each is followed by its gradient. Where a slope jumps: |x| has 0 at 0, relu 0 at 0,
     * clamp 1 at its ends. */
    DM_OP_EXP, DM_OP_EXP_DX,
    DM_OP_LOG, DM_OP_LOG_DX,
    DM_OP_SQRT, DM_OP_SQRT_DX,
    DM_OP_RSQRT, DM_OP_RSQRT_DX,
    DM_OP_SIGMOID, DM_OP_SIGMOID_DX,
    DM_OP_TANH, DM_OP_TANH_DX,
    DM_OP_SIN, DM_OP_SIN_DX,
    DM_OP_COS, DM_OP_COS_DX,
    DM_OP_SQUARE, DM_OP_SQUARE_DX,
    DM_OP_ABS, DM_OP_ABS_DX,
    DM_OP_RELU, DM_OP_RELU_DX,
    DM_OP_CLAMP, DM_OP_CLAMP_DX, /* attr clamp */
    /* a, b -> y; attr bcast as for add */
    DM_OP_SUB,
    DM_OP_DIV,
    DM_OP_MAXIMUM,     /* NaN where either is */
    DM_OP_MINIMUM,
    DM_OP_STEP,        /* 1 where a > b, 1/2 where they are equal, else 0 */
    /* attr reduce, k unused: the largest of each; NaN where one is. DX: dy, x, y -> dx, shared by all that are the
     * largest */
    DM_OP_REDUCE_MAX,
    DM_OP_REDUCE_MAX_DX,
    DM_OP_SOFTMAX,     /* x -> y; attr reduce, k unused: along the middle */
    DM_OP_SOFTMAX_DX,  /* dy, y -> dx */
    /* x[rows,C], gamma[C]|none -> y = x r gamma, r[rows] = 1 / sqrt(mean of x^2 + eps); attr norm as for layer_norm */
    DM_OP_RMS_NORM,
    DM_OP_RMS_NORM_DX, /* dy, x, gamma|none, r -> dx|none, dgamma|none accum */
    /* x[N,H,W,C], w[O,C/groups,k,k], b[O]|none -> y[N,OH,OW,O]; attr grouped: output o reads the channels of its group,
     * of which there are as many as of outputs; conv as for conv2d */
    DM_OP_GROUPED_CONV2D,
    DM_OP_GROUPED_CONV2D_DX, /* dy, w -> dx */
    DM_OP_GROUPED_CONV2D_DW, /* x, dy -> dw accum */
    /* x[outer,rows,inner], i i32[count] -> y[outer,count,inner]; attr gather; an index outside gives zeros */
    DM_OP_GATHER,
    DM_OP_GATHER_DX,   /* dy, i -> dx */
    /* x[N,L,D], angle[L,D/heads/2] -> y: elements j and j + D/heads/2 of each head turned by the angle, or back where
     * attr rope says inverse. The other way round it is its own gradient. */
    DM_OP_ROPE,
    DM_OP_RESIZE,      /* x[N,H,W,C] -> y[N,OH,OW,C], bilinear, centres of pixels on centres, edges repeated */
    DM_OP_RESIZE_DX,   /* dy -> dx */
    DM_OP_CUSTOM,      /* a plugin's dm_op; the plan runs it itself */
    DM_OP_CUSTOM_DX,
    DM_OP_COUNT
} dm_op_kind;

/* What RANDN and DROPOUT read from `state`, a device buffer that changes from step to step.
 * Philox 4x32-10, key {seed lo, seed hi}, counter {purpose << 24 | node, step, draw << 28 | block, index}:
 * index = first_index + n for the n-th example of the tensor, block = element / 4 within the example in
 * N,C,H,W order (image: the tensor is [N,H,W,C] and is numbered as if it were [N,C,H,W]), its word element % 4. */
enum { DM_STATE_SEED_LO, DM_STATE_SEED_HI, DM_STATE_STEP, DM_STATE_FIRST_INDEX, DM_STATE_WORDS = 16 };
/* Purposes: host and device draw with the same counters. */
enum {
    DM_PURPOSE_INIT = 1,
    DM_PURPOSE_SHUFFLE,
    DM_PURPOSE_AUGMENT,
    DM_PURPOSE_TIME,
    DM_PURPOSE_NOISE,
    DM_PURPOSE_DROPOUT,
    DM_PURPOSE_LABEL,
    DM_PURPOSE_PRIOR,
    DM_PURPOSE_SAMPLER,
    DM_PURPOSE_EVAL,
    DM_PURPOSE_CONDITION,
    DM_PURPOSE_EDIT
};

typedef struct dm_attr_bcast { int64_t dim[4], sa[4], sb[4]; } dm_attr_bcast;
typedef struct dm_attr_norm { int64_t N, C, L, groups; double eps; bool channels_last, silu; } dm_attr_norm;

typedef struct dm_opnode {
    dm_op_kind kind;
    int32_t n_in, n_out;
    dm_desc in[DM_MAX_IN], out[DM_MAX_OUT];
    bool accum;
    bool full_precision; /* its error enters the loss that is trained: not by products of bf16 in place of f32 */
    union {
        dm_conv conv;
        struct { bool ta, tb, a_batch, b_batch; int64_t batch, m, n, k; } mm;
        struct { int64_t outer, red, inner; double k; } reduce;
        dm_attr_bcast bcast;
        struct { double k, b; } scale;
        struct { double lo, hi; } clamp;
        dm_attr_norm norm;
        struct { dm_conv conv; int32_t groups; } grouped;
        struct { int64_t outer, rows, count, inner; } gather;
        struct { int64_t heads; bool inverse; } rope;
        struct { int64_t heads; } attn;
        struct { int64_t outer, wa, wb; } concat;
        struct { int64_t outer, width, first, count; } slice;
        struct { int32_t axes[8]; } perm;
        struct { int64_t factor; } factor;
        struct { bool flip; } embed;
        struct { double p; uint32_t purpose, node, draw; bool image; } random;
        struct { int32_t levels; } levels;
    } a;
} dm_opnode;

/* Elements of a desc; 0 if absent. */
int64_t dm_desc_count(const dm_desc *d);
static inline bool dm_dtype_is_16bit(dm_dtype t) { return t == DM_DT_BF16 || t == DM_DT_F16; }
static inline size_t dm_dtype_size(dm_dtype t) { return dm_dtype_is_16bit(t) ? 2 : 4; }
/* The 16-bit type among its inputs and outputs, of which there is one at most; DM_DT_F32: none. */
dm_dtype dm_op_16bit_type(const dm_opnode *n);
static inline bool dm_op_bf16(const dm_opnode *n) { return dm_op_16bit_type(n) == DM_DT_BF16; }

#endif
