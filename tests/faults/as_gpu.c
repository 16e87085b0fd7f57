/* OpenCL calls that make a device look like another; see as_gpu.h. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "as_gpu.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <demist/plugin.h>

enum { SUB_GROUP_SIZES_INTEL = 0x4108 };

as_gpu_compiler as_gpu_how = AS_GPU_TAKES;
int as_gpu_built;

/* 0, NULL: as the device has it. Half arithmetic is its compiler's, so that no profile pretends it. */
typedef struct profile {
    const char *name, *extensions;
    cl_device_type type;
    cl_uint nvidia, lanes;
    size_t group;
    cl_ulong local, alloc;
    size_t intel_lanes;            /* the fewest that a kernel may ask for */
    size_t arguments;              /* bytes that a kernel takes */
    bool local_is_global;
} profile;

static const profile profiles[] = {
    {"nvidia", " cl_nv_device_attribute_query", CL_DEVICE_TYPE_GPU, 8, 1, 1024, 48 << 10, .arguments = 4352},
    {"amd", "", CL_DEVICE_TYPE_GPU, 0, 1, 256, 64 << 10, .arguments = 1024},
    {"intel", " cl_intel_required_subgroup_size", CL_DEVICE_TYPE_GPU, 0, 1, 512, 64 << 10, .intel_lanes = 8},
    {"intel-hpc", " cl_intel_required_subgroup_size", CL_DEVICE_TYPE_GPU, 0, 1, 1024, 64 << 10, .intel_lanes = 16},
    {"mali", "", CL_DEVICE_TYPE_GPU, 0, 1, 384, 32 << 10, .arguments = 1024, .local_is_global = true},
    {"small", "", CL_DEVICE_TYPE_GPU, 0, 1, 64, 32 << 10, .alloc = 128 << 20},
    /* what OpenCL 1.2 allows */
    {"least", "", CL_DEVICE_TYPE_GPU, 0, 1, 1, 32 << 10, .alloc = 128 << 20, .arguments = 1024},
    {"one-lane", "", CL_DEVICE_TYPE_CPU, .lanes = 1},
};

static const profile *now(void)
{
    const char *name = getenv("AS_GPU");

    for (size_t i = 0; name && i < sizeof profiles / sizeof profiles[0]; i++)
        if (!strcmp(profiles[i].name, name))
            return &profiles[i];
    return &profiles[0];
}

/* Bytes of the largest buffer; 0: as the device has it. */
static cl_ulong alloc(void)
{
    const char *asked = getenv("AS_GPU_ALLOC");

    return asked ? strtoull(asked, NULL, 10) : now()->alloc;
}

