/* For LD_PRELOAD before demist: allocations that fail on request, made by malloc or by C++'s new; see callstacks.h. */
#define _GNU_SOURCE
#include "callstacks.h"

#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static int fails(const void *caller)
{
    if (!callstacks_hit("malloc", caller))
        return 0;
    errno = ENOMEM;
    return 1;
}

#define CALLER __builtin_return_address(0)
void *malloc(size_t n) { return fails(CALLER) ? NULL : __libc_malloc(n); }
void *calloc(size_t n, size_t size) { return fails(CALLER) ? NULL : __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { return fails(CALLER) ? NULL : __libc_realloc(p, n); }
void free(void *p) { __libc_free(p); }
void *memalign(size_t align, size_t n) { return fails(CALLER) ? NULL : __libc_memalign(align, n); }
void *aligned_alloc(size_t align, size_t n) { return fails(CALLER) ? NULL : __libc_memalign(align, n); }

int posix_memalign(void **out, size_t align, size_t n)
{
    void *p = fails(CALLER) ? NULL : __libc_memalign(align, n);

    if (!p)
        return ENOMEM;
    *out = p;
    return 0;
}

char *strndup(const char *s, size_t most)
{
    const size_t n = strnlen(s, most);
    char *p = fails(CALLER) ? NULL : __libc_malloc(n + 1);

    if (p) {
        memcpy(p, s, n);
        p[n] = 0;
    }
    return p;
}

char *strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *p = fails(CALLER) ? NULL : __libc_malloc(n);

    return p ? memcpy(p, s, n) : NULL;
}

/* C++'s new and delete, as the ABI names them; what they return must be freed by what it was made with. */
static void *new_or_throw(const void *caller, size_t n)
{
    void *p = fails(caller) ? NULL : __libc_malloc(n ? n : 1);
    void (*throw_bad_alloc)(void);

    if (!p) {
        *(void **)&throw_bad_alloc = dlsym(RTLD_DEFAULT, "_ZSt17__throw_bad_allocv");
        if (throw_bad_alloc)
            throw_bad_alloc();
        abort();
    }
    return p;
}

void *_Znwm(size_t n) { return new_or_throw(CALLER, n); }
void *_Znam(size_t n) { return new_or_throw(CALLER, n); }
void *_ZnwmRKSt9nothrow_t(size_t n, const void *t) { return (void)t, fails(CALLER) ? NULL : __libc_malloc(n ? n : 1); }
void *_ZnamRKSt9nothrow_t(size_t n, const void *t) { return (void)t, fails(CALLER) ? NULL : __libc_malloc(n ? n : 1); }
void _ZdlPv(void *p) { __libc_free(p); }
void _ZdaPv(void *p) { __libc_free(p); }
void _ZdlPvm(void *p, size_t n) { (void)n, __libc_free(p); }
void _ZdaPvm(void *p, size_t n) { (void)n, __libc_free(p); }
void _ZdlPvRKSt9nothrow_t(void *p, const void *t) { (void)t, __libc_free(p); }
void _ZdaPvRKSt9nothrow_t(void *p, const void *t) { (void)t, __libc_free(p); }
