/* Opening a data set and reading batches of it; see data.h. What is done to one example is in
 * data_example.c. */
#include "data/data_example.h"

#include "data/data.h"
#include "data/condition_reader.h"
#include "device/ops.h"
#include "data/prefetch.h"
#include "data/shuffle.h"
#include "base/arena.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const int64_t max_values = (int64_t)1 << 30; /* of one example */

enum { MOST_TOLD = 20 };

struct dm_data {
    dm_instance instance;
    bool alive;                    /* instance was made */
    const char *split;
    bool train;
    uint64_t seed;
    int workers;
    dm_example_rules rules;
    dm_example_scratch scratch;          /* of the thread that calls; the workers have theirs */
    dm_example_scratch *scratches;
    dm_data_info about;
    int64_t size;                  /* floats of an example */
    dm_condition_reader *given;
    float *condition_values;       /* of the last batch, room for `conditions_room` examples */
    int64_t conditions_room;
    dm_prefetch *ahead;
    bool survey;                   /* what cannot be read is left out and reported */
    pthread_mutex_t replacing;     /* over what follows: examples that gave way to the next, each reported once */
    int64_t replaced[MOST_TOLD];
    int n_replaced;
};

const dm_data_info *dm_data_get_info(const dm_data *d) { return &d->about; }

/* What a plugin said of its data, before anything is made from it. */
static dm_status check_info(const dm_data *d, const dm_data_info *i, dm_err *err)
{
    const char *name = d->instance.plugin->name;
    int64_t n = 1;

    if (i->count == 0)
        return dm_error(err, DM_EINVAL, "data set '%s' has 0 examples in its %s split", name, d->split);
    if (i->count < 0 || (i->shape.rank != 1 && i->shape.rank != 3))
        return dm_error(err, DM_EABI, "plugin '%s': %lld examples of rank %d; rank is 1 (points) or 3 (images)", name,
                        (long long)i->count, (int)i->shape.rank);
    for (int32_t k = 0; k < i->shape.rank; k++) {
        if (i->shape.dim[k] < 1 || i->shape.dim[k] > max_values / n)
            return dm_error(err, DM_EINVAL, "data set '%s': extent %d of an example is %lld, or it is too large", name,
                            (int)k, (long long)i->shape.dim[k]);
        n *= i->shape.dim[k];
    }
    if (i->classes < 0 || i->levels < 0 || i->levels == 1 || !isfinite(i->low) || !isfinite(i->high) ||
        i->low > i->high || (i->levels && i->low == i->high))
        return dm_error(err, DM_EINVAL, "data set '%s': range %g to %g with %d levels and %d classes", name, i->low,
                        i->high, (int)i->levels, (int)i->classes);
    return DM_OK;
}

const char *dm_data_name(const dm_data *d, int64_t index, const char **file)
{
    const dm_plugin *p = d->instance.plugin;
    dm_err ignored = {DM_OK, ""};
    dm_ctx c = dm_instance_ctx(&d->instance, &ignored);
    const char *name = NULL;

    if (DM_HAS(dm_dataset, p->dataset, name) && p->dataset->name) {
        dm_call_enter(&d->instance, DM_CB_NAME, &ignored);
        name = p->dataset->name(&c, index);
        dm_call_leave(DM_OK, NULL);
    }
    *file = name;
    for (const dm_param *row = name ? p->params : NULL; row && row->type != DM_T_END; row++) {
        const char *path = row->type == DM_T_PATH ? *(const char *const *)(const void *)((const char *)c.cfg +
                                                                                          row->offset) : NULL;
        const size_t n = path ? strlen(path) : 0;

        if (n && !strncmp(*file, path, n) && (*file)[n] == '/')
            name = *file + n + 1;
    }
    return name;
}

const char *dm_data_class_name(const dm_data *d, int32_t label)
{
    const dm_dataset *set = d->instance.plugin->dataset;
    dm_err ignored = {DM_OK, ""};
    dm_ctx c = dm_instance_ctx(&d->instance, &ignored);
    const char *name = NULL;

    if (DM_HAS(dm_dataset, set, class_name) && set->class_name) {
        dm_call_enter(&d->instance, DM_CB_CLASS_NAME, &ignored);
        name = set->class_name(&c, label);
        dm_call_leave(DM_OK, NULL);
    }
    return name;
}

static const char *name_of(const dm_data *d, int64_t index, char *scratch, size_t n)
{
    const char *name;

    dm_data_name(d, index, &name);
    if (!name)
        snprintf(scratch, n, "example %lld", (long long)index);
    return name ? name : scratch;
}

