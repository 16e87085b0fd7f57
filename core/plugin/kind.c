/* The kinds of plugins; see kind.h. */
#include "plugin/kind.h"

static const struct { const char *name, *folder; dm_section_id section; } kinds[DM_KIND_COUNT] = {
    [DM_KIND_SCHEDULE] = {"schedule", "schedules", DM_SEC_SCHEDULE},
    [DM_KIND_SAMPLER] = {"sampler", "samplers", DM_SEC_SAMPLER},
    [DM_KIND_NETWORK] = {"network", "networks", DM_SEC_NETWORK},
    [DM_KIND_OBJECTIVE] = {"objective", "objectives", DM_SEC_OBJECTIVE},
    [DM_KIND_DATASET] = {"dataset", "datasets", DM_SEC_DATA},
    [DM_KIND_GRID] = {"grid", "grids", DM_SEC_GRID},
    [DM_KIND_GUIDANCE] = {"guidance", "guidance", DM_SEC_GUIDANCE},
};

const char *dm_kind_name(dm_kind k) { return k >= 0 && k < DM_KIND_COUNT ? kinds[k].name : "plugin"; }
const char *dm_kind_folder(dm_kind k) { return k >= 0 && k < DM_KIND_COUNT ? kinds[k].folder : ""; }
dm_section_id dm_kind_section(dm_kind k) { return kinds[k].section; }
