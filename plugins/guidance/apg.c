/* apg: adaptive projected guidance (Sadat et al. 2024, algorithm 1): of the difference between class and no class, what
 * lies along the class's x0 is weakened, its norm is held, and earlier differences are added. */
#include <demist/plugin.h>

typedef struct { double scale, parallel, norm, momentum; } cfg;
typedef struct { dm_tensor *average; bool begun; } state;

static const dm_param params[] = {
    DM_REAL(cfg, scale, "3", -1000, 1000, "", "as cfg's: 1 is the class alone"),
    DM_REAL(cfg, parallel, "0", 0, 1, "", "share of the part along x0 that is kept; it saturates"),
    DM_REAL(cfg, norm, "0", 0, 1e9, "", "largest norm of an example's difference; 0 = any"),
    DM_REAL(cfg, momentum, "-0.5", -0.999, 0.999, "", "share of the differences before; below 0, away from them"),
    DM_END,
};

/* with, without, average, x0 f32[N,D]; one group an example. */
static const char source[] =
    "kernel void apg(global const float *with, global const float *without, global float *average,\n"
    "                global float *x0, int D, float scale, float eta, float norm, float momentum)\n"
    "{\n"
    "  const int l = get_local_id(0), first = get_group_id(0) * D;\n"
    "  local float4 part[GROUP];\n"
    "  float4 s = 0;\n"
    "  for (int i = first + l; i < first + D; i += GROUP) {\n"
    "    const float c = with[i], d = c - without[i] + (momentum != 0 ? momentum * average[i] : 0);\n"
    "    average[i] = d;\n"
    "    s += (float4)(d * d, d * c, c * c, 0);\n"
    "  }\n"
    "  part[l] = s;\n"
    "  barrier(CLK_LOCAL_MEM_FENCE);\n"
    "  s = 0;\n"
    "  for (int i = 0; i < GROUP; i++)\n"
    "    s += part[i];\n"
    "  const float k = norm > 0 && s.x > norm * norm ? norm / sqrt(s.x) : 1, along = s.z > 0 ? s.y / s.z : 0;\n"
    "  for (int i = first + l; i < first + D; i += GROUP)\n"
    "    x0[i] = with[i] + (scale - 1) * k * (average[i] + (eta - 1) * along * with[i]);\n"
    "}\n";
enum { GROUP = 64 };

static dm_status at(dm_ctx *c, const dm_point *p, bool *on)
{
    (void)p;
    *on = ((const cfg *)c->cfg)->scale != 1;
    return DM_OK;
}

static dm_status begin(dm_ctx *c, const dm_tensor *x)
{
    state *s = c->self;

    s->begun = false;
    return (s->average = c->host->tensor_like(c, x)) ? DM_OK : c->err->code;
}

static dm_status guide(dm_ctx *c, const dm_guided *g)
{
    const cfg *p = c->cfg;
    state *s = c->self;
    const dm_shape shape = c->host->shape(g->x0);
    dm_kernel *k = c->host->kernel(c, source, "apg", "-DGROUP=64");
    const double momentum = s->begun ? p->momentum : 0;
    double D = 1;

    if (!k)
        return c->err->code;
    for (int32_t i = 1; i < shape.rank; i++)
        D *= (double)shape.dim[i];
    s->begun = true;
    return c->host->launch(c, k, &(dm_range){1, {(size_t)shape.dim[0] * GROUP}, {GROUP}},
                           DM_ARGS({DM_BUF, g->of[DM_OF_CLASS].x0, 0},
                                   {DM_BUF, g->of[DM_OF_NONE].x0, 0}, {DM_BUF, s->average, 0},
                                   {DM_BUF, g->x0, 0}, {DM_I32, NULL, D}, {DM_F32, NULL, p->scale},
                                   {DM_F32, NULL, p->parallel}, {DM_F32, NULL, p->norm}, {DM_F32, NULL, momentum}));
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "apg", .version = "1", .license = "Apache-2.0",
    .doc = "adaptive projected guidance, for large scales without saturation (Sadat et al. 2024)",
    .params = params, .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .guidance = &(const dm_guidance){.size = sizeof(dm_guidance), .uses = DM_USES(DM_OF_CLASS) | DM_USES(DM_OF_NONE),
                                     .writes = DM_GUIDES_X0, .at = at, .begin = begin, .guide = guide},
};
