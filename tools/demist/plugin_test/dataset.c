/* Checks of data sets: each example by itself, and several threads at once. */
#include "plugin_test/guard.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "device/tensor.h"

/* A split as the plugin itself has it, without what the host makes of it. */
typedef struct split {
    plugin_test *t;
    dm_experiment *e;
    dm_services services;
    dm_instance i;
    dm_data_info about;
    bool open;
    /* Of the examples that are read twice: a hash of all, of the first, and whether the others have that too. */
    uint64_t hash, first;
    bool alike;
} split;

enum { LOOKED_AT = 200, MOST_VALUES = 1 << 26 };
static const double longest = 10;  /* seconds for the examples that are read once */

static dm_status open_split(plugin_test *t, const char *name, split *s, dm_err *err)
{
    const plugin_test_overrides o = plugin_test_change(t, PLUGIN_TEST_AS_IT_IS);
    const dm_experiment_options options = {.overrides = o.item, .n_overrides = o.n, .override_name = "change"};
    dm_status rc;

    *s = (split){.t = t, .about = {.size = sizeof s->about}};
    dm_services_init(&s->services, NULL);
    if ((rc = dm_experiment_load(plugin_test_experiment(t), &options, t->registry, &s->e, NULL, err)) ||
        (rc = dm_instance_init(&s->i, t->plugin, s->e->section[DM_SEC_DATA].cfg, &s->services, err)))
        return rc;
    s->open = true;
    return DM_CALL(&s->i, DM_CB_DATA_OPEN, err, t->plugin->dataset->open(&s->i.ctx, name, &s->about));
}

static void close_split(split *s)
{
    if (s->open)
        dm_instance_fini(&s->i);
    dm_experiment_free(s->e);
}

static int64_t values_of(const dm_data_info *a)
{
    dm_shape s = a->shape;

    for (int32_t k = s.rank; k < 8; k++)
        s.dim[k] = 1;
    return dm_shape_count(&s);
}

/* Values in their range and on their levels; -1 or the place of the first that is not. */
static int64_t misfit(const dm_data_info *a, const float *x, int64_t n)
{
    for (int64_t k = 0; k < n; k++) {
        const double v = (double)x[k], room = 1e-5 * (a->high - a->low);
        const double level = (v - a->low) / (a->high - a->low) * (a->levels - 1);

        if (a->high > a->low && (v < a->low - room || v > a->high + room))
            return k;
        if (a->levels > 1 && fabs(level - round(level)) > 1e-3)
            return k;
    }
    return -1;
}

/* On any thread. */
static dm_status read_one(split *s, int64_t index, float *x, int32_t *label, dm_err *err)
{
    dm_err why = {0};
    dm_ctx c = dm_instance_ctx(&s->i, &why);

    return DM_CALL_WITH(&s->i, DM_CB_READ, &why, err,
                        s->t->plugin->dataset->read(&c, index, x, s->about.classes ? label : NULL));
}

/* The shape of an example that may be smaller than the largest; false was said. */
static bool shape_of(split *s, const char *name, int64_t index, int64_t *n)
{
    plugin_test *t = s->t;
    const int64_t most = *n;
    dm_shape shape = s->about.shape;
    dm_err err = {0};

    if (!t->plugin->dataset->shape)
        return true;
    if (DM_CALL(&s->i, DM_CB_DATA_SHAPE, &err, t->plugin->dataset->shape(&s->i.ctx, index, &shape))) {
        plugin_test_fail(t, "shape() of example %lld of the %s split: %s", (long long)index, name, err.msg);
        return false;
    }
    for (int32_t d = shape.rank; d < 8; d++)
        shape.dim[d] = 1;
    *n = dm_shape_count(&shape);
    if (*n <= most)
        return true;
    plugin_test_fail(t, "shape() of example %lld has %lld values; info.shape, which is the largest, has %lld",
                     (long long)index, (long long)*n, (long long)most);
    return false;
}

static void check_values(split *s, const char *name, int64_t index, const float *x, int64_t n, int32_t label)
{
    plugin_test *t = s->t;
    int64_t k;

    if ((k = plugin_test_bad(x, n)) >= 0)
        plugin_test_fail(t, "read() leaves value %lld of example %lld of the %s split unwritten, or it is not finite; "
                         "write all %lld", (long long)k, (long long)index, name, (long long)n);
    else if ((k = misfit(&s->about, x, n)) >= 0)
        plugin_test_fail(t, "value %lld of example %lld is %g; info says %g to %g%s", (long long)k, (long long)index,
                         (double)x[k], s->about.low, s->about.high, s->about.levels ? ", in even levels" : "");
    else if (s->about.classes && (label < 0 || label >= s->about.classes))
        plugin_test_fail(t, "example %lld has label %d; info says %d classes", (long long)index, (int)label,
                         (int)s->about.classes);
}

