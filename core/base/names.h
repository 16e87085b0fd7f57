/* The places of names in somebody's list, found by hash. The names are the caller's and must stay where they are. */
#ifndef DEMIST_CORE_NAMES_H
#define DEMIST_CORE_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dm_names {
    struct dm_names_slot { const char *name; int32_t place; } *slot;
    size_t n, room;
} dm_names;                        /* all zero: empty */

/* false when memory is exhausted; then nothing changed. The name must not be there yet. */
bool dm_names_add(dm_names *t, const char *name, int32_t place);
/* -1 where it is not there. */
int32_t dm_names_find(const dm_names *t, const char *name);
void dm_names_free(dm_names *t);

/* FNV-1a, 64 bits. */
uint64_t dm_name_hash(const char *name);

#endif
