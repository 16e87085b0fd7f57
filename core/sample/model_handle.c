/* What holds for one call on a model; see model_handle.h. */
#include "sample/model_handle.h"

#include "base/arena.h"
#include "settings/param.h"

#include "text/plain_text.h"

#include "session/session_read.h"

#include <stdlib.h>
#include <string.h>

static char *key_of(const char *const *overrides, int n)
{
    size_t bytes = 1, at = 0;
    char *key;

    for (int i = 0; i < n; i++)
        bytes += strlen(overrides[i]) + 1;
    if (!(key = malloc(bytes)))
        return NULL;
    for (int i = 0; i < n; i++)
        at += (size_t)snprintf(key + at, bytes - at, "%s\n", overrides[i]);
    key[at] = 0;
    return key;
}

/* The experiment with the sampler of this call; it is kept as long as calls ask for the same. */
static dm_status use_sampler(dm_model *m, const char *const *overrides, int n, dm_err *err)
{
    dm_experiment *e;
    char *key;
    dm_status rc;

    if ((rc = dm_session_check_overrides(overrides, n, err)))
        return rc;
    if (!(key = key_of(overrides, n)))
        return dm_error(err, DM_ENOMEM, "out of memory for overrides");
    if (!m->other || strcmp(m->other_key, key)) {
        if ((rc = dm_session_sampled_by(&m->s, overrides, n, &e, err))) {
            free(key);
            return rc;
        }
        dm_image_sampler_free(m->sampler); /* it may be by what goes now */
        m->sampler = NULL;
        dm_experiment_free(m->other);
        free(m->other_key);
        m->other = e;
        m->other_key = key;
        key = NULL;
    }
    free(key);
    m->s.experiment = m->other;
    return DM_OK;
}

dm_status dm_model_call_begin(dm_model *m, const char *const *overrides, int n, const int64_t *seed,
                              const dm_callbacks *callbacks, dm_model_call *call, dm_err *err)
{
    dm_session *s = &m->s;
    dm_callbacks cb;
    dm_status rc;

    *call = (dm_model_call){.callbacks = s->callbacks, .experiment = s->experiment};
    call->seed = s->experiment->run.seed;
    if (callbacks) {
        if ((rc = DM_SIZED_READ(dm_callbacks, &cb, callbacks, err)))
            return rc;
        s->callbacks = cb;
        dm_log_to(s->log, cb.log, cb.user);
    }
    if (n && (rc = use_sampler(m, overrides, n, err)))
        return rc;
    call->seed = s->experiment->run.seed;
    if (seed && (*seed < 0 || *seed > (int64_t)1 << 53))
        return dm_error(err, DM_EINVAL, "the seed is %lld; it must be from 0 to 2^53", (long long)*seed);
    if (seed)
        s->experiment->run.seed = *seed;
    return DM_OK;
}

void dm_model_call_end(dm_model *m, const dm_model_call *call)
{
    m->s.experiment->run.seed = call->seed;
    m->s.experiment = call->experiment;
    m->s.callbacks = call->callbacks;
    dm_log_to(m->s.log, call->callbacks.log, call->callbacks.user);
}

dm_status dm_model_check_labels(const dm_model *m, const int32_t *labels, int64_t n, dm_err *err)
{
    const int32_t classes = m->s.data.classes;

    if (labels && !classes)
        dm_session_log(&m->s, DM_LOG_WARNING, "this model has no classes; the labels are ignored");
    for (int64_t i = 0; i < n && labels && classes; i++)
        if (labels[i] < 0 || labels[i] > classes)
            return dm_error(err, DM_EINVAL, "label %lld is %d; this model has classes 0 to %d, and %d for none",
                            (long long)i, (int)labels[i], (int)classes - 1, (int)classes);
    return DM_OK;
}

dm_status dm_model_check_sampled(const dm_model *m, dm_err *err)
{
    const char *why = dm_st_meta(m->s.checkpoint, "not_sampled");

    if (!dm_net_diffuses(m->s.model))
        return dm_error(err, DM_EINVAL, "'%s' is not a diffusion model; there is nothing to sample", m->run);
    return why ? dm_error(err, DM_EINVAL, "'%s' cannot be sampled: %s", m->run, why) : DM_OK;
}

/* " SECTION.KEY=VALUE" of a plugin's values that are not its defaults, and of this key whatever it is; what finds no
 * room in text[n], or is long, is left out. */
static dm_status add_values(const char *section, const dm_section *s, const char *always, char *text, size_t n,
                            dm_err *err)
{
    const dm_plugin *p = s->plugin;
    dm_arena *a;
    void *def;
    dm_status rc = DM_OK;

    if (!p || !p->params)
        return DM_OK;
    if (!(a = dm_arena_new()) || !(def = dm_alloc(a, p->cfg_size)))
        rc = dm_error(err, DM_ENOMEM, "out of memory for the description of a sampling");
    for (const dm_param *row = p->params; row->type != DM_T_END && !rc; row++) {
        const size_t used = strlen(text), longest = 40;
        const char *is, *was = NULL;

        if (row->type == DM_T_PATH || !row->def)
            continue;
        is = dm_param_print(row, s->cfg, a);
        if (!(rc = dm_param_set_text(row, row->def, "", a, def, err)))
            was = dm_param_print(row, def, a);
        if (!rc && (!is || !was))
            rc = dm_error(err, DM_ENOMEM, "out of memory for the value of %s.%s", section, row->name);
        if (!rc && strlen(is) <= longest && (strcmp(is, was) || !strcmp(row->name, always)) &&
            used + strlen(section) + strlen(row->name) + strlen(is) + 4 < n)
            snprintf(text + used, n - used, " %s.%s=%s", section, row->name, is);
    }
    dm_arena_free(a);
    return rc;
}

/* The plugins of a sampling and what was set of them: without the grid and the guidance that nobody chose. */
static dm_status add_plugins(const dm_experiment *e, char *text, size_t n, dm_err *err)
{
    static const struct { dm_section_id id; const char *name, *usual, *always; } parts[] = {
        {DM_SEC_SAMPLER, "sampler", NULL, ""}, {DM_SEC_GRID, "grid", "uniform", ""},
        {DM_SEC_GUIDANCE, "guidance", "none", "scale"}};
    dm_status rc = DM_OK;

    for (size_t k = 0; k < sizeof parts / sizeof parts[0] && !rc; k++) {
        const dm_section *s = &e->section[parts[k].id];
        const size_t used = strlen(text);

        if (s->plugin && parts[k].usual && strcmp(s->plugin->name, parts[k].usual) && used < n)
            snprintf(text + used, n - used, " %s=%s", parts[k].name, s->plugin->name);
        rc = add_values(parts[k].name, s, parts[k].always, text, n, err);
    }
    return rc;
}

dm_status dm_model_describe(const dm_model *m, dm_images *out, dm_err *err)
{
    const dm_experiment *e = m->s.experiment;
    dm_status rc;

    snprintf(out->about, sizeof out->about, "demist %s name=%s sampler=%s steps=%d seed=%lld checkpoint=%s",
             dm_version(), e->run.name, e->section[DM_SEC_SAMPLER].plugin->name, (int)out->steps,
             (long long)e->run.seed, dm_st_meta(m->s.checkpoint, "step"));
    rc = add_plugins(e, out->about, sizeof out->about, err);
    dm_plain_text(out->about);
    return rc;
}
