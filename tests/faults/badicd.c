/* A driver for an .icd file that misbehaves as it is asked: BADICD=crash, abort, exit or hang, in the call that
 * BADICD_AT names, clGetPlatformIDs where it is not set. With BADICD=none it has no platform. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CL/cl_icd.h>

#include <demist/plugin.h>

struct _cl_platform_id { const cl_icd_dispatch *table; };
struct _cl_device_id { const cl_icd_dispatch *table; };

static void misbehave(const char *call)
{
    const char *how = getenv("BADICD"), *at = getenv("BADICD_AT");
    volatile int *nowhere = NULL;

    if (!how || strcmp(call, at ? at : "clGetPlatformIDs"))
        return;
    if (!strcmp(how, "crash"))
        *nowhere = 1;
    if (!strcmp(how, "abort"))
        abort();
    if (!strcmp(how, "exit"))
        exit(0);
    while (!strcmp(how, "hang"))
        sleep(1);
}

static cl_int text(const char *s, size_t n, void *v, size_t *size)
{
    const size_t bytes = strlen(s) + 1;

    if (v && n < bytes)
        return CL_INVALID_VALUE;
    if (v)
        memcpy(v, s, bytes);
    if (size)
        *size = bytes;
    return CL_SUCCESS;
}

static cl_int CL_API_CALL device_info(cl_device_id d, cl_device_info what, size_t n, void *v, size_t *size)
{
    (void)d, (void)what, (void)n, (void)v, (void)size;
    misbehave("clGetDeviceInfo");
    return CL_INVALID_VALUE;
}

static cl_int CL_API_CALL device_ids(cl_platform_id p, cl_device_type type, cl_uint n, cl_device_id *list,
                                     cl_uint *count)
{
    static struct _cl_device_id device;

    (void)type;
    misbehave("clGetDeviceIDs");
    device.table = p->table;
    if (list && n)
        *list = &device;
    if (count)
        *count = 1;
    return CL_SUCCESS;
}

DM_EXPORT cl_int CL_API_CALL clGetPlatformInfo(cl_platform_id p, cl_platform_info what, size_t n, void *v, size_t *size)
{
    (void)p;
    switch (what) {
    case CL_PLATFORM_NAME: return text("a bad driver", n, v, size);
    case CL_PLATFORM_EXTENSIONS: return text("cl_khr_icd", n, v, size);
    case CL_PLATFORM_ICD_SUFFIX_KHR: return text("BAD", n, v, size);
    default: return CL_INVALID_VALUE;
    }
}

static cl_int CL_API_CALL platform_ids(cl_uint n, cl_platform_id *list, cl_uint *count)
{
    static const cl_icd_dispatch table = {
        .clGetPlatformInfo = clGetPlatformInfo, .clGetDeviceIDs = device_ids, .clGetDeviceInfo = device_info};
    static struct _cl_platform_id platform = {&table};
    const char *how = getenv("BADICD");

    misbehave("clGetPlatformIDs");
    if (!how || !strcmp(how, "none"))
        return -1001; /* CL_PLATFORM_NOT_FOUND_KHR */
    if (list && n)
        *list = &platform;
    if (count)
        *count = 1;
    return CL_SUCCESS;
}

DM_EXPORT void *clGetExtensionFunctionAddress(const char *name)
{
    void *f = NULL;

    if (!strcmp(name, "clIcdGetPlatformIDsKHR"))
        *(cl_int(CL_API_CALL **)(cl_uint, cl_platform_id *, cl_uint *))&f = platform_ids;
    return f;
}
