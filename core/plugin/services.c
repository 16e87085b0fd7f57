/* The functions behind dm_host, each in the callbacks that its line of <demist/plugin.h> names and in no other. What
 * they do lies with what it is done to: dm_services.work. */
#include "plugin/instance.h"

#include "base/normal_quantile.h"

#include <string.h>

/* `where` is what a message says of `in`. */
typedef struct host_call { const char *name, *where; uint32_t in; } host_call;
enum {
    IN_BEGIN = DM_IN(DM_CB_BEGIN),
    IN_STEP = DM_IN(DM_CB_STEP),
    IN_GUIDANCE_BEGIN = DM_IN(DM_CB_GUIDANCE_BEGIN),
    IN_GUIDANCE = IN_GUIDANCE_BEGIN | DM_IN(DM_CB_GUIDE),
    IN_OPS = DM_IN(DM_CB_FORWARD) | DM_IN(DM_CB_BACKWARD),
    WITH_SCHEDULE = IN_GUIDANCE | DM_IN(DM_CB_GUIDANCE_AT) | DM_IN(DM_CB_GRID_FILL) | DM_IN(DM_CB_CHECK) | IN_BEGIN |
                    IN_STEP | DM_IN(DM_CB_STEP_LOG_VAR) | DM_IN(DM_CB_BUILD) | DM_IN(DM_CB_OPEN) | DM_IN(DM_CB_AFFINE) |
                    DM_IN(DM_CB_LOG_VAR) | DM_IN(DM_CB_SCALARS) | DM_IN(DM_CB_LOSS) | DM_IN(DM_CB_DRAW),
};
static const char where_schedule[] = "the callbacks of samplers, networks and objectives, a grid's fill(), and a "
                                     "guidance's begin(), guide() and at()",
                  where_device[] = "begin(), step(), guide() and an op's forward() and backward()";
static const host_call tensor_like_call = {"tensor_like", "begin()", IN_BEGIN | IN_GUIDANCE_BEGIN},
                       sum_call = {"sum", "begin(), step() and guide()", IN_BEGIN | IN_STEP | IN_GUIDANCE},
                       randn_call = {"randn", "step()", IN_STEP},
                       predict_call = {"predict", "step()", IN_STEP},
                       point_at_t_call = {"point_at_t", where_schedule, WITH_SCHEDULE},
                       point_at_log_snr_call = {"point_at_log_snr", where_schedule, WITH_SCHEDULE},
                       posterior_call = {"posterior", where_schedule, WITH_SCHEDULE},
                       rms_call = {"rms", "step() and guide()", IN_STEP | DM_IN(DM_CB_GUIDE)},
                       span_call = {"span", where_schedule, WITH_SCHEDULE},
                       kernel_call = {"kernel", where_device, IN_BEGIN | IN_STEP | IN_GUIDANCE | IN_OPS},
                       launch_call = {"launch", where_device, IN_BEGIN | IN_STEP | IN_GUIDANCE | IN_OPS};

/* Whether the plugin that this thread is in may make this call now; where it may, the host is at work until leave(). */
static bool enter(dm_ctx *c, const host_call *call)
{
    const dm_callback now = dm_call_which();

    if (now == DM_CB_NONE || dm_call_instance()->services != dm_services_of(c)) {
        dm_fail(c, DM_EINVAL, "%s was called outside of a callback; it may be called in %s alone", call->name,
                call->where);
        return false;
    }
    if (!(call->in & DM_IN(now))) {
        dm_fail(c, DM_EINVAL, "%s may be called in %s alone, not in %s%s", call->name, call->where,
                dm_callback_name(now), IN_OPS & DM_IN(now) ? "; an op records its work with launch" : "");
        return false;
    }
    dm_call_host_enter();
    return true;
}

static dm_status leave(dm_status rc)
{
    dm_call_host_leave();
    return rc;
}

static void log_line(dm_ctx *c, const char *fmt, ...)
{
    const dm_services *s = dm_services_of(c);
    const dm_instance *i = dm_call_instance();
    char line[1024];
    size_t n;
    va_list ap;

    if (!s->log.line)
        return;
    snprintf(line, sizeof line, "%s: ", i ? i->plugin->name : "a plugin outside of its callbacks");
    n = strlen(line);
    va_start(ap, fmt);
    vsnprintf(line + n, sizeof line - n, fmt, ap);
    va_end(ap);
    s->log.line(s->log.user, line);
}

