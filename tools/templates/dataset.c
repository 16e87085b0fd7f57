/* PLUGIN_NAME: a data set of points. Say here what it is and where it comes from. */
#include <math.h>
#include <string.h>
#include <demist/plugin.h>

typedef struct { int64_t count; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, count, "10000", 1, 1e9, "examples", "points in the train split"),
    DM_END,
};

/* Checks here all that can be wrong, and says what there is. */
static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    if (strcmp(split, "train"))
        return dm_fail(c, DM_ENOENT, "there is no %s split", split);
    info->count = ((const cfg *)c->cfg)->count;
    info->shape = (dm_shape){1, {2}};
    return DM_OK;
}

/* Called from several threads at once: reads self, writes x. Here: even steps around a circle. */
static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const double angle = 6.28318530717958648 * (double)index / (double)((const cfg *)c->cfg)->count;

    x[0] = (float)cos(angle);
    x[1] = (float)sin(angle);
    if (label)
        *label = 0;
    return DM_OK;
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "PLUGIN_NAME", .version = "1", .license = "Apache-2.0",
    .doc = "points on a circle",
    .params = params, .cfg_size = sizeof(cfg),
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_},
};
