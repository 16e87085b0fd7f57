/* The backend interface: one OpenCL device with its in-order queue, buffers, kernels and recorded
 * lists of commands. Implemented in backends/opencl/; nothing here names OpenCL's types, and
 * nothing in core/ calls OpenCL. Calls on one device come from one thread at a time.
 *
 * Every failure's message names the call, the code by name ("CL_OUT_OF_RESOURCES (-5)") and the
 * device; its status is DM_EDEVICE, or DM_ENOMEM where memory ran out. */
#ifndef DEMIST_CORE_DEVICE_H
#define DEMIST_CORE_DEVICE_H

#include "base/error.h"

typedef struct dm_device dm_device;
typedef struct dm_buf dm_buf;   /* device memory, or a window on another buffer */
/* dm_kernel (plugin.h) is a compiled kernel; the device owns and caches it */

/* ---- which devices there are ------------------------------------------------ */

/* Has drivers of x86 CPUs compile for less than this machine's processor has: "avx512" (and no AMX), "avx2" or "sse"
 * (4.2); what is cached then lies in a folder of its own. By the environment that those drivers read, so to be called
 * before anything else here, by a program. NULL or "": for all that it has. DM_EINVAL: another name; DM_EDEVICE: the
 * processor does not have it. */
dm_status dm_cpu_hold(const char *name, dm_err *err);

typedef struct dm_device_info {
    int platform, device;          /* i:j, as `device: i:j` selects them */
    char platform_name[128], name[128], vendor[128], driver[128], version[128];
    bool cpu, gpu;
    uint32_t compute_units, native_float; /* native_float: lanes of the native float vector, at least 1 */
    uint64_t global_mem, max_alloc, local_mem;
    size_t max_group;              /* work-items of a group */
    size_t align;                  /* bytes; windows on a buffer start at multiples of it */
    bool fp16, fp64, subgroups, command_buffer, driver_caches;
    bool int64;                    /* kernels have 64-bit integers: all but some of OpenCL's embedded profile */
    bool emulated;                 /* Oclgrind: no inline assembly, small limits */
    uint64_t capabilities;         /* a set of the backend's words for what else it can; implementations read it */
} dm_device_info;

/* All devices of all platforms, in order; *list is on the heap, free() it. No platform or no
 * loader is not an error: *n is 0 then. */
dm_status dm_device_list(dm_device_info **list, int *n, dm_err *err);

/* select: auto | cpu | gpu | part of a platform's or device's name (any case) | i:j. auto takes a
 * GPU before a CPU, then the first. DM_EDEVICE names what was found and what to install. */
dm_status dm_device_pick(const char *select, dm_device_info *info, dm_err *err);
/* That one, and those like it that select means too: of the same platform and type; in their order, free() it. */
dm_status dm_device_pick_all(const char *select, dm_device_info **list, int *n, dm_err *err);

typedef struct dm_device_options {
    bool profile;                  /* time each launch (slower) */
    bool bf16; /* bf16 will be used: capabilities that are for it are tried, and taken back where they fail */
    bool high; /* implementations of f32 that round more than f32 does may be: what they need is tried too */
    const char *kernel_dir;        /* overrides embedded kernel sources; NULL = $DEMIST_KERNELS or none */
    const char *cache_dir; /* program binaries, tuning; NULL = $DEMIST_CACHE, $XDG_CACHE_HOME/demist, ~/.cache/demist,
                              or none */
    /* Called before a program is built from source (not from a cache), so that a first run does not look hung. false:
     * it is not built, and what needs it fails with DM_ECANCELLED. May be NULL. */
    bool (*building)(void *user, const char *program);
    void *user;
} dm_device_options;

dm_status dm_device_open(const char *select, const dm_device_options *options, dm_device **out, dm_err *err);
void dm_device_close(dm_device *d); /* every buffer and command list must have been freed */
const dm_device_info *dm_device_get_info(const dm_device *d);
const char *dm_device_cache_dir(const dm_device *d); /* "" = there is none */
/* A number that changes with the embedded kernels and with what dm_device_tune kept; 0 where a folder overrides the
 * former. */
uint64_t dm_device_kernels(const dm_device *d);

