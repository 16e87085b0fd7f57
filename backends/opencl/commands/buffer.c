/* Device memory: allocations, windows on them, and what moves bytes in and out.
 *
 * A write copies into one of a few host blocks and returns; the block is used again when the
 * device has read it, so that a host that runs ahead waits here and nowhere else. */
#include "opencl/commands/commands.h"

#include <stdlib.h>
#include <string.h>

enum { UPLOAD_MAX = 32 << 20 }; /* longer writes wait for the device instead */

static double gib(uint64_t bytes) { return (double)bytes / (1 << 30); }

static dm_status too_large(const dm_device *d, size_t bytes, const char *what, dm_err *err)
{
    const char *advice = "use a smaller batch, micro-batch or network, or a device with more memory";

    if (bytes > d->info.max_alloc)
        return dm_error(err, DM_ENOMEM, "unable to allocate %zu bytes (%.2f GiB) for %s: device %s allows %llu "
                        "(%.2f GiB) in one buffer; %s", bytes, gib(bytes), what, d->where,
                        (unsigned long long)d->info.max_alloc, gib(d->info.max_alloc), advice);
    if (bytes > d->info.global_mem || d->now > d->info.global_mem - bytes)
        return dm_error(err, DM_ENOMEM, "unable to allocate %zu bytes (%.2f GiB) for %s: device %s has %.2f GiB, of "
                        "which %.2f GiB are in use; %s", bytes, gib(bytes), what, d->where, gib(d->info.global_mem),
                        gib(d->now), advice);
    return DM_OK;
}

dm_status dm_buf_new(dm_device *d, size_t bytes, const char *what, dm_buf **out, dm_err *err)
{
    char subject[256];
    dm_buf *b;
    cl_int code;
    dm_status s;

    if (!bytes)
        return dm_error(err, DM_EINVAL, "unable to allocate 0 bytes for %s: a buffer has at least 1", what);
    if ((s = too_large(d, bytes, what, err)) != DM_OK)
        return s;
    if (!(b = calloc(1, sizeof *b)))
        return dm_error(err, DM_ENOMEM, "out of memory for %s", what);
    b->mem = clCreateBuffer(d->context, CL_MEM_READ_WRITE, bytes, NULL, &code);
    if (!b->mem) {
        free(b);
        snprintf(subject, sizeof subject, "%zu bytes (%.2f GiB) for %s, %.2f GiB already in use", bytes, gib(bytes),
                 what, gib(d->now));
        return ocl_error(d, code, "clCreateBuffer", subject, err);
    }
    b->d = d;
    b->bytes = bytes;
    d->now += bytes;
    d->allocations++;
    if (d->now > d->peak)
        d->peak = d->now;
    *out = b;
    return DM_OK;
}

dm_status dm_buf_new_split(dm_device *d, size_t bytes, size_t each, const char *what, dm_buf **out, dm_err *err)
{
    const size_t n = each ? (bytes + each - 1) / each : 1;
    dm_status s = DM_OK;
    dm_buf *b;

    if (n <= 1)
        return dm_buf_new(d, bytes, what, out, err);
    if (!(b = calloc(1, sizeof *b)) || !(b->parts = calloc(n, sizeof(dm_buf *)))) {
        free(b);
        return dm_error(err, DM_ENOMEM, "out of memory for %s", what);
    }
    b->d = d;
    b->bytes = bytes;
    b->each = each;
    for (; b->n_parts < n && s == DM_OK; b->n_parts += s == DM_OK)
        s = dm_buf_new(d, b->n_parts + 1 < n ? each : bytes - (n - 1) * each, what, &b->parts[b->n_parts], err);
    if (s != DM_OK)
        dm_buf_free(b);
    else
        *out = b;
    return s;
}

size_t dm_buf_run(const dm_buf *b, size_t offset)
{
    const size_t rest = b->bytes - offset, left = b->n_parts ? b->each - offset % b->each : rest;

    return left < rest ? left : rest;
}

/* At most `bytes` from `offset` on, in one allocation. */
static ocl_part part_at(dm_buf *b, size_t offset, size_t bytes)
{
    const size_t left = dm_buf_run(b, offset), n = bytes < left ? bytes : left;

    return b->n_parts ? (ocl_part){b->parts[offset / b->each], offset % b->each, n} : (ocl_part){b, offset, n};
}

bool ocl_part_next(dm_buf *b, size_t *offset, size_t *bytes, ocl_part *out)
{
    if (!*bytes)
        return false;
    *out = part_at(b, *offset, *bytes);
    *offset += out->bytes, *bytes -= out->bytes;
    return true;
}

