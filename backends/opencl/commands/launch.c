/* Ranges, arguments and enqueueing of kernels; the kernel that zeroes memory. */
#include "opencl/commands/commands.h"
#include "opencl/programs/programs.h"

#include <string.h>

enum {
    GPU_GROUP = 64,
    TEXT_GROUP = 64,       /* of a plugin's kernel on a CPU, where a group costs 3 to 6 ns */
    TEXT_SHARE = 8,        /* groups a compute unit that must be left */
    CPU_STRIP = 1 << 14,   /* words that a work-item of a CPU zeroes in one go */
    GPU_ITEMS = 1 << 18    /* work-items at most that stride over the words on a GPU */
};

/* ---- range ----------------------------------------------------------------- */

static dm_status bad_range(const dm_kernel *k, const ocl_range *r, const char *why, dm_err *err)
{
    return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': range [%zu %zu %zu] in groups of [%zu %zu %zu]: %s", k->name,
                    k->program->id, r->global[0], r->global[1], r->global[2], r->local[0], r->local[1], r->local[2],
                    why);
}

/* Fills the group sizes that were left to the device. */
static void choose_local(const dm_kernel *k, ocl_range *o)
{
    const bool none = !o->local[0] && !o->local[1] && !o->local[2];

    if (k->group[0]) {
        for (int i = 0; i < 3; i++)
            o->local[i] = o->local[i] ? o->local[i] : k->group[i];
    } else if (none && k->d->info.gpu && o->global[0] % GPU_GROUP == 0 && k->max_group >= GPU_GROUP) {
        o->local[0] = GPU_GROUP;
    } else if (none && k->d->info.cpu && k->program->text && o->global[0] % TEXT_GROUP == 0 &&
               k->max_group >= TEXT_GROUP &&
               o->global[0] / TEXT_GROUP >= (size_t)TEXT_SHARE * k->d->info.compute_units) {
        o->local[0] = TEXT_GROUP;
    } else if (none && !k->d->info.cpu) {
        o->driver = true;
    }
    for (int i = 0; i < 3; i++)
        o->local[i] = o->local[i] ? o->local[i] : 1;
}

dm_status ocl_range_make(const dm_kernel *k, const dm_range *r, ocl_range *out, dm_err *err)
{
    ocl_range o = {.dim = (cl_uint)r->dim};
    size_t items = 1;

    if (r->dim < 1 || r->dim > 3)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': range of %d dimensions; 1 to 3 are allowed", k->name,
                        k->program->id, r->dim);
    for (int i = 0; i < 3; i++) {
        o.global[i] = i < r->dim ? r->global[i] : 1;
        o.local[i] = i < r->dim ? r->local[i] : 1;
    }
    for (int i = r->dim; i < 3; i++)
        o.local[i] = 0;
    choose_local(k, &o);
    for (int i = 0; i < 3; i++) {
        if (!o.global[i])
            return bad_range(k, &o, "no size may be 0", err);
        if (o.driver)
            continue;
        if (k->group[0] && o.local[i] != k->group[i])
            return bad_range(k, &o, "the kernel's reqd_work_group_size differs", err);
        if (o.global[i] % o.local[i])
            return bad_range(k, &o, "the range must be a multiple of the group", err);
        if (o.local[i] > k->max_group / items)
            return dm_error(err, DM_EDEVICE,
                            "kernel '%s' of '%s': a group of %zu x %zu x %zu work-items is larger than "
                            "the %zu that device %s allows for this kernel",
                            k->name, k->program->id, o.local[0], o.local[1], o.local[2], k->max_group, k->d->where);
        items *= o.local[i];
    }
    *out = o;
    return DM_OK;
}

/* ---- arguments --------------------------------------------------------------- */

static const char *arg_name(dm_arg_kind k)
{
    static const char *const names[] = {"DM_BUF", "DM_F32", "DM_I32", "DM_LOCAL", "DM_I32X4"};

    return (int)k >= 0 && (size_t)k < sizeof names / sizeof names[0] ? names[k] : "of an unknown kind";
}

