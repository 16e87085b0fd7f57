/* What plugins may ask of the device; where they may is looked at before (services.c). */
#include "plugin/instance.h"

#include "device/kernels.h"

#include <math.h>

static dm_status sum(dm_ctx *c, dm_tensor *out, const dm_term *terms, int32_t n)
{
    const dm_services *s = dm_services_of(c);
    double k[8];
    dm_buf *x[8];

    if (!out || !out->buf)
        return dm_fail(c, DM_EINVAL, "sum was given no tensor to write to: NULL, or one from before the last begin()");
    if (n < 1 || n > 8 || !terms)
        return dm_fail(c, DM_EINVAL, "sum of %d terms; 1 to 8 are allowed", terms ? (int)n : 0);
    for (int32_t i = 0; i < n; i++) {
        k[i] = terms[i].k;
        x[i] = terms[i].x ? terms[i].x->buf : NULL;
        if (!isfinite(k[i]))
            return dm_fail(c, DM_EINVAL, "term %d of a sum has the factor %g", (int)i, k[i]);
        if (k[i] != 0 && !x[i])
            return dm_fail(c, DM_EINVAL, "term %d of a sum has no tensor: NULL, or one from before the last begin()",
                           (int)i);
        if (k[i] != 0 && dm_shape_count(&terms[i].x->shape) != dm_shape_count(&out->shape))
            return dm_fail(c, DM_EINVAL, "term %d of a sum does not have the result's shape", (int)i);
        if (k[i] != 0 && terms[i].x->unwritten)
            return dm_fail(c, DM_EINVAL, "term %d of a sum is a tensor that was never written",
                           (int)i);
    }
    out->unwritten = false;
    if (s->counting)
        return DM_OK;
    return dm_launch_sum(s->device, out->buf, k, x, n, dm_shape_count(&out->shape), c->err);
}

static dm_kernel *kernel(dm_ctx *c, const char *source, const char *name, const char *options)
{
    dm_kernel *k = NULL;

    if (!source || !name)
        dm_fail(c, DM_EINVAL, "kernel was given NULL for its %s", source ? "name" : "source");
    else if (!dm_services_of(c)->device) /* its steps are counted, and nothing is launched */
        k = (dm_kernel *)(void *)dm_services_of(c);
    else
        dm_kernel_from_source(dm_services_of(c)->device, dm_call_instance()->plugin->name, source, name, options, &k,
                              c->err);
    return k;
}

/* What a kernel reads before anything wrote it shall not look like an image; which it writes is not known. */
static dm_status fill_unwritten(const dm_services *s, const dm_arg *args, int32_t n, dm_err *err)
{
    dm_status rc = DM_OK;

    for (int32_t i = 0; i < n && !rc; i++) {
        dm_tensor *t = args[i].kind == DM_BUF ? args[i].t : NULL;

        if (t && t->unwritten) {
            if (!s->counting)
                rc = dm_launch_sum(s->device, t->buf, (double[]){NAN}, &t->buf, 1, dm_shape_count(&t->shape), err);
            t->unwritten = false;
        }
    }
    return rc;
}

static dm_status launch(dm_ctx *c, dm_kernel *k, const dm_range *r, const dm_arg *args, int32_t n)
{
    const dm_services *s = dm_services_of(c);
    dm_karg a[64];
    dm_status rc;

    if (!k || !r)
        return dm_fail(c, DM_EINVAL, "launch was given NULL for its %s", k ? "range" : "kernel");
    if (n < 0 || n > 64 || (n && !args))
        return dm_fail(c, DM_EINVAL, "launch with %d arguments; at most 64", (int)n);
    for (int32_t i = 0; i < n; i++) {
        a[i] = (dm_karg){.kind = args[i].kind};
        switch (args[i].kind) {
        case DM_BUF:
            if (!args[i].t || !args[i].t->buf)
                return dm_fail(c, DM_EINVAL, "argument %d of a launch is a NULL tensor", (int)i);
            a[i].buf = args[i].t->buf;
            break;
        case DM_F32: a[i].v.f = (float)args[i].v; break;
        case DM_I32: a[i].v.i = (int32_t)args[i].v; break;
        case DM_LOCAL: a[i].v.bytes = (size_t)args[i].v; break;
        default: return dm_fail(c, DM_EINVAL, "argument %d of a launch has an unknown kind", (int)i);
        }
    }
    if (s->counting)
        return fill_unwritten(s, args, n, c->err);
    if (s->recording)
        return dm_cmds_launch(s->recording->cmds, k, r, a, n, s->recording->label, s->recording->work, c->err);
    rc = fill_unwritten(s, args, n, c->err);
    return rc ? rc : dm_launch(s->device, k, r, a, n, c->err);
}

void dm_device_serve(dm_services *s)
{
    s->work.sum = sum;
    s->work.kernel = kernel;
    s->work.launch = launch;
}