static uint64_t hash_of(const void *of, size_t n)
{
    const unsigned char *c = of;
    uint64_t h = UINT64_C(0xcbf29ce484222325);

    for (size_t i = 0; i < n; i++)
        h = (h ^ c[i]) * UINT64_C(0x100000001b3);
    return h;
}

static void *copy_of(const void *x, size_t n)
{
    void *copy = x && n ? malloc(n) : NULL;

    return copy ? memcpy(copy, x, n) : NULL;
}

static void remember(split *s, const float *x, int64_t n)
{
    const uint64_t h = hash_of(x, (size_t)n * sizeof *x);

    s->alike = s->hash ? s->alike && h == s->first : true;
    s->first = s->hash ? s->first : h;
    s->hash = s->hash * 31 + h + 1;
}

/* `self` as it was before a read(); false was said. */
static bool self_intact(split *s, const void *before)
{
    if (!before || !memcmp(s->i.ctx.self, before, s->t->plugin->self_size))
        return true;
    plugin_test_fail(s->t, "read() writes to self, which other threads read at the same time; it may write to x and "
                     "*label alone");
    return false;
}

static int64_t common_factor(int64_t a, int64_t b) { return b ? common_factor(b, a % b) : a; }

/* All, as far as there is time, each far from those before it; how many. */
static int64_t read_rest(split *s, const char *name, float *x, int64_t most)
{
    const double end = dm_seconds() + longest;
    const int64_t count = s->about.count;
    int64_t stride = (int64_t)(0.6180339887 * (double)count), done = 0;

    for (stride = stride < 1 ? 1 : stride; common_factor(stride, count) != 1; stride++)
        continue;
    for (int64_t at = 0; done < count && !s->t->failed && dm_seconds() < end; done++) {
        int32_t label = INT32_MIN;
        int64_t n = most;
        dm_err err = {0};
        dm_status rc;

        at = at >= count - stride ? at - (count - stride) : at + stride;
        for (int64_t i = 0; i < most; i++)
            x[i] = NAN;
        if (!shape_of(s, name, at, &n))
            break;
        rc = read_one(s, at, x, &label, &err);
        if (rc == DM_ECORRUPT && s->about.replaces)
            continue;
        if (rc)
            plugin_test_fail(s->t, "read() of example %lld of the %s split: %s", (long long)at, name, err.msg);
        else if (plugin_test_intact_f32(s->t, x, most, "read()", "x"))
            check_values(s, name, at, x, n, label);
    }
    return done;
}

/* Twice, into memory of `most` values each. */
static void check_example(split *s, const char *name, int64_t index, float *x, float *again, int64_t most)
{
    plugin_test *t = s->t;
    int32_t label = INT32_MIN, label_again = INT32_MIN;
    dm_err err = {0};
    int64_t n = most;
    void *before;
    bool same;
    dm_status rc;

    for (int64_t i = 0; i < most; i++)
        x[i] = again[i] = NAN;
    if (!shape_of(s, name, index, &n))
        return;
    before = copy_of(s->i.ctx.self, t->plugin->self_size);
    rc = read_one(s, index, x, &label, &err);
    same = self_intact(s, before);
    free(before);
    if (!same || (rc == DM_ECORRUPT && s->about.replaces))
        return;
    if (rc)
        plugin_test_fail(t, "read() of example %lld of the %s split: %s", (long long)index, name, err.msg);
    else if (plugin_test_intact_f32(t, x, most, "read()", "x"))
        check_values(s, name, index, x, n, label);
    if (t->failed)
        return;
    remember(s, x, n);
    rc = read_one(s, index, again, &label_again, &err);
    if (rc || memcmp(x, again, (size_t)n * sizeof *x) || label != label_again)
        plugin_test_fail(t, "read() of example %lld gives something else the second time; it may depend on the index "
                         "alone", (long long)index);
}

/* Number i of `looked` examples, from the first to the last. */
static int64_t spread(int64_t count, int64_t i, int64_t looked)
{
    return looked > 1 ? (int64_t)((double)(count - 1) * (double)i / (double)(looked - 1)) : 0;
}

