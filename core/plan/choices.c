/* Choices of implementations; see choices.h. */
#include "plan/choices.h"

#include "base/arena.h"
#include "base/clock.h"
#include "text/json_text.h"
#include "graph/op_def.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Seconds of measuring: at most; the part of the work ahead that auto may take; the least that is worth beginning. */
static const double MOST = 30, MOST_AUTO = 30, SHARE = 0.02, LEAST = 1;
/* A later implementation must be this much faster than one before it: what is less is noise. */
static const double CLEARLY = 0.97;
enum { KEY = 512 };

/* What was measured of an op, of some of its implementations or all. */
typedef struct record { char key[KEY]; dm_measured m[DM_MAX_CANDIDATES]; int n; } record;
/* What plans that train got, and what the run that goes on had by its file. */
typedef struct used { char key[KEY]; const dm_impl *impl; } used;
typedef struct kept { char key[KEY], name[32]; } kept;

struct dm_choices {
    dm_device *device;
    dm_choices_options o;
    record *records;
    size_t n_records, cap_records;
    dm_refused *refused;
    used *used;
    kept *kept;
    size_t n_used, cap_used, n_kept, cap_kept;
    double spent, began, until;    /* until, began: of measuring that goes on */
    bool lost;                     /* memory was exhausted: not all that is known was read */
    int parts;                     /* of implementations, that were measured since */
    struct { double share; int n; } gained[DM_OP_COUNT]; /* by measuring ops of a kind: sum of the times' parts saved */
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

/* What is known of this implementation, or NULL. */
static const dm_measured *known_of(const record *r, const dm_impl *impl)
{
    for (int i = 0; r && i < r->n; i++)
        if (dm_impl_same(r->m[i].impl, impl))
            return &r->m[i];
    return NULL;
}

static int known_count(const record *r, const dm_impl *const *list, int n)
{
    int count = 0;

    for (int i = 0; i < n; i++)
        count += known_of(r, list[i]) != NULL;
    return count;
}

static double seconds_of(const dm_measured *m, bool trains) { return m->run + (trains ? m->refresh : 0); }

/* What choosing by r saves of the time of the first of the list. */
static void learn(dm_choices *c, const dm_opnode *op, const record *r, const dm_impl *const *list, int n)
{
    const dm_measured *first = known_of(r, list[0]);
    double best;

    if (!first || first->dropped || known_count(r, list, n) < 2)
        return;
    best = seconds_of(first, true);
    for (int i = 0; i < r->n; i++)
        if (!r->m[i].dropped)
            best = fmin(best, seconds_of(&r->m[i], true));
    c->gained[op->kind].share += 1 - best / seconds_of(first, true);
    c->gained[op->kind].n++;
}

/* From memory or the cache; NULL where nothing of it was measured. */
static record *find(dm_choices *c, dm_op_kind kind, const char *key)
{
    record r;

    for (size_t i = 0; i < c->n_records; i++)
        if (!strcmp(c->records[i].key, key))
            return &c->records[i];
    r.n = dm_choices_load(c->device, kind, key, r.m);
    c->lost |= r.n < 0;
    if (r.n <= 0)
        return NULL;
    if (!dm_grow((void **)&c->records, c->n_records, &c->cap_records, sizeof *c->records)) {
        c->lost = true;
        return NULL;
    }
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

/* Also where the next part, compiling most of it, would not end in time if it took as long as those before it. */
static bool stopped(void *user)
{
    dm_choices *c = user;
    const double now = dm_seconds();

    if (c->parts++ && now + (now - c->began) / (c->parts - 1) > c->until)
        return true;
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

/* Its operands can be made up. */
static bool measurable(const dm_opnode *n)
{
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i].rank >= 0 && n->in[i].type == DM_DT_I32)
            return false;
    return true;
}

/* Those that were not measured whole, each once, with the time that all of its kind take. */
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
        const record *r;
        size_t k = 0;

        *all += seconds;
        if (m < 2 || !measurable(ops[i]) || dm_op_key(ops[i], w->key, sizeof w->key) >= sizeof w->key)
            continue;
        if ((r = find(c, ops[i]->kind, w->key)) && known_count(r, candidates, m) == m) {
            learn(c, ops[i], r, candidates, m);
            continue;
        }
        while (k < count && strcmp(list[k].key, w->key))
            k++;
        if (k == count) {
            w->op = ops[i];
            w->seconds = 0;
            count++;
        }
        list[k].seconds += seconds;
    }
    return count;
}

