/* Stands before the OpenCL loader (LD_PRELOAD) and notes when a program enqueues its first kernel: seconds since
 * $BENCH_BEGAN, of the monotonic clock, are written into the file $BENCH_FIRST_LAUNCH. */
#define _GNU_SOURCE /* RTLD_NEXT */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <CL/cl.h>

#include <demist/plugin.h>

static void note(void)
{
    const char *began = getenv("BENCH_BEGAN"), *path = getenv("BENCH_FIRST_LAUNCH");
    struct timespec t;
    FILE *f;

    clock_gettime(CLOCK_MONOTONIC, &t);
    if (!began || !path || !(f = fopen(path, "w")))
        return;
    fprintf(f, "%.6f\n", (double)t.tv_sec + 1e-9 * (double)t.tv_nsec - strtod(began, NULL));
    fclose(f);
}

DM_EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *offset,
                                        const size_t *global, const size_t *local, cl_uint n, const cl_event *wait,
                                        cl_event *event)
{
    static cl_int (*next)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                          const cl_event *, cl_event *);

    if (!next) {
        *(void **)&next = dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
        note();
    }
    return next(q, k, dim, offset, global, local, n, wait, event);
}
