/* What only plugins and the data can tell of an experiment; see examine.h. */
#include "session/examine.h"

#include "data/data.h"
#include "run/run_folder.h"
#include "model/sampling.h"
#include "session/data_meta.h"
#include "session/session_source.h"

#include <math.h>
#include <string.h>

static bool sound(const dm_session *s, dm_section_id id)
{
    return s->experiment->section[id].plugin && !s->experiment->section[id].faults;
}

/* Faults, one a line, unless they are none of the experiment's. */
static dm_status found(dm_session *s, dm_section_id id, const dm_err *why, dm_faults *f, dm_err *err)
{
    dm_err one = {.code = why->code};

    if (why->code == DM_ENOMEM)
        return dm_error(err, why->code, "%s", why->msg);
    for (const char *line = why->msg; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        snprintf(one.msg, sizeof one.msg, "%.*s", (int)strcspn(line, "\n"), line);
        s->experiment->section[id].faults++;
        dm_experiment_fault(s->experiment, id, &one, f);
    }
    return DM_OK;
}

static dm_status open_data(dm_session *s, dm_err *err)
{
    dm_status rc;

    dm_services_init(&s->data_services, &s->experiment->plugin_log);
    if (!(rc = dm_data_open(s->experiment, "train", &s->data_services, &s->examples, err)))
        s->data = *dm_data_get_info(s->examples);
    return rc;
}

/* The test split, where training or evaluations read it; that there is none is a fault for training alone. known: what
 * is wrong with the other split, which is not said twice. */
static dm_status examine_test_split(dm_session *s, dm_need need, const dm_err *known, dm_faults *f, dm_err *err)
{
    const bool held_out = s->experiment->train.validate_every > 0;
    struct dm_data *d = NULL;
    dm_err why = {0};
    dm_status rc;

    if (!held_out && need < DM_NEED_ALL)
        return DM_OK;
    rc = dm_data_open(s->experiment, "test", &s->data_services, &d, &why);
    dm_data_close(d);
    if (!rc || (rc == DM_ENOENT && !held_out) || (known->code && !strcmp(known->msg, why.msg)))
        return DM_OK;
    if (rc == DM_ENOENT)
        dm_error_prefix(&why, "validate_every: needs data with a test split: ");
    return found(s, rc == DM_ENOENT ? DM_SEC_TRAIN : DM_SEC_DATA, &why, f, err);
}

/* Both splits, so that all that is wrong with them is said at once. */
static dm_status examine_data(dm_session *s, dm_need need, dm_faults *f, dm_err *err)
{
    dm_err why = {0};
    dm_status rc = open_data(s, &why) ? found(s, DM_SEC_DATA, &why, f, err) : DM_OK;

    return rc ? rc : examine_test_split(s, need, &why, f, err);
}

dm_status dm_session_open_start(dm_session *s, dm_err *err)
{
    const char *from = s->experiment->train.from;
    int64_t step;

    return *from ? dm_session_source(s, from, &s->start, &step, err) : DM_OK;
}

dm_status dm_session_start_fits(dm_session *s, const dm_layout *l, dm_err *err)
{
    char told[400];
    dm_status rc;

    if (!s->start)
        return DM_OK;
    /* The keys before the tensors, which follow from them. */
    dm_session_compare_network(s, s->start, s->experiment->train.from, told, sizeof told);
    if ((rc = dm_session_fits(s, l, s->start, false, err)))
        dm_error_prefix(err, "%s", told);
    return rc;
}

/* Where the run goes, and what it begins with. */
static dm_status examine_run(dm_session *s, dm_need need, dm_faults *f, dm_err *err)
{
    const dm_experiment *e = s->experiment;
    const char *output = e->output ? e->output : e->run.output; /* with other faults, only what is said */
    dm_err why = {0};
    dm_status rc;

    if (*output && !e->section[DM_SEC_RUN].faults && dm_run_possible(output, &why)) {
        dm_error_prefix(&why, "output: ");
        if ((rc = found(s, DM_SEC_RUN, &why, f, err)))
            return rc;
    }
    if (need < DM_NEED_START || e->section[DM_SEC_TRAIN].faults || !dm_session_open_start(s, &why))
        return DM_OK;
    dm_error_prefix(&why, "from: ");
    return found(s, DM_SEC_TRAIN, &why, f, err);
}

