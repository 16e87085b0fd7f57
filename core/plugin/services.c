/* The functions behind dm_host: what every plugin may ask for. Calls outside their place fail with a reason. */
#include "plugin/instance.h"

#include "base/normal_quantile.h"
#include "device/kernels.h"

#include <math.h>
#include <string.h>

static void log_line(dm_ctx *c, const char *fmt, ...)
{
    const dm_services *s = dm_services_of(c);
    char line[1024];
    size_t n;
    va_list ap;

    if (!s->log)
        return;
    snprintf(line, sizeof line, "%s%s", s->plugin, s->plugin[0] ? ": " : "");
    n = strlen(line);
    va_start(ap, fmt);
    vsnprintf(line + n, sizeof line - n, fmt, ap);
    va_end(ap);
    s->log(s->log_user, line);
}

static dm_shape shape(const dm_tensor *t) { return t ? t->shape : (dm_shape){0}; }

static dm_status sum(dm_ctx *c, dm_tensor *out, const dm_term *terms, int32_t n)
{
    dm_services *s = dm_services_of(c);
    double k[8];
    dm_buf *x[8];

    if (!s->device)
        return dm_fail(c, DM_EINVAL, "sum needs a device, which there is not yet");
    if (!out || !out->buf)
        return dm_fail(c, DM_EINVAL, "sum into no tensor; ask for tensors in begin(), each time");
    if (n < 1 || n > 8)
        return dm_fail(c, DM_EINVAL, "sum of %d terms; 1 to 8 are possible", (int)n);
    for (int32_t i = 0; i < n; i++) {
        k[i] = terms[i].k;
        x[i] = terms[i].x ? terms[i].x->buf : NULL;
        if (k[i] != 0 && (!x[i] || dm_shape_count(&terms[i].x->shape) != dm_shape_count(&out->shape)))
            return dm_fail(c, DM_EINVAL, "term %d of a sum is not of the result's shape", (int)i);
    }
    if (s->counting)
        return DM_OK;
    return dm_launch_sum(s->device, out->buf, k, x, n, dm_shape_count(&out->shape), c->err);
}

static dm_kernel *kernel(dm_ctx *c, const char *source, const char *name, const char *options)
{
    const dm_services *s = dm_services_of(c);
    dm_kernel *k = NULL;

    if (!s->device)
        dm_fail(c, DM_EINVAL, "kernel needs a device, which there is not yet");
    else
        dm_kernel_from_source(s->device, s->plugin[0] ? s->plugin : "plugin", source, name, options, &k, c->err);
    return k;
}

static dm_status launch(dm_ctx *c, dm_kernel *k, const dm_range *r, const dm_arg *args, int32_t n)
{
    dm_services *s = dm_services_of(c);
    dm_karg a[64];

    if (!s->device || !k)
        return dm_fail(c, DM_EINVAL, "launch needs a device and a kernel");
    if (n < 0 || n > 64)
        return dm_fail(c, DM_EINVAL, "launch with %d arguments; at most 64", (int)n);
    for (int32_t i = 0; i < n; i++) {
        a[i] = (dm_karg){.kind = args[i].kind};
        switch (args[i].kind) {
        case DM_BUF: a[i].buf = args[i].t ? args[i].t->buf : NULL; break;
        case DM_F32: a[i].v.f = (float)args[i].v; break;
        case DM_I32: a[i].v.i = (int32_t)args[i].v; break;
        case DM_LOCAL: a[i].v.bytes = (size_t)args[i].v; break;
        default: return dm_fail(c, DM_EINVAL, "argument %d of a launch is of no kind that there is", (int)i);
        }
    }
    if (s->counting)
        return DM_OK;
    if (s->recording)
        return dm_cmds_launch(s->recording->cmds, k, r, a, n, s->recording->label, s->recording->work, c->err);
    return dm_launch(s->device, k, r, a, n, c->err);
}

/* ---- what needs a schedule or a sampling run refuses until it is filled in ---- */

static dm_tensor *no_tensor_like(dm_ctx *c, const dm_tensor *like)
{
    (void)like;
    dm_fail(c, DM_EINVAL, "tensor_like is for samplers, in begin()");
    return NULL;
}

static dm_status no_randn(dm_ctx *c, dm_tensor *t, int32_t draw)
{
    (void)t, (void)draw;
    return dm_fail(c, DM_EINVAL, "randn is for samplers, in step()");
}

static dm_status no_predict(dm_ctx *c, const dm_tensor *x, const dm_point *p, const dm_pred *want)
{
    (void)x, (void)p, (void)want;
    return dm_fail(c, DM_EINVAL, "predict is for samplers, in step()");
}

static dm_status no_point(dm_ctx *c, double at, dm_point *p)
{
    (void)at, (void)p;
    return dm_fail(c, DM_EINVAL, "this experiment has no schedule");
}

static dm_status no_posterior(dm_ctx *c, const dm_point *at, const dm_point *to, dm_posterior *q)
{
    (void)at, (void)to, (void)q;
    return dm_fail(c, DM_EINVAL, "this experiment has no schedule");
}

void dm_services_init(dm_services *s)
{
    *s = (dm_services){.api = {.abi = DM_ABI,
                               .size = sizeof s->api,
                               .log = log_line,
                               .tensor_like = no_tensor_like,
                               .shape = shape,
                               .sum = sum,
                               .randn = no_randn,
                               .predict = no_predict,
                               .point_at_t = no_point,
                               .point_at_log_snr = no_point,
                               .posterior = no_posterior,
                               .normal_quantile = dm_normal_quantile,
                               .kernel = kernel,
                               .launch = launch}};
}
