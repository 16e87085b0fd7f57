/* Memory that dies together. Everything allocated from an arena is zeroed, aligned for any type,
 * and freed with it. Not thread-safe. */
#ifndef DEMIST_CORE_ARENA_H
#define DEMIST_CORE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include <demist/plugin.h>

typedef struct dm_arena dm_arena;

/* NULL when memory is exhausted. */
dm_arena *dm_arena_new(void);
void dm_arena_free(dm_arena *a);

/* n zeroed bytes; NULL when memory is exhausted. n may be 0. */
void *dm_alloc(dm_arena *a, size_t n);
/* count * size, NULL also when the product overflows. */
void *dm_alloc_n(dm_arena *a, size_t count, size_t size);
/* Copies; NULL when memory is exhausted. */
void *dm_memdup(dm_arena *a, const void *p, size_t n);
char *dm_strdup(dm_arena *a, const char *s);
char *dm_strndup(dm_arena *a, const char *s, size_t n);
char *dm_sprintf(dm_arena *a, const char *fmt, ...) DM_PRINTF(2, 3);

/* a * b elements on the heap, zeroed; NULL when memory is exhausted, where a count is negative, and where the size does
 * not fit: counts from outside may be any. */
void *dm_array(int64_t a, int64_t b, size_t elem);

/* A list on the heap that grows by doubling, for arrays whose length is not known beforehand:
 * make room for one more element of *p, n of cap used. false when memory is exhausted, then
 * nothing changed. */
bool dm_grow(void **p, size_t n, size_t *cap, size_t elem);

#endif
