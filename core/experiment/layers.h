/* The texts that make up an experiment, in the order in which each goes over those before it: included
 * files, the file itself, the overrides. */
#ifndef DEMIST_CORE_LAYERS_H
#define DEMIST_CORE_LAYERS_H

#include "experiment/yaml_tree.h"

enum { DM_LAYERS_FILES = 64, DM_LAYERS_DEPTH = 16 };

/* root is a map. All overrides are of one group, each file is its own. Below all of them lies what nobody said. */
enum { DM_LAYERS_BELOW = -2 };
typedef struct dm_layer { const dm_yaml *root; int group; bool command_line; } dm_layer;

typedef struct dm_layers {
    dm_arena *arena;               /* the caller's, as is the next */
    dm_faults *faults;
    dm_layer *layer;               /* heap */
    size_t n, cap;
    int files, groups;
    size_t nodes;
    bool broken;                   /* a file could not be read whole: what is missing may be in it */
} dm_layers;

void dm_layers_fini(dm_layers *l);

/* A file and what it includes. name: as messages show it. Faults of the text are collected; what is returned
 * is memory, or that the file itself cannot be read. */
dm_status dm_layers_file(dm_layers *l, const char *path, const char *dir, dm_err *err);
/* The same from text. */
dm_status dm_layers_text(dm_layers *l, const char *text, size_t n, const char *name, const char *dir, dm_err *err);
/* Argument `number`, from 1: "key=value", "section.key=value" or "section={key: value}". */
dm_status dm_layers_override(dm_layers *l, const char *argument, int32_t number, const char *place, const char *dir,
                             dm_err *err);

#endif