static dm_status check_arg(const dm_kernel *k, const dm_karg *a, int i, dm_err *err)
{
    static const ocl_arg wanted[] = {OCL_ARG_BUF, OCL_ARG_F32, OCL_ARG_I32, OCL_ARG_LOCAL, OCL_ARG_I32X4};
    const bool known = (int)a->kind >= 0 && (size_t)a->kind < sizeof wanted / sizeof wanted[0];

    if (!known || (k->args[i] != OCL_ARG_ANY && k->args[i] != wanted[a->kind]))
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': argument %d is %s where the kernel has '%s%s'", k->name,
                        k->program->id, i, arg_name(a->kind), k->args[i] == OCL_ARG_LOCAL ? "local " : "", k->types[i]);
    if (a->kind == DM_BUF && a->buf && a->buf->n_parts)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': argument %d is a buffer of several allocations", k->name,
                        k->program->id, i);
    if (a->kind == DM_BUF && a->buf && a->buf->d != k->d)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': argument %d is a buffer of another device", k->name,
                        k->program->id, i);
    if (a->kind == DM_LOCAL && !a->v.bytes)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': argument %d asks for 0 bytes of local memory", k->name,
                        k->program->id, i);
    return DM_OK;
}

static cl_int set_arg(cl_kernel cl, cl_uint i, const dm_karg *a)
{
    switch ((int)a->kind) {
    case DM_BUF: return clSetKernelArg(cl, i, sizeof(cl_mem), a->buf ? &a->buf->mem : NULL);
    case DM_F32: return clSetKernelArg(cl, i, sizeof(cl_float), &a->v.f);
    case DM_I32: return clSetKernelArg(cl, i, sizeof(cl_int), &a->v.i);
    case DM_LOCAL: return clSetKernelArg(cl, i, a->v.bytes, NULL);
    case DM_I32X4: return clSetKernelArg(cl, i, sizeof a->v.i4, a->v.i4);
    }
    return CL_INVALID_ARG_VALUE;
}

/* Local memory of the kernel itself and of its arguments, which drivers refuse at different times. */
static dm_status check_local(const dm_kernel *k, const dm_karg *args, int n, dm_err *err)
{
    const cl_ulong most = k->d->info.local_mem;
    cl_ulong bytes = k->local_mem;
    bool fits = bytes <= most;

    for (int i = 0; i < n && fits; i++)
        if (args[i].kind == DM_LOCAL) {
            fits = args[i].v.bytes <= most - bytes;
            bytes += args[i].v.bytes;
        }
    return fits ? DM_OK
                : dm_error(err, DM_EDEVICE,
                           "kernel '%s' of '%s': %llu bytes of local memory are more than the %llu that "
                           "device %s has",
                           k->name, k->program->id, (unsigned long long)bytes, (unsigned long long)most, k->d->where);
}

dm_status ocl_args_set(const dm_kernel *k, cl_kernel cl, const dm_karg *args, int n, dm_err *err)
{
    dm_status s;

    if (n != k->n_args)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s': %d arguments given where it has %d", k->name,
                        k->program->id, n, k->n_args);
    if ((s = check_local(k, args, n, err)) != DM_OK)
        return s;
    for (int i = 0; i < n; i++) {
        cl_int code;

        if ((s = check_arg(k, &args[i], i, err)) != DM_OK)
            return s;
        if ((code = set_arg(cl, (cl_uint)i, &args[i])) != CL_SUCCESS) {
            char subject[256];

            snprintf(subject, sizeof subject, "argument %d (%s) of kernel '%s' of '%s'", i, arg_name(args[i].kind),
                     k->name, k->program->id);
            return ocl_error(k->d, code, "clSetKernelArg", subject, err);
        }
    }
    return DM_OK;
}

/* ---- enqueueing ---------------------------------------------------------------- */

dm_status ocl_enqueue(const dm_kernel *k, cl_kernel cl, const ocl_range *r, int row, const dm_work *work, dm_err *err)
{
    cl_event event = NULL;
    const cl_int code = clEnqueueNDRangeKernel(k->d->queue, cl, r->dim, NULL, r->global, r->driver ? NULL : r->local, 0,
                                               NULL, ocl_profile_event(k->d, row, &event));
    char subject[256];

    if (code == CL_SUCCESS)
        return ocl_profile_add(k->d, row, event, work, err);
    ocl_kernel_subject(k, subject, sizeof subject);
    return ocl_error(k->d, code, "clEnqueueNDRangeKernel", subject, err);
}

