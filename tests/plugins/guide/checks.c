/* checks: small images of checkered squares, one class for each size of a square, drawn on the fly. */
#include <demist/plugin.h>

enum { SIDE = 16, SIZES = 3 };
typedef struct { int64_t count; } cfg;

static const dm_param params[] = {
    DM_INT(cfg, count, "10000", 2, 1e9, "images", "in each split"),
    DM_END,
};

/* Says what there is; files would be opened, and all that can be wrong with them found, here. */
static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    (void)split; /* "train" or "test": the same here */
    info->count = ((const cfg *)c->cfg)->count;
    info->shape = (dm_shape){3, {1, SIDE, SIDE}};
    info->classes = SIZES;
    info->levels = 256;
    info->low = 0;
    info->high = 255;
    return DM_OK;
}

/* Called from several threads at once: it may write to x and *label alone, and depends on the index alone. */
static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    const int64_t size = 1 << (1 + index % SIZES), shift = index / SIZES;

    (void)c;
    for (int64_t i = 0; i < SIDE * SIDE; i++)
        x[i] = ((i / SIDE + shift) / size + (i % SIDE + shift / SIDE) / size) % 2 ? 255 : 0;
    if (label)
        *label = (int32_t)(index % SIZES);
    return DM_OK;
}

static const char *class_name(dm_ctx *c, int32_t label)
{
    static const char *const names[SIZES] = {"small", "middle", "large"};

    (void)c;
    return names[label];
}

const dm_plugin dm_plugin_entry = {
    .abi = DM_ABI, .size = sizeof(dm_plugin), .name = "checks", .version = "1", .license = "Apache-2.0",
    .doc = "checkered squares of three sizes",
    .params = params, .cfg_size = sizeof(cfg),
    .dataset = &(const dm_dataset){.size = sizeof(dm_dataset), .open = open_, .read = read_, .class_name = class_name},
};