/* A hash of the examples that were read twice, 0 where there are none. */
static uint64_t check_split(plugin_test *t, const char *name, bool needed)
{
    split s;
    dm_err err = {0};
    float *x = NULL, *again = NULL;
    int64_t n = 0, done;
    uint64_t hash = 0;
    const dm_status rc = open_split(t, name, &s, &err);

    if (rc == DM_ENOENT && !needed) {
        plugin_test_note(t, "there is no %s split", name);
    } else if (rc) {
        plugin_test_fail(t, "open() of the %s split: %s", name, err.msg);
    } else if ((n = values_of(&s.about)) < 1 || n > MOST_VALUES || s.about.count < 1) {
        plugin_test_fail(t, "the %s split has %lld examples of %lld values; set info.count and info.shape", name,
                         (long long)s.about.count, (long long)n);
    } else if ((x = plugin_test_guarded_f32(n)) && (again = plugin_test_guarded_f32(n))) {
        const int64_t looked = s.about.count < LOOKED_AT ? s.about.count : LOOKED_AT;

        for (int64_t i = 0; i < looked && !t->failed; i++)
            check_example(&s, name, spread(s.about.count, i, looked), x, again, n);
        done = t->failed ? 0 : read_rest(&s, name, x, n);
        plugin_test_note(t, "the %s split has %lld examples of %lld values, %d classes; %lld were read, %lld of them "
                         "twice", name, (long long)s.about.count, (long long)n, (int)s.about.classes,
                         (long long)(done > looked ? done : looked), (long long)looked);
        if (looked > 1 && s.alike)
            plugin_test_note(t, "all examples of the %s split that were read twice are the same", name);
        hash = s.hash;
    } else {
        plugin_test_fail(t, "out of memory for an example of %lld values", (long long)n);
    }
    plugin_test_unguard_f32(x);
    plugin_test_unguard_f32(again);
    close_split(&s);
    return hash;
}

void plugin_test_dataset(plugin_test *t)
{
    const uint64_t train = check_split(t, "train", true), test = check_split(t, "test", false);

    if (train && train == test)
        plugin_test_note(t, "the test split has the examples of the train split: what is measured on it says "
                         "nothing of new ones");
}

/* ---- threads ------------------------------------------------------------------------------------------------ */

enum { READERS = 4, EACH = 64 };
typedef struct reader { split *s; float *x; int32_t *labels; int64_t n, looked; int number; dm_err err; } reader;

static void *read_all(void *user)
{
    reader *r = user;

    for (int64_t k = 0; k < r->looked && !r->err.code; k++) {
        const int64_t i = (k + r->number * r->looked / READERS) % r->looked; /* each begins elsewhere */

        if (read_one(r->s, i, r->x + i * r->n, r->labels + i, &r->err) == DM_ECORRUPT && r->s->about.replaces)
            r->err.code = DM_OK;
    }
    return NULL;
}

void plugin_test_readers(plugin_test *t)
{
    reader r[READERS + 1] = {{0}};
    pthread_t thread[READERS];
    split s;
    dm_err err = {0};
    int64_t n, looked;

    if (open_split(t, "train", &s, &err)) {
        plugin_test_fail(t, "open(): %s", err.msg);
        close_split(&s);
        return;
    }
    n = values_of(&s.about);
    looked = s.about.count < EACH ? s.about.count : EACH;
    if (n * looked > MOST_VALUES)
        looked = MOST_VALUES / n > 1 ? MOST_VALUES / n : 1;
    for (int i = 0; i <= READERS; i++) {
        r[i] = (reader){&s, dm_array(n, looked, sizeof(float)), dm_array(1, looked, sizeof(int32_t)), n, looked,
                        i % READERS, {0}};
        if (!r[i].x || !r[i].labels)
            plugin_test_fail(t, "out of memory");
    }
    if (!t->failed) {
        int started = 0;

        read_all(&r[READERS]);
        while (started < READERS && !pthread_create(&thread[started], NULL, read_all, &r[started]))
            started++;
        for (int i = 0; i < started; i++)
            pthread_join(thread[i], NULL);
        for (int i = 0; i < started && !t->failed; i++)
            if (r[i].err.code)
                plugin_test_fail(t, "read() fails with %d threads: %s", READERS, r[i].err.msg);
            else if (memcmp(r[i].x, r[READERS].x, (size_t)(n * looked) * sizeof(float)) ||
                     memcmp(r[i].labels, r[READERS].labels, (size_t)looked * sizeof(int32_t)))
                plugin_test_fail(t, "%d threads reading at once get other examples than a single one; read() may "
                                    "change neither self nor static variables", READERS);
    }
    for (int i = 0; i <= READERS; i++) {
        free(r[i].x);
        free(r[i].labels);
    }
    close_split(&s);
}
