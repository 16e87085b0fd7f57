/* A driver for an .icd file that misbehaves as it is asked for its platforms: BADICD=crash, abort or hang. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <CL/cl.h>

#include <demist/plugin.h>

static cl_int ids(cl_uint n, cl_platform_id *list, cl_uint *count)
{
    const char *how = getenv("BADICD");
    volatile int *nowhere = NULL;

    (void)n;
    (void)list;
    if (how && !strcmp(how, "crash"))
        *nowhere = 1;
    if (how && !strcmp(how, "abort"))
        abort();
    while (how && !strcmp(how, "hang"))
        sleep(1);
    *count = 0;
    return -1001;
}

DM_EXPORT void *clGetExtensionFunctionAddress(const char *name)
{
    void *f = NULL;

    if (!strcmp(name, "clIcdGetPlatformIDsKHR"))
        *(cl_int (**)(cl_uint, cl_platform_id *, cl_uint *))&f = ids;
    return f;
}

DM_EXPORT cl_int clGetPlatformInfo(cl_platform_id p, cl_platform_info what, size_t n, void *v, size_t *size)
{
    (void)p, (void)what, (void)n, (void)v, (void)size;
    return CL_INVALID_PLATFORM;
}
