/* Which OpenCL devices there are, what each can do, and which of them a name means. */
#include "opencl/drivers/drivers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PLATFORMS = 32, MAX_DEVICES = 64 };

static const char install[] = "install an OpenCL driver, e.g. apt-get install ocl-icd-libopencl1 pocl-opencl-icd";

/* Loaders and drivers set themselves up in the first of these calls, and not all bear two at once: a platform is lost.
 */
static pthread_mutex_t first_calls = PTHREAD_MUTEX_INITIALIZER;

static cl_uint platforms(cl_platform_id ids[MAX_PLATFORMS])
{
    cl_uint n = 0;
    cl_int code;

    pthread_mutex_lock(&first_calls);
    code = clGetPlatformIDs(MAX_PLATFORMS, ids, &n);
    pthread_mutex_unlock(&first_calls);
    if (code != CL_SUCCESS)
        return 0;
    return n < MAX_PLATFORMS ? n : MAX_PLATFORMS;
}

static cl_uint devices(cl_platform_id p, cl_device_id ids[MAX_DEVICES])
{
    cl_uint n = 0;
    cl_int code;

    pthread_mutex_lock(&first_calls);
    code = clGetDeviceIDs(p, CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &n);
    pthread_mutex_unlock(&first_calls);
    if (code != CL_SUCCESS)
        return 0;
    return n < MAX_DEVICES ? n : MAX_DEVICES;
}

static void trim(char *s)
{
    size_t n = strlen(s), first = strspn(s, " \t");

    while (n > first && strchr(" \t\r\n", s[n - 1]))
        n--;
    memmove(s, s + first, n - first);
    s[n - first] = 0;
}

/* A text of the device, cut to fit. */
static void text(cl_device_id d, cl_device_info what, char *s, size_t size)
{
    char full[1024] = "";
    size_t n = 0;

    if (clGetDeviceInfo(d, what, 0, NULL, &n) != CL_SUCCESS || n > sizeof full ||
        clGetDeviceInfo(d, what, n, full, NULL) != CL_SUCCESS)
        full[0] = 0;
    full[sizeof full - 1] = 0;
    trim(full);
    snprintf(s, size, "%s", full);
}

static bool has_word(const char *list, const char *word)
{
    const size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)); p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || !p[n]))
            return true;
    return false;
}

/* The first number of its compute capability: from 8 on tensor cores take bf16. */
static cl_uint nvidia_generation(cl_device_id d)
{
    cl_uint major = 0;

    return clGetDeviceInfo(d, CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV, sizeof major, &major, NULL) == CL_SUCCESS ? major
                                                                                                               : 0;
}

/* The fewest lanes that its kernels may ask for, where 8 or 16. */
static uint64_t fewest_lanes(cl_device_id d)
{
    enum { SUB_GROUP_SIZES_INTEL = 0x4108 };
    size_t sizes[16], n = 0, least = SIZE_MAX;

    if (clGetDeviceInfo(d, SUB_GROUP_SIZES_INTEL, sizeof sizes, sizes, &n) != CL_SUCCESS)
        return 0;
    for (size_t i = 0; i < n / sizeof sizes[0]; i++)
        least = sizes[i] < least ? sizes[i] : least;
    return least == 8 ? DM_CAP_LANES_8 : least == 16 ? DM_CAP_LANES_16 : 0;
}

/* CDNA 2 and later, by the names that AMD's driver gives: gfx90a, gfx942, gfx950. */
static bool packs_fma(const dm_device_info *o)
{
    return o->gpu && (!strncmp(o->name, "gfx90a", 6) || !strncmp(o->name, "gfx94", 5) || !strncmp(o->name, "gfx95", 5));
}

/* False when memory ran out. */
static bool extensions(cl_device_id d, dm_device_info *o)
{
    char *s, profile[32];
    size_t n = 0;

    text(d, CL_DEVICE_PROFILE, profile, sizeof profile);
    o->int64 = strcmp(profile, "EMBEDDED_PROFILE") != 0;
    if (clGetDeviceInfo(d, CL_DEVICE_EXTENSIONS, 0, NULL, &n) != CL_SUCCESS || n > 1 << 20)
        return true;
    if (!(s = calloc(1, n + 1)))
        return false;
    if (clGetDeviceInfo(d, CL_DEVICE_EXTENSIONS, n, s, NULL) == CL_SUCCESS) {
        o->fp16 = has_word(s, "cl_khr_fp16");
        o->fp64 = has_word(s, "cl_khr_fp64");
        o->int64 |= has_word(s, "cles_khr_int64");
        o->subgroups = has_word(s, "cl_khr_subgroups") || has_word(s, "cl_intel_subgroups");
        o->command_buffer = has_word(s, "cl_khr_command_buffer");
        if (has_word(s, "cl_nv_device_attribute_query") && o->gpu && nvidia_generation(d) >= 8)
            o->capabilities |= DM_CAP_MMA_BF16;
        if (has_word(s, "cl_intel_required_subgroup_size") && o->gpu)
            o->capabilities |= fewest_lanes(d);
        if (packs_fma(o))
            o->capabilities |= DM_CAP_PACKED_FMA;
    }
    free(s);
    return true;
}

