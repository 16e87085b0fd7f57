/* Stands before the OpenCL loader: the same functions, which fail on request; see clfault.h. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include "clfault.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include <CL/cl.h>

#include <demist/plugin.h>

static struct { long calls, at, live; int code; bool read_env; const char *hit; } state;

void clfault_arm(long call, int code)
{
    state.read_env = true;
    state.calls = 0;
    state.at = call;
    state.code = code;
    state.hit = NULL;
}

const char *clfault_hit(void) { return state.hit; }
long clfault_live(void) { return state.live; }

/* Whether this call is the one. */
static bool strikes(const char *name)
{
    if (!state.read_env) {
        const char *call = getenv("CLFAULT_CALL"), *code = getenv("CLFAULT_CODE");

        clfault_arm(call ? strtol(call, NULL, 10) : 0, code ? (int)strtol(code, NULL, 10) : CL_OUT_OF_RESOURCES);
    }
    if (++state.calls != state.at)
        return false;
    state.hit = name;
    return true;
}

/* The loader's own function into f. */
#define NEXT(f, name) (*(void **)&(f) = dlsym(RTLD_NEXT, name))

static void born(const void *object) { state.live += object != NULL; }
static void born_event(cl_int code, const cl_event *e) { state.live += code == CL_SUCCESS && e && *e; }

#define FAIL_OBJECT(name)                                                                                              \
    if (strikes(name)) {                                                                                               \
        if (code)                                                                                                      \
            *code = state.code;                                                                                        \
        return NULL;                                                                                                   \
    }
#define FAIL_CODE(name)                                                                                                \
    if (strikes(name))                                                                                                 \
        return state.code;

DM_EXPORT cl_context clCreateContext(const cl_context_properties *props, cl_uint n, const cl_device_id *ids,
                                     void(CL_CALLBACK *notify)(const char *, const void *, size_t, void *), void *user,
                                     cl_int *code)
{
    cl_context (*f)(const cl_context_properties *, cl_uint, const cl_device_id *,
                    void(CL_CALLBACK *)(const char *, const void *, size_t, void *), void *, cl_int *);
    cl_context o;

    FAIL_OBJECT("clCreateContext")
    NEXT(f, "clCreateContext");
    born(o = f(props, n, ids, notify, user, code));
    return o;
}

DM_EXPORT cl_command_queue clCreateCommandQueue(cl_context c, cl_device_id d, cl_command_queue_properties p,
                                                cl_int *code)
{
    cl_command_queue (*f)(cl_context, cl_device_id, cl_command_queue_properties, cl_int *);
    cl_command_queue o;

    FAIL_OBJECT("clCreateCommandQueue")
    NEXT(f, "clCreateCommandQueue");
    born(o = f(c, d, p, code));
    return o;
}

DM_EXPORT cl_mem clCreateBuffer(cl_context c, cl_mem_flags flags, size_t n, void *host, cl_int *code)
{
    cl_mem (*f)(cl_context, cl_mem_flags, size_t, void *, cl_int *);
    cl_mem o;

    FAIL_OBJECT("clCreateBuffer")
    NEXT(f, "clCreateBuffer");
    born(o = f(c, flags, n, host, code));
    return o;
}

DM_EXPORT cl_mem clCreateSubBuffer(cl_mem m, cl_mem_flags flags, cl_buffer_create_type type, const void *info,
                                   cl_int *code)
{
    cl_mem (*f)(cl_mem, cl_mem_flags, cl_buffer_create_type, const void *, cl_int *);
    cl_mem o;

    FAIL_OBJECT("clCreateSubBuffer")
    NEXT(f, "clCreateSubBuffer");
    born(o = f(m, flags, type, info, code));
    return o;
}

DM_EXPORT cl_program clCreateProgramWithSource(cl_context c, cl_uint n, const char **s, const size_t *lengths,
                                               cl_int *code)
{
    cl_program (*f)(cl_context, cl_uint, const char **, const size_t *, cl_int *);
    cl_program o;

    FAIL_OBJECT("clCreateProgramWithSource")
    NEXT(f, "clCreateProgramWithSource");
    born(o = f(c, n, s, lengths, code));
    return o;
}

