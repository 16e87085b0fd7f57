/* Stretches of recorded launches as command buffers (cl_khr_command_buffer), each enqueued by one call. Used on GPUs
 * that have them, since a launch costs CPU devices no less so; DEMIST_REPLAY says otherwise. What a driver refuses is
 * enqueued launch by launch. Copies stay outside: the extension, not final yet, gave their call another form. */
#include "opencl/commands/commands.h"

#include <stdlib.h>
#include <string.h>

/* Launches that make a command buffer worth it. */
enum { LEAST = 4 };

static bool find(dm_device *d, const char *name, void *f, size_t size)
{
    void *const p = clGetExtensionFunctionAddressForPlatform(d->platform, name);

    memcpy(f, &p, size);
    return p != NULL;
}

#define FIND(d, member, name) find(d, name, &(d)->replay.member, sizeof (d)->replay.member)

/* A list may run again before its last run is over. */
static bool able(const dm_device *d)
{
    cl_device_command_buffer_capabilities_khr can = 0;
    cl_command_queue_properties needed = 0;

    return d->info.command_buffer &&
           clGetDeviceInfo(d->id, CL_DEVICE_COMMAND_BUFFER_CAPABILITIES_KHR, sizeof can, &can, NULL) == CL_SUCCESS &&
           clGetDeviceInfo(d->id, CL_DEVICE_COMMAND_BUFFER_REQUIRED_QUEUE_PROPERTIES_KHR, sizeof needed, &needed,
                           NULL) == CL_SUCCESS &&
           can & CL_COMMAND_BUFFER_CAPABILITY_SIMULTANEOUS_USE_KHR && !needed;
}

dm_status ocl_replay_open(dm_device *d, dm_err *err)
{
    const char *asked = getenv("DEMIST_REPLAY");
    bool wanted = d->info.gpu;

    if (asked && *asked) {
        if (strcmp(asked, "on") && strcmp(asked, "off"))
            return dm_error(err, DM_EINVAL, "DEMIST_REPLAY is '%.100s'; it must be on or off", asked);
        wanted = !strcmp(asked, "on");
    }
    d->replay.on = wanted && !d->profile && able(d) && FIND(d, create, "clCreateCommandBufferKHR") &&
                   FIND(d, launch, "clCommandNDRangeKernelKHR") && FIND(d, finalize, "clFinalizeCommandBufferKHR") &&
                   FIND(d, enqueue, "clEnqueueCommandBufferKHR") && FIND(d, release, "clReleaseCommandBufferKHR");
    return DM_OK;
}

void ocl_replay_free(const dm_device *d, ocl_stretch *s)
{
    if (s->buffer)
        d->replay.release(s->buffer);
    s->buffer = NULL;
}

bool ocl_replay_record(dm_device *d, const ocl_launch *list, int n, ocl_stretch *s)
{
    const cl_command_buffer_properties_khr again[] = {CL_COMMAND_BUFFER_FLAGS_KHR,
                                                      CL_COMMAND_BUFFER_SIMULTANEOUS_USE_KHR, 0};
    cl_int code;

    if (n < LEAST)
        return false;
    s->buffer = d->replay.create(1, &d->queue, again, &code);
    if (!s->buffer)
        return false;
    code = CL_SUCCESS;
    for (int i = 0; i < n && code == CL_SUCCESS; i++) {
        const ocl_range *r = list[i].range;

        code = d->replay.launch(s->buffer, NULL, NULL, list[i].cl, r->dim, NULL, r->global, r->driver ? NULL : r->local,
                                0, NULL, NULL, NULL);
    }
    if (code == CL_SUCCESS)
        code = d->replay.finalize(s->buffer);
    if (code != CL_SUCCESS)
        ocl_replay_free(d, s);
    return code == CL_SUCCESS;
}

dm_status ocl_replay_run(dm_device *d, const ocl_stretch *s, dm_err *err)
{
    const cl_int code = d->replay.enqueue(0, NULL, s->buffer, 0, NULL, NULL);

    d->replay.runs += code == CL_SUCCESS;
    return code == CL_SUCCESS ? DM_OK : ocl_error(d, code, "clEnqueueCommandBufferKHR", NULL, err);
}

uint64_t dm_device_replays(const dm_device *d) { return d->replay.runs; }
