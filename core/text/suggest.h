/* The nearest known name for one that is not known. */
#ifndef DEMIST_CORE_SUGGEST_H
#define DEMIST_CORE_SUGGEST_H

#include <stddef.h>

typedef struct dm_nearest { const char *wanted, *best; size_t distance; } dm_nearest;

/* Edits between a and b: letters put in, left out, changed, or two neighbours swapped. Names
 * longer than 64 bytes are far from everything (SIZE_MAX). */
size_t dm_edit_distance(const char *a, const char *b);

void dm_nearest_init(dm_nearest *n, const char *wanted);
/* Keeps the candidate if it is near enough and nearer than those before it; text is borrowed. */
void dm_nearest_try(dm_nearest *n, const char *candidate);

#endif