/* ---- memory ------------------------------------------------------------------ */

/* what: for the message when it does not fit, e.g. "activations". Contents undefined. */
dm_status dm_buf_new(dm_device *d, size_t bytes, const char *what, dm_buf **out, dm_err *err);
/* Of more than one allocation gives: in several of `each` bytes, a multiple of the device's align; the last has the
 * rest. It is read, written, copied and made zero as any other. A kernel is given windows on it, each of which lies in
 * one allocation. */
dm_status dm_buf_new_split(dm_device *d, size_t bytes, size_t each, const char *what, dm_buf **out, dm_err *err);
/* The bytes from offset on that are in one allocation. */
size_t dm_buf_run(const dm_buf *b, size_t offset);
/* A window; offset a multiple of the device's align. Must be freed before its parent; windows of
 * windows are allowed (offsets add up). */
dm_status dm_buf_window(dm_buf *parent, size_t offset, size_t bytes, dm_buf **out, dm_err *err);
void dm_buf_free(dm_buf *b); /* NULL is fine; waits for nothing: commands in flight keep the memory */
size_t dm_buf_bytes(const dm_buf *b);
dm_device *dm_buf_device(const dm_buf *b);
/* Host memory may be reused on return. write does not wait for the device to catch up. */
dm_status dm_buf_write(dm_buf *b, size_t offset, size_t bytes, const void *from, dm_err *err);
dm_status dm_buf_read(dm_buf *b, size_t offset, size_t bytes, void *to, dm_err *err); /* waits */
/* A read in its place among the commands, of which those that came before are done when it is. It is to be waited for
 * before `to` is used or freed. */
typedef struct dm_fetch { dm_device *d; void *event; } dm_fetch;
dm_status dm_buf_fetch(dm_buf *b, size_t offset, size_t bytes, void *to, dm_fetch *out, dm_err *err);
bool dm_fetch_over(const dm_fetch *r); /* also where it failed */
dm_status dm_fetch_wait(dm_fetch *r, dm_err *err); /* nothing where it was waited for */
dm_status dm_buf_copy(dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes, dm_err *err);
/* All bytes zero; by a kernel of ours (drivers' fills fail beyond 2 GiB). bytes a multiple of 4. */
dm_status dm_buf_zero(dm_buf *b, size_t offset, size_t bytes, dm_err *err);
/* Bytes that are allocated now, and the most there ever were. */
void dm_device_memory(const dm_device *d, uint64_t *now, uint64_t *peak);
/* How many dm_buf_new calls there were, for the test that a step allocates nothing. */
uint64_t dm_device_allocations(const dm_device *d);

/* ---- kernels ------------------------------------------------------------------- */

/* The kernel `name` of the embedded source `file` ("conv/conv2d.cl" below kernels/), built with
 * `options` (NULL = none; -D macros). common.clh is put before it. One program a (file, options),
 * cached. A build failure's log goes to a file that the message names. */
dm_status dm_kernel_get(dm_device *d, const char *file, const char *name, const char *options, dm_kernel **out,
                        dm_err *err);
/* The same for a source given as text (plugins). `origin` stands for the file in messages. */
dm_status dm_kernel_from_source(dm_device *d, const char *origin, const char *source, const char *name,
                                const char *options, dm_kernel **out, dm_err *err);

/* An int4. A launch costs its host by its arguments too: PoCL allocates memory for each. */
#define DM_I32X4 ((dm_arg_kind)(DM_LOCAL + 1))
typedef struct dm_karg {
    dm_arg_kind kind;              /* DM_BUF, DM_F32, DM_I32, DM_LOCAL (plugin.h), DM_I32X4 */
    dm_buf *buf;                   /* NULL for DM_BUF passes a null pointer */
    union { float f; int32_t i, i4[4]; size_t bytes; } v;
} dm_karg;
#define DM_KB(b) {.kind = DM_BUF, .buf = (b)}
#define DM_KF(x) {.kind = DM_F32, .v.f = (float)(x)}
#define DM_KI(x) {.kind = DM_I32, .v.i = (int32_t)(x)}
#define DM_KI4(x, y, z, w) {.kind = DM_I32X4, .v.i4 = {(int32_t)(x), (int32_t)(y), (int32_t)(z), (int32_t)(w)}}
#define DM_KL(n) {.kind = DM_LOCAL, .v.bytes = (n)}
#define DM_KARGS(...) (const dm_karg[]){__VA_ARGS__}, (int)(sizeof((const dm_karg[]){__VA_ARGS__}) / sizeof(dm_karg))

