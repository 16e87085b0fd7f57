/* Sessions; see session.h. */
#include "session/session.h"

#include "base/clock.h"
#include "data/data.h"
#include "plan/precision.h"

#include <stdlib.h>
#include <string.h>

void dm_session_log(const dm_session *s, dm_log_level level, const char *fmt, ...)
{
    char line[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    dm_log_put(s->log, level, "%s", line);
}

static bool stopped(void *user)
{
    const dm_session *s = user;

    return !s->keeps_on && s->callbacks.cancelled && s->callbacks.cancelled(s->callbacks.user);
}

/* A first run on a device may compile for long: then it says so, once. Between two programs it can be stopped. */
static bool building(void *user, const char *program)
{
    dm_session *s = user;
    const double now = dm_seconds();

    dm_session_log(s, DM_LOG_DEBUG, "building %s", program);
    if (s->compiling_since == 0)
        s->compiling_since = now;
    if (s->compiling_since > 0 && now - s->compiling_since > 2) {
        dm_session_log(s, DM_LOG_INFO, "compiling kernels for this device; they are cached for later runs");
        s->compiling_since = -1;
    }
    return !stopped(s);
}

static void choices_log(void *user, dm_log_level level, const char *line) { dm_session_log(user, level, "%s", line); }

static dm_status make_choices(dm_session *s, dm_err *err)
{
    static const char *const names[] = {[DM_TUNE_OFF] = "off", [DM_TUNE_AUTO] = "auto", [DM_TUNE_ON] = "on"};
    const char *env = getenv("DEMIST_TUNE");
    dm_choices_options o = {.tune = (dm_tune)s->experiment->run.tune,
                            .high = s->experiment->run.matmul_precision == DM_PRODUCTS_HIGH,
                            .deterministic = s->experiment->run.deterministic,
                            .budget = -1,
                            .log = choices_log,
                            .stopped = stopped,
                            .user = s};
    bool known = !env || !*env;

    for (int i = 0; i < 3 && !known; i++)
        if (!strcmp(env, names[i])) {
            o.tune = (dm_tune)i;
            known = true;
        }
    if (!known)
        return dm_error(err, DM_EINVAL, "DEMIST_TUNE is '%s'; it must be off, auto or on", env);
    return dm_choices_new(s->device, &o, &s->choices, err);
}

/* Opens the device, which must have what the precision needs. */
static dm_status open_device(dm_session *s, bool profile, dm_err *err)
{
    const dm_device_options o = {.profile = profile,
                                 .bf16 = s->experiment->run.precision == DM_PRECISION_BF16,
                                 .high = s->experiment->run.matmul_precision == DM_PRODUCTS_HIGH,
                                 .building = building,
                                 .user = s};
    char device[DM_RANK_DEVICE];
    const dm_device_info *d;
    dm_status rc;

    if (!s->comm)
        s->comm = dm_comm_one();
    if ((rc = dm_rank_device(s->comm, s->experiment->run.device, device, err)) ||
        (rc = dm_device_open(device, &o, &s->device, err)))
        return rc;
    d = dm_device_get_info(s->device);
    if (s->experiment->run.precision == DM_PRECISION_FP16 && !d->fp16)
        return dm_error(err, DM_EDEVICE,
                        "precision: fp16 needs half precision (cl_khr_fp16), which device %d:%d '%s' (%s) does not "
                        "have; use bf16 or fp32, or a "
                        "device that has it (demist devices lists them)",
                        d->platform, d->device, d->name, d->platform_name);
    if (s->experiment->run.precision == DM_PRECISION_BF16 && !dm_multiplies_bf16(d))
        dm_session_log(s, DM_LOG_WARNING,
                       "precision: bf16 saves memory but no time here: device %d:%d '%s' has no fast products of bf16 "
                       "and multiplies in fp32, with casts; fp32 is as fast or faster",
                       d->platform, d->device, d->name);
    return DM_OK;
}

dm_status dm_session_open(dm_session *s, bool profile, dm_err *err)
{
    dm_status rc;

    if ((rc = open_device(s, profile, err)) || (rc = make_choices(s, err)) ||
        (rc = dm_net_new(s->experiment, s->noise, s->device, &s->data, s->label_width, &s->model, err)))
        return rc;
    dm_net_use(s->model, s->choices);
    return DM_OK;
}

void dm_session_fini(dm_session *s)
{
    dm_data_close(s->examples);
    s->examples = NULL;
    dm_net_free(s->model);
    dm_choices_free(s->choices);
    dm_device_close(s->device);
    dm_st_close(s->checkpoint);
    dm_st_close(s->start);
    dm_noise_free(s->noise);
    dm_experiment_free(s->experiment);
    dm_registry_free(s->registry);
    dm_log_free(s->log);
    s->log = NULL;
    s->model = NULL;
    s->device = NULL;
    s->choices = NULL;
    s->checkpoint = s->start = NULL;
    s->noise = NULL;
    s->experiment = NULL;
    s->registry = NULL;
}

dm_status dm_session_log_profile(const dm_session *s, dm_err *err)
{
    dm_profile_row *rows;
    double total = 0;
    dm_status rc;
    int n;

    if ((rc = dm_device_profile(s->device, &rows, &n, err)))
        return rc;
    for (int i = 0; i < n; i++)
        total += rows[i].seconds;
    dm_session_log(s, DM_LOG_INFO, "%-32s %8s %10s %6s %10s %8s", "kernel", "calls", "ms", "%", "GFLOP/s", "GB/s");
    for (int i = 0; i < n; i++)
        dm_session_log(s, DM_LOG_INFO, "%-32s %8llu %10.2f %6.1f %10.1f %8.1f", rows[i].label,
                       (unsigned long long)rows[i].calls, rows[i].seconds * 1e3,
                       total > 0 ? 100 * rows[i].seconds / total : 0,
                       rows[i].seconds > 0 ? rows[i].flops / rows[i].seconds * 1e-9 : 0,
                       rows[i].seconds > 0 ? rows[i].bytes / rows[i].seconds * 1e-9 : 0);
    free(rows);
    return DM_OK;
}
