/* Where a session's weights come from, and whether they fit; see session_source.h. */
#include "session/session_source.h"

#include "base/folder.h"
#include "format/foreign.h"
#include "run/run_folder.h"
#include "run/run_paths.h"

#include <stdlib.h>
#include <string.h>

/* A run stays one whatever else lies in its folder: an export of it, or a config.json of another program. */
static dm_status is_foreign(const char *folder, bool *is, dm_err *err)
{
    char *config = dm_run_path(folder, DM_RUN_CONFIG);
    dm_path_kind kind;
    dm_status rc = config ? dm_path_look(config, &kind, err) : dm_error(err, DM_ENOMEM, "out of memory");

    free(config);
    *is = false;
    return rc || kind == DM_PATH_FILE ? rc : dm_foreign_is(folder, is, err);
}

dm_status dm_session_source(const dm_session *s, const char *run, dm_st **out, int64_t *step, dm_err *err)
{
    dm_path_kind kind;
    dm_err damaged = {0};
    bool foreign;
    dm_status rc;

    if ((rc = dm_path_look(run, &kind, err)))
        return rc;
    if (kind == DM_PATH_NOTHING)
        return dm_error(err, DM_ENOENT,
                        "unable to open '%s': no such file or folder; give a run folder or a checkpoint", run);
    if (kind != DM_PATH_FOLDER) {
        if (!(rc = dm_st_open(run, out, err)) && (rc = dm_st_verify(*out, err))) {
            dm_st_close(*out);
            *out = NULL;
        }
        return rc;
    }
    if ((rc = is_foreign(run, &foreign, err)) || foreign)
        return rc ? rc : dm_foreign_open(run, out, err);
    rc = dm_checkpoint_latest(run, out, step, &damaged, err);
    if (damaged.msg[0])
        dm_session_log(s, DM_LOG_WARNING, "the newest checkpoint is damaged, an older one is used: %s", damaged.msg);
    return rc;
}

const char *dm_session_override(const dm_session *s, const char *section, int *i)
{
    const size_t n = strlen(section);

    for (; *i < s->n_overrides; ++*i)
        if (!strncmp(s->overrides[*i], section, n) && (s->overrides[*i][n] == '.' || s->overrides[*i][n] == '='))
            return s->overrides[(*i)++];
    return NULL;
}

int64_t dm_session_step(const dm_session *s)
{
    const char *step = dm_st_meta(s->checkpoint, "step");

    return step ? strtoll(step, NULL, 10) : 0;
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
        override = dm_session_override(s, k ? "objective" : "network", &i);
    rc = dm_checkpoint_compare(f, dm_session_prefix(f, raw), l, override ? NULL : log_error, s, err);
    if (rc == DM_ECORRUPT && override)
        return dm_error(err, DM_EINVAL,
                        "%s: '%s' was trained with another network, whose weights do not fit; leave this out", override,
                        dm_st_path(f));
    return rc;
}

typedef struct comparing { const dm_session *s; const char *from; char *text; size_t n, at; } comparing;

static void tell_difference(void *user, const char *key, const char *ours, const char *theirs)
{
    comparing *c = user;

    if (!strcmp(key, "dropout"))
        return;
    dm_session_log(c->s, DM_LOG_WARNING, "network.%s is %s; it was %s for the weights of '%s'", key, ours,
                   theirs, c->from);
    if (c->at < c->n)
        c->at += (size_t)snprintf(c->text + c->at, c->n - c->at, "network.%s is %s, not %s; ", key, ours, theirs);
}

/* Weights may fit a network that means something else by them, of another activation or order of sines. */
void dm_session_compare_network(const dm_session *s, const dm_st *f, const char *from, char *told, size_t n)
{
    const char *text = dm_st_meta(f, "experiment");
    const dm_experiment_options o = {.lenient_data = true};
    const dm_plugin *ours = s->experiment->section[DM_SEC_NETWORK].plugin, *theirs;
    comparing c = {s, from, told, n, 0};
    dm_experiment *e;
    dm_err ignored = {0};

    *told = 0;
    if (!text || dm_experiment_parse(text, strlen(text), "start", ".", &o, s->registry, &e, NULL, &ignored))
        return;
    theirs = e->section[DM_SEC_NETWORK].plugin;
    if (ours && theirs && strcmp(ours->name, theirs->name))
        tell_difference(&c, "use", ours->name, theirs->name);
    dm_experiment_differences(s->experiment, e, DM_SEC_NETWORK, tell_difference, &c);
    dm_experiment_free(e);
}

dm_status dm_session_weights(dm_session *s, bool raw, dm_wset **out, dm_err *err)
{
    const char *prefix = dm_session_prefix(s->checkpoint, raw);
    const dm_layout *l = dm_net_layout(s->model);
    dm_status rc;

    if ((rc = dm_session_fits(s, l, s->checkpoint, raw, err)) || (rc = dm_wset_new(s->device, l, out, err)))
        return rc;
    if ((rc = dm_checkpoint_load_weights(s->checkpoint, prefix, s->experiment->run.allow_nan, *out, err))) {
        dm_wset_free(*out);
        *out = NULL;
    }
    return rc;
}
