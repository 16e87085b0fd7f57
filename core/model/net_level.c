/* Noise levels as networks read them; see net_level.h. */
#include "model/net_level.h"

void dm_net_level_none(dm_net_level *l)
{
    for (int i = 0; i < DM_LEVELS; i++)
        l->row[i] = DM_NONE;
}

void dm_net_level_inputs(dm_net_level *l, dm_graph_core *g, int64_t n)
{
    for (int i = 0; i < DM_LEVELS; i++)
        l->row[i] = dm_graph_input(g, "level", &(dm_shape){1, {n}}, DM_DT_F32, false);
}

/* F = (x0 - c_skip x) / c_out with x = alpha x0 + sigma eps. */
void dm_net_level_values(const dm_point *p, const dm_affine *a, double v[DM_LEVELS])
{
    v[DM_LEVEL_ALPHA] = p->alpha;
    v[DM_LEVEL_SIGMA] = p->sigma;
    v[DM_LEVEL_LOG_SNR] = p->log_snr;
    v[DM_LEVEL_C_IN] = a->c_in;
    v[DM_LEVEL_OF_X0] = (1 - a->c_skip * p->alpha) / a->c_out;
    v[DM_LEVEL_OF_EPS] = -a->c_skip * p->sigma / a->c_out;
}

bool dm_net_level_read(const dm_net_level *l, const dm_graph_core *g)
{
    for (int r = 0; r < DM_LEVELS; r++)
        if (dm_graph_reads(g, l->row[r]))
            return true;
    return false;
}
