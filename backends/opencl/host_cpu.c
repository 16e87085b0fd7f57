/* What this machine's processor can do beyond what OpenCL says, for inline assembly in kernels. Tile registers must be
 * asked for before they are used, for the whole process: done once, before the first context. */
#define _DEFAULT_SOURCE /* syscall */
#include "opencl.h"

#include <pthread.h>
#include <string.h>

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool amx, pairs;
static char brand[49];

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
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d))
        pairs = (a & 1u << 5) && (states & 0xe0) == 0xe0;
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

    if (amx)
        o->capabilities |= DM_CAP_AMX_BF16;
    if (pocl || intel)
        o->capabilities |= DM_CAP_X86;
    /* Intel's compiler takes no vectors as operands of assembly. */
    if (pairs && pocl)
        o->capabilities |= DM_CAP_AVX512_BF16;
}
#else
void ocl_host_cpu(dm_device_info *o) { (void)o; }
#endif
