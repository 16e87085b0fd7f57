/* The kinds of plugins, by name, folder and section of an experiment. */
#ifndef DEMIST_CORE_KIND_H
#define DEMIST_CORE_KIND_H

#include "settings/settings.h"

typedef enum dm_kind {
    DM_KIND_SCHEDULE, DM_KIND_SAMPLER, DM_KIND_NETWORK, DM_KIND_OBJECTIVE, DM_KIND_DATASET, DM_KIND_GRID,
    DM_KIND_GUIDANCE,
    DM_KIND_COUNT
} dm_kind;
const char *dm_kind_name(dm_kind k);    /* "schedule"; the section of a dataset is "data" */
const char *dm_kind_folder(dm_kind k);  /* "schedules" */
/* The section whose `use` names plugins of this kind; the host's rows there are dm_settings' of it. */
dm_section_id dm_kind_section(dm_kind k);

#endif
