/* The cells of a sweep: axes from the command line, their product, and what the experiment's checks say of each;
 * see sweep.h. */
#include "sweep/sweep.h"
#include "session/session_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dm_status no_memory(dm_err *err) { return dm_error(err, DM_ENOMEM, "out of memory for the sweep"); }

/* ---- axes -------------------------------------------------------------------------- */

/* Bytes to the next comma outside brackets, braces and quotes, or to the end. */
static size_t value_length(const char *s)
{
    int depth = 0;
    char quote = 0;
    size_t i;

    for (i = 0; s[i] && (s[i] != ',' || depth > 0 || quote); i++) {
        if (quote)
            quote = s[i] == quote ? 0 : quote;
        else if (s[i] == '"' || s[i] == '\'')
            quote = s[i];
        else
            depth += (s[i] == '[' || s[i] == '{') - (s[i] == ']' || s[i] == '}');
    }
    return i;
}

static dm_status add_values(sweep *s, sweep_axis *a, const char *text, dm_err *err)
{
    const size_t most = strlen(text) + 1;

    if (!(a->value = dm_alloc_n(s->arena, most, sizeof *a->value)))
        return no_memory(err);
    for (;; text++) {
        const size_t n = value_length(text);
        const char *v = dm_strndup(s->arena, text, n);

        if (!v)
            return no_memory(err);
        if (!n)
            return dm_error(err, DM_EINVAL, "--over %s: value %d is empty", a->key, a->n + 1);
        for (int i = 0; i < a->n; i++)
            if (!strcmp(a->value[i], v))
                return dm_error(err, DM_EINVAL, "--over %s: '%s' appears twice", a->key, v);
        a->value[a->n++] = v;
        text += n;
        if (!*text)
            return DM_OK;
    }
}

/* Where the key belongs; keys that place the run are the sweep's own. */
static dm_status place(sweep *s, sweep_axis *a, dm_err *err)
{
    static const char *const own[] = {"name", "output", "plugin_path", "include"};
    const char *dot = strchr(a->key, '.');
    const size_t n = dot ? (size_t)(dot - a->key) : strlen(a->key);

    a->section = DM_SEC_RUN;
    a->name = a->key;
    for (int id = DM_SEC_RUN + 1; id < DM_SEC_COUNT; id++)
        if (strlen(dm_settings[id].name) == n && !strncmp(dm_settings[id].name, a->key, n)) {
            a->section = (dm_section_id)id;
            a->name = dot ? dot + 1 : "";
        }
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (!strcmp(a->key, own[i]))
            return dm_error(err, DM_EINVAL, "--over %s: it cannot be swept: the sweep gives each run its folder",
                            a->key);
    for (int i = 0; i < s->n_axes; i++)
        if (!strcmp(s->axis[i].key, a->key))
            return dm_error(err, DM_EINVAL, "--over %s is given twice; give all its values at once", a->key);
    if (s->is_run && (a->section == DM_SEC_TRAIN || a->section == DM_SEC_NETWORK || a->section == DM_SEC_OBJECTIVE ||
                      a->section == DM_SEC_SCHEDULE))
        return dm_error(err, DM_EINVAL, "--over %s: '%s' is trained, and this key changes what is trained; give the "
                        "experiment's file, and each value is trained in a folder of its own", a->key, s->base);
    a->trains = !s->is_run && !dm_settings[a->section].sampling && strcmp(a->key, "device") &&
                strcmp(a->key, "allow_nan");
    return DM_OK;
}

dm_status sweep_add_axis(sweep *s, const char *text, dm_err *err)
{
    const char *equals = strchr(text, '=');
    sweep_axis a = {.n = 0};
    dm_status rc;

    if (!equals || equals == text)
        return dm_error(err, DM_EINVAL, "--over '%s': it is not of the form key=value,value,...", text);
    if (s->n_axes == SWEEP_AXES)
        return dm_error(err, DM_EINVAL, "--over %s: at most %d keys can be swept at once", text, SWEEP_AXES);
    if (!(a.key = dm_strndup(s->arena, text, (size_t)(equals - text))))
        return no_memory(err);
    if ((rc = place(s, &a, err)) || (rc = add_values(s, &a, equals + 1, err)))
        return rc;
    s->axis[s->n_axes++] = a;
    return DM_OK;
}