/* Runs it now, in order. The count and kinds of arguments are checked against the kernel.
 * dm_range.local 0 = what the kernel demands, else the device's choice: on GPUs 64 where that divides;
 * on CPUs 1 for our kernels, which do many elements a work-item, and for kernels given as text, which
 * often do one, 64 where that divides and leaves work for all units. */
dm_status dm_launch(dm_device *d, dm_kernel *k, const dm_range *r, const dm_karg *args, int n, dm_err *err);
/* Waits for everything that was enqueued. */
dm_status dm_device_finish(dm_device *d, dm_err *err);

/* ---- recorded commands ------------------------------------------------------------ */

typedef struct dm_cmds dm_cmds;
typedef struct dm_work { double flops, bytes; } dm_work; /* of one command, for --profile; 0 = not known */

dm_status dm_cmds_new(dm_device *d, dm_cmds **out, dm_err *err);
void dm_cmds_free(dm_cmds *c);
int dm_cmds_count(const dm_cmds *c);
/* Forgets those from the n-th on. */
void dm_cmds_shorten(dm_cmds *c, int n);
/* Buffers must outlive the list. label: static or copied, shown by --profile (e.g. the op's name). */
dm_status dm_cmds_launch(dm_cmds *c, dm_kernel *k, const dm_range *r, const dm_karg *args, int n, const char *label,
                         dm_work work, dm_err *err);
dm_status dm_cmds_zero(dm_cmds *c, dm_buf *b, size_t offset, size_t bytes, dm_err *err);
dm_status dm_cmds_copy(dm_cmds *c, dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes,
                       dm_err *err);
/* C[b] = alpha op(A[b]) op(B[b]) + beta C[b] for b in [0,batch), row-major, by the backend's library of
 * products; strides in elements. op transposes where t is true. DM_EDEVICE where demist was built without one. */
typedef struct dm_gemm {
    bool ta, tb;
    int64_t m, n, k, batch;
    float alpha, beta;
    dm_buf *a, *b, *c;
    int64_t from_a, from_b, from_c; /* elements before the first of each */
    int64_t lda, ldb, ldc, stride_a, stride_b, stride_c;
} dm_gemm;
dm_status dm_cmds_gemm(dm_cmds *c, const dm_gemm *g, const char *label, dm_work work, dm_err *err);
/* Searches for better parameters of what dm_cmds_gemm runs, for about so many seconds, and keeps them in the cache
 * folder, from where later processes take them. A line for each set that matters. */
dm_status dm_device_tune(dm_device *d, double seconds, void (*line)(void *user, const char *text), void *user,
                         dm_err *err);
/* Enqueues all of them, or those in [from, to), in order; allocates nothing. Where the device has command buffers and
 * they pay, the first run of a whole list records its launches into such. */
dm_status dm_cmds_run(dm_cmds *c, dm_err *err);
dm_status dm_cmds_run_range(dm_cmds *c, int from, int to, dm_err *err);
/* No command buffer holds commands of both sides of these places, which ascend; from one such place to another, or an
 * end, dm_cmds_run_between enqueues as dm_cmds_run does. */
dm_status dm_cmds_split(dm_cmds *c, const int *at, int n, dm_err *err);
dm_status dm_cmds_run_between(dm_cmds *c, int from, int to, dm_err *err);

/* How many command buffers were enqueued, for tests. */
uint64_t dm_device_replays(const dm_device *d);

/* ---- profile ------------------------------------------------------------------------ */

typedef struct dm_profile_row { const char *label; uint64_t calls; double seconds, flops, bytes; } dm_profile_row;
/* With options.profile: sums by label, longest first; *rows on the heap. */
dm_status dm_device_profile(dm_device *d, dm_profile_row **rows, int *n, dm_err *err);

#endif