/* The part of an op's time that measuring is expected to save: what it saved of ops of its kind, and as one more of
 * them a guess. */
static double share(const dm_choices *c, const dm_opnode *op)
{
    static const double GUESS = 0.1;

    return (c->gained[op->kind].share + GUESS) / (c->gained[op->kind].n + 1);
}

/* The one with the most to gain becomes the first of the list. */
static void take_first(const dm_choices *c, wanted *list, size_t n)
{
    size_t best = 0;
    wanted w;

    for (size_t i = 1; i < n; i++)
        if (list[i].seconds * share(c, list[i].op) > list[best].seconds * share(c, list[best].op))
            best = i;
    w = list[best];
    list[best] = list[0];
    list[0] = w;
}

/* Keeps what was found of an op beside what is known of its other implementations. */
static bool keep_record(dm_choices *c, dm_op_kind kind, const char *key, const dm_measured *m, int n)
{
    record *r = find(c, kind, key);

    if (!r) {
        if (!dm_grow((void **)&c->records, c->n_records, &c->cap_records, sizeof *c->records))
            return false;
        r = &c->records[c->n_records++];
        snprintf(r->key, sizeof r->key, "%s", key);
        r->n = 0;
    }
    for (int i = 0; i < n; i++) {
        int k = 0;

        if (!m[i].impl)
            continue;
        while (k < r->n && !dm_impl_same(r->m[k].impl, m[i].impl))
            k++;
        if (k < DM_MAX_CANDIDATES) {
            r->m[k] = m[i];
            r->n = k == r->n ? k + 1 : r->n;
        }
    }
    if (r->n)
        dm_choices_store(c->device, key, r->m, r->n);
    return true;
}

static dm_status measure_one(dm_choices *c, const wanted *w, dm_err *err)
{
    const dm_measure_options o = {.until = c->until, .stopped = stopped, .dropped = dropped, .user = c};
    const dm_impl *list[DM_MAX_CANDIDATES];
    const int n = dm_candidates(dm_device_get_info(c->device), w->op, c->o.high, list);
    dm_measured m[DM_MAX_CANDIDATES] = {{NULL, false, 0, 0, 0}};
    const record *r = find(c, w->op->kind, w->key);
    dm_status rc;

    for (int i = 0; i < n; i++) {
        const dm_measured *known = known_of(r, list[i]);

        if (known)
            m[i] = *known;
    }
    rc = dm_measure(c->device, w->op, list, n, &o, m, err);
    if (!keep_record(c, w->op->kind, w->key, m, n))
        return dm_error(err, DM_ENOMEM, "out of memory for choices");
    if (!rc)
        learn(c, w->op, find(c, w->op->kind, w->key), list, n);
    return rc;
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

    if (by_rule(c))
        return;
    if (!(list = calloc(n + 1, sizeof *list))) {
        c->lost = true;
        return;
    }
    count = collect(c, ops, n, runs, list, &all);
    left = seconds_left(c, all);
    if (count && left > 0 && (left >= LEAST || c->o.tune == DM_TUNE_ON)) {
        say(c, DM_LOG_INFO,
            "measuring implementations of %zu ops on this device for %.0f s at most; the results are cached for later "
            "runs", count, left);
        c->began = from;
        c->until = from + left;
        c->parts = 0;
        for (size_t i = 0; i < count; i++) {
            dm_err why = {0};
            dm_status rc;

            take_first(c, list + i, count - i);
            rc = measure_one(c, &list[i], &why);
            done += rc == DM_OK;
            if (rc == DM_ECANCELLED)
                break;
            if (rc)
                say(c, DM_LOG_DEBUG, "%s was not measured: %s", list[i].key, why.msg);
        }
        c->spent += dm_seconds() - from;
        say(c, DM_LOG_INFO, "measured %zu of %zu ops in %.1f s%s", done, count, dm_seconds() - from,
            done < count ? "; the others use the default" : "");
    }
    free(list);
}

/* ---- picking --------------------------------------------------------------------------------------- */

