/* OpenCL calls that make a device look like another; see as_gpu.h. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "as_gpu.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include <demist/plugin.h>

as_gpu_compiler as_gpu_how = AS_GPU_TAKES;
int as_gpu_built;

DM_EXPORT cl_int clGetDeviceInfo(cl_device_id d, cl_device_info what, size_t n, void *v, size_t *size)
{
    static const char more[] = " cl_nv_device_attribute_query";
    cl_int (*f)(cl_device_id, cl_device_info, size_t, void *, size_t *), code;
    size_t there = 0;

    *(void **)&f = dlsym(RTLD_NEXT, "clGetDeviceInfo");
    if (what == CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV || what == CL_DEVICE_COMPUTE_CAPABILITY_MINOR_NV) {
        if (v && n < sizeof(cl_uint))
            return CL_INVALID_VALUE;
        if (v)
            *(cl_uint *)v = what == CL_DEVICE_COMPUTE_CAPABILITY_MAJOR_NV ? 8 : 0;
        if (size)
            *size = sizeof(cl_uint);
        return CL_SUCCESS;
    }
    if (what == CL_DEVICE_EXTENSIONS) {
        if ((code = f(d, what, 0, NULL, &there)) || (v && n < there + sizeof more))
            return code ? code : CL_INVALID_VALUE;
        if (size)
            *size = there + sizeof more;
        if (v && !(code = f(d, what, n, v, NULL)))
            strcat(v, more);
        return code;
    }
    code = f(d, what, n, v, size);
    if (what == CL_DEVICE_TYPE && code == CL_SUCCESS && v)
        *(cl_device_type *)v = CL_DEVICE_TYPE_GPU;
    return code;
}

DM_EXPORT cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
                                void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    cl_int (*f)(cl_program, cl_uint, const cl_device_id *, const char *, void(CL_CALLBACK *)(cl_program, void *),
                void *);
    const char *ptx = strstr(options, "-DPTX");
    char text[1024];

    *(void **)&f = dlsym(RTLD_NEXT, "clBuildProgram");
    as_gpu_built += ptx != NULL;
    if (ptx && as_gpu_how == AS_GPU_REFUSES)
        return CL_BUILD_PROGRAM_FAILURE;
    if (ptx)
        snprintf(text, sizeof text, "%.*s%s", (int)(ptx - options), options, ptx + strlen("-DPTX"));
    return f(p, n, ids, ptx ? text : options, notify, user);
}

DM_EXPORT cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool block, size_t offset, size_t bytes, void *to,
                                     cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *, cl_event *), code;

    *(void **)&f = dlsym(RTLD_NEXT, "clEnqueueReadBuffer");
    code = f(q, m, CL_TRUE, offset, bytes, to, n, wait, event);
    if (as_gpu_how == AS_GPU_MISTAKES)
        ((float *)to)[bytes / sizeof(float) - 1] += 1;
    (void)block;
    return code;
}