/* Without data.size all examples must be of one size, without data.channels of one number of channels. */
static dm_status check_shapes(dm_data *d, const dm_set_data *set, dm_shape *first, dm_err *err)
{
    const dm_dataset *ds = d->instance.plugin->dataset;
    char a[40], b[40];
    dm_shape s;

    *first = d->about.shape;
    if (!DM_HAS(dm_dataset, ds, shape) || !ds->shape)
        return DM_OK;
    for (int64_t i = 0; i < d->about.count; i++) {
        if (dm_example_shape(&d->instance, i, &d->about.shape, &s, err))
            return err->code;
        if (i == 0)
            *first = s;
        const bool sizes = set->size.n || (s.dim[1] == first->dim[1] && s.dim[2] == first->dim[2]);
        if (sizes && (set->channels || s.dim[0] == first->dim[0]))
            continue;
        const char *x = name_of(d, 0, a, sizeof a), *y = name_of(d, i, b, sizeof b);
        if (sizes)
            return dm_error(err, DM_EINVAL, "'%s' has %lld channels and '%s' %lld; set data.channels to 1 or 3", x,
                            (long long)first->dim[0], y, (long long)s.dim[0]);
        return dm_error(err, DM_EINVAL,
                        "'%s' is %lld x %lld and '%s' %lld x %lld pixels; set data.size to resize them", x,
                        (long long)first->dim[2], (long long)first->dim[1], y, (long long)s.dim[2],
                        (long long)s.dim[1]);
    }
    return DM_OK;
}

/* From what the plugin said and what the experiment wants: the rules, and what comes out. */
static dm_status plan(dm_data *d, const dm_set_data *set, dm_err *err)
{
    dm_data_info *a = &d->about;
    dm_example_rules *r = &d->rules;
    dm_shape first;
    dm_status s;

    if (a->shape.rank == 1 && (set->size.n || set->crop || set->flip || set->channels))
        return dm_error(err, DM_EINVAL, "data.size, crop, flip and channels are for images; '%s' has points",
                        d->instance.plugin->name);
    if (set->size.n > 2)
        return dm_error(err, DM_EINVAL, "data.size has %d numbers; give [side] or [height, width]",
                        (int)set->size.n);
    if (set->crop && !set->size.n)
        return dm_error(err, DM_EINVAL, "data.crop crops to the aspect ratio of data.size; set data.size");
    for (int32_t k = 0; k < a->n_conditions; k++)
        if (set->crop && a->conditions[k].kind == DM_CONDITION_IMAGE)
            return dm_error(err, DM_EINVAL,
                            "data.crop would crop the images but not their condition '%s' of data set '%s'; crop the "
                            "files beforehand", a->conditions[k].name,
                            d->instance.plugin->name);
    if ((s = check_shapes(d, set, &first, err)))
        return s;
    r->largest = a->shape;
    r->low = a->low;
    r->high = a->high;
    r->levels = a->levels;
    r->classes = a->classes;
    r->crop = set->crop;
    r->out = first;
    if (set->size.n) {
        r->out.dim[1] = set->size.v[0];
        r->out.dim[2] = set->size.v[set->size.n - 1];
    }
    if (set->channels)
        r->out.dim[0] = set->channels;
    if (set->channels && set->channels != first.dim[0] && set->channels != 1 && set->channels != 3)
        return dm_error(err, DM_EINVAL, "data.channels is %lld; the data has %lld, and can become 1 or 3",
                        (long long)set->channels, (long long)first.dim[0]);
    a->shape = r->out;
    if (a->levels) {
        a->low = -1;
        a->high = 1;
    }
    d->size = dm_shape_count(&a->shape);
    return d->size <= max_values ? DM_OK : dm_error(err, DM_EINVAL, "data.size makes examples of %lld values",
                                                    (long long)d->size);
}

static dm_status open_set(dm_data *d, const dm_experiment *e, dm_err *err)
{
    dm_data_info info = {.size = sizeof info, .survey = d->survey};
    dm_status s;

    if ((s = DM_CALL(&d->instance, DM_CB_DATA_OPEN, err,
                     d->instance.plugin->dataset->open(&d->instance.ctx, d->split, &info))))
        return s;
    for (int32_t k = info.shape.rank < 0 ? 0 : info.shape.rank; k < 8; k++)
        info.shape.dim[k] = 1;
    if ((s = check_info(d, &info, err)))
        return s;
    if ((s = dm_condition_reader_open(&e->condition, &d->instance, d->train, &info, &d->given, err)))
        return s;
    d->about = info;
    if (e->data.limit && e->data.limit < info.count)
        d->about.count = e->data.limit;
    return plan(d, &e->data, err);
}

