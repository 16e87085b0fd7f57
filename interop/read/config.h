/* A JSON config read key by key: absent keys give the default, null counts as absent where that is said, a value
 * of another type is an error, and so is every key that nobody asked for. The first error stays; readers then give
 * defaults, so that only dm_config_end() need be checked. */
#ifndef DEMIST_INTEROP_CONFIG_H
#define DEMIST_INTEROP_CONFIG_H

#include "base/arena.h"
#include "base/error.h"
#include "base/json.h"

typedef struct dm_config {
    const char *path;
    json_t *root;
    dm_arena *arena;
    const char *asked[128];
    int n_asked;
    dm_err err;                    /* code DM_OK: none so far */
} dm_config;

/* DM_ENOENT where the file is not there. */
dm_status dm_config_open(dm_config *c, const char *path, dm_err *err);
/* The first error, or the first key that was not asked for; those that begin with '_' say nothing of the model.
 * Closes. */
dm_status dm_config_end(dm_config *c, dm_err *err);

/* Absent keys are def; null is a value that most keys do not take. */
bool dm_config_has(dm_config *c, const char *key); /* there and not null */
int64_t dm_config_int(dm_config *c, const char *key, int64_t def, int64_t min, int64_t max);
int64_t dm_config_int_or_none(dm_config *c, const char *key, int64_t min, int64_t max); /* absent, null: 0 */
double dm_config_real(dm_config *c, const char *key, double def);
bool dm_config_bool(dm_config *c, const char *key, bool def);
/* One of choices "a|b"; its place among them. "null" among them is the JSON null. */
int dm_config_choice(dm_config *c, const char *key, const char *def, const char *choices);
/* A list with least to most entries, NULL where it is absent or wrong. */
const json_t *dm_config_list(dm_config *c, const char *key, size_t least, size_t most);
/* Fails: "'path': key 'key' " and what is said. */
void dm_config_fail(dm_config *c, const char *key, const char *fmt, ...) DM_PRINTF(3, 4);
/* The key means nothing here. */
void dm_config_ignore(dm_config *c, const char *key);

#endif
