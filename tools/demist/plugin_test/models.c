/* Checks of networks and objectives without a device. */
#include "plugin_test/guard.h"

#include <math.h>
#include <string.h>

#include "model/net_make.h"
#include "plugin_test/settings.h"

/* ---- networks ------------------------------------------------------------------------------------------- */

/* The weights of a net, to compare with those for another batch. */
static const char *weights_of(plugin_test *t, const dm_net *m)
{
    const dm_layout *l = dm_net_layout(m);

    return dm_sprintf(t->arena, "%lld parameters in %d weights", (long long)l->parameters, (int)l->n);
}

static void check_batches(plugin_test *t, dm_session *s, const char *data)
{
    static const int64_t batches[] = {1, 3, 8, 33};
    dm_section_id at;
    dm_unreached unreached;
    dm_net *m = NULL;
    dm_err err = {0};

    if (dm_net_examine(s->experiment, s->noise, &s->data, 0, &m, &unreached, &at, &err)) {
        plugin_test_fail(t, "%s: %s", data, err.msg);
        return;
    }
    if (unreached.n)
        plugin_test_fail(t, "%s: no gradient reaches weight '%s'%s; training cannot change what the result does not "
                         "depend on", data, unreached.first, unreached.n > 1 ? " and others" : "");
    if (unreached.n_frozen)
        plugin_test_note(t, "%s: stop_gradient freezes %d weight%s, '%s'%s: training does not change %s", data,
                         (int)unreached.n_frozen, unreached.n_frozen > 1 ? "s" : "", unreached.frozen,
                         unreached.n_frozen > 1 ? " and others" : "", unreached.n_frozen > 1 ? "them" : "it");
    for (size_t k = 0; k < sizeof batches / sizeof batches[0] && !t->failed; k++)
        if (dm_net_find_weights(m, batches[k], &err))
            plugin_test_fail(t, "%s, a batch of %lld: %s", data, (long long)batches[k], err.msg);
    if (!t->failed)
        plugin_test_note(t, "%s: %s", data, weights_of(t, m));
    dm_net_free(m);
}

void plugin_test_network(plugin_test *t)
{
    const char *reasons = "";
    int taken = 0;

    for (const plugin_test_data *d = plugin_test_list(t); d && d->name && reasons && !t->failed; d++) {
        const dm_data_info data = plugin_test_info(d);
        const char *text;
        dm_session s = {0};
        dm_err err = {0};

        if (plugin_test_examine(t, PLUGIN_TEST_AS_IT_IS, &data, &s, &text, &err))
            plugin_test_fail(t, "%s", err.msg);
        else if (strstr(text, "gave no reason"))
            plugin_test_fail(t, "%s: %s", d->name, text);
        else if (!*text && ++taken)
            check_batches(t, &s, d->name);
        else
            reasons = plugin_test_add_reason(t, reasons, d, plugin_test_reason(t, text));
        dm_session_fini(&s);
    }
    if (taken && reasons && *reasons)
        plugin_test_note(t, "refused: %s", reasons);
    else if (!taken && !t->failed)
        plugin_test_fail(t, "it takes none of the data that were tried (%s); parameters of it, or data.use=NAME and "
                         "the like, may be given behind the file's name", reasons ? reasons : "out of memory");
}

/* ---- objectives ------------------------------------------------------------------------------------------- */

typedef struct asked { plugin_test *t; dm_instance *i; const dm_objective *o; const dm_noise *noise; } asked;

static void check_affine(const asked *q, const dm_point *p, const char *schedule)
{
    dm_affine a = {NAN, NAN, NAN, NAN};
    dm_err err = {0};

    if (DM_CALL(q->i, DM_CB_AFFINE, &err, q->o->affine(&q->i->ctx, p, &a)))
        return; /* it has a reason, or the check of defaults failed */
    if (!isfinite(a.c_skip) || !isfinite(a.c_out) || !isfinite(a.c_in) || !isfinite(a.c_noise))
        plugin_test_fail(q->t, "affine() gives c_skip %g, c_out %g, c_in %g, c_noise %g at t = %g of schedule %s; all "
                         "must be written and finite, or refused by dm_fail", a.c_skip, a.c_out, a.c_in, a.c_noise,
                         p->t, schedule);
}

