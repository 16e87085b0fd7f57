/* What the files of the OpenCL backend share. Nothing outside backends/opencl/ includes this.
 *
 * Functions here begin with ocl_. A failing OpenCL call is reported by ocl_error(), which names
 * the call, the code and the device, and picks the status. */
#ifndef DEMIST_OPENCL_H
#define DEMIST_OPENCL_H

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include "base/arena.h"
#include "backends/capabilities.h"
#include "device/device.h"

enum {
    OCL_MAX_ARGS = 64,     /* of one kernel */
    OCL_UPLOADS = 8,       /* host copies of writes in flight */
    OCL_PROFILE_BATCH = 512 /* events that are kept before their times are read */
};

/* What a kernel's argument takes; OCL_ARG_ANY where the driver does not tell. */
typedef enum ocl_arg {
    OCL_ARG_ANY,
    OCL_ARG_BUF,
    OCL_ARG_LOCAL,
    OCL_ARG_F32,
    OCL_ARG_I32,
    OCL_ARG_OTHER,
    OCL_ARG_I32X4
} ocl_arg;

typedef struct ocl_program {
    struct ocl_program *next;
    char *id;              /* the file below kernels/, or where the text came from */
    char *text;            /* the source as it was given, NULL for a file */
    char *options;         /* as given, "" = none */
    const char *signatures; /* of its kernels, where it came from the cache; NULL: the driver knows */
    cl_program cl;         /* NULL: it did not build, and is not tried again */
    const char *failure;   /* why */
    dm_kernel *kernels;
} ocl_program;

struct dm_kernel {
    dm_kernel *next;
    dm_device *d;
    const ocl_program *program;
    char *name;
    cl_kernel cl;          /* for dm_launch; recorded commands have their own */
    int n_args;
    ocl_arg args[OCL_MAX_ARGS];
    char types[OCL_MAX_ARGS][24]; /* "float", ...; "" where the driver does not tell */
    size_t group[3];       /* what reqd_work_group_size demands, all 0 = nothing */
    size_t max_group;
    cl_ulong local_mem;    /* bytes of its own, without those of its arguments */
};

struct dm_buf {
    dm_device *d;
    dm_buf *parent;        /* NULL: an allocation of its own */
    cl_mem mem;            /* NULL: in parts */
    size_t bytes, origin;  /* origin: from the start of the allocation */
    dm_buf **parts;        /* allocations of `each` bytes, the last of the rest */
    size_t n_parts, each;
};

/* A write on its way: the host's copy, and the event that says that it was read. */
typedef struct ocl_upload { void *host; size_t cap; cl_event event; } ocl_upload;

typedef struct ocl_profile {
    dm_profile_row *rows;
    size_t n, cap;
    cl_event events[OCL_PROFILE_BATCH];
    int row_of[OCL_PROFILE_BATCH], n_events;
} ocl_profile;

/* What replaying takes of cl_khr_command_buffer. */
typedef struct ocl_replay {
    bool on;
    uint64_t runs;
    clCreateCommandBufferKHR_fn create;
    clCommandNDRangeKernelKHR_fn launch;
    clFinalizeCommandBufferKHR_fn finalize;
    clEnqueueCommandBufferKHR_fn enqueue;
    clReleaseCommandBufferKHR_fn release;
} ocl_replay;

struct dm_device {
    dm_device_info info;
    char where[288];       /* "'0:0 NAME (PLATFORM)'" for messages */
    cl_platform_id platform;
    cl_device_id id;
    cl_context context;
    cl_command_queue queue;
    dm_arena *arena;       /* names, kernels, programs: all that lives as long as the device */
    const char *cache_dir, *kernel_dir; /* "" = none */
    bool (*building)(void *user, const char *program);
    void *user;
    ocl_program *programs;
    ocl_upload uploads[OCL_UPLOADS];
    int next_upload;
    uint64_t now, peak, allocations;
    bool clblast;          /* it holds programs of this context */
    ocl_profile *profile;  /* NULL without */
    ocl_replay replay;
};

/* ---- cl_names.c ---------------------------------------------------------- */

/* "CL_OUT_OF_RESOURCES"; CLBlast's codes too; "unknown code" */
const char *ocl_code_name(cl_int code);
/* DM_ENOMEM where memory ran out, else DM_EDEVICE. */
dm_status ocl_status(cl_int code);
/* d may be NULL. subject: what it was about ("kernel 'x' of 'f.cl'"), or NULL. */
dm_status ocl_error(const dm_device *d, cl_int code, const char *call, const char *subject, dm_err *err);

/* ---- profile.c ----------------------------------------------------------- */

/* The row of a label, -1 without profile. */
dm_status ocl_profile_row(dm_device *d, const char *label, int *row, dm_err *err);
/* Where an enqueue puts its event; NULL without profile. */
cl_event *ocl_profile_event(dm_device *d, int row, cl_event *room);
/* After an enqueue with that event; counts the call. */
dm_status ocl_profile_add(dm_device *d, int row, cl_event event, const dm_work *work, dm_err *err);
void ocl_profile_free(dm_device *d);

#endif
