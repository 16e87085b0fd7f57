/* Sessions; see session.h. */
#include "session/session.h"

#include "data/data.h"
#include "session/examine.h"
#include "format/foreign.h"
#include "base/number.h"
#include "run/run_folder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>


void dm_session_log(const dm_session *s, dm_log_level level, const char *fmt, ...)
{
    char line[2048];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    dm_log_put(s->log, level, "%s", line);
}

/* One log line for each line of text. */
static void log_lines(const dm_session *s, dm_log_level level, const char *text)
{
    while (text && *text) {
        const size_t n = strcspn(text, "\n");

        dm_session_log(s, level, "%.*s", (int)n, text);
        text += n + (text[n] == '\n');
    }
}

/* With what was read, also if there were faults: the rest of them, so that all are told at once. */
static dm_status after_load(dm_session *s, dm_status rc, dm_need need, dm_faults *faults, dm_err *err)
{
    dm_status hard = DM_OK;

    log_lines(s, DM_LOG_INFO, faults->notes);
    if (s->experiment && (hard = dm_session_examine(s, need, faults, err)))
        rc = hard;
    log_lines(s, DM_LOG_ERROR, faults->text);
    if (!hard && faults->count) {
        rc = faults->first.code;
        if (!s->callbacks.log)
            dm_error(err, rc, "%s", faults->first.msg);
        else if (faults->count > 1)
            dm_error(err, rc, "%d errors in the experiment", faults->count);
        else
            dm_error(err, rc, "1 error in the experiment");
    }
    dm_faults_fini(faults);
    return rc;
}

dm_status dm_session_read(dm_session *s, const char *experiment, const char *const *overrides, int n, dm_need need,
                          const dm_callbacks *cb, dm_err *err)
{
    const bool data = need >= DM_NEED_DATA;
    const dm_experiment_options o = {
        .overrides = overrides, .n_overrides = n, .need_data = data, .lenient_data = !data, .keep = true};
    dm_faults faults = {0};
    dm_status rc;

    *s = (dm_session){.callbacks = *cb, .log = dm_log_new(DM_LOG_DEBUG, cb->log, cb->user)};
    if (!(rc = dm_registry_new(NULL, &s->registry, err)))
        rc = after_load(s, dm_experiment_load(experiment, &o, s->registry, &s->experiment, &faults, err), need, &faults,
                        err);
    if (rc)
        dm_session_fini(s);
    return rc;
}

dm_status dm_session_source(const dm_session *s, const char *run, dm_st **out, int64_t *step, dm_err *err)
{
    struct stat st;
    dm_err damaged = {0};
    dm_status rc;

    if (stat(run, &st)) {
        const bool none = errno == ENOENT || errno == ENOTDIR;

        return dm_error(err, none ? DM_ENOENT : DM_EIO, "unable to open '%s': %s; give a run folder or a checkpoint",
                        run, none ? "no such file or folder" : "not readable");
    }
    if (!S_ISDIR(st.st_mode)) {
        if (!(rc = dm_st_open(run, out, err)) && (rc = dm_st_verify(*out, err))) {
            dm_st_close(*out);
            *out = NULL;
        }
        return rc;
    }
    if (dm_foreign_is(run))
        return dm_foreign_open(run, out, err);
    rc = dm_checkpoint_latest(run, out, step, &damaged, err);
    if (damaged.msg[0])
        dm_session_log(s, DM_LOG_WARNING, "the newest checkpoint is damaged, an older one is used: %s", damaged.msg);
    return rc;
}

/* Of a session whose log is there. */
static dm_status parse(dm_session *s, const char *text, const char *name, const char *const *overrides, int n,
                       dm_err *err)
{
    const dm_experiment_options o = {.overrides = overrides, .n_overrides = n, .lenient_data = true, .keep = true};
    dm_faults faults = {0};
    dm_status rc;

    if ((rc = dm_registry_new(NULL, &s->registry, err)))
        return rc;
    return after_load(s,
                      dm_experiment_parse(text, strlen(text), name, ".", &o, s->registry, &s->experiment, &faults, err),
                      DM_NEED_NETWORK, &faults, err);
}

dm_status dm_session_read_text(dm_session *s, const char *text, const char *name, const char *const *overrides, int n,
                               const dm_callbacks *cb, dm_err *err)
{
    dm_status rc;

    *s = (dm_session){.callbacks = *cb, .log = dm_log_new(DM_LOG_DEBUG, cb->log, cb->user)};
    if ((rc = parse(s, text, name, overrides, n, err)))
        dm_session_fini(s);
    return rc;
}

/* The next override of this section from *i on, or NULL. */
static const char *override_of(const dm_session *s, const char *section, int *i)
{
    const size_t n = strlen(section);

    for (; *i < s->n_overrides; ++*i)
        if (!strncmp(s->overrides[*i], section, n) && (s->overrides[*i][n] == '.' || s->overrides[*i][n] == '='))
            return s->overrides[(*i)++];
    return NULL;
}

