/* For LD_PRELOAD before demist: a device on which each kernel takes CLSLOW_MS milliseconds more, one after the other. A
 * launch returns at once, as on a device that is only slow: what is in the queue is what a stop has to wait for. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CL/cl.h>

#include <demist/plugin.h>

enum { MOST = 1 << 16, MOST_WAITS = 16 };

static cl_event queue[MOST]; /* what each kernel waits for, in the order of their launches */
static unsigned long put, taken;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long milliseconds;

static void *work(void *unused)
{
    const struct timespec each = {milliseconds / 1000, milliseconds % 1000 * 1000000};

    (void)unused;
    for (;;) {
        cl_event e;

        pthread_mutex_lock(&lock);
        while (taken == put)
            pthread_cond_wait(&more, &lock);
        e = queue[taken++ % MOST];
        pthread_mutex_unlock(&lock);
        nanosleep(&each, NULL);
        clSetUserEventStatus(e, CL_COMPLETE);
        clReleaseEvent(e);
    }
    return NULL;
}

static void begin(void)
{
    const char *ms = getenv("CLSLOW_MS");
    pthread_t t;

    if (ms && (milliseconds = strtol(ms, NULL, 10)) > 0 && !pthread_create(&t, NULL, work, NULL))
        pthread_detach(t);
    else
        milliseconds = 0;
}

/* An event that the worker completes, or NULL. */
static cl_event delay(cl_command_queue q)
{
    cl_context context;
    cl_event e = NULL;
    cl_int code;

    if (clGetCommandQueueInfo(q, CL_QUEUE_CONTEXT, sizeof context, &context, NULL) == CL_SUCCESS)
        e = clCreateUserEvent(context, &code);
    pthread_mutex_lock(&lock);
    if (e && put - taken < MOST) {
        queue[put++ % MOST] = e;
        pthread_cond_signal(&more);
    } else {
        abort(); /* the test is of no use without it */
    }
    pthread_mutex_unlock(&lock);
    return e;
}

DM_EXPORT cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *offset,
                                        const size_t *global, const size_t *local, cl_uint n, const cl_event *wait,
                                        cl_event *event)
{
    cl_int (*f)(cl_command_queue, cl_kernel, cl_uint, const size_t *, const size_t *, const size_t *, cl_uint,
                const cl_event *, cl_event *);
    cl_event all[MOST_WAITS + 1];

    *(void **)&f = dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    pthread_once(&once, begin);
    if (!milliseconds || n > MOST_WAITS)
        return f(q, k, dim, offset, global, local, n, wait, event);
    if (n)
        memcpy(all, wait, n * sizeof *wait);
    all[n] = delay(q);
    return f(q, k, dim, offset, global, local, n + 1, all, event);
}
