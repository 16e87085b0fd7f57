/* Times of launches, summed by label. Events are kept for a while and read in batches, since
 * reading one makes the host wait. */
#include "opencl/opencl.h"

#include <stdlib.h>
#include <string.h>

dm_status ocl_profile_row(dm_device *d, const char *label, int *row, dm_err *err)
{
    ocl_profile *p = d->profile;

    *row = -1;
    if (!p)
        return DM_OK;
    for (size_t i = 0; i < p->n; i++)
        if (!strcmp(p->rows[i].label, label)) {
            *row = (int)i;
            return DM_OK;
        }
    if (!dm_grow((void **)&p->rows, p->n, &p->cap, sizeof *p->rows) || !(label = dm_strdup(d->arena, label)))
        return dm_error(err, DM_ENOMEM, "out of memory while profiling device %s", d->where);
    p->rows[p->n] = (dm_profile_row){.label = label};
    *row = (int)p->n++;
    return DM_OK;
}

cl_event *ocl_profile_event(dm_device *d, int row, cl_event *room) { return d->profile && row >= 0 ? room : NULL; }

/* Waits for the events that are kept and adds their times up. */
static dm_status collect(dm_device *d, dm_err *err)
{
    ocl_profile *p = d->profile;
    const int n = p->n_events;
    const cl_int finish = n ? clFinish(d->queue) : CL_SUCCESS;
    cl_int code = finish;

    for (int i = 0; i < n; i++) {
        cl_ulong from = 0, to = 0;

        if (code == CL_SUCCESS)
            code = clGetEventProfilingInfo(p->events[i], CL_PROFILING_COMMAND_START, sizeof from, &from, NULL);
        if (code == CL_SUCCESS)
            code = clGetEventProfilingInfo(p->events[i], CL_PROFILING_COMMAND_END, sizeof to, &to, NULL);
        if (code == CL_SUCCESS && to > from)
            p->rows[p->row_of[i]].seconds += (double)(to - from) * 1e-9;
        clReleaseEvent(p->events[i]);
    }
    p->n_events = 0;
    if (code == CL_SUCCESS)
        return DM_OK;
    return ocl_error(d, code, finish != CL_SUCCESS ? "clFinish" : "clGetEventProfilingInfo", NULL, err);
}

dm_status ocl_profile_add(dm_device *d, int row, cl_event event, const dm_work *work, dm_err *err)
{
    ocl_profile *p = d->profile;

    if (!p || row < 0)
        return DM_OK;
    p->rows[row].calls++;
    if (work) {
        p->rows[row].flops += work->flops;
        p->rows[row].bytes += work->bytes;
    }
    if (!event)
        return DM_OK;
    p->events[p->n_events] = event;
    p->row_of[p->n_events++] = row;
    return p->n_events == OCL_PROFILE_BATCH ? collect(d, err) : DM_OK;
}

static int by_seconds(const void *a, const void *b)
{
    const dm_profile_row *x = a, *y = b;

    return (y->seconds > x->seconds) - (y->seconds < x->seconds);
}

dm_status dm_device_profile(dm_device *d, dm_profile_row **rows, int *n, dm_err *err)
{
    ocl_profile *p = d->profile;
    dm_status s;

    if (!p)
        return dm_error(err, DM_EINVAL, "device %s was opened without profile", d->where);
    if ((s = collect(d, err)) != DM_OK)
        return s;
    if (!(*rows = calloc(p->n ? p->n : 1, sizeof **rows)))
        return dm_error(err, DM_ENOMEM, "out of memory while profiling device %s", d->where);
    if (p->n)
        memcpy(*rows, p->rows, p->n * sizeof **rows);
    qsort(*rows, p->n, sizeof **rows, by_seconds);
    *n = (int)p->n;
    return DM_OK;
}

void ocl_profile_free(dm_device *d)
{
    if (!d->profile)
        return;
    for (int i = 0; i < d->profile->n_events; i++)
        clReleaseEvent(d->profile->events[i]);
    free(d->profile->rows);
    free(d->profile);
}
