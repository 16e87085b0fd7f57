/* What the files of the OpenCL backend share. Nothing outside backends/opencl/ includes this.
 *
 * Functions here begin with ocl_. A failing OpenCL call is reported by ocl_error(), which names
 * the call, the code and the device, and picks the status. */
#ifndef DEMIST_OPENCL_H
#define DEMIST_OPENCL_H

#include <CL/cl.h>
#include <CL/cl_ext.h>

#include "base/arena.h"
#include "base/findings.h"
#include "backends/capabilities.h"
#include "device/device.h"

enum {
    OCL_MAX_ARGS = 64,     /* of one kernel */
    OCL_PATH = 4096,       /* bytes of a path, the 0 included */
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

/* ---- device_list.c ------------------------------------------------------- */

/* Why platforms that are there may offer no device, and what to do; "" where there is no platform. */
const char *ocl_empty_platforms(void);
/* Asks a device for all that is told of it: 1, 0 where it is not to be used, -1 when memory ran out. */
int ocl_device_ask(int pi, cl_platform_id p, int di, cl_device_id d, dm_device_info *o);
/* The ids behind info's i:j. */
dm_status ocl_device_ids(const dm_device_info *info, cl_platform_id *p, cl_device_id *d, dm_err *err);

/* ---- driver_files.c ------------------------------------------------------ */

enum { OCL_DRIVERS = 64 };         /* at most */
typedef struct ocl_driver_file { char file[OCL_PATH], library[OCL_PATH]; } ocl_driver_file;
/* Where the loader looks for .icd files: a folder or one of them; NULL: another loader is told in its own way. */
const char *ocl_driver_folder(void);
/* What it finds there, n of OCL_DRIVERS; NULL where memory ran out. *fault: errno of a folder that is there and cannot
 * be read, 0 otherwise. */
ocl_driver_file *ocl_driver_files(const char *where, int *n, int *fault);
int ocl_driver_count(void);

/* ---- drivers.c ----------------------------------------------------------- */

/* Asks each by itself; a line for each that is at fault. False where this process must not ask them, since one crashes
 * or hangs. To be called before the first call of OpenCL. */
bool ocl_drivers_check(dm_findings *r);

/* ---- host_cpu.c, probe.c -------------------------------------------------- */

/* Fills in the width of vectors, and what inline assembly may use, on a device that is this machine itself. */
void ocl_host_cpu(dm_device_info *o);
/* What dm_cpu_hold was given; "": nothing. */
const char *ocl_held_cpu(void);
/* Takes from d's info what does not build or compute there. DM_ECANCELLED alone. */
dm_status ocl_probe(dm_device *d, const dm_device_options *o, dm_err *err);

/* ---- files.c ------------------------------------------------------------- */

/* A text or byte string that grows; s always ends in 0 when it is not NULL. */
typedef struct ocl_text { char *s; size_t n, cap; } ocl_text;

bool ocl_text_add(ocl_text *t, const void *p, size_t n);
bool ocl_text_print(ocl_text *t, const char *fmt, ...) DM_PRINTF(2, 3);
void ocl_text_fini(ocl_text *t);
/* dir/rest; false when it does not fit. */
bool ocl_path(char path[OCL_PATH], const char *dir, const char *rest);
/* Makes it and the folders above; false when it is not there in the end or may not be written. */
bool ocl_folder(const char *path);
/* The whole file; DM_ENOENT untold (err untouched) where there is none. limit: most bytes that are read. */
dm_status ocl_file_read(const char *path, size_t limit, ocl_text *out, dm_err *err);
/* An entry of the cache, as dm_cache_read takes it. */
bool ocl_cache_read(const char *path, size_t limit, ocl_text *out);
/* By a temporary file and a rename; false when it did not work. */
bool ocl_file_write(const char *path, const void *p, size_t n);
uint64_t ocl_hash(uint64_t seed, const void *p, size_t n);
/* Where cached things go: asked for, or from the environment; "" = nowhere. */
void ocl_cache_dir(const char *asked, char path[OCL_PATH]);

/* ---- source.c ------------------------------------------------------------ */

/* The source that file `id` is a part of: small.cl where that includes it, else itself. */
const char *ocl_source_home(const char *id);
/* The full text of a program: common.clh, then the file (text NULL) or the text, includes expanded. */
dm_status ocl_source(const dm_device *d, const char *id, const char *text, ocl_text *out, dm_err *err);

/* ---- cache.c: program binaries ------------------------------------------- */

/* Sets cl and signatures; false: not there, broken or of another device. */
bool ocl_cache_load(const dm_device *d, const char *options, const ocl_text *source, ocl_program *out);
/* A failure is no error: the next run builds again. */
void ocl_cache_store(const dm_device *d, const char *options, const ocl_text *source, cl_program p);

/* ---- program.c ----------------------------------------------------------- */

void ocl_programs_free(dm_device *d);
/* A kernel object of its own. */
dm_status ocl_kernel_new(const dm_kernel *k, cl_kernel *out, dm_err *err);
/* "kernel 'x' of 'f.cl'" */
void ocl_kernel_subject(const dm_kernel *k, char *s, size_t n);

/* ---- signature.c --------------------------------------------------------- */

/* Fills in what k's arguments are and which group it demands. */
dm_status ocl_kernel_describe(dm_kernel *k, dm_err *err);
/* Of all kernels of a built program, as text: drivers forget the arguments of a program from a binary. */
bool ocl_signatures(cl_program p, ocl_text *out);

/* ---- launch.c ------------------------------------------------------------ */

/* driver: it chooses local. */
typedef struct ocl_range { cl_uint dim; bool driver; size_t global[3], local[3]; } ocl_range;

dm_status ocl_range_make(const dm_kernel *k, const dm_range *r, ocl_range *out, dm_err *err);
dm_status ocl_args_set(const dm_kernel *k, cl_kernel cl, const dm_karg *args, int n, dm_err *err);
dm_status ocl_enqueue(const dm_kernel *k, cl_kernel cl, const ocl_range *r, int row, const dm_work *work, dm_err *err);
/* What can be made zero: words inside of b, one at least. */
dm_status ocl_zero_check(const dm_buf *b, size_t offset, size_t bytes, dm_err *err);
/* The fill kernel and its range for checked bytes of b; the arguments are set on a kernel object of its own. */
dm_status ocl_zero_make(dm_buf *b, size_t offset, size_t bytes, dm_kernel **k, cl_kernel *cl, ocl_range *r,
                        dm_err *err);

/* ---- replay.c ------------------------------------------------------------ */

typedef struct ocl_launch { cl_kernel cl; const ocl_range *range; } ocl_launch;
/* Commands [from, to) of a list; buffer NULL: they are enqueued one by one. */
typedef struct ocl_stretch { int from, to; cl_command_buffer_khr buffer; } ocl_stretch;

/* Whether this device replays; DM_EINVAL where the environment asks for what there is not. */
dm_status ocl_replay_open(dm_device *d, dm_err *err);
/* False where it is not worth it or the driver refuses. */
bool ocl_replay_record(dm_device *d, const ocl_launch *list, int n, ocl_stretch *s);
dm_status ocl_replay_run(dm_device *d, const ocl_stretch *s, dm_err *err);
void ocl_replay_free(const dm_device *d, ocl_stretch *s);

/* ---- buffer.c ------------------------------------------------------------ */

/* What of a buffer lies in one allocation. */
typedef struct ocl_part { dm_buf *b; size_t offset, bytes; } ocl_part;
/* The next part of bytes at offset, both of which go on behind it; false at the end. */
bool ocl_part_next(dm_buf *b, size_t *offset, size_t *bytes, ocl_part *out);
/* Of a copy: parts of the same size. */
bool ocl_parts_next(dm_buf *from, size_t *from_offset, dm_buf *to, size_t *to_offset, size_t *bytes, ocl_part *source,
                    ocl_part *target);
/* offset and bytes inside of b. */
dm_status ocl_buf_check(const dm_buf *b, size_t offset, size_t bytes, const char *what, dm_err *err);
dm_status ocl_copy(dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes, int row, dm_err *err);

/* ---- gemm_clblast.c ------------------------------------------------------ */

dm_status ocl_gemm_check(const dm_device *d, const dm_gemm *g, dm_err *err);
dm_status ocl_gemm_run(dm_device *d, const dm_gemm *g, int row, const dm_work *work, dm_err *err);
/* Frees what CLBlast kept for this device. */
void ocl_gemm_forget(void);

/* ---- profile.c ----------------------------------------------------------- */

/* The row of a label, -1 without profile. */
dm_status ocl_profile_row(dm_device *d, const char *label, int *row, dm_err *err);
/* Where an enqueue puts its event; NULL without profile. */
cl_event *ocl_profile_event(dm_device *d, int row, cl_event *room);
/* After an enqueue with that event; counts the call. */
dm_status ocl_profile_add(dm_device *d, int row, cl_event event, const dm_work *work, dm_err *err);
void ocl_profile_free(dm_device *d);

#endif