bool ocl_parts_next(dm_buf *from, size_t *from_offset, dm_buf *to, size_t *to_offset, size_t *bytes, ocl_part *source,
                    ocl_part *target)
{
    if (!*bytes)
        return false;
    *target = part_at(to, *to_offset, *bytes);
    *source = part_at(from, *from_offset, target->bytes);
    target->bytes = source->bytes;
    *from_offset += source->bytes, *to_offset += source->bytes, *bytes -= source->bytes;
    return true;
}

dm_status ocl_buf_check(const dm_buf *b, size_t offset, size_t bytes, const char *what, dm_err *err)
{
    if (offset > b->bytes || bytes > b->bytes - offset)
        return dm_error(err, DM_EINVAL, "%s of %zu bytes at %zu is outside of a buffer of %zu bytes", what, bytes,
                        offset, b->bytes);
    return DM_OK;
}

dm_status dm_buf_window(dm_buf *parent, size_t offset, size_t bytes, dm_buf **out, dm_err *err)
{
    const size_t align = parent->d->info.align;
    dm_buf *root = parent, *b;
    cl_buffer_region region;
    ocl_part part;
    dm_status s;
    cl_int code;

    if ((s = ocl_buf_check(parent, offset, bytes, "window", err)) != DM_OK)
        return s;
    if (!bytes || offset % align)
        return dm_error(err, DM_EINVAL, "window of %zu bytes at %zu: at least 1 byte, at a multiple of %zu, is allowed",
                        bytes, offset, align);
    if (bytes > dm_buf_run(parent, offset))
        return dm_error(err, DM_EINVAL, "window of %zu bytes at %zu lies in two allocations, which are of %zu bytes",
                        bytes, offset, parent->each);
    part = part_at(parent, offset, bytes);
    root = parent = part.b;
    offset = part.offset;
    while (root->parent)
        root = root->parent;
    if (!(b = calloc(1, sizeof *b)))
        return dm_error(err, DM_ENOMEM, "out of memory for a window of %zu bytes", bytes);
    region = (cl_buffer_region){parent->origin + offset, bytes};
    b->mem = clCreateSubBuffer(root->mem, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
    if (!b->mem) {
        free(b);
        return ocl_error(parent->d, code, "clCreateSubBuffer", NULL, err);
    }
    b->d = parent->d;
    b->parent = parent;
    b->bytes = bytes;
    b->origin = region.origin;
    *out = b;
    return DM_OK;
}

void dm_buf_free(dm_buf *b)
{
    if (!b)
        return;
    for (size_t i = 0; i < b->n_parts; i++)
        dm_buf_free(b->parts[i]);
    if (b->mem)
        clReleaseMemObject(b->mem);
    if (b->mem && !b->parent)
        b->d->now -= b->bytes;
    free(b->parts);
    free(b);
}

size_t dm_buf_bytes(const dm_buf *b) { return b->bytes; }
dm_device *dm_buf_device(const dm_buf *b) { return b->d; }

/* ---- moving bytes ---------------------------------------------------------- */

/* A host block of at least this size that the device no longer reads. */
static dm_status upload_scratch(dm_device *d, size_t bytes, ocl_upload **out, dm_err *err)
{
    ocl_upload *u = &d->uploads[d->next_upload];
    cl_int code;

    d->next_upload = (d->next_upload + 1) % OCL_UPLOADS;
    if (u->event) {
        code = clWaitForEvents(1, &u->event);
        clReleaseEvent(u->event);
        u->event = NULL;
        if (code != CL_SUCCESS)
            return ocl_error(d, code, "clWaitForEvents", "an earlier write", err);
    }
    if (u->cap < bytes) {
        free(u->host);
        u->cap = 0;
        if (!(u->host = malloc(bytes)))
            return dm_error(err, DM_ENOMEM, "out of memory for a write of %zu bytes", bytes);
        u->cap = bytes;
    }
    *out = u;
    return DM_OK;
}

static dm_status write_one(dm_buf *b, size_t offset, size_t bytes, const void *from, dm_err *err)
{
    dm_device *d = b->d;
    const dm_work work = {0, (double)bytes};
    ocl_upload *u = NULL;
    cl_event event = NULL;
    cl_int code;
    dm_status s;
    int row;

    if ((s = ocl_profile_row(d, "write", &row, err)) != DM_OK)
        return s;
    if (bytes <= UPLOAD_MAX) {
        if ((s = upload_scratch(d, bytes, &u, err)) != DM_OK)
            return s;
        memcpy(u->host, from, bytes);
    }
    code = clEnqueueWriteBuffer(d->queue, b->mem, u ? CL_FALSE : CL_TRUE, offset, bytes, u ? u->host : from, 0, NULL,
                                &event);
    if (code != CL_SUCCESS)
        return ocl_error(d, code, "clEnqueueWriteBuffer", NULL, err);
    if (u) {
        u->event = event;
        clFlush(d->queue);
        if (row >= 0)
            clRetainEvent(event);
    } else if (row < 0) {
        clReleaseEvent(event);
    }
    return ocl_profile_add(d, row, event, &work, err);
}

dm_status dm_buf_write(dm_buf *b, size_t offset, size_t bytes, const void *from, dm_err *err)
{
    const char *next = from;
    dm_status s = ocl_buf_check(b, offset, bytes, "write", err);

    for (ocl_part p; s == DM_OK && ocl_part_next(b, &offset, &bytes, &p); next += p.bytes)
        s = write_one(p.b, p.offset, p.bytes, next, err);
    return s;
}

/* event: what the caller waits for and releases; may be NULL. */
static dm_status read_one(dm_buf *b, size_t offset, size_t bytes, void *to, cl_bool waits, cl_event *event,
                              dm_err *err)
{
    dm_device *d = b->d;
    const dm_work work = {0, (double)bytes};
    cl_event own = NULL;
    cl_int code;
    dm_status s;
    int row;

    if ((s = ocl_profile_row(d, "read", &row, err)) != DM_OK)
        return s;
    code = clEnqueueReadBuffer(d->queue, b->mem, waits, offset, bytes, to, 0, NULL,
                               event ? &own : ocl_profile_event(d, row, &own));
    if (code != CL_SUCCESS)
        return ocl_error(d, code, "clEnqueueReadBuffer", NULL, err);
    if (event) {
        *event = own;
        if (row >= 0)
            clRetainEvent(own);
    }
    return ocl_profile_add(d, row, own, &work, err);
}

/* The last of several tells when all are over, since the queue is in order. */
static dm_status enqueue_read(dm_buf *b, size_t offset, size_t bytes, void *to, cl_bool waits, cl_event *event,
                              dm_err *err)
{
    char *next = to;
    dm_status s = ocl_buf_check(b, offset, bytes, "read", err);

    for (ocl_part p; s == DM_OK && ocl_part_next(b, &offset, &bytes, &p); next += p.bytes)
        s = read_one(p.b, p.offset, p.bytes, next, waits, bytes ? NULL : event, err);
    if (s != DM_OK && next != (char *)to && !waits)
        clFinish(b->d->queue); /* nothing may write there any more */
    return s;
}

dm_status dm_buf_read(dm_buf *b, size_t offset, size_t bytes, void *to, dm_err *err)
{
    return enqueue_read(b, offset, bytes, to, CL_TRUE, NULL, err);
}

dm_status dm_buf_fetch(dm_buf *b, size_t offset, size_t bytes, void *to, dm_fetch *out, dm_err *err)
{
    cl_event event = NULL;
    const dm_status s = enqueue_read(b, offset, bytes, to, CL_FALSE, &event, err);

    if (event) {
        clFlush(b->d->queue);
        *out = (dm_fetch){b->d, event};
    }
    return s;
}

bool dm_fetch_over(const dm_fetch *r)
{
    cl_int status = CL_COMPLETE;

    if (r->event)
        clGetEventInfo(r->event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof status, &status, NULL);
    return status <= CL_COMPLETE;
}

dm_status dm_fetch_wait(dm_fetch *r, dm_err *err)
{
    cl_event event = r->event;
    cl_int code;

    if (!event)
        return DM_OK;
    code = clWaitForEvents(1, &event);
    clReleaseEvent(event);
    r->event = NULL;
    return code == CL_SUCCESS ? DM_OK : ocl_error(r->d, code, "clWaitForEvents", "a read", err);
}

dm_status ocl_copy(dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes, int row, dm_err *err)
{
    dm_device *d = from->d;
    const dm_work work = {0, 2 * (double)bytes};
    cl_event event = NULL;
    const cl_int code = clEnqueueCopyBuffer(d->queue, from->mem, to->mem, from_offset, to_offset, bytes, 0, NULL,
                                            ocl_profile_event(d, row, &event));

    if (code != CL_SUCCESS)
        return ocl_error(d, code, "clEnqueueCopyBuffer", NULL, err);
    return ocl_profile_add(d, row, event, &work, err);
}

dm_status dm_buf_copy(dm_buf *from, size_t from_offset, dm_buf *to, size_t to_offset, size_t bytes, dm_err *err)
{
    dm_status s;
    int row;

    if ((s = ocl_buf_check(from, from_offset, bytes, "copy", err)) != DM_OK ||
        (s = ocl_buf_check(to, to_offset, bytes, "copy", err)) != DM_OK || !bytes)
        return s;
    if ((s = ocl_profile_row(from->d, "copy", &row, err)) != DM_OK)
        return s;
    for (ocl_part p, q; s == DM_OK && ocl_parts_next(from, &from_offset, to, &to_offset, &bytes, &p, &q);)
        s = ocl_copy(p.b, p.offset, q.b, q.offset, p.bytes, row, err);
    return s;
}