static void check_scalars(const asked *q, const dm_point *at, const dm_point *before)
{
    const int32_t n = q->o->n_scalars;
    double *out = n ? plugin_test_guarded(n) : NULL;
    dm_err err = {0};

    if (!out)
        return;
    memset(out, 0, (size_t)n * sizeof *out); /* as the header promises */
    if (!DM_CALL(q->i, DM_CB_SCALARS, &err, q->o->scalars(&q->i->ctx, at, before, out)) &&
        plugin_test_intact(q->t, out, n, "scalars()", "out"))
        for (int32_t k = 0; k < n; k++)
            if (!isfinite(out[k])) {
                plugin_test_fail(q->t, "scalars() gives out[%d] = %g at t = %g; it must be finite", (int)k, out[k],
                                 at->t);
                break;
            }
    plugin_test_unguard(out);
}

static void check_draw(const asked *q)
{
    enum { N = 257 };
    double u[N], *importance = plugin_test_guarded(N);
    dm_point at[N + 2];
    dm_err err = {0};

    if (!q->o->draw || !importance) {
        plugin_test_unguard(importance);
        return;
    }
    memset(at, 0xa5, sizeof at);
    for (int i = 0; i < N; i++) {
        u[i] = (i + 0.5) / N;
        importance[i] = 1;
    }
    if (DM_CALL(q->i, DM_CB_DRAW, &err, q->o->draw(&q->i->ctx, N, u, at + 1, importance))) {
        plugin_test_fail(q->t, "draw(): %s", err.msg);
    } else if (plugin_test_intact(q->t, importance, N, "draw()", "importance")) {
        for (int i = 0; i < N && !q->t->failed; i++) {
            if (!(at[i + 1].t >= 0 && at[i + 1].t <= dm_noise_T(q->noise)) || !(importance[i] >= 0))
                plugin_test_fail(q->t, "draw() gives t = %g and importance %g for u = %g; t must lie in [0, %d], and "
                                 "importance may not be negative", at[i + 1].t, importance[i], u[i],
                                 (int)dm_noise_T(q->noise));
        }
        for (size_t b = 0; b < sizeof at[0] && !q->t->failed; b++)
            if (((unsigned char *)&at[0])[b] != 0xa5 || ((unsigned char *)&at[N + 1])[b] != 0xa5)
                plugin_test_fail(q->t, "draw() writes before or beyond the %d points that it is asked for", N);
    }
    plugin_test_unguard(importance);
}

/* At each of a walk over the schedule; how many points it has. */
static void check_levels(const asked *q, const char *schedule)
{
    const int32_t T = dm_noise_T(q->noise);
    const bool discrete = dm_noise_discrete(q->noise);

    for (int i = 0; i <= 200 && !q->t->failed; i++) {
        const double u = i / 200.0, t = discrete ? 1 + round((T - 1) * u) : T * u;
        dm_point at, before;

        dm_noise_at(q->noise, t, &at);
        dm_noise_at(q->noise, t - 1, &before);
        check_affine(q, &at, schedule);
        check_scalars(q, &at, discrete ? &before : NULL);
    }
    check_draw(q);
}

void plugin_test_objective(plugin_test *t)
{
    static const char *const schedules[] = {"linear", "cosine", "laplace", "edm", "ve", "flow"};
    int good = 0;

    if (!t->plugin->objective->affine) {
        plugin_test_note(t, "it does not diffuse");
        return;
    }
    for (size_t k = 0; k < sizeof schedules / sizeof schedules[0] && !t->failed; k++) {
        const dm_data_info data = {.size = sizeof data, .count = 64, .shape = plugin_test_datas[0].shape, .levels = 256,
                                   .low = -1, .high = 1};
        const char *use = dm_sprintf(t->arena, "schedule.use=%s", schedules[k]), *text = "";
        dm_section_id at;
        dm_unreached unreached;
        dm_net *m = NULL;
        dm_session s = {0};
        dm_err err = {0};

        if (!use || plugin_test_examine(t, PLUGIN_TEST_CHANGES(use), &data, &s, &text, &err)) {
            plugin_test_fail(t, "%s", use ? err.msg : "out of memory");
        } else if (*text || dm_net_examine(s.experiment, s.noise, &data, 0, &m, &unreached, &at, &err)) {
            plugin_test_note(t, "schedule %s: refused: %.200s", schedules[k],
                             plugin_test_reason(t, *text ? text : err.msg));
        } else {
            dm_instance *i = dm_net_objective(m);

            check_levels(&(asked){t, i, i->plugin->objective, s.noise}, schedules[k]);
            good++;
        }
        dm_net_free(m);
        dm_session_fini(&s);
    }
    if (!good && !t->failed)
        plugin_test_fail(t, "it works with none of the schedules that were tried");
}
