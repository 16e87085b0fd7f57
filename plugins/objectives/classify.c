/* classify: the network tells the class of the data as they are; no noise, no schedule, no sampler. */
#include <demist/plugin.h>

static dm_status open(dm_ctx *c, const dm_data_info *data, int32_t T, int32_t *out_channels)
{
    (void)T;
    if (data->classes < 2)
        return dm_fail(c, DM_EINVAL, "needs data with labels of 2 classes or more, not %d",
                       (int)data->classes);
    *out_channels = data->classes;
    return DM_OK;
}

static dm_val loss(dm_ctx *c, const dm_graph *g, const dm_batch *b)
{
    (void)c;
    return g->cross_entropy(g, g->network(g, b->weights, b->x0, DM_NONE, DM_NONE), b->labels);
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "classify", .version = "1", .license = "Apache-2.0",
    .doc = "cross entropy between the softmax of the network's output and the label",
    .objective = &(const dm_objective){.size = sizeof(dm_objective), .open = open, .loss = loss},
};