/* ---- reading an experiment without a word --------------------------------------------- */

void sweep_hear(sweep_fault *first, dm_log_level level, const char *line)
{
    const char *error = strstr(line, "error: ");

    if (level == DM_LOG_ERROR && !*first->text)
        snprintf(first->text, sizeof first->text, "%.*s", (int)strcspn(error ? error + 7 : line, "\n"),
                 error ? error + 7 : line);
}

static void hear(void *user, dm_log_level level, const char *line) { sweep_hear(user, level, line); }

static dm_status load(const sweep *s, const char *const *overrides, int n, dm_session *to, const dm_callbacks *cb,
                      dm_err *err)
{
    return s->is_run ? dm_session_read_text(to, s->run_text, s->base, overrides, n, cb, err)
                     : dm_session_read(to, s->base, overrides, n, DM_NEED_START, cb, err);
}

/* ---- cells ------------------------------------------------------------------------------ */

static const sweep_axis *axis_of_use(const sweep *s, dm_section_id id, int *index)
{
    for (*index = 0; *index < s->n_axes; ++*index)
        if (s->axis[*index].section == id && !strcmp(s->axis[*index].name, "use"))
            return &s->axis[*index];
    return NULL;
}

static dm_kind kind_of(dm_section_id id)
{
    for (int k = 0; k < DM_KIND_COUNT; k++)
        if (dm_kind_section((dm_kind)k) == id)
            return (dm_kind)k;
    return DM_KIND_COUNT;
}

static bool has_row(const dm_param *rows, const char *name)
{
    for (; rows && rows->type != DM_T_END; rows++)
        if (!strcmp(rows->name, name))
            return true;
    return false;
}

/* Whether the cell's plugin takes the key. */
static bool means_something(const sweep *s, dm_session *base, const sweep_cell *c, const sweep_axis *a)
{
    const dm_plugin *p = base->experiment->section[a->section].plugin;
    const sweep_axis *use;
    dm_err ignored = {0};
    int i;

    if (!*a->name || !strcmp(a->name, "use") || !dm_settings[a->section].plugin ||
        has_row(dm_settings[a->section].rows, a->name) ||
        (a->section == DM_SEC_SAMPLER && dm_experiment_former_key(a->name)))
        return true;
    if ((use = axis_of_use(s, a->section, &i)) &&
        dm_registry_get(base->registry, kind_of(a->section), use->value[c->value[i]], &p, &ignored))
        return false; /* no such plugin: the cell is refused, whatever its other keys */
    return !p || has_row(p->params, a->name);
}

static bool alike(const sweep *s, const sweep_cell *a, const sweep_cell *b)
{
    for (int i = 0; i < s->n_axes; i++)
        if (a->value[i] != b->value[i])
            return false;
    return true;
}

static dm_status fill_overrides(sweep *s, sweep_cell *c, dm_err *err)
{
    if (!(c->overrides = dm_alloc_n(s->arena, (size_t)(s->n_fixed + s->n_axes), sizeof *c->overrides)))
        return no_memory(err);
    for (int i = 0; i < s->n_fixed; i++)
        c->overrides[c->n_overrides++] = s->fixed[i];
    for (int i = 0; i < s->n_axes; i++)
        if (c->value[i] >= 0 && !(c->overrides[c->n_overrides++] =
                                      dm_sprintf(s->arena, "%s=%s", s->axis[i].key, s->axis[i].value[c->value[i]])))
            return no_memory(err);
    return DM_OK;
}

