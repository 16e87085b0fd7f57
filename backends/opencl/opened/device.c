/* One device at work: its context, its in-order queue, and the life of both. */
#include "opencl/opened/probe.h"
#include "opencl/commands/commands.h"
#include "opencl/drivers/drivers.h"
#include "opencl/gemm/gemm_clblast.h"
#include "opencl/programs/programs.h"

#include <stdlib.h>
#include <string.h>

#include "base/folder.h"

static dm_status open_queue(dm_device *d, bool profile, dm_err *err)
{
    const cl_context_properties props[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)d->platform, 0};
    cl_int code;

    d->context = clCreateContext(props, 1, &d->id, NULL, NULL, &code);
    if (!d->context)
        return ocl_error(d, code, "clCreateContext", NULL, err);
    d->queue = clCreateCommandQueue(d->context, d->id, profile ? CL_QUEUE_PROFILING_ENABLE : 0, &code);
    if (!d->queue)
        return ocl_error(d, code, "clCreateCommandQueue", NULL, err);
    return DM_OK;
}

static dm_status check_version(const dm_device *d, dm_err *err)
{
    int major = 0, minor = 0;

    if (sscanf(d->info.version, "OpenCL %d.%d", &major, &minor) != 2 || major < 1 || (major == 1 && minor < 2))
        return dm_error(err, DM_EDEVICE, "device %s has '%s': OpenCL 1.2 or later is needed", d->where,
                        d->info.version);
    if (!d->info.int64)
        return dm_error(err, DM_EDEVICE, "device %s has OpenCL's embedded profile without 64-bit integers "
                        "(cles_khr_int64), which are needed", d->where);
    return DM_OK;
}

/* Folders and the room for profiling. */
static dm_status furnish(dm_device *d, const dm_device_options *o, dm_err *err)
{
    const char *kernels = o->kernel_dir ? o->kernel_dir : getenv("DEMIST_KERNELS");
    char cache[OCL_PATH];
    dm_path_kind kind;
    dm_status s;

    if (kernels && *kernels && (s = dm_path_look(kernels, &kind, err)))
        return s;
    if (kernels && *kernels && kind != DM_PATH_FOLDER)
        return dm_error(err, DM_EINVAL, "there is no folder of kernel sources '%.300s'%s", kernels,
                        o->kernel_dir ? "" : "; unset DEMIST_KERNELS, or name one that exists");
    ocl_cache_dir(o->cache_dir, cache);
    d->cache_dir = dm_strdup(d->arena, cache);
    d->kernel_dir = dm_strdup(d->arena, kernels ? kernels : "");
    if (o->profile)
        d->profile = calloc(1, sizeof *d->profile);
    if (!d->cache_dir || !d->kernel_dir || (o->profile && !d->profile))
        return dm_error(err, DM_ENOMEM, "out of memory while opening device %s", d->where);
    d->building = o->building;
    d->user = o->user;
    return DM_OK;
}

dm_status dm_device_open(const char *select, const dm_device_options *options, dm_device **out, dm_err *err)
{
    const dm_device_options defaults = {0};
    dm_device_info info;
    dm_device *d;
    dm_status s;

    if ((s = dm_device_pick(select, &info, err)) != DM_OK)
        return s;
    if (!(d = calloc(1, sizeof *d)) || !(d->arena = dm_arena_new())) {
        free(d);
        return dm_error(err, DM_ENOMEM, "out of memory while opening device '%s'", info.name);
    }
    d->info = info;
    snprintf(d->where, sizeof d->where, "'%d:%d %s (%s)'", info.platform, info.device, info.name, info.platform_name);
    if ((s = ocl_device_ids(&info, &d->platform, &d->id, err)) == DM_OK && (s = check_version(d, err)) == DM_OK &&
        (s = furnish(d, options ? options : &defaults, err)) == DM_OK)
        s = open_queue(d, d->profile != NULL, err);
    if (s == DM_OK)
        s = ocl_replay_open(d, err);
    if (s == DM_OK)
        s = ocl_probe(d, options ? options : &defaults, err);
    if (s != DM_OK) {
        dm_device_close(d);
        return s;
    }
    *out = d;
    return DM_OK;
}

void dm_device_close(dm_device *d)
{
    if (!d)
        return;
    if (d->queue)
        clFinish(d->queue);
    for (int i = 0; i < OCL_UPLOADS; i++) {
        if (d->uploads[i].event)
            clReleaseEvent(d->uploads[i].event);
        free(d->uploads[i].host);
    }
    ocl_profile_free(d);
    ocl_programs_free(d);
    if (d->clblast)
        ocl_gemm_forget();
    if (d->queue)
        clReleaseCommandQueue(d->queue);
    if (d->context)
        clReleaseContext(d->context);
    dm_arena_free(d->arena);
    free(d);
}

const dm_device_info *dm_device_get_info(const dm_device *d) { return &d->info; }
const char *dm_device_cache_dir(const dm_device *d) { return d->cache_dir; }

dm_status dm_device_finish(dm_device *d, dm_err *err)
{
    const cl_int code = clFinish(d->queue);

    return code == CL_SUCCESS ? DM_OK : ocl_error(d, code, "clFinish", NULL, err);
}

void dm_device_memory(const dm_device *d, uint64_t *now, uint64_t *peak)
{
    *now = d->now;
    *peak = d->peak;
}

uint64_t dm_device_allocations(const dm_device *d) { return d->allocations; }
