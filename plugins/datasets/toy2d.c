/* toy2d: points in the plane from a shape that is easy to see, made on the fly: point i depends on
 * seed, split and i alone. Centred, and of variance about 1 on the average of both axes. */
#include <math.h>
#include <string.h>
#include <demist/plugin.h>

enum { MOONS, SWISS_ROLL, EIGHT_GAUSSIANS };
typedef struct { int32_t shape; int64_t count, seed; double noise; bool labels; } cfg;

static const dm_param params[] = {
    DM_ENUM(cfg, shape, "moons", "moons|swiss_roll|eight_gaussians", "what the points lie on"),
    DM_INT(cfg, count, "100000", 1, 1e12, "points", "points in each split"),
    DM_REAL(cfg, noise, "0.05", 0, 10, "", "standard deviation of Gaussian noise around the shape"),
    DM_INT(cfg, seed, "0", 0, 9007199254740992.0, "", "other points of the same kind"),
    DM_BOOL(cfg, labels, "false", "label each point: which moon, which Gaussian; the roll has one class"),
    DM_END,
};

typedef struct { uint64_t key; } state;
static const double tau = 6.283185307179586;

/* Steele, Lea & Flood 2014: the finaliser of SplitMix64. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A number in (0,1) from key, index and lane (0..3) alone. */
static double uniform(uint64_t key, uint64_t i, uint64_t lane)
{
    const uint64_t z = mix(key + (i * 4 + lane + 1) * 0x9e3779b97f4a7c15u);

    return ((double)(z >> 12) + 0.5) / 4503599627370496.0;
}

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    static const int32_t classes[] = {2, 1, 8};
    const cfg *p = c->cfg;

    ((state *)c->self)->key = mix((uint64_t)p->seed * 2 + (strcmp(split, "train") ? 2 : 1));
    info->count = p->count;
    info->shape = (dm_shape){1, {2}};
    info->classes = p->labels ? classes[p->shape] : 0;
    return DM_OK;
}

/* A point of the shape for u in (0,1), and which part it is on; scaled by mean and variance in closed form. */
static int32_t place(int32_t shape, double u, double *x, double *y)
{
    double t, r;
    int32_t k;

    switch (shape) {
    case MOONS: /* half circles: (cos t, sin t) and (1 - cos t, 1/2 - sin t) */
        k = u >= 0.5;
        t = tau * (u - 0.5 * k);
        *x = ((k ? 1 - cos(t) : cos(t)) - 0.5) / 0.70502;
        *y = ((k ? 0.5 - sin(t) : sin(t)) - 0.25) / 0.70502;
        return k;
    case SWISS_ROLL: /* t (cos t, sin t), t in [1.5 pi, 4.5 pi] */
        t = tau * (0.75 + 1.5 * u);
        *x = (t * cos(t) - 2) / 6.7890;
        *y = (t * sin(t) - 0.21221) / 6.7890;
        return 0;
    default:
        k = (int32_t)(u * 8);
        t = tau * k / 8;
        r = sqrt(2);
        *x = r * cos(t);
        *y = r * sin(t);
        return k;
    }
}

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const cfg *p = c->cfg;
    const uint64_t key = ((const state *)c->self)->key, i = (uint64_t)index;
    const double r = p->noise * sqrt(-2 * log(uniform(key, i, 1))), angle = tau * uniform(key, i, 2);
    double a, b;
    const int32_t k = place(p->shape, uniform(key, i, 0), &a, &b);

    x[0] = (float)(a + r * cos(angle));
    x[1] = (float)(b + r * sin(angle));
    if (label)
        *label = k;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "toy2d", .version = "1", .license = "Apache-2.0",
    .doc = "points in the plane: two moons, a swiss roll, eight Gaussians", .params = params,
    .cfg_size = sizeof(cfg), .self_size = sizeof(state),
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_},
};