dm_status dm_launch(dm_device *d, dm_kernel *k, const dm_range *r, const dm_karg *args, int n, dm_err *err)
{
    ocl_range range;
    dm_status s;
    int row;

    if (k->d != d)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s' belongs to device %s, not %s", k->name, k->program->id,
                        k->d->where, d->where);
    if ((s = ocl_range_make(k, r, &range, err)) != DM_OK || (s = ocl_args_set(k, k->cl, args, n, err)) != DM_OK ||
        (s = ocl_profile_row(d, k->name, &row, err)) != DM_OK)
        return s;
    return ocl_enqueue(k, k->cl, &range, row, NULL, err);
}

/* ---- zeroing --------------------------------------------------------------------- */

static cl_int zero_args(cl_kernel cl, const dm_buf *b, cl_ulong first, cl_ulong count)
{
    cl_int code = clSetKernelArg(cl, 0, sizeof(cl_mem), &b->mem);

    if (code == CL_SUCCESS)
        code = clSetKernelArg(cl, 1, sizeof first, &first);
    return code == CL_SUCCESS ? clSetKernelArg(cl, 2, sizeof count, &count) : code;
}

dm_status ocl_zero_check(const dm_buf *b, size_t offset, size_t bytes, dm_err *err)
{
    const dm_status s = ocl_buf_check(b, offset, bytes, "zero", err);

    if (s == DM_OK && (!bytes || offset % 4 || bytes % 4))
        return dm_error(err, DM_EINVAL, "zero of %zu bytes at %zu: multiples of 4 above 0 are allowed", bytes, offset);
    return s;
}

dm_status ocl_zero_make(dm_buf *b, size_t offset, size_t bytes, dm_kernel **k, cl_kernel *cl, ocl_range *r, dm_err *err)
{
    dm_device *d = b->d;
    const bool cpu = !d->info.gpu;
    const cl_ulong words = bytes / 4;
    const size_t strips = (size_t)((words + CPU_STRIP - 1) / CPU_STRIP);
    const size_t groups = (size_t)((words + GPU_GROUP - 1) / GPU_GROUP);
    dm_range range = {.dim = 1};
    dm_status s;
    cl_int code;

    range.global[0] = cpu ? strips : groups * GPU_GROUP < GPU_ITEMS ? groups * GPU_GROUP : GPU_ITEMS;
    if ((s = dm_kernel_get(d, "memory/fill.cl", cpu ? "zero_strips" : "zero_strided", d->info.cpu ? "-DW=16" : "-DW=4",
                           k, err)) != DM_OK ||
        (s = ocl_range_make(*k, &range, r, err)) != DM_OK || (s = ocl_kernel_new(*k, cl, err)) != DM_OK)
        return s;
    if ((code = zero_args(*cl, b, offset / 4, words)) != CL_SUCCESS) {
        clReleaseKernel(*cl);
        return ocl_error(d, code, "clSetKernelArg", "kernel of memory/fill.cl", err);
    }
    return DM_OK;
}

static dm_status zero_one(dm_buf *b, size_t offset, size_t bytes, dm_err *err)
{
    const dm_work work = {0, (double)bytes};
    dm_kernel *k;
    cl_kernel cl;
    ocl_range r;
    dm_status s;
    int row;

    if ((s = ocl_profile_row(b->d, "zero", &row, err)) != DM_OK ||
        (s = ocl_zero_make(b, offset, bytes, &k, &cl, &r, err)) != DM_OK)
        return s;
    s = ocl_enqueue(k, cl, &r, row, &work, err);
    clReleaseKernel(cl);
    return s;
}

dm_status dm_buf_zero(dm_buf *b, size_t offset, size_t bytes, dm_err *err)
{
    dm_status s = ocl_zero_check(b, offset, bytes, err);

    for (ocl_part p; s == DM_OK && ocl_part_next(b, &offset, &bytes, &p);)
        s = zero_one(p.b, p.offset, p.bytes, err);
    return s;
}
