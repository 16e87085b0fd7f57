/* Checks for every kind: the table, the defaults, and parameters at random. */
#include "plugin_test/plugin_test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/philox.h"
#include "plugin_test/settings.h"
#include "settings/param.h"

/* That it opened says that its table is sound. */
void plugin_test_table(plugin_test *t)
{
    printf("kind: %s\n", dm_kind_name(t->kind));
    plugin_test_note(t, "%s '%s', version %s, %s: %s", dm_kind_name(t->kind), t->plugin->name, t->plugin->version,
                     t->plugin->license, t->plugin->doc);
    if (t->order > 0 && t->kind != DM_KIND_SAMPLER)
        plugin_test_fail(t, "--order is for samplers, not for plugins of kind %s", dm_kind_name(t->kind));
    for (const dm_param *p = t->plugin->params; p && p->type != DM_T_END; p++)
        if (!p->doc || !*p->doc)
            plugin_test_fail(t, "parameter '%s' has no documentation; give its row one sentence", p->name);
}

/* Parameters that have no default and were not given. */
static bool lacks(plugin_test *t)
{
    bool lacking = false;

    for (const dm_param *p = t->plugin->params; p && p->type != DM_T_END; p++) {
        bool given = p->def != NULL;
        char key[80];

        snprintf(key, sizeof key, "%s=", p->name);
        for (int i = 0; i < t->n_given; i++)
            given |= !strncmp(t->given[i], key, strlen(key));
        if (!given)
            plugin_test_fail(t, "parameter '%s' has no default: say %s=VALUE behind the file's name", p->name,
                             p->name);
        lacking |= !given;
    }
    return lacking;
}

void plugin_test_defaults(plugin_test *t)
{
    plugin_test_setting s = {0};
    const char *why;
    dm_err err = {0};

    if (lacks(t))
        return;
    if (plugin_test_try(t, PLUGIN_TEST_AS_IT_IS, &s, &why, &err))
        plugin_test_fail(t, "%s", err.msg);
    else if (!s.works)
        plugin_test_fail(t, "it does not work with its defaults%s: %s", t->n_given ? " and what was given" : "", why);
    else
        plugin_test_note(t, "works with %s", s.with);
}

/* ---- at random ------------------------------------------------------------------------------------------- */

static double uniform(uint32_t number, uint32_t lane)
{
    uint32_t r[4];

    dm_philox((uint32_t[2]){7, 22}, (uint32_t[4]){number, lane, 0, 0}, r);
    return ((double)r[0] + 0.5) / 4294967296.0;
}

/* Over its range; where that is wide, over its orders of magnitude; and now and then an end of it. */
static double draw(const dm_param *p, double u, double end)
{
    const double lo = fmax(p->min, -1e6), hi = fmin(p->max, 1e6);

    if (end < 0.1)
        return p->min >= -1e6 ? p->min : lo;
    if (end > 0.9)
        return hi;
    if (lo >= 0 && hi > 100 * fmax(lo, 1e-3))
        return fmax(lo, exp(log(fmax(lo, 1e-3)) + u * log(hi / fmax(lo, 1e-3))));
    return lo + u * (hi - lo);
}

/* "key=value"; NULL where the row is not to be changed. */
static const char *draw_one(plugin_test *t, const dm_param *p, uint32_t number, uint32_t lane)
{
    const double u = uniform(number, 2 * lane), end = uniform(number, 2 * lane + 1), v = draw(p, u, end);
    const char *choices = p->choices;
    int n = 1;

    switch (p->type) {
    case DM_T_INT: return dm_sprintf(t->arena, "%s=%.0f", p->name, fmin(fmax(ceil(p->min), floor(v)), p->max));
    case DM_T_REAL: return dm_sprintf(t->arena, "%s=%.9g", p->name, v);
    case DM_T_BOOL: return dm_sprintf(t->arena, "%s=%s", p->name, u < 0.5 ? "true" : "false");
    case DM_T_ENUM:
        for (const char *c = choices; *c; c++)
            n += *c == '|';
        for (int i = (int)(u * n); i > 0; i--)
            choices = strchr(choices, '|') + 1;
        return dm_sprintf(t->arena, "%s=%.*s", p->name, (int)strcspn(choices, "|"), choices);
    default: return NULL;          /* text, paths and lists mean what their author knows */
    }
}

const char *const *plugin_test_random(plugin_test *t, uint32_t number)
{
    const int32_t n = dm_param_count(t->plugin->params);
    const char **changes = dm_alloc_n(t->arena, (size_t)n + 1, sizeof *changes);
    int m = 0;

    for (int32_t i = 0; changes && i < n; i++) {
        const dm_param *p = &t->plugin->params[i];
        char key[80];
        bool given = false;

        snprintf(key, sizeof key, "%s=", p->name);
        for (int k = 0; k < t->n_given; k++)
            given |= !strncmp(t->given[k], key, strlen(key));
        if (!given && uniform(number, 1000 + (uint32_t)i) < 0.7 && (changes[m] = draw_one(t, p, number, (uint32_t)i)))
            m++;
    }
    return changes;
}

/* Each works, or is refused with a reason; one that crashes or hangs ends the process, which is said. */
void plugin_test_parameters(plugin_test *t)
{
    enum { TRIES = 100 };
    int works = 0, refused = 0;
    const char *first = NULL;

    if (!dm_param_count(t->plugin->params))
        return;
    for (uint32_t i = 0; i < TRIES && t->failed < 3; i++) {
        const char *const *changes = plugin_test_random(t, i);
        plugin_test_setting s = {0};
        const char *why;
        dm_err err = {0};

        if (!changes || plugin_test_try(t, changes, &s, &why, &err)) {
            plugin_test_fail(t, "%s", changes ? err.msg : "out of memory");
            return;
        }
        works += s.works;
        refused += !s.works;
        if (!s.works && strstr(why, "gave no reason"))
            plugin_test_fail(t, "with %s: %s", plugin_test_show(t, changes), why);
        else if (!s.works && !first)
            first = dm_sprintf(t->arena, "with %s: %s", plugin_test_show(t, changes), why);
    }
    plugin_test_note(t, "of %d settings at random %d work and %d are refused with a reason%s%s", works + refused, works,
                     refused, first ? "; the first " : "", first ? first : "");
}
