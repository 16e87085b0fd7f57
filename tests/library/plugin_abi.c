/* Every struct of plugin.h, reached from one function, so that abidiff compares them all: built by the header that was
 * kept and by that of today. */
#include <demist/plugin.h>

struct all {
    dm_plugin *plugin;
    dm_schedule *schedule;
    dm_grid *grid;
    dm_guidance *guidance;
    dm_sampler *sampler;
    dm_network *network;
    dm_dataset *dataset;
    dm_objective *objective;
    dm_host *host;
    dm_graph *graph;
    dm_op *op;
    dm_conv *conv;
    dm_point *point;
    dm_posterior *posterior;
    dm_span *span;
    dm_guided *guided;
    dm_pred *pred;
    dm_step *step;
    dm_net_in *net_in;
    dm_data_info *data_info;
    dm_affine *affine;
    dm_batch *batch;
    dm_param *param;
    dm_rms *rms;
    dm_range *range;
    dm_arg *arg;
    dm_shape *shape;
    dm_err *err;
    dm_ctx *ctx;
};

uint32_t dm_plugin_abi(struct all *all);

uint32_t dm_plugin_abi(struct all *all)
{
    return all->plugin ? DM_ABI : 0;
}