static dm_shape shape(const dm_tensor *t) { return t ? t->shape : (dm_shape){0}; }

static dm_tensor *tensor_like(dm_ctx *c, const dm_tensor *like)
{
    dm_tensor *t = NULL;

    if (enter(c, &tensor_like_call)) {
        t = dm_services_of(c)->work.tensor_like(c, like);
        dm_call_host_leave();
    }
    return t;
}

static dm_status sum(dm_ctx *c, dm_tensor *out, const dm_term *terms, int32_t n)
{
    return enter(c, &sum_call) ? leave(dm_services_of(c)->work.sum(c, out, terms, n)) : c->err->code;
}

static dm_status randn(dm_ctx *c, dm_tensor *t, int32_t draw)
{
    return enter(c, &randn_call) ? leave(dm_services_of(c)->work.randn(c, t, draw)) : c->err->code;
}

static dm_status predict(dm_ctx *c, const dm_tensor *x, const dm_point *p, const dm_pred *want)
{
    return enter(c, &predict_call) ? leave(dm_services_of(c)->work.predict(c, x, p, want)) : c->err->code;
}

/* A call that reads the schedule, and writes to `to`. */
static bool enter_schedule(dm_ctx *c, const host_call *call, const void *to)
{
    if (!enter(c, call))
        return false;
    if (dm_services_of(c)->noise && to)
        return true;
    dm_fail(c, DM_EINVAL, to ? "%s: this experiment has no schedule" : "%s was given NULL to write to", call->name);
    dm_call_host_leave();
    return false;
}

static dm_status point_at_t(dm_ctx *c, double t, dm_point *p)
{
    return enter_schedule(c, &point_at_t_call, p) ? leave(dm_services_of(c)->work.point_at_t(c, t, p)) : c->err->code;
}

static dm_status point_at_log_snr(dm_ctx *c, double log_snr, dm_point *p)
{
    if (!enter_schedule(c, &point_at_log_snr_call, p))
        return c->err->code;
    return leave(dm_services_of(c)->work.point_at_log_snr(c, log_snr, p));
}

static dm_status posterior(dm_ctx *c, const dm_point *at, const dm_point *to, dm_posterior *q)
{
    if (!enter_schedule(c, &posterior_call, q))
        return c->err->code;
    return leave(dm_services_of(c)->work.posterior(c, at, to, q));
}

static dm_status span(dm_ctx *c, dm_span *s)
{
    return enter_schedule(c, &span_call, s) ? leave(dm_services_of(c)->work.span(c, s)) : c->err->code;
}

static dm_status rms(dm_ctx *c, const dm_tensor *t, const dm_tensor *weight, dm_rms *out)
{
    return enter(c, &rms_call) ? leave(dm_services_of(c)->work.rms(c, t, weight, out)) : c->err->code;
}

static dm_kernel *kernel(dm_ctx *c, const char *source, const char *name, const char *options)
{
    dm_kernel *k = NULL;

    if (enter(c, &kernel_call)) {
        k = dm_services_of(c)->work.kernel(c, source, name, options);
        dm_call_host_leave();
    }
    return k;
}

static dm_status launch(dm_ctx *c, dm_kernel *k, const dm_range *r, const dm_arg *args, int32_t n)
{
    return enter(c, &launch_call) ? leave(dm_services_of(c)->work.launch(c, k, r, args, n)) : c->err->code;
}

void dm_services_init(dm_services *s, const dm_plugin_log *log)
{
    *s = (dm_services){.api = {.abi = DM_ABI,
                               .size = sizeof s->api,
                               .log = log_line,
                               .tensor_like = tensor_like,
                               .shape = shape,
                               .sum = sum,
                               .randn = randn,
                               .predict = predict,
                               .point_at_t = point_at_t,
                               .point_at_log_snr = point_at_log_snr,
                               .posterior = posterior,
                               .normal_quantile = dm_normal_quantile,
                               .kernel = kernel,
                               .launch = launch,
                               .rms = rms,
                               .span = span}};
    if (log)
        s->log = *log;
    dm_device_serve(s);
}
