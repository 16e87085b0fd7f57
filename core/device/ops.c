/* Names, sizes and work of ops; see ops.h. */
#include "device/ops.h"

#include <math.h>

static const char *const names[DM_OP_COUNT] = {
    [DM_OP_CONV2D] = "conv2d",
    [DM_OP_CONV2D_DX] = "conv2d_dx",
    [DM_OP_CONV2D_DW] = "conv2d_dw",
    [DM_OP_MATMUL] = "matmul",
    [DM_OP_REDUCE] = "reduce",
    [DM_OP_ADD] = "add",
    [DM_OP_MUL] = "mul",
    [DM_OP_BROADCAST] = "broadcast",
    [DM_OP_SCALE] = "scale",
    [DM_OP_SILU] = "silu",
    [DM_OP_SILU_DX] = "silu_dx",
    [DM_OP_GELU] = "gelu",
    [DM_OP_GELU_DX] = "gelu_dx",
    [DM_OP_GROUP_NORM] = "group_norm",
    [DM_OP_GROUP_NORM_DX] = "group_norm_dx",
    [DM_OP_LAYER_NORM] = "layer_norm",
    [DM_OP_LAYER_NORM_DX] = "layer_norm_dx",
    [DM_OP_ATTENTION] = "attention",
    [DM_OP_ATTENTION_DX] = "attention_dx",
    [DM_OP_CONCAT] = "concat",
    [DM_OP_SLICE] = "slice",
    [DM_OP_PAD] = "pad",
    [DM_OP_PERMUTE] = "permute",
    [DM_OP_UPSAMPLE] = "upsample",
    [DM_OP_UPSAMPLE_DX] = "upsample_dx",
    [DM_OP_AVG_POOL] = "avg_pool",
    [DM_OP_AVG_POOL_DX] = "avg_pool_dx",
    [DM_OP_TIME_EMBED] = "time_embed",
    [DM_OP_EMBEDDING] = "embedding",
    [DM_OP_EMBEDDING_DW] = "embedding_dw",
    [DM_OP_DROPOUT] = "dropout",
    [DM_OP_RANDN] = "randn",
    [DM_OP_CROSS_ENTROPY] = "cross_entropy",
    [DM_OP_CROSS_ENTROPY_DX] = "cross_entropy_dx",
    [DM_OP_GAUSSIAN_KL] = "gaussian_kl",
    [DM_OP_GAUSSIAN_KL_DX] = "gaussian_kl_dx",
    [DM_OP_DISCRETIZED_NLL] = "discretized_nll",
    [DM_OP_DISCRETIZED_NLL_DX] = "discretized_nll_dx",
    [DM_OP_ACCUM] = "accum",
    [DM_OP_CAST] = "cast",
    [DM_OP_CUSTOM] = "custom",
    [DM_OP_CUSTOM_DX] = "custom_dx",
};

const char *dm_op_name(dm_op_kind kind) { return kind >= 0 && kind < DM_OP_COUNT ? names[kind] : "unknown op"; }

int64_t dm_desc_count(const dm_desc *d)
{
    int64_t n = 1;

    if (d->rank < 0)
        return 0;
    for (int32_t i = 0; i < d->rank; i++)
        n *= d->dim[i];
    return n;
}

/* Operations an element of output 0, for the kinds that are no sums of products. */
static double per_element(dm_op_kind kind)
{
    switch (kind) {
    case DM_OP_ADD: case DM_OP_MUL: case DM_OP_ACCUM: case DM_OP_AVG_POOL: case DM_OP_AVG_POOL_DX: return 1;
    case DM_OP_SCALE: case DM_OP_DROPOUT: return 2;
    case DM_OP_SILU: case DM_OP_TIME_EMBED: return 4;
    case DM_OP_SILU_DX: case DM_OP_GELU: return 8;
    case DM_OP_GELU_DX: case DM_OP_GROUP_NORM: case DM_OP_LAYER_NORM: case DM_OP_GAUSSIAN_KL: return 12;
    case DM_OP_GROUP_NORM_DX: case DM_OP_LAYER_NORM_DX: case DM_OP_GAUSSIAN_KL_DX: return 20;
    case DM_OP_RANDN: case DM_OP_DISCRETIZED_NLL: case DM_OP_DISCRETIZED_NLL_DX: return 60;
    default: return 0;
    }
}

