/* Choices of implementations; see choices.h. */
#include "plan/choices.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/json_text.h"
#include "graph/op_def.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Seconds of measuring: at most; the part of the work ahead that auto may take; the least that is worth beginning. */
static const double MOST = 30, MOST_AUTO = 30, SHARE = 0.02, LEAST = 1;
/* A later implementation must be this much faster than one before it: what is less is noise. */
static const double CLEARLY = 0.97;
enum { KEY = 512 };

typedef struct record { char key[KEY]; dm_measured m[DM_MAX_CANDIDATES]; int n; } record;
typedef struct pair { char key[KEY], name[32]; } pair;

struct dm_choices {
    dm_device *device;
    dm_choices_options o;
    record *records;
    size_t n_records, cap_records;
    dm_refused *refused;
    pair *used, *kept;
    size_t n_used, cap_used, n_kept, cap_kept;
    double spent;
};

dm_status dm_choices_new(dm_device *d, const dm_choices_options *o, dm_choices **out, dm_err *err)
{
    dm_choices *c = calloc(1, sizeof *c);

    if (!c || !(c->refused = dm_refused_new())) {
        free(c);
        return dm_error(err, DM_ENOMEM, "out of memory for choices");
    }
    c->device = d;
    c->o = *o;
    c->o.refused = c->refused;
    *out = c;
    return DM_OK;
}

void dm_choices_free(dm_choices *c)
{
    if (!c)
        return;
    dm_refused_free(c->refused);
    free(c->records);
    free(c->used);
    free(c->kept);
    free(c);
}

void dm_choices_budget(dm_choices *c, double seconds) { c->o.budget = seconds < 0 ? -1 : c->spent + seconds; }

DM_PRINTF(3, 4) static void say(const dm_choices *c, dm_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    if (c->o.log)
        c->o.log(c->o.user, level, line);
}

/* ---- measuring ------------------------------------------------------------------------------------ */

static bool by_rule(const dm_choices *c) { return !c || c->o.tune == DM_TUNE_OFF || c->o.deterministic; }

/* The same implementations as are candidates now, in the same order. */
static bool complete(const record *r, const dm_impl *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (r->n != n || strcmp(r->m[i].name, list[i]->name))
            return false;
    return n > 0;
}

/* From memory or the cache; NULL where it was not measured. */
static const record *find(dm_choices *c, const char *key, const dm_impl *const *list, int n)
{
    record r;

    for (size_t i = 0; i < c->n_records; i++)
        if (!strcmp(c->records[i].key, key))
            return complete(&c->records[i], list, n) ? &c->records[i] : NULL;
    r.n = dm_choices_load(c->device, key, r.m);
    if (!complete(&r, list, n) || !dm_grow((void **)&c->records, c->n_records, &c->cap_records, sizeof *c->records))
        return NULL;
    snprintf(r.key, sizeof r.key, "%s", key);
    c->records[c->n_records] = r;
    return &c->records[c->n_records++];
}

static void dropped(void *user, const dm_opnode *n, const dm_impl *impl, const char *why)
{
    char key[KEY];

    dm_op_key(n, key, sizeof key);
    say(user, DM_LOG_WARNING, "%s is not used for %s on this device: %s", impl->name, key, why);
}

static bool stopped(void *user)
{
    const dm_choices *c = user;

    return c->o.stopped && c->o.stopped(c->o.user);
}

/* Seconds that work would take a good implementation: for deciding what is worth measuring, no more. */
static double expected(const dm_device_info *dev, const dm_opnode *n)
{
    const double unit = dev->gpu ? 256e9 : 5e9 * dev->native_float;

    return fmax(dm_op_flops(n) / (unit * (dev->compute_units ? dev->compute_units : 1)),
                dm_op_bytes(n) / (dev->gpu ? 500e9 : 10e9));
}

typedef struct wanted { const dm_opnode *op; double seconds; char key[KEY]; } wanted;

static int longest_first(const void *a, const void *b)
{
    const wanted *x = a, *y = b;

    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : strcmp(x->key, y->key);
}

/* Those that were not measured, each once, with the time that all of its kind take. */
static size_t collect(dm_choices *c, const dm_opnode *const *ops, size_t n, double runs, wanted *list, double *all)
{
    const dm_device_info *dev = dm_device_get_info(c->device);
    const dm_impl *candidates[DM_MAX_CANDIDATES];
    size_t count = 0;

    *all = 0;
    for (size_t i = 0; i < n; i++) {
        wanted *w = &list[count];
        const int m = dm_candidates(dev, ops[i], c->o.high, candidates);
        const double seconds = expected(dev, ops[i]) * runs;
        size_t k = 0;

        *all += seconds;
        if (m < 2 || dm_op_key(ops[i], w->key, sizeof w->key) >= sizeof w->key || find(c, w->key, candidates, m))
            continue;
        while (k < count && strcmp(list[k].key, w->key))
            k++;
        if (k == count) {
            w->op = ops[i];
            w->seconds = 0;
            count++;
        }
        list[k].seconds += seconds;
    }
    qsort(list, count, sizeof *list, longest_first);
    return count;
}