static void numbers(cl_device_id d, dm_device_info *o)
{
    cl_device_type type = 0;
    cl_uint units = 1, lanes = 1, align_bits = 0;
    cl_ulong global = 0, alloc = 0, local = 0;
    size_t group = 1;

    clGetDeviceInfo(d, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(d, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    clGetDeviceInfo(d, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof lanes, &lanes, NULL);
    clGetDeviceInfo(d, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof align_bits, &align_bits, NULL);
    clGetDeviceInfo(d, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof global, &global, NULL);
    clGetDeviceInfo(d, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof alloc, &alloc, NULL);
    clGetDeviceInfo(d, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    clGetDeviceInfo(d, CL_DEVICE_MAX_WORK_GROUP_SIZE, sizeof group, &group, NULL);
    o->cpu = type & CL_DEVICE_TYPE_CPU;
    o->gpu = type & CL_DEVICE_TYPE_GPU;
    o->compute_units = units;
    o->native_float = lanes ? lanes : 1;
    o->global_mem = global;
    o->max_alloc = alloc;
    o->local_mem = local;
    o->max_group = group;
    for (o->align = 128; o->align < align_bits / 8 && o->align < 1 << 20;)
        o->align *= 2;
}

/* False when memory ran out. */
static bool describe(int pi, cl_platform_id p, int di, cl_device_id d, dm_device_info *o)
{
    memset(o, 0, sizeof *o);
    o->platform = pi;
    o->device = di;
    if (clGetPlatformInfo(p, CL_PLATFORM_NAME, sizeof o->platform_name - 1, o->platform_name, NULL) != CL_SUCCESS)
        snprintf(o->platform_name, sizeof o->platform_name, "platform %d", pi);
    trim(o->platform_name);
    text(d, CL_DEVICE_NAME, o->name, sizeof o->name);
    text(d, CL_DEVICE_VENDOR, o->vendor, sizeof o->vendor);
    text(d, CL_DRIVER_VERSION, o->driver, sizeof o->driver);
    text(d, CL_DEVICE_VERSION, o->version, sizeof o->version);
    numbers(d, o);
    o->emulated = strstr(o->platform_name, "Oclgrind") != NULL;
    o->driver_caches = strstr(o->platform_name, "Portable Computing Language") || strstr(o->platform_name, "NVIDIA");
    ocl_host_cpu(o);
    return extensions(d, o);
}

static bool usable(cl_device_id d)
{
    cl_bool there = CL_FALSE, compiler = CL_FALSE;

    clGetDeviceInfo(d, CL_DEVICE_AVAILABLE, sizeof there, &there, NULL);
    clGetDeviceInfo(d, CL_DEVICE_COMPILER_AVAILABLE, sizeof compiler, &compiler, NULL);
    return there && compiler;
}

int ocl_device_ask(int pi, cl_platform_id p, int di, cl_device_id d, dm_device_info *o)
{
    return !usable(d) ? 0 : describe(pi, p, di, d, o) ? 1 : -1;
}

dm_status dm_device_list(dm_device_info **list, int *n, dm_err *err)
{
    cl_platform_id ps[MAX_PLATFORMS];
    const cl_uint np = platforms(ps);
    dm_device_info *all = NULL;
    size_t count = 0, cap = 0;
    int more;

    for (cl_uint i = 0; i < np; i++) {
        cl_device_id ds[MAX_DEVICES];
        const cl_uint nd = devices(ps[i], ds);

        for (cl_uint j = 0; j < nd; j++) {
            if (!dm_grow((void **)&all, count, &cap, sizeof *all) ||
                (more = ocl_device_ask((int)i, ps[i], (int)j, ds[j], &all[count])) < 0) {
                free(all);
                return dm_error(err, DM_ENOMEM, "out of memory while listing the OpenCL devices");
            }
            count += (size_t)more;
        }
    }
    *list = all;
    *n = (int)count;
    return DM_OK;
}

static bool set(const char *variable)
{
    const char *value = getenv(variable);

    return value && *value;
}

const char *ocl_empty_platforms(void)
{
    cl_platform_id ps[MAX_PLATFORMS];
    cl_device_id ds[MAX_DEVICES];
    const cl_uint np = platforms(ps);
    char name[128] = "";

    for (cl_uint i = 0; i < np; i++)
        if (!devices(ps[i], ds) &&
            clGetPlatformInfo(ps[i], CL_PLATFORM_NAME, sizeof name - 1, name, NULL) == CL_SUCCESS &&
            strstr(name, "Portable Computing Language"))
            return "PoCL has no device, as when it has no writable cache folder; set POCL_CACHE_DIR to one";
    if (!np && getenv("OCL_ICD_VENDORS")) /* empty too: Khronos' loader then finds none */
        return "OCL_ICD_VENDORS is set to a place without drivers; unset it, or set it to a folder of .icd files";
    if (!np && ocl_driver_count())
        return "install again the drivers that '/etc/OpenCL/vendors' names, none of which loads";
    if (!np && (set("OPENCL_VENDOR_PATH") || set("OCL_ICD_FILENAMES")))
        return "OPENCL_VENDOR_PATH or OCL_ICD_FILENAMES is set to a place without drivers; unset it";
    return np ? "a platform has no device: check this user's permissions (groups render, video) and the driver's "
                "installation"
              : "";
}

dm_status ocl_device_ids(const dm_device_info *info, cl_platform_id *p, cl_device_id *d, dm_err *err)
{
    cl_platform_id ps[MAX_PLATFORMS];
    cl_device_id ds[MAX_DEVICES];

    if ((cl_uint)info->platform >= platforms(ps) || (cl_uint)info->device >= devices(ps[info->platform], ds))
        return dm_error(err, DM_EDEVICE, "device %d:%d '%s' is gone", info->platform, info->device, info->name);
    *p = ps[info->platform];
    *d = ds[info->device];
    return DM_OK;
}

/* ---- choosing -------------------------------------------------------------- */

/* Not tolower: a Turkish locale has another small letter for I. */
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c; }

static bool contains(const char *s, const char *part)
{
    for (; *s; s++) {
        size_t i = 0;

        while (part[i] && lower(s[i]) == lower(part[i]))
            i++;
        if (!part[i])
            return true;
    }
    return false;
}

/* i:j, nothing else. */
static bool numbered(const char *s, int *i, int *j)
{
    const size_t a = strspn(s, "0123456789"), b = s[a] == ':' ? strspn(s + a + 1, "0123456789") : 0;

    if (!a || !b || a > 4 || b > 4 || s[a + 1 + b])
        return false;
    *i = atoi(s);
    *j = atoi(s + a + 1);
    return true;
}

static bool fits(const dm_device_info *o, const char *select)
{
    int i, j;

    if (numbered(select, &i, &j))
        return o->platform == i && o->device == j;
    if (!strcmp(select, "auto"))
        return true;
    if (!strcmp(select, "cpu"))
        return o->cpu;
    if (!strcmp(select, "gpu"))
        return o->gpu;
    return contains(o->name, select) || contains(o->platform_name, select);
}

static dm_status none(const char *select, const dm_device_info *all, int n, dm_err *err)
{
    char found[512] = "";

    if (!n) {
        const char *empty = ocl_empty_platforms();

        return dm_error(err, DM_EDEVICE, "no OpenCL device found for device '%s'; %s, or run `demist doctor`", select,
                        *empty ? empty : install);
    }
    for (int i = 0; i < n; i++) {
        const size_t used = strlen(found);

        snprintf(found + used, sizeof found - used, "%s%d:%d '%s' (%s)", i ? ", " : "", all[i].platform, all[i].device,
                 all[i].name, all[i].platform_name);
    }
    return dm_error(err, DM_EDEVICE,
                    "no OpenCL device matches '%s'; found %s; use auto, cpu, gpu, i:j or part of a name, or "
                    "install its driver", select, found);
}

dm_status dm_device_pick(const char *select, dm_device_info *info, dm_err *err)
{
    dm_device_info *all;
    int n, best = -1;
    dm_status s;

    if (!select || !*select)
        select = "auto";
    if ((s = dm_device_list(&all, &n, err)) != DM_OK)
        return s;
    for (int i = 0; i < n; i++)
        if (fits(&all[i], select) && (best < 0 || (all[i].gpu && !all[best].gpu)))
            best = i;
    if (best < 0)
        s = none(select, all, n, err);
    else
        *info = all[best];
    free(all);
    return s;
}

dm_status dm_device_pick_all(const char *select, dm_device_info **list, int *n, dm_err *err)
{
    dm_device_info first, *all;
    int count, kept = 0;
    dm_status s;

    if ((s = dm_device_pick(select, &first, err)) != DM_OK || (s = dm_device_list(&all, &count, err)) != DM_OK)
        return s;
    for (int i = 0; i < count; i++)
        if (fits(&all[i], select && *select ? select : "auto") && all[i].platform == first.platform &&
            all[i].gpu == first.gpu)
            all[kept++] = all[i];
    *list = all;
    *n = kept;
    return DM_OK;
}
