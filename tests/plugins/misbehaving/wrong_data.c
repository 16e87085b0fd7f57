/* A data set of points with three classes that goes wrong. */
#define BEHAVIOURS(X)                                                                                                \
    X(open_silent)                                                                                                   \
    X(open_missing)                                                                                                  \
    X(open_sums) X(unwritten) X(empty) X(negative_count) X(rank_2) X(no_extent) X(one_level) X(range) X(read_silent) \
        X(read_no_status) X(read_fails) X(high_label) X(negative_label) X(nan_value) X(logs) X(crashes) X(loops)
#include "wrong.h"

static dm_status open_(dm_ctx *c, const char *split, dm_data_info *info)
{
    (void)split;
    if (wrong(c) == unwritten)
        return DM_OK;
    info->count = wrong(c) == empty ? 0 : wrong(c) == negative_count ? -5 : 100;
    info->shape = wrong(c) == rank_2 ? (dm_shape){2, {2, 2}} : (dm_shape){1, {wrong(c) == no_extent ? 0 : 2}};
    info->classes = 3;
    info->levels = wrong(c) == one_level;
    info->low = wrong(c) == range ? NAN : 0;
    if (wrong(c) == logs)
        c->host->log(c, "hello from %s", "open");
    return wrong(c) == open_silent ? DM_EINVAL : wrong(c) == open_missing ? DM_ENOENT
         : wrong(c) == open_sums ? c->host->sum(c, NULL, NULL, 0) : DM_OK;
}

static dm_status read_(dm_ctx *c, int64_t index, float *x, int32_t *label)
{
    x[0] = x[1] = wrong(c) == nan_value ? NAN : 0.25f;
    if (label)
        *label = wrong(c) == high_label ? 7 : wrong(c) == negative_label ? -1 : 0;
    if (wrong(c) == crashes)
        *(volatile int *)NULL = 1;
    for (volatile int i = wrong(c) == loops; i;)
        continue;
    if (wrong(c) == read_fails)
        return dm_fail(c, DM_ECORRUPT, "example %d is damaged", (int)index);
    return wrong(c) == read_silent ? DM_EIO : wrong(c) == read_no_status ? (dm_status)1 : DM_OK;
}

static const dm_dataset dataset = {.size = sizeof(dm_dataset), .open = open_, .read = read_};
PLUGIN("wrong_data", .dataset = &dataset);
