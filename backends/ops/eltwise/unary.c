/* Portable implementations of the functions of one element in kernels/eltwise/unary.cl: a line each. */
#include "ops/launch/portable.h"

#define OPS(EACH)                                             \
    EACH(EXP, op_exp) EACH(EXP_DX, op_exp_dx) \
    EACH(LOG, op_log) EACH(LOG_DX, op_log_dx) \
    EACH(SQRT, op_sqrt) EACH(SQRT_DX, op_sqrt_dx) \
    EACH(RSQRT, op_rsqrt) EACH(RSQRT_DX, op_rsqrt_dx) \
    EACH(SIGMOID, op_sigmoid) EACH(SIGMOID_DX, op_sigmoid_dx) \
    EACH(TANH, op_tanh) EACH(TANH_DX, op_tanh_dx) \
    EACH(SIN, op_sin) EACH(SIN_DX, op_sin_dx) \
    EACH(COS, op_cos) EACH(COS_DX, op_cos_dx) \
    EACH(SQUARE, op_square) EACH(SQUARE_DX, op_square_dx) \
    EACH(ABS, op_abs) EACH(ABS_DX, op_abs_dx) \
    EACH(RELU, op_relu) EACH(RELU_DX, op_relu_dx)

#define EMIT(op, kernel) \
    static dm_status kernel(dm_emit *e) { return dm_emit_flat(e, "eltwise/unary.cl", #kernel); }
#define ROW(op, kernel) {DM_PORTABLE(op, kernel), .types = DM_ANY_TYPE},

OPS(EMIT)

static dm_status op_clamp(dm_emit *e)
{
    const dm_opnode *node = e->node;
    const int64_t n = dm_desc_count(&node->out[0]), chunk = dm_chunk(dm_device_get_info(e->dev), n);
    const dm_karg lo = DM_KF(node->a.clamp.lo), hi = DM_KF(node->a.clamp.hi);
    const dm_status s = dm_fits(e, 0);

    if (s != DM_OK)
        return s;
    if (node->kind == DM_OP_CLAMP)
        return dm_emit_typed(e, "eltwise/unary.cl", "op_clamp", dm_div_up(n, chunk),
                             DM_KARGS(DM_KB(e->in[0]), DM_KB(e->out[0]), lo, hi, DM_KI(n), DM_KI(chunk)));
    return dm_emit_typed(
        e, "eltwise/unary.cl", "op_clamp_dx", dm_div_up(n, chunk),
        DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), lo, hi, DM_KI(n), DM_KI(chunk)));
}

const dm_impl dm_impls_unary[] = {
    OPS(ROW)
    {DM_PORTABLE(CLAMP, op_clamp), .types = DM_ANY_TYPE},
    {DM_PORTABLE(CLAMP_DX, op_clamp), .types = DM_ANY_TYPE},
    {0},
};