static bool measure_one(dm_choices *c, const wanted *w, double until, dm_err *err)
{
    const dm_measure_options o = {.until = until, .stopped = stopped, .dropped = dropped, .user = c};
    const dm_impl *list[DM_MAX_CANDIDATES];
    const int n = dm_candidates(dm_device_get_info(c->device), w->op, c->o.high, list);
    record r = {.n = n};

    if (dm_measure(c->device, w->op, list, n, &o, r.m, err))
        return false;
    snprintf(r.key, sizeof r.key, "%s", w->key);
    if (!dm_grow((void **)&c->records, c->n_records, &c->cap_records, sizeof *c->records))
        return false;
    c->records[c->n_records++] = r;
    dm_choices_store(c->device, w->key, r.m, n);
    return true;
}

static double seconds_left(const dm_choices *c, double work)
{
    const double most = c->o.tune == DM_TUNE_ON ? MOST : fmin(MOST_AUTO, SHARE * work);

    return (c->o.budget < 0 ? most : c->o.budget) - c->spent;
}

void dm_choices_measure(dm_choices *c, const dm_opnode *const *ops, size_t n, double runs)
{
    const double from = dm_seconds();
    wanted *list;
    size_t count, done = 0;
    double all, left;

    if (by_rule(c) || !(list = calloc(n + 1, sizeof *list)))
        return;
    count = collect(c, ops, n, runs, list, &all);
    left = seconds_left(c, all);
    if (count && left > 0 && (left >= LEAST || c->o.tune == DM_TUNE_ON)) {
        say(c, DM_LOG_INFO,
            "measuring implementations of %zu ops on this device for %.0f s; the results are cached for later "
            "runs", count,
            left);
        for (size_t i = 0; i < count && dm_seconds() - from < left; i++) {
            dm_err why = {0};

            /* Where it was asked for, what was begun is ended: a driver may compile for longer than there is time, and
             * then nothing would ever be measured. */
            if (measure_one(c, &list[i], c->o.tune == DM_TUNE_ON ? INFINITY : from + left, &why))
                done++;
            else if (why.code == DM_ECANCELLED)
                break;
            else
                say(c, DM_LOG_DEBUG, "%s was not measured: %s", list[i].key, why.msg);
        }
        c->spent += dm_seconds() - from;
        say(c, DM_LOG_INFO, "measured %zu of %zu ops in %.1f s%s", done, count, dm_seconds() - from,
            done < count ? "; the others use the default" : "");
    }
    free(list);
}

/* ---- picking --------------------------------------------------------------------------------------- */

static double seconds_of(const dm_measured *m, bool trains) { return m->run + (trains ? m->refresh : 0); }

/* The fastest that was right; those before it in the list win ties. */
static int fastest(const record *r, bool trains)
{
    int best = -1;

    for (int i = 0; i < r->n; i++)
        if (!r->m[i].dropped && (best < 0 || seconds_of(&r->m[i], trains) < CLEARLY * seconds_of(&r->m[best], trains)))
            best = i;
    return best;
}

static void explain(const record *r, bool trains, char *why, size_t size)
{
    size_t at = (size_t)snprintf(why, size, "measured:");

    for (int i = 0; i < r->n && at < size; i++)
        at += r->m[i].dropped
                  ? (size_t)snprintf(why + at, size - at, " %s dropped (off by %.1g)", r->m[i].name, r->m[i].error)
                  : (size_t)snprintf(why + at, size - at, " %s %.3f ms", r->m[i].name,
                                     1e3 * seconds_of(&r->m[i], trains));
}

/* By measurement, or NULL. */
static const dm_impl *measured(dm_choices *c, const dm_device_info *dev, const dm_opnode *n, const char *key,
                               bool trains, char *why, size_t size)
{
    const dm_impl *list[DM_MAX_CANDIDATES];
    const int count = dm_candidates(dev, n, c->o.high, list);
    const record *r = count > 1 ? find(c, key, list, count) : NULL;
    int best;

    if (!r)
        return NULL;
    best = fastest(r, trains);
    if (best >= 0 && dm_refused_has(c->refused, n, list[best]))
        return NULL;
    explain(r, trains, why, size);
    return best >= 0 ? list[best] : dm_impl_reference(dev, n); /* the latter where all of them are wrong */
}

