/* uniform: steps that are even in t, of a discrete schedule on its levels as others space them. */
#include <math.h>
#include <demist/plugin.h>

enum { TRAILING, LEADING, LINSPACE };
enum { DATA, FIRST };
typedef struct { int32_t spacing, last; int64_t offset; bool one_more, whole; double until; } cfg;

static const dm_param params[] = {
    DM_ENUM(cfg, spacing, "trailing", "trailing|leading|linspace",
            "on the levels of a discrete schedule: down from the noisiest, up from the first, or both"),
    DM_INT(cfg, offset, "0", 0, 1000000, "steps",
           "added to each timestep with leading spacing, unless all are visited"),
    DM_ENUM(cfg, last, "data", "data|first", "where the last step goes: the data, or the least noise that is trained"),
    DM_BOOL(cfg, one_more, "false",
            "with leading and linspace place one more point and leave out the least: diffusers' multistep solvers"),
    DM_BOOL(cfg, whole, "true", "linspace on whole timesteps; false: between them, as diffusers' Euler, Heun and LMS"),
    DM_REAL(cfg, until, "0", 0, 1, "", "of a continuous schedule: t / T from which the last step goes to the data"),
    DM_END,
};

/* Half way goes to the even one, as NumPy rounds. */
static double round_even(double x)
{
    const double low = floor(x), rest = x - low;

    return rest > 0.5 || (rest == 0.5 && fmod(low, 2) != 0) ? low + 1 : low;
}

static double timestep(const cfg *p, int32_t T, int32_t n, int32_t i)
{
    /* NumPy's arange(T, 0, -T / n) goes by the difference of its first two values, and that decides ties. */
    const double second = T - (double)T / n, down = i * (second - T);

    const int32_t points = p->one_more ? n + 1 : n, rest = points - 1 - i;
    double t;

    switch (p->spacing) {
    case TRAILING: return round_even(T + down) - 1;
    case LINSPACE: t = points == 1 ? 0 : rest * ((double)(T - 1) / (points - 1)); return p->whole ? round_even(t) : t;
    default: return (double)(rest * (int64_t)(T / points) + (n < T ? p->offset : 0));
    }
}

static dm_status fill(dm_ctx *c, const dm_span *s, int32_t n, bool *log_snr, double *at)
{
    const cfg *p = c->cfg;

    (void)log_snr;
    if (!s->T && (p->spacing != TRAILING || p->offset))
        return dm_fail(c, DM_EINVAL, "%s is for the levels of a discrete schedule",
                       p->offset ? "offset" : "spacing: other than trailing");
    if (s->T ? p->until > 0 : p->one_more || !p->whole)
        return dm_fail(c, DM_EINVAL, "%s is for %s", s->T ? "until" : p->one_more ? "one_more" : "whole: false",
                       s->T ? "continuous schedules" : "the levels of a discrete schedule");
    if (p->one_more && p->spacing == TRAILING)
        return dm_fail(c, DM_EINVAL, "one_more: spacing trailing begins at the noisiest level anyway");
    if (p->offset && p->spacing != LEADING)
        return dm_fail(c, DM_EINVAL, "offset: is for spacing: leading, whose timesteps it moves; set offset: 0");
    if (!p->whole && p->spacing != LINSPACE)
        return dm_fail(c, DM_EINVAL, "whole: false is for spacing: linspace");
    if (p->until > 0 && p->last != DATA)
        return dm_fail(c, DM_EINVAL, "until: is for last: data");
    if (s->T && n > s->T)
        return dm_fail(c, DM_EINVAL, "sampler.steps: %d is more than the schedule's %d timesteps", (int)n,
                       (int)s->T);
    if (s->T && p->spacing == LEADING && timestep(p, s->T, n, 0) >= s->T)
        return dm_fail(c, DM_EINVAL, "offset: %d moves the first timestep to %d, beyond %d", (int)p->offset,
                       (int)timestep(p, s->T, n, 0), (int)s->T - 1);
    for (int32_t i = 0; i < n; i++) {
        /* Where the least noise is above the data, it is the last point but one. */
        const int32_t parts = (s->least.sigma > 0 || p->until > 0) && p->last == DATA ? n - 1 : n;

        at[i] = s->T        ? timestep(p, s->T, n, i) + 1
                : parts > 0 ? s->most.t * (1 - (1 - p->until) * i / parts)
                            : s->most.t;
    }
    at[n] = p->last == DATA ? -1 : s->least.t;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "uniform", .version = "1", .license = "Apache-2.0",
    .doc = "even in t", .params = params, .cfg_size = sizeof(cfg),
    .grid = &(const dm_grid){.size = sizeof(dm_grid), .fill = fill},
};
