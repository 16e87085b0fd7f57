/* A network that works, but for what the host cannot see. */
#define BEHAVIOURS(X) X(mixes) X(unreached)
#include "wrong.h"

static dm_val build(dm_ctx *c, const dm_graph *g, const dm_net_in *in)
{
    dm_val x = g->silu(g, g->linear(g, "in", in->x, 8, 0));

    if (g->shape(g, in->x).rank != 2)
        return dm_fail(c, DM_EINVAL, "is for points");
    if (wrong(c) == mixes) /* a norm over the batch */
        x = g->sub(g, x, g->mean_over(g, x, (int32_t[]){0}, 1));
    if (wrong(c) == unreached)
        g->weight(g, "forgotten", &(dm_shape){1, {3}}, 0);
    return g->linear(g, "out", x, in->out_channels, 0);
}

PLUGIN("quiet_network", .network = &(const dm_network){.size = sizeof(dm_network), .build = build});
