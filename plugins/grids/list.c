/* list: the points themselves, as timesteps or as noise levels. */
#include <math.h>
#include <demist/plugin.h>

enum { DATA, LEAST };
typedef struct { dm_reals timesteps, sigmas; int32_t last; } cfg;

static const dm_param params[] = {
    DM_REALS(cfg, timesteps, "[]", 0, 1e6, "steps",
             "noisiest first; of a discrete schedule counted from 0, whole or not; of a continuous one its t"),
    DM_REALS(cfg, sigmas, "[]", 1e-9, 1e9, "", "sigma / alpha, noisiest first; in place of timesteps"),
    DM_ENUM(cfg, last, "data", "data|least", "where the last step goes: the data, or the last of the list"),
    DM_END,
};

static const dm_reals *points(const cfg *p) { return p->sigmas.n ? &p->sigmas : &p->timesteps; }

static dm_status steps(dm_ctx *c, int32_t *n)
{
    const cfg *p = c->cfg;

    if (p->sigmas.n && p->timesteps.n)
        return dm_fail(c, DM_EINVAL, "sigmas: timesteps are given too; give only one of them");
    if (!points(p)->n)
        return dm_fail(c, DM_EINVAL, "timesteps: both timesteps and sigmas are empty; give the points where the steps "
                                     "begin in one of them, noisiest first");
    *n = points(p)->n - (p->last == LEAST);
    return *n ? DM_OK
              : dm_fail(c, DM_EINVAL, "%s: has 1 point, and with last: least the last one is where the last step goes; "
                                      "give 2 or more, or last: data", p->sigmas.n ? "sigmas" : "timesteps");
}

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const dm_reals *v = points(p);

    if (n != v->n - (p->last == LEAST))
        return dm_fail(c, DM_EINVAL, "%s: has %d steps, not %d", p->sigmas.n ? "sigmas" : "timesteps",
                       (int)v->n - (p->last == LEAST), (int)n);
    *log_snr = p->sigmas.n > 0;
    for (int32_t i = 0; i < v->n; i++)
        at[i] = *log_snr ? -2 * log(v->v[i]) : v->v[i] + (s->T > 0);
    if (p->last == DATA)
        at[n] = *log_snr ? INFINITY : -1;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "list", .version = "1", .license = "Apache-2.0",
    .doc = "the points one by one", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .lists = true, .steps = steps, .fill = fill},
};
