/* What only plugins and the data can tell of an experiment; see examine.h. */
#include "examine.h"

#include "data.h"
#include "sampling.h"

static bool sound(const dm_session *s, dm_section_id id)
{
    return s->experiment->section[id].plugin && !s->experiment->section[id].faults;
}

/* A fault, unless it is none of the experiment's. */
static dm_status found(dm_session *s, dm_section_id id, const dm_err *why, dm_faults *f, dm_err *err)
{
    if (why->code == DM_ENOMEM)
        return dm_error(err, why->code, "%s", why->msg);
    s->experiment->section[id].faults++;
    dm_experiment_fault(s->experiment, id, why, f);
    return DM_OK;
}

static void log_line(void *user, const char *line) { dm_session_log(user, DM_LOG_INFO, "%s", line); }

static dm_status open_data(dm_session *s, dm_err *err)
{
    dm_status rc;

    dm_services_init(&s->data_services);
    s->data_services.log = log_line;
    s->data_services.log_user = s;
    if (!(rc = dm_data_open(s->experiment, "train", &s->data_services, &s->examples, err)))
        s->data = *dm_data_about(s->examples);
    return rc;
}

static dm_status check_sampler(const dm_session *s, dm_model *m, dm_err *err)
{
    const dm_sampling_setup setup = {.experiment = s->experiment, .noise = s->noise, .objective = dm_model_objective(m), .data = &s->data,
                                     .n = 1, .out_channels = dm_model_out_channels(m)};
    dm_sampling *sampling;
    dm_status rc;

    if (!(rc = dm_sampling_new(&setup, &sampling, err)))
        dm_sampling_free(sampling);
    return rc;
}

/* Objective and network, built as for a training step of one example, and the sampler. */
static dm_status examine_model(dm_session *s, dm_faults *f, dm_err *err)
{
    const dm_section *section = s->experiment->section;
    const bool diffuses = section[DM_SEC_OBJECTIVE].plugin->objective->affine != NULL;
    dm_section_id at = DM_SEC_NETWORK;
    dm_model *m = NULL;
    dm_err why = {0};
    dm_status rc;

    if (diffuses && !s->noise)
        return DM_OK; /* the schedule has its faults */
    if (dm_model_examine(s->experiment, s->noise, &s->data, s->label_width, &m, &at, &why))
        rc = found(s, at, &why, f, err);
    else
        rc = diffuses && sound(s, DM_SEC_SAMPLER) && check_sampler(s, m, &why) ? found(s, DM_SEC_SAMPLER, &why, f, err) : DM_OK;
    dm_model_free(m);
    return rc;
}

dm_status dm_session_examine(dm_session *s, bool data, dm_faults *f, dm_err *err)
{
    dm_device_info device;
    dm_err why = {0};
    dm_status rc;

    if (sound(s, DM_SEC_SCHEDULE) && dm_noise_new(s->experiment, &s->noise, &why) && (rc = found(s, DM_SEC_SCHEDULE, &why, f, err)))
        return rc;
    if (data && sound(s, DM_SEC_DATA) && open_data(s, &why) && (rc = found(s, DM_SEC_DATA, &why, f, err)))
        return rc;
    if (s->data.shape.rank && sound(s, DM_SEC_NETWORK) && sound(s, DM_SEC_OBJECTIVE) && (rc = examine_model(s, f, err)))
        return rc;
    if ((data || s->data.shape.rank) && !s->experiment->section[DM_SEC_RUN].faults && dm_device_pick(s->experiment->run.device, &device, &why)) {
        dm_error_prefix(&why, "device: ");
        return found(s, DM_SEC_RUN, &why, f, err);
    }
    return DM_OK;
}
