/* Portable implementations of the losses. */
#include "ops/launch/portable.h"

static const char file[] = "loss/loss.cl";

static dm_status cross_entropy(dm_emit *e)
{
    const dm_desc *z = &e->node->in[0];
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, file, "cross_entropy", z->dim[0],
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->out[0]), DM_KI(z->dim[0]),
                                               DM_KI(z->dim[1])));
}

static dm_status cross_entropy_dx(dm_emit *e)
{
    const dm_desc *z = &e->node->in[1];
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, file, "cross_entropy_dx", z->dim[0],
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]),
                                               DM_KI(z->dim[0]), DM_KI(z->dim[1])));
}

static dm_status gaussian_kl(dm_emit *e)
{
    const int64_t n = dm_desc_count(&e->node->in[0]), chunk = dm_chunk(dm_device_get_info(e->dev), n);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, file, "gaussian_kl", dm_div_up(n, chunk),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]),
                                               DM_KB(e->out[0]), DM_KI(n), DM_KI(chunk)));
}

static dm_status gaussian_kl_dx(dm_emit *e)
{
    const int64_t n = dm_desc_count(&e->node->in[0]), chunk = dm_chunk(dm_device_get_info(e->dev), n);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, file, "gaussian_kl_dx", dm_div_up(n, chunk),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]),
                                               DM_KB(e->in[4]), DM_KB(e->out[0]), DM_KB(e->out[1]), DM_KB(e->out[2]),
                                               DM_KB(e->out[3]), DM_KI(n), DM_KI(chunk)));
}

static double half_bin(const dm_opnode *n) { return 1 / ((double)n->a.levels.levels - 1); }

static dm_status discretized_nll(dm_emit *e)
{
    const int64_t n = dm_desc_count(&e->node->in[0]), chunk = dm_chunk(dm_device_get_info(e->dev), n);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, file, "discretized_nll", dm_div_up(n, chunk),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->out[0]),
                                               DM_KF(half_bin(e->node)), DM_KI(n), DM_KI(chunk)));
}

static dm_status discretized_nll_dx(dm_emit *e)
{
    const int64_t n = dm_desc_count(&e->node->in[0]), chunk = dm_chunk(dm_device_get_info(e->dev), n);
    const dm_status s = dm_fits(e, 0);

    return s != DM_OK ? s
                      : dm_emit_items(e, file, "discretized_nll_dx", dm_div_up(n, chunk),
                                      DM_KARGS(DM_KB(e->in[0]), DM_KB(e->in[1]), DM_KB(e->in[2]), DM_KB(e->in[3]),
                                               DM_KB(e->out[0]), DM_KB(e->out[1]), DM_KF(half_bin(e->node)), DM_KI(n),
                                               DM_KI(chunk)));
}

const dm_impl dm_impls_loss[] = {
    {DM_PORTABLE(CROSS_ENTROPY, cross_entropy)},
    {DM_PORTABLE(CROSS_ENTROPY_DX, cross_entropy_dx)},
    {DM_PORTABLE(GAUSSIAN_KL, gaussian_kl)},
    {DM_PORTABLE(GAUSSIAN_KL_DX, gaussian_kl_dx)},
    {DM_PORTABLE(DISCRETIZED_NLL, discretized_nll)},
    {DM_PORTABLE(DISCRETIZED_NLL_DX, discretized_nll_dx)},
    {0},
};