static const char *find_pair(const pair *p, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++)
        if (!strcmp(p[i].key, key))
            return p[i].name;
    return NULL;
}

/* What the run that goes on had chosen, or NULL. */
static const dm_impl *kept(dm_choices *c, const dm_device_info *dev, const dm_opnode *n, const char *key)
{
    const char *name = find_pair(c->kept, c->n_kept, key);
    const dm_impl *impl;

    for (int i = 0; name && (impl = dm_impl_at(n->kind, i)); i++)
        if (!strcmp(name, impl->name) && dm_impl_supports(impl, dev, n))
            return dm_refused_has(c->refused, n, impl) ? NULL : impl;
    if (name)
        say(c, DM_LOG_WARNING, "the run chose %s for %s, which this device or demist does not have", name, key);
    return NULL;
}

/* A later one of the same op replaces one that was refused. */
static void note(dm_choices *c, const char *key, const dm_impl *impl)
{
    for (size_t i = 0; i < c->n_used; i++)
        if (!strcmp(c->used[i].key, key)) {
            snprintf(c->used[i].name, sizeof c->used->name, "%s", impl->name);
            return;
        }
    if (!dm_grow((void **)&c->used, c->n_used, &c->cap_used, sizeof *c->used))
        return;
    snprintf(c->used[c->n_used].key, KEY, "%s", key);
    snprintf(c->used[c->n_used++].name, sizeof c->used->name, "%s", impl->name);
}

bool dm_choices_refuse(dm_choices *c, const dm_opnode *n, const dm_impl *impl, const char *why)
{
    if (!dm_refused_known(c->refused, impl))
        say(c, DM_LOG_WARNING, "%s by '%s' does not run on this device, another implementation is used: %s",
            dm_op_name(n->kind), impl->name, why);
    return dm_refused_add(c->refused, n, impl, why);
}

dm_status dm_choices_pick(dm_choices *c, const dm_refused *refused, const dm_device_info *dev, const dm_opnode *n,
                          const char *force, bool trains, dm_choice *out, dm_err *err)
{
    const dm_choices_options alone = {.refused = refused};
    const dm_impl *list[DM_MAX_CANDIDATES];
    char key[KEY];
    bool forced;
    dm_status rc;

    *out = (dm_choice){0};
    if ((rc = dm_choose(dev, n, c ? &c->o : &alone, force, &out->impl, &forced, err)))
        return rc;
    snprintf(out->why, sizeof out->why, "%s",
             forced                                   ? "forced"
             : dm_candidates(dev, n, c && c->o.high, list) > 1 ? "by rule"
                                                      : "");
    if (forced || !out->why[0] || !c || dm_op_key(n, key, sizeof key) >= sizeof key)
        return DM_OK;
    if (trains) {
        const dm_impl *impl = kept(c, dev, n, key);

        if (impl) {
            out->impl = impl;
            snprintf(out->why, sizeof out->why, "as the run began");
            note(c, key, impl);
            return DM_OK;
        }
    }
    if (!by_rule(c)) {
        const dm_impl *impl = measured(c, dev, n, key, trains, out->why, sizeof out->why);

        out->impl = impl ? impl : out->impl;
    }
    if (trains)
        note(c, key, out->impl);
    return DM_OK;
}

/* ---- what a run keeps ---------------------------------------------------------------------------------- */

json_t *dm_choices_json(const dm_choices *c)
{
    json_t *j = dm_json_new();

    for (size_t i = 0; i < c->n_used && j; i++)
        if (json_object_set_new(j, c->used[i].key, json_string(c->used[i].name))) {
            json_decref(j);
            j = NULL;
        }
    return j;
}

dm_status dm_choices_keep(dm_choices *c, const json_t *j, dm_err *err)
{
    const char *key;
    json_t *value;

    if (!json_is_object(j))
        return dm_error(err, DM_EINVAL, "implementations is not an object");
    json_object_foreach((json_t *)(uintptr_t)j, key, value) {
        pair *p;

        if (!json_is_string(value) || strlen(key) >= KEY || json_string_length(value) >= sizeof p->name)
            return dm_error(err, DM_EINVAL, "implementation of '%.100s' is no name", key);
        if (!dm_grow((void **)&c->kept, c->n_kept, &c->cap_kept, sizeof *c->kept))
            return dm_error(err, DM_ENOMEM, "out of memory for choices");
        p = &c->kept[c->n_kept++];
        snprintf(p->key, sizeof p->key, "%s", key);
        snprintf(p->name, sizeof p->name, "%s", json_string_value(value));
    }
    return DM_OK;
}