#define REAL(f)                                                                                                        \
    static __typeof__(&f) real;                                                                                        \
    if (!real)                                                                                                         \
        *(void **)&real = dlsym(RTLD_NEXT, #f)

/* ---- what the device says -------------------------------------------------------------------- */

static cl_int number(const void *from, size_t bytes, size_t n, void *v, size_t *size)
{
    if (v && n < bytes)
        return CL_INVALID_VALUE;
    if (v)
        memcpy(v, from, bytes);
    if (size)
        *size = bytes;
    return CL_SUCCESS;
}

static void least(void *v, size_t bytes, cl_ulong most)
{
    cl_ulong u = 0;

    memcpy(&u, v, bytes);
    if (most && u > most)
        memcpy(v, &most, bytes);
}

DM_EXPORT cl_int clGetDeviceInfo(cl_device_id d, cl_device_info what, size_t n, void *v, size_t *size)
{
    const profile *p = now();
    const cl_uint minor = 0;
    size_t there = 0;
    cl_int code;

    REAL(clGetDeviceInfo);
    if (p->nvidia && what == CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV)
        return number(&p->nvidia, sizeof p->nvidia, n, v, size);
    if (p->nvidia && what == CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV)
        return number(&minor, sizeof minor, n, v, size);
    if (p->intel_lanes && what == SUB_GROUP_SIZES_INTEL)
        return number((const size_t[]){p->intel_lanes, 32}, 2 * sizeof(size_t), n, v, size);
    if (what == CL_DEVICE_EXTENSIONS) {
        const size_t more = strlen(p->extensions);

        if ((code = real(d, what, 0, NULL, &there)) || (v && n < there + more))
            return code ? code : CL_INVALID_VALUE;
        if (size)
            *size = there + more;
        if (v && !(code = real(d, what, n, v, NULL)))
            strcat(v, p->extensions);
        return code;
    }
    if ((code = real(d, what, n, v, size)) || !v)
        return code;
    switch (what) {
    case CL_DEVICE_TYPE: *(cl_device_type *)v = p->type; break;
    case CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT: *(cl_uint *)v = p->lanes; break;
    case CL_DEVICE_MAX_WORK_GROUP_SIZE: least(v, sizeof(size_t), p->group); break;
    case CL_DEVICE_LOCAL_MEM_SIZE: least(v, sizeof(cl_ulong), p->local); break;
    case CL_DEVICE_MAX_WORK_ITEM_SIZES:
        for (size_t i = 0; i < n / sizeof(size_t); i++)
            least((size_t *)v + i, sizeof(size_t), p->group);
        break;
    case CL_DEVICE_MAX_PARAMETER_SIZE: least(v, sizeof(size_t), p->arguments); break;
    case CL_DEVICE_LOCAL_MEM_TYPE:
        *(cl_device_local_mem_type *)v = p->local_is_global ? CL_GLOBAL : CL_LOCAL;
        break;
    case CL_DEVICE_MAX_MEM_ALLOC_SIZE: least(v, sizeof(cl_ulong), alloc()); break;
    default: break;
    }
    return CL_SUCCESS;
}

/* ---- what it refuses --------------------------------------------------------------------------- */

/* Whether AS_GPU_REFUSE has HOW:FILE of a file that this program's source has. */
static int refuses(const char *how, cl_program program)
{
    const size_t length = strlen(how);
    const char *list = getenv("AS_GPU_REFUSE");
    size_t n = 0;
    char *source;
    int found = 0;

    if (!list || !strstr(list, how) || clGetProgramInfo(program, CL_PROGRAM_SOURCE, 0, NULL, &n) ||
        !(source = calloc(1, n + 1)))
        return 0;
    clGetProgramInfo(program, CL_PROGRAM_SOURCE, n, source, NULL);
    for (const char *p = list; *p && !found; p += strcspn(p, ","), p += *p == ',')
        if (!strncmp(p, how, length) && p[length] == ':') {
            const char *file = p + length + 1;
            char line[256];

            snprintf(line, sizeof line, "#line 1 \"%.*s\"", (int)strcspn(file, ","), file);
            found = *file == '*' ? strstr(source, "#line 1 \"common.clh\"") != NULL : strstr(source, line) != NULL;
        }
    free(source);
    return found;
}

static unsigned long long hash_of(unsigned long long hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return hash;
}

static void write_as(const char *folder, unsigned long long hash, const char *end, const char *text)
{
    char path[4096];
    FILE *f;

    snprintf(path, sizeof path, "%s/%016llx%s", folder, hash, end);
    if (!(f = fopen(path, "w")))
        return;
    fputs(text, f);
    fclose(f);
}

/* AS_GPU_SOURCES is a folder: what is built is written there, its source as HASH.cl and its options as HASH.opt. */
static void keep(cl_program program, const char *options)
{
    const char *folder = getenv("AS_GPU_SOURCES");
    unsigned long long hash;
    char *source;
    size_t n = 0;

    if (!folder || clGetProgramInfo(program, CL_PROGRAM_SOURCE, 0, NULL, &n) || n < 2 || !(source = calloc(1, n + 1)))
        return;
    clGetProgramInfo(program, CL_PROGRAM_SOURCE, n, source, NULL);
    hash = hash_of(hash_of(14695981039346656037u, source), options);
    write_as(folder, hash, ".cl", source);
    write_as(folder, hash, ".opt", options);
    free(source);
}

static int refuses_kernel(const char *how, cl_kernel k)
{
    cl_program program;

    return getenv("AS_GPU_REFUSE") && !clGetKernelInfo(k, CL_KERNEL_PROGRAM, sizeof program, &program, NULL) &&
           refuses(how, program);
}

DM_EXPORT cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
                                void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    const char *ptx = options ? strstr(options, "-DPTX") : NULL;
    char text[1024];

    REAL(clBuildProgram);
    as_gpu_built += ptx != NULL;
    keep(p, options ? options : "");
    if (refuses("crash", p))
        abort();
    if ((ptx && as_gpu_how == AS_GPU_REFUSES) || refuses("build", p))
        return CL_BUILD_PROGRAM_FAILURE;
    if (ptx)
        snprintf(text, sizeof text, "%.*s%s", (int)(ptx - options), options, ptx + strlen("-DPTX"));
    return real(p, n, ids, ptx ? text : options, notify, user);
}

DM_EXPORT cl_int clGetKernelWorkGroupInfo(cl_kernel k, cl_device_id d, cl_kernel_work_group_info what, size_t n,
                                          void *v, size_t *size)
{
    cl_int code;

    REAL(clGetKernelWorkGroupInfo);
    if ((code = real(k, d, what, n, v, size)) || !v)
        return code;
    if (what == CL_KERNEL_WORK_GROUP_SIZE)
        least(v, sizeof(size_t), refuses_kernel("group", k) ? 1 : now()->group);
    if (what == CL_KERNEL_LOCAL_MEM_SIZE && refuses_kernel("local", k))
        *(cl_ulong *)v = 1 << 30;
    return CL_SUCCESS;
}

DM_EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *offset,
                                        const size_t *global, const size_t *local, cl_uint n, const cl_event *wait,
                                        cl_event *event)
{
    size_t items = 1;

    REAL(clEnqueueNDRangeKernel);
    for (cl_uint i = 0; i < dim && local; i++)
        items *= local[i];
    if (now()->group && items > now()->group)
        return CL_INVALID_WORK_GROUP_SIZE;
    if (refuses_kernel("launch", k))
        return CL_OUT_OF_RESOURCES;
    return real(q, k, dim, offset, global, local, n, wait, event);
}

DM_EXPORT cl_mem clCreateBuffer(cl_context c, cl_mem_flags flags, size_t bytes, void *host, cl_int *code)
{
    REAL(clCreateBuffer);
    if (alloc() && bytes > alloc()) {
        if (code)
            *code = CL_INVALID_BUFFER_SIZE;
        return NULL;
    }
    return real(c, flags, bytes, host, code);
}

DM_EXPORT cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool block, size_t offset, size_t bytes, void *to,
                                     cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int code;

    REAL(clEnqueueReadBuffer);
    code = real(q, m, CL_TRUE, offset, bytes, to, n, wait, event);
    if (as_gpu_how == AS_GPU_MISTAKES)
        ((float *)to)[bytes / sizeof(float) - 1] += 1;
    (void)block;
    return code;
}
