// The public header in C++, and the places of its fields: an interface that moves is another one.
#include <demist/plugin.h>

#define AT(T, field, place) static_assert(offsetof(T, field) == (place), #T "." #field " moved")

#if UINTPTR_MAX == UINT64_MAX
AT(dm_plugin, abi, 0);
AT(dm_plugin, size, 4);
AT(dm_plugin, name, 8);
AT(dm_plugin, version, 16);
AT(dm_plugin, license, 24);
AT(dm_plugin, doc, 32);
AT(dm_plugin, params, 40);
AT(dm_plugin, cfg_size, 48);
AT(dm_plugin, self_size, 52);
AT(dm_plugin, close, 56);
AT(dm_plugin, schedule, 64);
AT(dm_plugin, sampler, 72);
AT(dm_plugin, network, 80);
AT(dm_plugin, objective, 88);
AT(dm_plugin, dataset, 96);
AT(dm_plugin, earlier, 104);
AT(dm_plugin, grid, 112);
AT(dm_plugin, guidance, 120);
AT(dm_guess, out, 16);
AT(dm_guided, n, 4);
AT(dm_guided, of, 24);
AT(dm_guided, out, 48);
AT(dm_guidance, uses, 4);
AT(dm_guidance, writes, 8);
AT(dm_guidance, check, 16);
AT(dm_guidance, at, 24);
AT(dm_guidance, begin, 32);
AT(dm_guidance, guide, 40);
AT(dm_span, T, 4);
AT(dm_span, most, 8);
AT(dm_span, least, 40);
AT(dm_grid, lists, 4);
AT(dm_grid, steps, 8);
AT(dm_grid, fill, 16);
AT(dm_param, type, 0);
AT(dm_param, name, 8);
AT(dm_param, offset, 16);
AT(dm_param, def, 24);
AT(dm_param, min, 32);
AT(dm_param, max, 40);
AT(dm_param, choices, 48);
AT(dm_param, unit, 56);
AT(dm_param, doc, 64);
AT(dm_ctx, host, 0);
AT(dm_ctx, cfg, 8);
AT(dm_ctx, self, 16);
AT(dm_ctx, err, 24);
AT(dm_err, msg, 4);
AT(dm_shape, dim, 8);
AT(dm_point, t, 0);
AT(dm_point, alpha, 8);
AT(dm_point, sigma, 16);
AT(dm_point, log_snr, 24);
AT(dm_schedule, fill, 8);
AT(dm_schedule, at, 16);
AT(dm_sampler, inverts, 4);
AT(dm_sampler, check, 8);
AT(dm_sampler, begin, 16);
AT(dm_sampler, step, 24);
AT(dm_sampler, log_var, 32);
AT(dm_sampler, adaptive, 40);
AT(dm_step, i, 4);
AT(dm_step, n, 8);
AT(dm_step, grid, 16);
AT(dm_step, x, 24);
AT(dm_step, learned_variance, 32);
AT(dm_step, at, 40);
AT(dm_step, next, 48);
AT(dm_network, build, 8);
AT(dm_net_in, x, 4);
AT(dm_net_in, out_channels, 20);
AT(dm_net_in, alpha, 32);
AT(dm_net_in, of_eps, 52);
AT(dm_net_in, null_class, 56);
AT(dm_dataset, open, 8);
AT(dm_dataset, read, 16);
AT(dm_data_info, count, 8);
AT(dm_data_info, shape, 16);
AT(dm_data_info, classes, 88);
AT(dm_data_info, levels, 92);
AT(dm_data_info, low, 96);
AT(dm_data_info, high, 104);
AT(dm_objective, n_scalars, 4);
AT(dm_objective, open, 8);
AT(dm_objective, affine, 16);
AT(dm_objective, log_var, 24);
AT(dm_objective, scalars, 32);
AT(dm_objective, loss, 40);
AT(dm_objective, draw, 48);
AT(dm_batch, scalar, 40);
AT(dm_batch, weights, 48);
AT(dm_host, log, 8);
AT(dm_host, launch, 96);
AT(dm_host, rms, 104);
AT(dm_host, span, 112);
AT(dm_rms, n, 4);
AT(dm_rms, each, 8);
AT(dm_rms, all, 24);
AT(dm_graph, shape, 8);
AT(dm_graph, custom, 240);
AT(dm_op, n_in, 16);
AT(dm_op, backward, 40);
#endif
static_assert(sizeof(bool) == 1 && sizeof(dm_type) == 4 && sizeof(dm_status) == 4, "types of another size");

int main()
{
    const dm_err err = {DM_OK, ""};
    return err.code;
}