static dm_status check_cell(sweep *s, sweep_cell *c, dm_err *err)
{
    sweep_fault heard = {""};
    const dm_callbacks cb = {.size = sizeof cb, .log = hear, .user = &heard};
    dm_err why = {0};
    dm_session session;
    char *text;

    if (load(s, c->overrides, c->n_overrides, &session, &cb, &why)) {
        if (why.code == DM_ENOMEM)
            return dm_error(err, why.code, "%s", why.msg);
        c->state = why.code == DM_EIO ? SWEEP_FAILED : SWEEP_REFUSED;
        c->code = why.code;
        snprintf(c->why, sizeof c->why, "%.*s", (int)sizeof c->why - 1, *heard.text ? heard.text : why.msg);
        return DM_OK;
    }
    text = dm_experiment_print(session.experiment, false);
    c->experiment = text ? dm_strdup(s->arena, text) : NULL;
    free(text);
    dm_session_fini(&session);
    return c->experiment ? DM_OK : no_memory(err);
}

/* The values of cell number k of the whole product; keys without meaning left out. */
static void choose(const sweep *s, dm_session *base, int k, sweep_cell *c)
{
    bool means[SWEEP_AXES];

    for (int i = s->n_axes - 1; i >= 0; i--) {
        c->value[i] = k % s->axis[i].n;
        k /= s->axis[i].n;
    }
    for (int i = 0; i < s->n_axes; i++)
        means[i] = means_something(s, base, c, &s->axis[i]);
    for (int i = 0; i < s->n_axes; i++)
        if (!means[i])
            c->value[i] = -1;
}

/* A key that no cell takes is a mistake; the experiment's own message says which is meant. */
static dm_status check_keys(sweep *s, dm_err *err)
{
    for (int i = 0; i < s->n_axes; i++) {
        sweep_cell only = {.n_overrides = 0};
        bool taken = false;
        dm_session session;
        dm_status rc;

        for (int k = 0; k < s->n; k++)
            taken |= s->cell[k].value[i] >= 0;
        if (taken)
            continue;
        for (int k = 0; k < s->n_axes; k++)
            only.value[k] = k == i ? 0 : -1;
        if ((rc = fill_overrides(s, &only, err)) ||
            (rc = load(s, only.overrides, only.n_overrides, &session, s->request.callbacks, err)))
            return rc;
        dm_session_fini(&session);
    }
    return DM_OK;
}

dm_status sweep_make_cells(sweep *s, dm_err *err)
{
    dm_session base;
    int64_t all = 1;
    dm_status rc;

    for (int i = 0; i < s->n_axes; i++)
        if ((all *= s->axis[i].n) > SWEEP_CELLS)
            return dm_error(err, DM_EINVAL, "the sweep has more than %d cells", SWEEP_CELLS);
    if ((rc = load(s, s->fixed, s->n_fixed, &base, s->request.callbacks, err)))
        return rc;
    if (!s->output && !(s->output = dm_strdup(s->arena, base.experiment->output)))
        rc = no_memory(err);
    if (!rc && !(s->cell = dm_alloc_n(s->arena, (size_t)all, sizeof *s->cell)))
        rc = no_memory(err);
    for (int k = 0; k < all && !rc; k++) {
        sweep_cell *c = &s->cell[s->n];
        bool there = false;

        choose(s, &base, k, c);
        for (int i = 0; i < s->n && !there; i++)
            there = alike(s, &s->cell[i], c);
        s->n += !there;
    }
    dm_session_fini(&base);
    if (rc || (rc = check_keys(s, err)))
        return rc;
    for (int k = 0; k < s->n && !rc; k++)
        if (!(rc = fill_overrides(s, &s->cell[k], err)))
            rc = check_cell(s, &s->cell[k], err);
    return rc;
}

const char *sweep_cell_name(const sweep *s, const sweep_cell *c)
{
    const char *name = "";

    for (int i = 0; i < s->n_axes && name; i++)
        if (c->value[i] >= 0)
            name = dm_sprintf(s->arena, "%s%s%s=%s", name, *name ? " " : "", s->axis[i].key,
                              s->axis[i].value[c->value[i]]);
    return name ? name : "";
}