double dm_op_flops(const dm_opnode *n)
{
    const dm_desc *y = &n->out[0], *q = &n->in[n->kind == DM_OP_ATTENTION_DX];
    const double k2 = (double)n->a.conv.k * n->a.conv.k;

    switch (n->kind) {
    case DM_OP_CONV2D: return 2 * k2 * (double)dm_desc_count(y) * (double)n->in[0].dim[3];
    case DM_OP_CONV2D_DX: return 2 * k2 * (double)dm_desc_count(&n->in[0]) * (double)y->dim[3];
    case DM_OP_CONV2D_DW: return 2 * k2 * (double)dm_desc_count(&n->in[1]) * (double)n->in[0].dim[3];
    case DM_OP_MATMUL: return 2.0 * (double)n->a.mm.batch * (double)n->a.mm.m * (double)n->a.mm.n * (double)n->a.mm.k;
    case DM_OP_REDUCE: return (double)dm_desc_count(&n->in[0]);
    case DM_OP_ATTENTION: return 4.0 * (double)dm_desc_count(q) * (double)n->in[1].dim[1];
    case DM_OP_ATTENTION_DX: return 10.0 * (double)dm_desc_count(q) * (double)n->in[2].dim[1];
    case DM_OP_CROSS_ENTROPY: return 6.0 * (double)dm_desc_count(&n->in[0]);
    case DM_OP_CROSS_ENTROPY_DX: return 8.0 * (double)dm_desc_count(&n->in[1]);
    case DM_OP_GROUP_NORM_DX: case DM_OP_LAYER_NORM_DX: case DM_OP_GAUSSIAN_KL_DX: case DM_OP_DISCRETIZED_NLL_DX:
        return per_element(n->kind) * (double)dm_desc_count(&n->in[0]);
    default: return per_element(n->kind) * (double)dm_desc_count(y);
    }
}

double dm_op_bytes(const dm_opnode *n)
{
    double bytes = 0;

    for (int32_t i = 0; i < n->n_in; i++)
        bytes += (double)dm_dtype_size(n->in[i].type) * (double)dm_desc_count(&n->in[i]);
    for (int32_t i = 0; i < n->n_out; i++)
        bytes += (double)dm_dtype_size(n->out[i].type) * (double)dm_desc_count(&n->out[i]);
    return bytes;
}

bool dm_op_may_be_16bit(const dm_opnode *n, bool out, int k)
{
    int in_bits = 0, out_bits = 0;

    switch (n->kind) {
    case DM_OP_CONV2D: in_bits = 1 << 0 | 1 << 4, out_bits = 1; break;
    case DM_OP_CONV2D_DX: in_bits = 1, out_bits = 1; break;
    case DM_OP_CONV2D_DW: in_bits = 3; break;
    case DM_OP_MATMUL:
        in_bits = n->a.mm.batch != 1 ? 0 : n->a.mm.ta ? 3 : 1, out_bits = n->a.mm.batch == 1 && !n->a.mm.ta;
        break;
    case DM_OP_REDUCE: in_bits = 1; break;
    case DM_OP_ADD: case DM_OP_MUL: case DM_OP_SILU_DX: case DM_OP_GELU_DX: case DM_OP_CONCAT: case DM_OP_GROUP_NORM_DX:
    case DM_OP_LAYER_NORM_DX: in_bits = 3, out_bits = 1; break;
    case DM_OP_BROADCAST:
    case DM_OP_SCALE:
    case DM_OP_SILU:
    case DM_OP_GELU:
    case DM_OP_GROUP_NORM:
    case DM_OP_LAYER_NORM:
    case DM_OP_SLICE:
    case DM_OP_PAD:
    case DM_OP_PERMUTE:
    case DM_OP_UPSAMPLE:
    case DM_OP_UPSAMPLE_DX:
    case DM_OP_AVG_POOL:
    case DM_OP_AVG_POOL_DX: case DM_OP_DROPOUT: in_bits = 1, out_bits = 1; break;
    case DM_OP_ATTENTION: in_bits = 7, out_bits = 1; break;
    case DM_OP_ATTENTION_DX: in_bits = 31, out_bits = 7; break;
    default: break;
    }
    return (out ? out_bits : in_bits) >> k & 1;
}

dm_dtype dm_op_16bit_type(const dm_opnode *n)
{
    for (int32_t i = 0; i < n->n_in; i++)
        if (n->in[i].rank >= 0 && dm_dtype_is_16bit(n->in[i].type))
            return n->in[i].type;
    for (int32_t i = 0; i < n->n_out; i++)
        if (n->out[i].rank >= 0 && dm_dtype_is_16bit(n->out[i].type))
            return n->out[i].type;
    return DM_DT_F32;
}
