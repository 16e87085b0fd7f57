/* What no row by itself can say of an experiment: sections that are needed, values that must fit each
 * other; see experiment_impl.h. */
#include "experiment/experiment_impl.h"

#include <string.h>

#include "text/number.h"
#include "plugin/instance.h"

#define FAULT(r, id, key, ...) ((r)->e->section[id].faults++, \
                                dm_fault((r)->faults, DM_EINVAL, dm_said_mark((r), (id), (key)), __VA_ARGS__))

static void need(dm_reading *r, dm_section_id id, const char *why)
{
    if (!r->e->section[id].present && r->e->section[id].faults++ == 0)
        dm_fault(r->faults, DM_EINVAL, r->s[id].at, "%s: section is missing; %s", dm_settings[id].name, why);
}

static void check_sections(dm_reading *r)
{
    const dm_plugin *objective = r->e->section[DM_SEC_OBJECTIVE].plugin;
    char why[128];

    if (r->o->need_data)
        need(r, DM_SEC_DATA, "training needs a data set");
    if (!r->o->partial) {
        need(r, DM_SEC_NETWORK, "write network: {use: NAME}");
        need(r, DM_SEC_OBJECTIVE, "write objective: {use: NAME}");
    }
    if (!objective)
        return;
    if (!objective->objective->affine) {
        if (r->e->train.sample_every)
            FAULT(r, DM_SEC_TRAIN, "sample_every",
                  "train.sample_every: objective %s does not diffuse: there is nothing to sample", objective->name);
        return;
    }
    snprintf(why, sizeof why, "objective %s diffuses, so it needs one", objective->name);
    need(r, DM_SEC_SCHEDULE, why);
    need(r, DM_SEC_SAMPLER, why);
}

/* A folder's name that is one everywhere, and no option of a command. */
static void check_name(dm_reading *r)
{
    const char *name = r->e->run.name;
    const size_t n = name ? strlen(name) : 0;

    if (name && (!n || n > 100 || *name == '.' || *name == '-' ||
                 strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != n))
        FAULT(r, DM_SEC_RUN, "name",
              "name: '%s' is not a valid folder name; use 1 to 100 of A-Z, a-z, 0-9, '.', '_', '-', and do not "
              "start with '.' or '-'",
              dm_show(name).text);
}

static void check_ranks(dm_reading *r)
{
    if (r->e->train.reduce_precision == DM_REDUCE_BF16 && r->e->run.deterministic)
        FAULT(r, DM_SEC_TRAIN, "reduce_precision",
              "train.reduce_precision: sums of bf16 depend on the number of ranks, so deterministic needs fp32");
}

static void check_coupling(dm_reading *r)
{
    const double batch = (double)r->e->train.batch;

    if (r->o->need_data && r->e->objective.coupling != DM_COUPLING_INDEPENDENT && batch > DM_COUPLING_MOST)
        FAULT(r, DM_SEC_OBJECTIVE, "coupling",
              "objective.coupling: assigns a whole batch at once, of at most %d examples; the distances of "
              "train.batch=%.0f would take %.1f GB; set a smaller batch, or coupling: independent", DM_COUPLING_MOST,
              batch, 8e-9 * batch * batch);
}

static void check_data(dm_reading *r)
{
    const dm_set_data *d = &r->e->data;

    if (d->size.n > 2)
        FAULT(r, DM_SEC_DATA, "size", "data.size: has %d values; [side] and [height, width] are allowed",
              (int)d->size.n);
    if (d->crop != DM_CROP_NONE && !d->size.n)
        FAULT(r, DM_SEC_DATA, "crop", "data.crop: crops to the aspect ratio of data.size; set data.size");
}

/* Each kind is named after itself. */
static void check_condition(dm_reading *r)
{
    const dm_ints *derive = &r->e->condition.derive;

    for (int32_t i = 0; i < derive->n; i++)
        for (int32_t k = 0; k < i; k++)
            if (derive->v[i] == derive->v[k]) {
                FAULT(r, DM_SEC_CONDITION, "derive", "condition.derive: value %d repeats an earlier one; give each "
                                                     "kind once",
                      (int)i + 1);
                return;
            }
}

static void check_clip(dm_reading *r)
{
    const char *clip = r->e->sampler.clip;
    double limit;

    if (!clip || !strcmp(clip, "auto") || !strcmp(clip, "off") || !strcmp(clip, "dynamic") ||
        (dm_number_real(clip, &limit) == DM_NUMBER_OK && limit > 0))
        return;
    FAULT(r, DM_SEC_SAMPLER, "clip", "sampler.clip: is '%s'; it must be auto, off, dynamic or a number above 0",
          dm_show(clip).text);
}

