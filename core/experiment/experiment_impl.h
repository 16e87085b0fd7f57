/* Between the files that make an experiment out of layers of text; nobody else's business. */
#ifndef DEMIST_CORE_EXPERIMENT_IMPL_H
#define DEMIST_CORE_EXPERIMENT_IMPL_H

#include "experiment/experiment.h"
#include "experiment/layers.h"
#include "settings/param.h"

/* A key that holds after all layers. */
typedef struct dm_said { const char *key; dm_mark at; const dm_yaml *value; int group; } dm_said;

typedef struct dm_said_section {
    bool present, spoiled;         /* spoiled: it is there, but no map */
    dm_mark at;                    /* of its key; of the file for the top level and absent ones */
    dm_said *said;                 /* heap */
    size_t n, cap;
} dm_said_section;

typedef struct dm_reading {
    dm_experiment *e;
    dm_arena *arena;               /* the experiment's */
    dm_faults *faults;
    dm_registry *registry;
    const dm_experiment_options *o;
    const char *cwd;               /* absolute; "" = not known */
    dm_layers layers;
    dm_said_section s[DM_SEC_COUNT];
    bool steps_follow;             /* a run's points tell how many, whatever its text says of sampler.steps */
    dm_status failed;              /* of memory; then the rest need not make sense */
} dm_reading;

/* DM_KIND_COUNT where the section takes no plugin. */
dm_kind dm_section_kind(dm_section_id id);
const dm_said *dm_said_find(const dm_said_section *s, const char *key);
/* Of the key's value, or, where it is not said, of the section. */
dm_mark dm_said_mark(const dm_reading *r, dm_section_id id, const char *key);
/* The host's struct of a section, NULL where it has none. */
void *dm_section_settings(dm_experiment *e, dm_section_id id);

/* sampler.spacing, offset, at and last become a section grid; after schedule was read, before sampler is. */
void dm_reading_former_keys(dm_reading *r);
/* Which keys of which section hold, from all layers. The top level first: it may say where plugins are. */
void dm_reading_collect(dm_reading *r, dm_section_id id);
/* Their values, with defaults for the rest. */
void dm_reading_resolve(dm_reading *r, dm_section_id id);
/* What no row by itself can say. */
void dm_reading_check(dm_reading *r);

#endif
