/* For LD_PRELOAD before demist: allocations that fail on request. Only those count that demist, its plugins or one of
 * the libraries named below make, by malloc or by C++'s new. Each is known by its call stack, as offsets in these
 * modules, so that the same one is found again in another process and another order of threads.
 *   ALLOCFAULT_LIST=FILE   appends each distinct stack's hash, once, in the order of their first use
 *   ALLOCFAULT_FAIL=HASH   fails the first allocation of this stack; ALLOCFAULT_TRACE=FILE gets its frames */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

enum { MAX_RANGES = 64, DEPTH = 40, MAX_STACKS = 1 << 16 };
typedef struct range { uintptr_t from, to, base; uint64_t name; } range;

static range ranges[MAX_RANGES];
static int n_ranges;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seen[MAX_STACKS], wanted;
static int list = -1, ready, done;
static _Thread_local int busy;

static uint64_t mix(uint64_t h, uint64_t x) { return (h ^ x) * UINT64_C(0x9e3779b97f4a7c15) ^ (h >> 29); }

static uint64_t hash_name(const char *s)
{
    uint64_t h = 1;

    for (; *s; s++)
        h = mix(h, (unsigned char)*s);
    return h;
}

static int add_module(struct dl_phdr_info *m, size_t size, void *first)
{
    static const char *const ours[] = {"/plugins/", "libjansson", "libyaml", "libpng", "libjpeg", "libwebp",
                                       "libmuparser", "libexif"};
    const char *slash = strrchr(m->dlpi_name, '/');
    int take = *(int *)first;

    (void)size;
    *(int *)first = 0; /* the program comes first, without a name */
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        take |= strstr(m->dlpi_name, ours[i]) != NULL;
    for (int k = 0; k < m->dlpi_phnum && take; k++)
        if (m->dlpi_phdr[k].p_type == PT_LOAD && m->dlpi_phdr[k].p_flags & PF_X && n_ranges < MAX_RANGES) {
            const uintptr_t from = m->dlpi_addr + m->dlpi_phdr[k].p_vaddr;

            ranges[n_ranges++] = (range){from, from + m->dlpi_phdr[k].p_memsz, m->dlpi_addr,
                                         hash_name(slash ? slash : "program")};
        }
    return 0;
}

static void find_modules(void)
{
    int first = 1;

    pthread_mutex_lock(&lock);
    n_ranges = 0;
    dl_iterate_phdr(add_module, &first);
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("ALLOCFAULT_LIST"), *fail = getenv("ALLOCFAULT_FAIL");
    void *unused[2];

    if (strcmp(program_invocation_short_name, "demist")) /* what demist starts: a compiler, gnuplot */
        return;
    backtrace(unused, 2); /* loads the unwinder, which allocates */
    if (file)
        list = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    wanted = fail ? strtoull(fail, NULL, 16) : 0;
    find_modules();
    ready = list >= 0 || wanted;
}

static const range *range_of(const void *p)
{
    for (int i = 0; i < n_ranges; i++)
        if ((uintptr_t)p >= ranges[i].from && (uintptr_t)p < ranges[i].to)
            return &ranges[i];
    return NULL;
}

static void trace(void *const *frames, int n)
{
    const char *file = getenv("ALLOCFAULT_TRACE");
    const int to = file ? open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600) : -1;

    if (to >= 0) {
        backtrace_symbols_fd(frames, n, to);
        close(to);
    }
}

/* Whether this allocation fails. */
static int fails(const void *caller)
{
    void *frames[DEPTH];
    uint64_t h = 7;
    int n, hit = 0;

    if (!ready || done || busy || !range_of(caller))
        return 0;
    busy = 1;
    n = backtrace(frames, DEPTH);
    for (int i = 0; i < n; i++) {
        const range *r = range_of(frames[i]);

        if (r)
            h = mix(mix(h, r->name), (uintptr_t)frames[i] - r->base);
    }
    pthread_mutex_lock(&lock);
    if (list >= 0) {
        size_t at = h % MAX_STACKS;

        while (seen[at] && seen[at] != h)
            at = (at + 1) % MAX_STACKS;
        if (!seen[at]) {
            char line[20];

            seen[at] = h;
            if (write(list, line, (size_t)snprintf(line, sizeof line, "%016llx\n", (unsigned long long)h)) < 0)
                abort();
        }
    } else if (h == wanted) {
        hit = done = 1;
        trace(frames, n);
    }
    pthread_mutex_unlock(&lock);
    busy = 0;
    if (hit)
        errno = ENOMEM;
    return hit;
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

/* Plugins come later. */
void *dlopen(const char *file, int flags)
{
    void *(*real)(const char *, int) = NULL;
    void *p;

    *(void **)&real = dlsym(RTLD_NEXT, "dlopen");
    p = real(file, flags);
    if (p && ready && file && strstr(file, "/plugins/"))
        find_modules();
    return p;
}