static void check_continuous(dm_reading *r, const dm_plugin *schedule)
{
    if (r->e->schedule.zero_terminal_snr)
        FAULT(r, DM_SEC_SCHEDULE, "zero_terminal_snr",
              "schedule.zero_terminal_snr: %s is continuous; only discrete schedules are rescaled", schedule->name);
    if (r->e->section[DM_SEC_SAMPLER].present && !r->e->sampler.steps)
        FAULT(r, DM_SEC_SAMPLER, "steps", "sampler.steps: 0 means all timesteps, but schedule %s is continuous",
              schedule->name);
}

/* Whether steps were said beside the points that tell them, or after them; a run's text of before there were grids has
 * steps that nothing read. */
static bool said_steps(const dm_reading *r)
{
    const dm_said *steps = dm_said_find(&r->s[DM_SEC_SAMPLER], "steps");
    const dm_said_section *grid = &r->s[DM_SEC_GRID];

    for (size_t i = 0; steps && i < grid->n; i++)
        if (grid->said[i].group > steps->group)
            return false;
    return steps && !(r->steps_follow && !steps->value->at.source->argument);
}

bool dm_experiment_chooses_steps(const dm_experiment *e)
{
    const dm_plugin *p = e->section[DM_SEC_SAMPLER].plugin;

    return p && p->sampler->adaptive;
}

/* A grid that has its own count of steps says it; a sampler that chooses its own takes the ends, and sampler.steps
 * stays the most that it may take. */
static void check_grid(dm_reading *r)
{
    const dm_section *s = &r->e->section[DM_SEC_GRID];
    const int64_t before = r->e->sampler.steps;
    dm_services services;
    dm_instance i;
    int32_t n = 0;
    dm_err err = {0};
    dm_status rc;

    if (!s->plugin || !s->plugin->grid->steps || s->faults)
        return;
    dm_services_init(&services, &r->e->plugin_log);
    if (!(rc = dm_instance_init(&i, s->plugin, s->cfg, &services, &err)))
        rc = DM_CALL(&i, DM_CB_GRID_STEPS, &err, s->plugin->grid->steps(&i.ctx, &n));
    if (!rc && (n < 1 || n > 1000000))
        rc = dm_error(&err, DM_EINVAL, "steps() gives %d steps; it must be 1 to 1000000", (int)n);
    dm_instance_fini(&i);
    if (rc) {
        r->e->section[DM_SEC_GRID].faults++; /* whose points are not asked for then */
        dm_experiment_fault(r->e, DM_SEC_GRID, &err, r->faults);
        return;
    }
    r->e->listed = n;
    if (dm_experiment_chooses_steps(r->e))
        return;
    if (said_steps(r) && before != n)
        FAULT(r, DM_SEC_SAMPLER, "steps", "sampler.steps: %lld, but grid '%s' has %d", (long long)before,
              s->plugin->name, (int)n);
    else
        r->e->sampler.steps = n;
}

static void check_schedule(dm_reading *r)
{
    const dm_plugin *p = r->e->section[DM_SEC_SCHEDULE].plugin;

    if (p && !p->schedule->fill)
        check_continuous(r, p);
}

static void check_train(dm_reading *r)
{
    const dm_set_train *t = &r->e->train;
    char a[DM_NUMBER_TEXT], b[DM_NUMBER_TEXT];

    if (t->micro_batch > t->batch)
        FAULT(r, DM_SEC_TRAIN, "micro_batch", "train.micro_batch: %lld is more than the batch of %lld",
              (long long)t->micro_batch, (long long)t->batch);
    if (t->ema.n > DM_MAX_EMA)
        FAULT(r, DM_SEC_TRAIN, "ema", "train.ema: %d rates; at most %d averages are kept", (int)t->ema.n, DM_MAX_EMA);
    if (t->decay != DM_DECAY_CONSTANT && t->min_lr > t->lr)
        FAULT(r, DM_SEC_TRAIN, "min_lr", "train.min_lr: %s is above train.lr = %s, which decays to it",
              dm_number_write(t->min_lr, a), dm_number_write(t->lr, b));
}

void dm_reading_check(dm_reading *r)
{
    check_sections(r);
    check_name(r);
    check_data(r);
    check_ranks(r);
    check_coupling(r);
    check_condition(r);
    check_clip(r);
    check_grid(r);
    check_schedule(r);
    check_train(r);
}
