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

/* In the user's own units: that each is reached, and that the noise falls. The last may stay, as in other programs. */
static dm_status check(dm_ctx *c, const cfg *p, const dm_span *s)
{
    const dm_reals *v = points(p);
    const char *key = p->sigmas.n ? "sigmas" : "timesteps";
    const double most = p->sigmas.n ? s->most.sigma / s->most.alpha * 1.000001 /* but for rounding */
                        : s->T      ? s->T - 1
                                    : INFINITY;

    for (int32_t i = 0; i < v->n; i++) {
        const bool stays = i && p->last == LEAST && i == v->n - 1 && v->v[i] == v->v[i - 1];

        if (v->v[i] > most)
            return dm_fail(c, DM_EINVAL, "%s: the schedule does not reach %.10g; its noisiest is %.6g", key, v->v[i],
                           most);
        if (i && !(v->v[i] < v->v[i - 1]) && !stays)
            return dm_fail(c, DM_EINVAL, "%s: %.10g comes after %.10g; the noise must fall from point to point",
                           key, v->v[i], v->v[i - 1]);
    }
    return DM_OK;
}

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;
    const dm_reals *v = points(p);

    if (n != v->n - (p->last == LEAST))
        return dm_fail(c, DM_EINVAL, "%s: has %d steps, not %d", p->sigmas.n ? "sigmas" : "timesteps",
                       (int)v->n - (p->last == LEAST), (int)n);
    if (check(c, p, s))
        return c->err->code;
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