/* What the weights mean was settled in training; another meaning is allowed, for whoever knows why. */
static void warn_of_meaning(const dm_session *s)
{
    static const char *const sections[] = {"objective", "schedule"};

    for (size_t k = 0; k < sizeof sections / sizeof sections[0]; k++)
        for (int i = 0; i < s->n_overrides;) {
            const char *override = override_of(s, sections[k], &i);

            if (override)
                dm_session_log(s, DM_LOG_WARNING, "%s: the model was trained with another %s", override, sections[k]);
        }
}

/* Of a model whose labels are vectors. */
static dm_status read_label_width(dm_session *s, dm_err *err)
{
    const char *text = dm_st_meta(s->checkpoint, "label_width");
    char *end;

    if (!text)
        return DM_OK;
    s->label_width = strtoll(text, &end, 10);
    if (end != text && !*end && s->label_width > 0 && s->label_width <= 1 << 20)
        return DM_OK;
    return dm_error(err, DM_ECORRUPT, "'%s': label_width is '%s'; it must be from 1 to %d", dm_st_path(s->checkpoint),
                    text, 1 << 20);
}

dm_status dm_session_read_run(dm_session *s, const char *run, const char *const *overrides, int n,
                              const dm_callbacks *cb, dm_err *err)
{
    const char *text;
    dm_status rc;

    *s = (dm_session){.callbacks = *cb, .log = dm_log_new(DM_LOG_DEBUG, cb->log, cb->user)};
    if ((rc = dm_session_source(s, run, &s->checkpoint, &s->step, err)) ||
        (rc = dm_data_meta_read(s->checkpoint, &s->data, err)))
        goto failed;
    if ((rc = read_label_width(s, err)))
        goto failed;
    if (!(text = dm_st_meta(s->checkpoint, "experiment"))) {
        rc = dm_error(err, DM_ECORRUPT, "'%s' is no checkpoint of a training run: it has no experiment",
                      dm_st_path(s->checkpoint));
        goto failed;
    }
    if ((rc = parse(s, text, dm_st_path(s->checkpoint), overrides, n, err)))
        goto failed;
    s->overrides = overrides;
    s->n_overrides = n;
    warn_of_meaning(s);
failed:
    if (rc)
        dm_session_fini(s);
    return rc;
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
    struct timespec t;
    double now;

    clock_gettime(CLOCK_MONOTONIC, &t);
    now = (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
    dm_session_log(s, DM_LOG_DEBUG, "building %s", program);
    if (s->compiling_since == 0)
        s->compiling_since = now;
    if (s->compiling_since > 0 && now - s->compiling_since > 2) {
        dm_session_log(s, DM_LOG_INFO, "compiling kernels for this device; later starts take them from a cache");
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
    const dm_device_info *d;
    dm_status rc;

    if ((rc = dm_device_open(s->experiment->run.device, &o, &s->device, err)))
        return rc;
    d = dm_device_about(s->device);
    if (s->experiment->run.precision == DM_PRECISION_FP16 && !d->fp16)
        return dm_error(err, DM_EDEVICE,
                        "precision: fp16 needs half precision (cl_khr_fp16), which device %d:%d '%s' (%s) does not "
                        "have; use bf16 or fp32, or a "
                        "device that has it (demist devices lists them)",
                        d->platform, d->device, d->name, d->platform_name);
    return DM_OK;
}

dm_status dm_session_open(dm_session *s, bool profile, dm_err *err)
{
    dm_status rc;

    if ((rc = open_device(s, profile, err)) || (rc = make_choices(s, err)) ||
        (rc = dm_model_new(s->experiment, s->noise, s->device, &s->data, s->label_width, &s->model, err)))
        return rc;
    dm_model_use(s->model, s->choices);
    return DM_OK;
}

const char *dm_session_prefix(const dm_st *f, bool raw)
{
    if (!raw && dm_checkpoint_has(f, "ema.0."))
        return "ema.0.";
    return dm_checkpoint_has(f, "model.") ? "model." : "";
}

static void log_error(void *user, const char *text) { dm_session_log(user, DM_LOG_ERROR, "%s", text); }

dm_status dm_session_fits(dm_session *s, const dm_layout *l, const dm_st *f, bool raw, dm_err *err)
{
    const char *override = NULL;
    dm_status rc;

    for (int k = 0, i = 0; f == s->checkpoint && k < 2 && !override; k++, i = 0)
        override = override_of(s, k ? "objective" : "network", &i);
    rc = dm_checkpoint_compare(f, dm_session_prefix(f, raw), l, override ? NULL : log_error, s, err);
    if (rc == DM_ECORRUPT && override)
        return dm_error(err, DM_EINVAL,
                        "%s: '%s' was trained with another network, whose weights do not fit; leave this out", override,
                        dm_st_path(f));
    return rc;
}

typedef struct comparing { const dm_session *s; const char *from; } comparing;

static void tell_difference(void *user, const char *key, const char *ours, const char *theirs)
{
    const comparing *c = user;

    if (strcmp(key, "dropout"))
        dm_session_log(c->s, DM_LOG_WARNING, "network.%s is %s; it was %s where the weights of '%s' come from", key,
                       ours, theirs, c->from);
}

/* Weights may fit a network that means something else by them, of another activation or order of sines. */
void dm_session_compare_network(const dm_session *s, const dm_st *f, const char *from)
{
    const char *text = dm_st_meta(f, "experiment");
    const dm_experiment_options o = {.lenient_data = true};
    comparing c = {s, from};
    dm_experiment *e;
    dm_err ignored = {0};

    if (!text || dm_experiment_parse(text, strlen(text), "start", ".", &o, s->registry, &e, NULL, &ignored))
        return;
    dm_experiment_differences(s->experiment, e, DM_SEC_NETWORK, tell_difference, &c);
    dm_experiment_free(e);
}

dm_status dm_session_weights(dm_session *s, bool raw, dm_wset **out, dm_err *err)
{
    const char *prefix = dm_session_prefix(s->checkpoint, raw);
    const dm_layout *l = dm_model_layout(s->model);
    dm_status rc;

    if ((rc = dm_session_fits(s, l, s->checkpoint, raw, err)) || (rc = dm_wset_new(s->device, l, out, err)))
        return rc;
    if ((rc = dm_checkpoint_load_weights(s->checkpoint, prefix, s->experiment->run.allow_nan, *out, err))) {
        dm_wset_free(*out);
        *out = NULL;
    }
    return rc;
}

void dm_session_fini(dm_session *s)
{
    dm_data_close(s->examples);
    s->examples = NULL;
    dm_model_free(s->model);
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

/* ---- the data's facts ---------------------------------------------------------------- */

void dm_data_meta_write(const dm_data_info *data, dm_data_meta *t, dm_st_pair pairs[DM_DATA_PAIRS])
{
    size_t at = 0;

    for (int32_t i = 0; i < data->shape.rank; i++)
        at += (size_t)snprintf(t->shape + at, sizeof t->shape - at, "%s%lld", i ? "," : "",
                               (long long)data->shape.dim[i]);
    snprintf(t->classes, sizeof t->classes, "%d", (int)data->classes);
    snprintf(t->levels, sizeof t->levels, "%d", (int)data->levels);
    dm_number_write(data->low, t->low);
    dm_number_write(data->high, t->high);
    pairs[0] = (dm_st_pair){"data.shape", t->shape};
    pairs[1] = (dm_st_pair){"data.classes", t->classes};
    pairs[2] = (dm_st_pair){"data.levels", t->levels};
    pairs[3] = (dm_st_pair){"data.low", t->low};
    pairs[4] = (dm_st_pair){"data.high", t->high};
}

static bool read_int(const dm_st *f, const char *key, long max, int32_t *out)
{
    const char *s = dm_st_meta(f, key);
    char *end;
    long v;

    if (!s || !*s)
        return false;
    errno = 0;
    v = strtol(s, &end, 10);
    *out = (int32_t)v;
    return !errno && !*end && v >= 0 && v <= max;
}

dm_status dm_data_meta_read(const dm_st *f, dm_data_info *data, dm_err *err)
{
    const char *s = dm_st_meta(f, "data.shape"), *low = dm_st_meta(f, "data.low"), *high = dm_st_meta(f, "data.high");

    *data = (dm_data_info){.size = sizeof *data};
    if (!s || !low || !high || !read_int(f, "data.classes", 1 << 20, &data->classes) ||
        !read_int(f, "data.levels", 1 << 20, &data->levels) || dm_number_real(low, &data->low) ||
        dm_number_real(high, &data->high))
        return dm_error(err, DM_ECORRUPT, "'%s' is no checkpoint of a training run: it does not say what its data were",
                        dm_st_path(f));
    for (char *end; *s; s = end + (*end == ',')) {
        const long long v = strtoll(s, &end, 10);

        if (end == s || v < 1 || v > 1 << 24 || data->shape.rank == 4 || (*end && *end != ','))
            return dm_error(err, DM_ECORRUPT, "'%s': data.shape '%s' is no shape", dm_st_path(f),
                            dm_st_meta(f, "data.shape"));
        data->shape.dim[data->shape.rank++] = v;
    }
    if (data->shape.rank != 1 && data->shape.rank != 3)
        return dm_error(err, DM_ECORRUPT, "'%s': data.shape '%s' is neither C,H,W nor D", dm_st_path(f),
                        dm_st_meta(f, "data.shape"));
    for (int32_t i = data->shape.rank; i < 8; i++)
        data->shape.dim[i] = 1;
    return DM_OK;
}