/* Where there is almost no signal, x0 is what is left of x without the predicted noise, divided by it: beyond this,
 * even a prediction that is right to a thousandth gives an x0 outside of the data. */
static const double largest_amplification = 1000;

static void warn_of_amplification(const dm_session *s, dm_sampling *sampling)
{
    const double k = dm_sampling_amplification(sampling);
    const dm_point *first = &dm_sampling_walk(sampling)->points[0];

    if (k > largest_amplification)
        dm_session_log(s, DM_LOG_WARNING,
                       "sampling starts at t = %g, where sigma / alpha is %.4g: errors in the predicted noise are "
                       "multiplied by this in x0, which is not clipped; set sampler.clip to the largest |x| of the "
                       "data, or train with objective.predict: v, or with a schedule that leaves more signal",
                       first->t, first->alpha > 0 ? first->sigma / first->alpha : (double)INFINITY);
}

/* Where the walk leaves out noise that the model was trained with, or the noisiest level is not all noise, x begins
 * with another mean and spread than the data have there (Lin et al. 2024). Not where the user wrote the points. */
static void warn_of_start(const dm_session *s, dm_sampling *sampling)
{
    const dm_experiment *e = s->experiment;
    const dm_plugin *grid = e->section[DM_SEC_GRID].plugin;
    const dm_point *first = &dm_sampling_walk(sampling)->points[0];
    double share, most_share;
    dm_point most;

    if (grid->grid->lists)
        return;
    dm_noise_at(s->noise, dm_noise_T(s->noise), &most);
    share = first->sigma / hypot(first->alpha, first->sigma);
    most_share = most.sigma / hypot(most.alpha, most.sigma);
    if (share < 0.999 * most_share)
        dm_session_log(s, DM_LOG_WARNING,
                       "sampling starts from pure noise at t = %g of %d, where the share of noise is only %.4g (%.4g "
                       "at the noisiest level); use another grid",
                       first->t, (int)dm_noise_T(s->noise), share, most_share);
    if (most_share < 0.99)
        dm_session_log(s, DM_LOG_WARNING,
                       "the schedule's noisiest level has a share of noise of only %.4g, but sampling starts from "
                       "pure noise; use a schedule that ends in more noise, or more timesteps",
                       most_share);
}

/* A run whose guide was moved is read all the same: only what draws guided images needs it, and says so. */
static bool does_without_guide(const dm_session *s, dm_need need)
{
    return need == DM_NEED_NETWORK || (need == DM_NEED_ALL && s->kept);
}

/* The model that guidance names, as far as its data's facts tell. */
static dm_status check_guide(const dm_session *s, dm_need need, dm_err *err)
{
    const char *guide = s->experiment->guidance.guide;
    dm_data_info data;
    dm_st *f = NULL;
    int64_t step;
    dm_status rc;

    if (!*guide)
        return DM_OK;
    if (!(rc = dm_session_source(s, guide, &f, &step, err)) && !(rc = dm_data_meta_read(f, &data, err)))
        rc = dm_session_guide_fits(s, &data, guide, err);
    dm_st_close(f);
    if (rc == DM_ENOENT && does_without_guide(s, need)) {
        dm_session_log(s, DM_LOG_WARNING, "guidance.guide: %s; guided images cannot be drawn", err->msg);
        *err = (dm_err){0};
        return DM_OK;
    }
    if (rc)
        dm_error_prefix(err, "guide: ");
    return rc;
}

dm_status dm_session_guide_fits(const dm_session *s, const dm_data_info *data, const char *guide, dm_err *err)
{
    dm_data_meta mine, its;
    dm_st_pair unused[DM_DATA_PAIRS];

    dm_data_meta_write(&s->data, &mine, unused);
    dm_data_meta_write(data, &its, unused);
    if (strcmp(mine.shape, its.shape))
        return dm_error(err, DM_EINVAL, "'%s' is of examples [%s]; this model's are [%s]", guide, its.shape,
                        mine.shape);
    if (data->classes && data->classes != s->data.classes)
        return dm_error(err, DM_EINVAL, "'%s' knows %d classes; this model's data have %d", guide, (int)data->classes,
                        (int)s->data.classes);
    return DM_OK;
}

