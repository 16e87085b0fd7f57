/* What this machine's processor can do beyond what OpenCL says, for vectors and inline assembly in kernels, and how a
 * process is held to less. Tile registers must be asked for before they are used, for the whole process: done once,
 * before the first context. */
#define _DEFAULT_SOURCE /* syscall */
#include "backends/capabilities.h"
#include "opencl/host/host.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* How drivers of CPUs are told what to compile for. */
typedef struct level { const char *name, *pocl, *intel; uint32_t lanes; } level;

static const level levels[] = {
    {"avx512", "avx512", "skx", 16},
    {"avx2", "avx2", "core-avx2", 8},
    {"sse", "sse41", "corei7", 4},
};
static const level *held;

const char *ocl_held_cpu(void) { return held ? held->name : ""; }

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool amx, pairs, fast_pairs;
static uint32_t lanes;
static char brand[49];

/* What the compilers assume of a processor of this width, all of it. */
static bool processor_has(uint32_t width)
{
    __builtin_cpu_init();
    if (width == 16)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd");
    if (width == 8)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return __builtin_cpu_supports("sse4.2");
}

/* The system saves these states: bits 5 to 7 AVX-512, 17 and 18 tiles. */
static uint64_t saved_states(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool tiles_allowed(void)
{
    enum { REQUEST = 0x1023, TILE_DATA = 18 }; /* ARCH_REQ_XCOMP_PERM */

    return syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

static void look(void)
{
    uint32_t a, b, c, d;
    uint64_t states;

    lanes = held ? held->lanes : processor_has(16) ? 16 : processor_has(8) ? 8 : 4;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 27)) /* OSXSAVE */
        return;
    states = saved_states();
    for (uint32_t i = 0; i < 3; i++) {
        uint32_t r[4] = {0};

        __get_cpuid(0x80000002u + i, &r[0], &r[1], &r[2], &r[3]);
        memcpy(brand + 16 * i, r, sizeof r);
    }
    for (size_t n = strlen(brand); n > 0 && brand[n - 1] == ' ';)
        brand[--n] = 0;
    if (held)
        return;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        pairs = (a & 1u << 5) && (states & 0xe0) == 0xe0;
    fast_pairs = !__builtin_cpu_is("intel"); /* 1.4 times as much on a Xeon */
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d)) /* AMX-TILE and AMX-BF16 */
        amx = (d & 1u << 24) && (d & 1u << 22) && (states & 0x60000) == 0x60000 && tiles_allowed();
}

void ocl_host_cpu(dm_device_info *o)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *name = brand;
    bool pocl, intel;

    if (!o->cpu || o->emulated)
        return;
    pthread_once(&once, look);
    name += strspn(name, " ");
    if (!*name || !strstr(o->name, name)) /* a device of another machine, or of none */
        return;
    pocl = strstr(o->platform_name, "Portable Computing Language");
    intel = strstr(o->platform_name, "Intel");
    /* Both say 16 of a processor that has AVX-512 whatever they compile for. */
    o->native_float = o->native_float < lanes ? o->native_float : lanes;
    if (amx)
        o->capabilities |= DM_CAP_AMX_BF16;
    if (pocl || intel)
        o->capabilities |= DM_CAP_X86;
    /* Intel's compiler takes no vectors as operands of assembly. */
    if (pairs && pocl)
        o->capabilities |= DM_CAP_AVX512_BF16 | (fast_pairs ? DM_CAP_FAST_PAIRS : 0);
}
#else
static bool processor_has(uint32_t width)
{
    (void)width;
    return false;
}

void ocl_host_cpu(dm_device_info *o) { (void)o; }
#endif

dm_status dm_cpu_hold(const char *name, dm_err *err)
{
    const level *found = NULL;

    if (!name || !*name)
        return DM_OK;
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (!strcmp(name, levels[i].name))
            found = &levels[i];
    if (!found)
        return dm_error(err, DM_EINVAL, "DEMIST_CPU is '%.40s': use avx512, avx2 or sse, or unset it to use all that "
                        "the processor has", name);
    if (!processor_has(found->lanes))
        return dm_error(err, DM_EDEVICE, "DEMIST_CPU is '%s', which this machine's processor does not have; unset it "
                        "to use all that it has", name);
    if (setenv("POCL_KERNELLIB_NAME", found->pocl, 1) || setenv("CL_CONFIG_CPU_TARGET_ARCH", found->intel, 1))
        return dm_error(err, DM_ENOMEM, "out of memory for the environment of OpenCL drivers");
    held = found;
    return DM_OK;
}
