/* cfg: classifier-free guidance (Ho & Salimans 2022), with rescaling (Lin et al. 2024) and in an interval of noise
 * (Kynkaanniemi et al. 2024). */
#include <demist/plugin.h>

typedef struct { double scale, rescale; dm_reals interval; } cfg;

static const dm_param params[] = {
    DM_REAL(cfg, scale, "3", -1000, 1000, "", "how far from no class to the class: 0 is none, 1 the class alone"),
    DM_REAL(cfg, rescale, "0", 0, 1, "", "share of a result that has the spread of the class's own output"),
    DM_REALS(cfg, interval, "[]", -1e9, 1e9, "",
             "guided between these two log-SNR alone, noisier first; [] = everywhere"),
    DM_END,
};

/* c, g f32[N,D]; one group an example: g := share g std(c) / std(g) + (1 - share) g. */
static const char source[] =
    "kernel void rescale(global const float *c, global float *g, int D, float share)\n"
    "{\n"
    "  const int l = get_local_id(0), first = get_group_id(0) * D;\n"
    "  local float2 part[GROUP];\n"
    "  float2 mean = 0, square = 0;\n"
    "  for (int pass = 0; pass < 2; pass++) {\n"
    "    float2 s = 0;\n"
    "    for (int d = l; d < D; d += GROUP) {\n"
    "      const float2 v = (float2)(c[first + d], g[first + d]) - mean;\n"
    "      s += pass ? v * v : v;\n"
    "    }\n"
    "    part[l] = s;\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    s = 0;\n"
    "    for (int i = 0; i < GROUP; i++)\n"
    "      s += part[i];\n"
    "    barrier(CLK_LOCAL_MEM_FENCE);\n"
    "    if (pass) square = s; else mean = s / D;\n"
    "  }\n"
    "  const float k = square.y > 0 ? share * sqrt(square.x / square.y) + 1 - share : 1;\n"
    "  for (int d = l; d < D; d += GROUP)\n"
    "    g[first + d] *= k;\n"
    "}\n";
enum { GROUP = 64 };

static dm_status check(dm_ctx *c)
{
    const dm_reals *i = &((const cfg *)c->cfg)->interval;

    if (i->n != 0 && i->n != 2)
        return dm_fail(c, DM_EINVAL, "interval: takes two log-SNR, not %d", (int)i->n);
    if (i->n && i->v[0] >= i->v[1])
        return dm_fail(c, DM_EINVAL, "interval: goes from %g to %g; the noisier end, which comes first, has the lower "
                       "log-SNR", i->v[0], i->v[1]);
    return DM_OK;
}

static dm_status at(dm_ctx *c, const dm_point *p, bool *on)
{
    const cfg *o = c->cfg;

    *on = o->scale != 1 && (!o->interval.n || (p->log_snr >= o->interval.v[0] && p->log_snr <= o->interval.v[1]));
    return DM_OK;
}

static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const cfg *p = c->cfg;
    const dm_tensor *with = g->of[DM_OF_CLASS].out, *without = g->of[DM_OF_NONE].out;
    const dm_shape s = c->host->shape(g->out);
    const dm_status rc = c->host->sum(c, g->out, DM_SUM({p->scale, with}, {1 - p->scale, without}));
    dm_kernel *k;
    double D = 1;

    if (rc || !(p->rescale > 0))
        return rc;
    for (int32_t i = 1; i < s.rank; i++)
        D *= (double)s.dim[i];
    if (!(k = c->host->kernel(c, source, "rescale", "-DGROUP=64")))
        return c->err->code;
    return c->host->launch(c, k, &(dm_range){1, {(size_t)s.dim[0] * GROUP}, {GROUP}},
                           DM_ARGS({DM_BUF, g->of[DM_OF_CLASS].out, 0}, {DM_BUF, g->out, 0}, {DM_I32, NULL, D},
                                   {DM_F32, NULL, p->rescale}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "cfg", .version = "1", .license = "Apache-2.0",
    .doc = "classifier-free guidance, of the network's own output (Ho & Salimans 2022)",
    .params = params, .cfg_size = sizeof(cfg),
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS) | DM_USES(DM_OF_NONE),
                                     .writes = DM_GUIDES_OUT, .check = check, .at = at, .guide = guide},
};
