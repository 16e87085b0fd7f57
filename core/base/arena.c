/* Memory that dies together: a list of blocks, the last one being filled. */
#include "base/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 16 * 1024, ALIGN = 16 };

typedef struct block { struct block *next; size_t used, size; } block;
struct dm_arena { block *blocks; };

static const size_t head = (sizeof(block) + ALIGN - 1) / ALIGN * ALIGN;

dm_arena *dm_arena_new(void) { return calloc(1, sizeof(dm_arena)); }

void dm_arena_free(dm_arena *a)
{
    if (!a)
        return;
    for (block *b = a->blocks, *next; b; b = next) {
        next = b->next;
        free(b);
    }
    free(a);
}

void *dm_alloc(dm_arena *a, size_t n)
{
    block *b = a->blocks;
    void *p;

    if (n > SIZE_MAX / 2)
        return NULL;
    n = n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
    if (!b || b->size - b->used < n) {
        const size_t size = n > BLOCK ? n : BLOCK;

        if (!(b = calloc(1, head + size)))
            return NULL;
        b->size = size;
        b->next = a->blocks;
        a->blocks = b;
    }
    p = (char *)b + head + b->used;
    b->used += n;
    return p;
}

void *dm_alloc_n(dm_arena *a, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        return NULL;
    return dm_alloc(a, count * size);
}

void *dm_memdup(dm_arena *a, const void *p, size_t n)
{
    void *q = dm_alloc(a, n);

    if (q && n)
        memcpy(q, p, n);
    return q;
}

char *dm_strndup(dm_arena *a, const char *s, size_t n)
{
    char *q = dm_alloc(a, n + 1);

    if (q)
        memcpy(q, s, n);
    return q;
}

char *dm_strdup(dm_arena *a, const char *s) { return dm_strndup(a, s, strlen(s)); }

char *dm_sprintf(dm_arena *a, const char *fmt, ...)
{
    va_list ap;
    char *s;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !(s = dm_alloc(a, (size_t)n + 1)))
        return NULL;
    va_start(ap, fmt);
    vsnprintf(s, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return s;
}

void *dm_array(int64_t a, int64_t b, size_t elem)
{
    int64_t n;

    return a < 0 || b < 0 || __builtin_mul_overflow(a, b, &n) || (uint64_t)n > SIZE_MAX
               ? NULL
               : calloc(n ? (size_t)n : 1, elem);
}

bool dm_grow(void **p, size_t n, size_t *cap, size_t elem)
{
    const size_t more = *cap ? *cap * 2 : 16;
    void *q;

    if (n < *cap)
        return true;
    if (more > SIZE_MAX / 2 / elem || !(q = realloc(*p, more * elem)))
        return false;
    *p = q;
    *cap = more;
    return true;
}