/* guidance: what is wrong with that, NULL where nobody asks. */
static dm_status check_sampler(const dm_session *s, dm_net *m, dm_need need, dm_err *guidance, dm_err *err)
{
    const dm_sampling_setup setup = {.experiment = s->experiment,
                                     .noise = s->noise,
                                     .objective = dm_net_objective(m),
                                     .data = &s->data,
                                     .n = 1,
                                     .out_channels = dm_net_out_channels(m),
                                     .can = dm_net_can_be_guided(m),
                                     .says = need >= DM_NEED_DATA};
    dm_sampling *sampling;
    dm_status rc;

    if ((rc = dm_sampling_new(&setup, &sampling, err)))
        return rc;
    if (guidance)
        rc = dm_sampling_check_guidance(sampling, guidance);
    if (guidance && (rc || (rc = check_guide(s, need, guidance)))) {
        dm_sampling_free(sampling);
        return DM_OK;
    }
    if (need >= DM_NEED_DATA) { /* also of what is allowed */
        warn_of_amplification(s, sampling);
        warn_of_start(s, sampling);
    }
    dm_sampling_free(sampling);
    return DM_OK;
}

dm_status dm_session_warn_of_sampling(dm_session *s, dm_net *m, dm_err *err)
{
    return check_sampler(s, m, DM_NEED_DATA, NULL, err);
}

/* Gradients lie in what is stored as half, where small ones become zero. */
static dm_status examine_precision(dm_session *s, dm_faults *f, dm_err *err)
{
    dm_err why = {0};

    if (s->experiment->section[DM_SEC_RUN].faults || s->experiment->run.precision != DM_PRECISION_FP16)
        return DM_OK;
    dm_error(&why, DM_EINVAL,
             "precision: fp16 is for sampling and evaluation: gradients underflow in it without loss scaling; train "
             "with bf16");
    return found(s, DM_SEC_RUN, &why, f, err);
}

static void warn_of_warmup(const dm_session *s)
{
    const dm_set_train *t = &s->experiment->train;

    if (!s->experiment->section[DM_SEC_TRAIN].faults && t->warmup >= t->steps)
        dm_session_log(s, DM_LOG_WARNING,
                       "train.warmup is %lld and train.steps is %lld: the learning rate is still rising when training "
                       "ends, at %.3g of %g",
                       (long long)t->warmup, (long long)t->steps, t->lr * (double)t->steps / (double)t->warmup, t->lr);
}

/* The grid by itself, so that its faults are shown at its keys. */
static dm_status check_walk(const dm_session *s, dm_err *err)
{
    dm_walk walk = {0};
    const dm_status rc = dm_noise_walk_of(s->noise, s->experiment, &walk, err);

    dm_walk_fini(&walk);
    return rc;
}

/* Training can only drop conditions that the network reads. */
static dm_status examine_dropping(const dm_session *s, const dm_net *m, dm_err *err)
{
    const dm_reals *drop = &s->experiment->train.drop_condition;
    bool drops = false;

    for (int32_t i = 0; i < drop->n; i++)
        drops |= drop->v[i] > 0;
    if (!drops || dm_net_drops_labels(m) || dm_net_conditions(m)->n)
        return DM_OK;
    if (!s->data.classes)
        return dm_error(err, DM_EINVAL, "drop_condition: the data has no classes to drop");
    return dm_error(err, DM_EINVAL, "drop_condition: network '%s' reads no classes, so there is nothing to drop",
                    s->experiment->section[DM_SEC_NETWORK].plugin->name);
}