static dm_status open_data(const dm_experiment *e, const char *split, dm_services *s, bool survey, dm_data **out,
                           dm_err *err)
{
    const dm_section *sec = &e->section[DM_SEC_DATA];
    dm_err mine = {DM_OK, ""};
    dm_data *d;

    if (!sec->present || !sec->plugin)
        return dm_error(err, DM_EINVAL, "the experiment has no data section");
    if (!(d = calloc(1, sizeof *d)))
        return dm_error(err, DM_ENOMEM, "out of memory: opening the data");
    pthread_mutex_init(&d->replacing, NULL);
    d->train = strcmp(split, "train") == 0;
    d->split = d->train ? "train" : "test";
    d->seed = (uint64_t)e->run.seed;
    d->rules.flip = e->data.flip && d->train;
    d->workers = (int)e->data.workers;
    d->survey = survey;
    d->alive = dm_instance_init(&d->instance, sec->plugin, sec->cfg, s, &mine) == DM_OK;
    if (!d->alive || open_set(d, e, &mine)) {
        dm_data_close(d);
        return dm_error(err, mine.code, "%s", mine.msg);
    }
    *out = d;
    return DM_OK;
}

dm_status dm_data_open(const dm_experiment *e, const char *split, dm_services *s, dm_data **out, dm_err *err)
{
    return open_data(e, split, s, false, out, err);
}

dm_status dm_data_open_readable(const dm_experiment *e, const char *split, dm_services *s, int64_t *unreadable,
                                dm_data **out, dm_err *err)
{
    const dm_status rc = open_data(e, split, s, true, out, err);

    *unreadable = rc ? 0 : (*out)->about.unreadable;
    return rc;
}

static void stop_ahead(dm_data *d)
{
    dm_prefetch_free(d->ahead);
    d->ahead = NULL;
    for (int i = 0; d->scratches && i < d->workers; i++)
        dm_example_scratch_fini(&d->scratches[i]);
    free(d->scratches);
    d->scratches = NULL;
}

void dm_data_close(dm_data *d)
{
    if (!d)
        return;
    stop_ahead(d);
    dm_example_scratch_fini(&d->scratch);
    dm_condition_reader_close(d->given);
    free(d->condition_values);
    if (d->alive)
        dm_instance_fini(&d->instance);
    pthread_mutex_destroy(&d->replacing);
    free(d);
}

/* Where label i goes; NULL, having made it 0, where the data has none. */
static int32_t *label_of(const dm_data *d, int32_t *labels, int64_t i)
{
    if (labels && !d->about.classes)
        labels[i] = 0;
    return labels && d->about.classes ? labels + i : NULL;
}

static void tell_replaced(dm_data *d, int64_t index, const dm_err *why)
{
    const dm_plugin_log *log = &d->instance.services->log;
    char line[sizeof why->msg + 64];
    int i = 0;

    pthread_mutex_lock(&d->replacing);
    while (i < d->n_replaced && d->replaced[i] != index)
        i++;
    if (i == d->n_replaced && i < MOST_TOLD) {
        d->replaced[d->n_replaced++] = index;
        snprintf(line, sizeof line, "replaced by the next: %s%s", why->msg,
                 i == MOST_TOLD - 1 ? "; further ones are not logged" : "");
        if (log->line)
            log->line(log->user, line);
    }
    pthread_mutex_unlock(&d->replacing);
}

/* Example `index`, or, where it cannot be read and the plugin says so, the next one that can. */
static dm_status make_example(dm_data *d, dm_example_scratch *scratch, int64_t index, const dm_example_draw *draw,
                              float *x, float *given, int32_t *label, dm_err *err)
{
    for (int64_t tried = 1;; tried++) {
        dm_err why = {DM_OK, ""};
        const dm_status s = dm_example_make(&d->instance, &d->rules, scratch, index, draw, x, label, &why);

        if (!s)
            return dm_condition_reader_read(d->given, index, d->rules.flip && draw && draw->flip, given, err);
        if (s != DM_ECORRUPT || !d->about.replaces || tried == d->about.count)
            return dm_error(err, s, "%s", why.msg);
        tell_replaced(d, index, &why);
        index = (index + 1) % d->about.count;
    }
}

