/* A YAML text as a tree, every node with its place. Scalars stay text: what they mean is for the
 * reader to say. Bounded in size, depth and, with aliases expanded, in nodes. */
#ifndef DEMIST_CORE_YAML_TREE_H
#define DEMIST_CORE_YAML_TREE_H

#include "settings/faults.h"

enum {
    DM_YAML_BYTES = 1 << 20,   /* of one file */
    DM_YAML_DEPTH = 64,
    DM_YAML_NODES = 100000,    /* of all files of an experiment, an alias counting as what it stands for */
    DM_YAML_KEYS = 1024,       /* of one map */
    DM_YAML_ANCHORS = 1000     /* of one file */
};

typedef enum dm_yaml_kind { DM_YAML_SCALAR, DM_YAML_LIST, DM_YAML_MAP } dm_yaml_kind;
typedef struct dm_yaml dm_yaml;
/* An entry of a map, or, without a key, of a list. */
typedef struct dm_yaml_entry { const char *key; dm_mark at; const dm_yaml *value; } dm_yaml_entry;

/* An alias is the node it stands for, shared, so a tree may only be walked to a bounded depth. */
struct dm_yaml {
    dm_yaml_kind kind;
    dm_mark at;
    const char *text;              /* of a scalar, without NUL bytes inside */
    bool quoted;                   /* in quotes, or a block: text for certain */
    size_t n;                      /* of a list or map */
    const dm_yaml_entry *entry;
    size_t nodes;                  /* with all below it, aliases expanded */
};

/* *nodes counts up to DM_YAML_NODES over several calls. The text begins at byte `skip` of the source.
 * Faults are collected; *root is NULL if reading on made no sense after one, and without what was at fault if it
 * did. Fails only where memory is exhausted. */
dm_status dm_yaml_parse(const dm_origin *s, size_t skip, size_t *nodes, dm_arena *a, dm_faults *f, const dm_yaml **root,
                        dm_err *err);

/* The entry of a map, or NULL, also where y is no map. */
const dm_yaml_entry *dm_yaml_find(const dm_yaml *y, const char *key);
/* A scalar that is absent: nothing, ~ or null, not quoted. */
bool dm_yaml_is_null(const dm_yaml *y);

#endif