/* Objective and network, built as for a training step of one example, and the sampler. */
static dm_status examine_model(dm_session *s, dm_need need, dm_faults *f, dm_err *err)
{
    const dm_section *section = s->experiment->section;
    const bool diffuses = section[DM_SEC_OBJECTIVE].plugin->objective->affine != NULL;
    dm_section_id at = DM_SEC_NETWORK;
    dm_unreached unreached;
    dm_net *m = NULL;
    dm_err why = {0}, guidance = {0};
    dm_status rc;

    if (diffuses && !s->noise)
        return DM_OK; /* the schedule has its faults */
    if (dm_net_examine(s->experiment, s->noise, &s->data, s->label_width, &m, &unreached, &at, &why))
        return found(s, at, &why, f, err);
    if (unreached.n && need >= DM_NEED_DATA)
        dm_session_log(s, DM_LOG_WARNING, "no gradient reaches weight '%s'%s: training does not change it",
                       unreached.first, unreached.n > 1 ? " and others" : "");
    if (unreached.n_frozen && need >= DM_NEED_DATA)
        dm_session_log(s, DM_LOG_INFO, "stop_gradient in the network freezes %d weight%s, '%s'%s: training does not "
                       "change %s", (int)unreached.n_frozen, unreached.n_frozen > 1 ? "s" : "", unreached.frozen,
                       unreached.n_frozen > 1 ? " and others" : "", unreached.n_frozen > 1 ? "them" : "it");
    if (need >= DM_NEED_DATA && examine_dropping(s, m, &why)) {
        dm_net_free(m);
        return found(s, DM_SEC_TRAIN, &why, f, err);
    }
    if (diffuses && section[DM_SEC_GRID].plugin && sound(s, DM_SEC_SAMPLER) && sound(s, DM_SEC_GRID) &&
        check_walk(s, &why)) {
        dm_net_free(m);
        return found(s, DM_SEC_GRID, &why, f, err);
    }
    rc = diffuses && sound(s, DM_SEC_SAMPLER) && !section[DM_SEC_GRID].faults &&
                 check_sampler(s, m, need, sound(s, DM_SEC_GUIDANCE) ? &guidance : NULL, &why)
             ? found(s, DM_SEC_SAMPLER, &why, f, err)
             : DM_OK;
    if (!rc && guidance.code)
        rc = found(s, DM_SEC_GUIDANCE, &guidance, f, err);
    if (!rc && dm_session_start_fits(s, dm_net_layout(m), &why)) {
        dm_error_prefix(&why, "from: ");
        rc = found(s, DM_SEC_TRAIN, &why, f, err);
    }
    dm_net_free(m);
    return rc;
}

/* Of a list, one for each rank, the first stands for all. */
static dm_status pick_device(const dm_session *s, dm_err *err)
{
    char device[DM_RANK_DEVICE];
    dm_device_info info;
    const dm_status rc = dm_rank_device(dm_comm_one(), s->experiment->run.device, device, err);

    return rc ? rc : dm_device_pick(device, &info, err);
}

dm_status dm_session_examine(dm_session *s, dm_need need, dm_faults *f, dm_err *err)
{
    const bool data = need >= DM_NEED_DATA;
    dm_err why = {0};
    dm_status rc;

    if (sound(s, DM_SEC_SCHEDULE) && dm_noise_new(s->experiment, &s->noise, &why) &&
        (rc = found(s, DM_SEC_SCHEDULE, &why, f, err)))
        return rc;
    if (data && sound(s, DM_SEC_DATA) && (rc = examine_data(s, need, f, err)))
        return rc;
    if (data && ((rc = examine_run(s, need, f, err)) || (rc = examine_precision(s, f, err))))
        return rc;
    if (data)
        warn_of_warmup(s);
    if (s->data.shape.rank && sound(s, DM_SEC_NETWORK) && sound(s, DM_SEC_OBJECTIVE) &&
        (rc = examine_model(s, need, f, err)))
        return rc;
    if ((data || s->data.shape.rank) && !s->experiment->section[DM_SEC_RUN].faults &&
        pick_device(s, &why)) {
        dm_error_prefix(&why, "device: ");
        return found(s, DM_SEC_RUN, &why, f, err);
    }
    return DM_OK;
}