/* The fastest of the list that was right; those before it win ties. */
static const dm_impl *fastest(const record *r, const dm_impl *const *list, int n, bool trains)
{
    const dm_measured *best = NULL;
    const dm_impl *impl = NULL;

    for (int i = 0; i < n; i++) {
        const dm_measured *m = known_of(r, list[i]);

        if (m && !m->dropped && (!best || seconds_of(m, trains) < CLEARLY * seconds_of(best, trains))) {
            best = m;
            impl = list[i];
        }
    }
    return impl;
}

static void explain(const record *r, const dm_impl *const *list, int n, bool trains, char *why, size_t size)
{
    size_t at = (size_t)snprintf(why, size, "measured:");

    for (int i = 0; i < n && at < size; i++) {
        const dm_measured *m = known_of(r, list[i]);

        if (m && m->dropped)
            at += (size_t)snprintf(why + at, size - at, " %s dropped (off by %.1g)", m->impl->name, m->error);
        else if (m)
            at += (size_t)snprintf(why + at, size - at, " %s %.3f ms", m->impl->name, 1e3 * seconds_of(m, trains));
    }
}

/* By measurement, or NULL. */
static const dm_impl *measured(dm_choices *c, const dm_device_info *dev, const dm_opnode *n, const char *key,
                               bool trains, char *why, size_t size)
{
    const dm_impl *list[DM_MAX_CANDIDATES], *best;
    const int count = dm_candidates(dev, n, c->o.high, list);
    const record *r = count > 1 ? find(c, n->kind, key) : NULL;
    const int known = r ? known_count(r, list, count) : 0;

    if (!known)
        return NULL;
    best = fastest(r, list, count, trains);
    for (int i = 0; !best && known < count && i < count; i++)
        best = known_of(r, list[i]) ? NULL : list[i]; /* all are wrong that were measured */
    if (best && dm_refused_has(c->refused, n, best))
        return NULL;
    explain(r, list, count, trains, why, size);
    return best ? best : dm_impl_reference(dev, n);
}

/* What the run that goes on had chosen, or NULL. */
static const dm_impl *as_before(dm_choices *c, const dm_device_info *dev, const dm_opnode *n, const char *key)
{
    const char *name = NULL;
    const dm_impl *impl;

    for (size_t i = 0; i < c->n_kept && !name; i++)
        if (!strcmp(c->kept[i].key, key))
            name = c->kept[i].name;
    if (!name)
        return NULL;
    if (!(impl = dm_impl_named(n->kind, name, strlen(name), dev, n)))
        say(c, DM_LOG_WARNING, "the run chose %s for %s, which this device or demist does not have", name, key);
    return impl && !dm_refused_has(c->refused, n, impl) ? impl : NULL;
}

/* A later one of the same op replaces one that was refused. */
static void note(dm_choices *c, const char *key, const dm_impl *impl)
{
    for (size_t i = 0; i < c->n_used; i++)
        if (!strcmp(c->used[i].key, key)) {
            c->used[i].impl = impl;
            return;
        }
    if (!dm_grow((void **)&c->used, c->n_used, &c->cap_used, sizeof *c->used)) {
        c->lost = true;
        return;
    }
    snprintf(c->used[c->n_used].key, KEY, "%s", key);
    c->used[c->n_used++].impl = impl;
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
        const dm_impl *impl = as_before(c, dev, n, key);

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
    return c->lost ? dm_error(err, DM_ENOMEM, "out of memory for choices") : DM_OK;
}

/* ---- what a run keeps ---------------------------------------------------------------------------------- */

json_t *dm_choices_json(const dm_choices *c)
{
    json_t *j = dm_json_new();

    for (size_t i = 0; i < c->n_used && j; i++)
        if (json_object_set_new(j, c->used[i].key, json_string(c->used[i].impl->name))) {
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
        kept *p;

        if (!json_is_string(value) || strlen(key) >= KEY || json_string_length(value) >= sizeof p->name)
            return dm_error(err, DM_EINVAL, "the implementation of '%.100s' is not a name", key);
        if (!dm_grow((void **)&c->kept, c->n_kept, &c->cap_kept, sizeof *c->kept))
            return dm_error(err, DM_ENOMEM, "out of memory for choices");
        p = &c->kept[c->n_kept++];
        snprintf(p->key, sizeof p->key, "%s", key);
        snprintf(p->name, sizeof p->name, "%s", json_string_value(value));
    }
    return DM_OK;
}
