/* Call stacks that are found again; see callstacks.h. */
#define _GNU_SOURCE
#include "callstacks.h"

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_RANGES = 64, DEPTH = 40, MAX_STACKS = 1 << 16 };
typedef struct range { uintptr_t from, to, base; uint64_t name; } range;

static range ranges[MAX_RANGES];
static int n_ranges;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct { uint64_t hash; int calls; } seen[MAX_STACKS];
static uint64_t wanted;
static int list = -1, each = 1, nth = 1;
static bool ready, done;
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
                                       "libmuparser", "libexif", "libz."};
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

/* The module's own calls are those of the system, not those that it stands for. */
static int create(const char *file, int flags)
{
    return (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
}

static int number(const char *name)
{
    const char *value = getenv(name);

    return value ? atoi(value) : 1;
}

__attribute__((constructor)) static void begin(void)
{
    const char *file = getenv("FAULT_LIST"), *fail = getenv("FAULT_FAIL");
    void *unused[2];

    if (strcmp(program_invocation_short_name, "demist")) /* what demist starts: a compiler, gnuplot */
        return;
    backtrace(unused, 2); /* loads the unwinder, which allocates */
    if (file)
        list = create(file, O_APPEND);
    each = number("FAULT_EACH");
    nth = number("FAULT_NTH");
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
    const char *file = getenv("FAULT_TRACE");
    const int to = file ? create(file, O_TRUNC) : -1;

    if (to >= 0) {
        backtrace_symbols_fd(frames, n, to);
        syscall(SYS_close, to);
    }
}

static void note(const char *call, uint64_t h)
{
    size_t at = h % MAX_STACKS;
    char line[80];

    while (seen[at].hash && seen[at].hash != h)
        at = (at + 1) % MAX_STACKS;
    seen[at].hash = h;
    if (seen[at].calls++ >= each)
        return;
    const int n = snprintf(line, sizeof line, "%016llx %s %d\n", (unsigned long long)h, call, seen[at].calls);
    if (syscall(SYS_write, list, line, (size_t)n) != n)
        abort();
}

bool callstacks_met(void) { return done; }
bool callstacks_ours(const void *caller) { return ready && !busy && range_of(caller); }

bool callstacks_hit(const char *call, const void *caller)
{
    const int was = errno;
    void *frames[DEPTH];
    uint64_t h = hash_name(call);
    bool hit = false;
    int n;

    if (done || !callstacks_ours(caller))
        return false;
    busy = 1;
    n = backtrace(frames, DEPTH);
    for (int i = 0; i < n; i++) {
        const range *r = range_of(frames[i]);

        if (r)
            h = mix(mix(h, r->name), (uintptr_t)frames[i] - r->base);
    }
    pthread_mutex_lock(&lock);
    if (list >= 0) {
        note(call, h);
    } else if (h == wanted && !--nth) {
        hit = done = true;
        trace(frames, n);
    }
    pthread_mutex_unlock(&lock);
    busy = 0;
    errno = was;
    return hit;
}

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