DM_EXPORT cl_int clBuildProgram(cl_program p, cl_uint n, const cl_device_id *ids, const char *options,
                                void(CL_CALLBACK *notify)(cl_program, void *), void *user)
{
    cl_int (*f)(cl_program, cl_uint, const cl_device_id *, const char *, void(CL_CALLBACK *)(cl_program, void *),
                void *);

    FAIL_CODE("clBuildProgram")
    NEXT(f, "clBuildProgram");
    return f(p, n, ids, options, notify, user);
}

DM_EXPORT cl_kernel clCreateKernel(cl_program p, const char *name, cl_int *code)
{
    cl_kernel (*f)(cl_program, const char *, cl_int *);
    cl_kernel o;

    FAIL_OBJECT("clCreateKernel")
    NEXT(f, "clCreateKernel");
    born(o = f(p, name, code));
    return o;
}

DM_EXPORT cl_int clSetKernelArg(cl_kernel k, cl_uint i, size_t n, const void *v)
{
    cl_int (*f)(cl_kernel, cl_uint, size_t, const void *);

    FAIL_CODE("clSetKernelArg")
    NEXT(f, "clSetKernelArg");
    return f(k, i, n, v);
}

DM_EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *offset,
                                        const size_t *global, const size_t *local, cl_uint n, const cl_event *wait,
                                        cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                const cl_event *, cl_event *);
    cl_int code;

    FAIL_CODE("clEnqueueNDRangeKernel")
    NEXT(f, "clEnqueueNDRangeKernel");
    born_event(code = f(q, k, dim, offset, global, local, n, wait, event), event);
    return code;
}

DM_EXPORT cl_int clEnqueueReadBuffer(cl_command_queue q, cl_mem m, cl_bool block, size_t offset, size_t bytes, void *to,
                                     cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, void *, cl_uint, const cl_event *, cl_event *);
    cl_int code;

    FAIL_CODE("clEnqueueReadBuffer")
    NEXT(f, "clEnqueueReadBuffer");
    born_event(code = f(q, m, block, offset, bytes, to, n, wait, event), event);
    return code;
}

DM_EXPORT cl_int clEnqueueWriteBuffer(cl_command_queue q, cl_mem m, cl_bool block, size_t offset, size_t bytes,
                                      const void *from, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_mem, cl_bool, size_t, size_t, const void *, cl_uint, const cl_event *, cl_event *);
    cl_int code;

    FAIL_CODE("clEnqueueWriteBuffer")
    NEXT(f, "clEnqueueWriteBuffer");
    born_event(code = f(q, m, block, offset, bytes, from, n, wait, event), event);
    return code;
}

DM_EXPORT cl_int clEnqueueCopyBuffer(cl_command_queue q, cl_mem from, cl_mem to, size_t from_offset, size_t to_offset,
                                     size_t bytes, cl_uint n, const cl_event *wait, cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_mem, cl_mem, size_t, size_t, size_t, cl_uint, const cl_event *, cl_event *);
    cl_int code;

    FAIL_CODE("clEnqueueCopyBuffer")
    NEXT(f, "clEnqueueCopyBuffer");
    born_event(code = f(q, from, to, from_offset, to_offset, bytes, n, wait, event), event);
    return code;
}

DM_EXPORT cl_int clFinish(cl_command_queue q)
{
    cl_int (*f)(cl_command_queue);

    FAIL_CODE("clFinish")
    NEXT(f, "clFinish");
    return f(q);
}

/* Releases never fail on request: they keep the count. */
#define RELEASE(name, type)                                                                                            \
    DM_EXPORT cl_int name(type o)                                                                                      \
    {                                                                                                                  \
        cl_int (*f)(type);                                                                                             \
                                                                                                                       \
        state.live--;                                                                                                  \
        NEXT(f, #name);                                                                                                \
        return f(o);                                                                                                   \
    }

RELEASE(clReleaseContext, cl_context)
RELEASE(clReleaseCommandQueue, cl_command_queue)
RELEASE(clReleaseMemObject, cl_mem)
RELEASE(clReleaseProgram, cl_program)
RELEASE(clReleaseKernel, cl_kernel)
RELEASE(clReleaseEvent, cl_event)

DM_EXPORT cl_int clRetainEvent(cl_event e)
{
    cl_int (*f)(cl_event);

    state.live++;
    NEXT(f, "clRetainEvent");
    return f(e);
}