/* Example of the training stream at `position`. */
static dm_status stream(dm_data *d, dm_example_scratch *scratch, uint64_t position, float *x, float *given,
                        int32_t *label, dm_err *err)
{
    const uint64_t count = (uint64_t)d->about.count;
    const int64_t index = dm_shuffle(d->seed, position / count, (int64_t)(position % count), d->about.count);
    dm_example_draw draw;

    dm_example_draw_init(&draw, d->seed, position);
    return make_example(d, scratch, index, &draw, x, given, label, err);
}

static dm_status make_ahead(void *user, int worker, uint64_t position, float *x, float *given, int32_t *label,
                            dm_err *err)
{
    dm_data *d = user;

    return stream(d, &d->scratches[worker], position, x, given, label_of(d, label, 0), err);
}

/* Room for the conditions of n examples. */
static dm_status make_room(dm_data *d, int64_t n, dm_err *err)
{
    if (n <= d->conditions_room || !dm_condition_reader_size(d->given))
        return DM_OK;
    free(d->condition_values);
    d->condition_values = dm_array(n, dm_condition_reader_size(d->given), sizeof *d->condition_values);
    d->conditions_room = d->condition_values ? n : 0;
    return d->condition_values ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the conditions of %lld examples",
                                      (long long)n);
}

static float *conditions_of(const dm_data *d, int64_t i)
{
    return d->condition_values ? d->condition_values + i * dm_condition_reader_size(d->given) : NULL;
}

const float *dm_data_conditions(const dm_data *d) { return d->condition_values; }

dm_status dm_data_batch(dm_data *d, uint64_t position, int64_t n, float *x, int32_t *labels, dm_err *err)
{
    dm_status s = make_room(d, n, err);

    if (!s && d->ahead && dm_prefetch_take(d->ahead, position, n, x, d->condition_values, labels, &s, err))
        return s;
    for (int64_t i = 0; i < n && !s; i++)
        s = stream(d, &d->scratch, position + (uint64_t)i, x + i * d->size, conditions_of(d, i), label_of(d, labels, i),
                   err);
    return s;
}

dm_status dm_data_raw(dm_data *d, int64_t index, dm_shape *shape, const float **x, int32_t *label, dm_err *err)
{
    const dm_status s =
        dm_example_raw(&d->instance, &d->rules, &d->scratch, index, shape, d->about.classes ? label : NULL, err);

    *x = d->scratch.raw;
    return s;
}

dm_status dm_data_raw_shape(const dm_data *d, int64_t index, dm_shape *shape, dm_err *err)
{
    return dm_example_shape(&d->instance, index, &d->rules.largest, shape, err);
}

dm_status dm_data_read_conditions(dm_data *d, int64_t index, int64_t *n, const float **values, dm_err *err)
{
    dm_status s = make_room(d, 1, err);

    *n = dm_condition_reader_size(d->given);
    *values = d->condition_values;
    return s || !*n ? s : dm_condition_reader_read(d->given, index, false, d->condition_values, err);
}

int64_t dm_data_raw_size(const dm_data *d) { return dm_shape_count(&d->rules.largest); }

dm_status dm_data_at(dm_data *d, int64_t first, int64_t n, float *x, int32_t *labels, dm_err *err)
{
    dm_status s;

    if (first < 0 || n < 0 || first > d->about.count || n > d->about.count - first)
        return dm_error(err, DM_EINVAL, "examples %lld to %lld: the %s split has %lld", (long long)first,
                        (long long)(first + n), d->split, (long long)d->about.count);
    s = make_room(d, n, err);
    for (int64_t i = 0; i < n && !s; i++)
        s = make_example(d, &d->scratch, first + i, NULL, x + i * d->size, conditions_of(d, i), label_of(d, labels, i),
                         err);
    return s;
}

dm_status dm_data_try(dm_data *d, int64_t index, float *x, dm_err *err)
{
    int32_t label = 0;

    return dm_example_make(&d->instance, &d->rules, &d->scratch, index, NULL, x, label_of(d, &label, 0), err);
}

dm_status dm_data_prefetch(dm_data *d, uint64_t position, int64_t n, int64_t stride, dm_err *err)
{
    stop_ahead(d);
    if (!(d->scratches = calloc((size_t)d->workers, sizeof *d->scratches)))
        return dm_error(err, DM_ENOMEM, "out of memory: reading ahead");
    return dm_prefetch_new(&(dm_prefetch_setup){.make = make_ahead, .user = d, .workers = d->workers,
                                                .position = position, .n = n, .size = d->size,
                                                .more = dm_condition_reader_size(d->given), .stride = stride},
                                                    &d->ahead, err);
}
