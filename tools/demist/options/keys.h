/* Every key that an experiment may have, for suggestions and completion. */
#ifndef DEMIST_CLI_KEYS_H
#define DEMIST_CLI_KEYS_H

#include <stdbool.h>

#include "plugin/registry.h"

typedef struct cli_key {
    char path[160];                /* "sampler.steps" */
    const char *section;           /* "sampler"; "" = top level */
    const char *name;              /* "steps" */
    const dm_param *row;           /* NULL for `use` */
    dm_kind kind;                  /* of the plugins that `use` takes */
    const char *doc;
} cli_key;

/* Calls `each` for the keys of all sections and of all plugins in r, which may be NULL; those of the sections in
 * `without` ("train|data"), which may be NULL, left out. A key that several plugins have comes several times. */
void cli_each_key(dm_registry *r, const char *without, void (*each)(void *user, const cli_key *key), void *user);
/* Is the word one of "a|b|c"? */
bool cli_is_word(const char *words, const char *word, size_t n);

#endif
