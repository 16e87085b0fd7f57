/* What is enqueued: launches, copies, recorded lists of both. */
#ifndef DEMIST_OPENCL_COMMANDS_H
#define DEMIST_OPENCL_COMMANDS_H

#include "opencl/opencl.h"

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

#endif
