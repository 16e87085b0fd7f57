/* A convolution's extents as its kernels take them, from conv2d nodes and from linear layers alike. */
#ifndef DEMIST_OPS_CONV_ARGS_H
#define DEMIST_OPS_CONV_ARGS_H

#include "device/impl.h"

/* x f32[N,H,W,C], y f32[N,OH,OW,O], w f32[O,C,k,k]. */
typedef struct dm_conv_args { int64_t N, H, W, C, OH, OW, O; int32_t k, stride, pad; } dm_conv_args;

/* Of CONV2D, CONV2D_DX and CONV2D_DW. */
dm_conv_args dm_conv_args_of(const dm_opnode *n);
/* The same, but of CONV2D_DX at stride 1 those of the convolution that it is: of dy, with turned weights. */
dm_conv_args dm_conv_turned_of(const dm_opnode *n);
/* The extents in the order that every kernel ends with. */
#define DM_CONV_ARGS(g)                                                                                                \
    DM_KI4((g).N, (g).H, (g).W, (g).C), DM_KI4((g).OH, (g).OW, (g).O, (g).k), DM_KI((g).stride), DM_KI((g).pad)

/* The three products of a linear layer, y[m,n] = x[m,k] w[n,k]', as convolutions of size 1. DX: dy is in[0], w in[1];
 * DW: dy is in[0], x in[1]. */
typedef enum dm_linear { DM_LINEAR_NONE, DM_LINEAR_FORWARD, DM_LINEAR_DX, DM_LINEAR_DW } dm_linear;
dm_linear dm_linear_of(const dm_opnode *n, dm_conv_args *g);

/* Register tiles: 12 x 32 where vectors of 16 are native, smaller where the registers are. */
static inline int dm_tile_rows(const dm_device_info *dev)
{
    return dev->native_float >= 16 ? 12 : dev->native_float >= 8 ? 6 : 4;
}
static inline int dm_tile_vectors(const dm_device_info *dev, int64_t wide)
{
    return wide > 16 && dev->native_float >= 16 ? 2 : 1;
}

/* The register-tile kernels for CPUs, shared by convolutions and linear layers. w, b, temb, res as
 * DM_OP_CONV2D has them; weight: the input that is packed. */
bool dm_vec16_serves(const dm_device_info *dev, const dm_conv_args *g);
dm_status dm_vec16_forward(dm_emit *e, const dm_conv_args *g, int weight, dm_buf *b, dm_buf *temb, dm_buf *res);
dm_status dm_vec16_dx(dm_emit *e, const dm_conv_args *g, dm_buf *dy, int weight);
bool dm_vec16_dw_serves(const dm_device_info *dev, const dm_conv_args *g);
size_t dm_vec16_dw_scratch(const dm_device_info *dev, const dm_conv_args *g);
dm_status dm_vec16_dw(dm_emit *e, const dm_conv_args *g, dm_buf *x, dm_buf *dy);

#endif
