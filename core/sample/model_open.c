/* dm_model_open, dm_model_info, dm_model_close: a trained model on a device. */
#include "sample/model_handle.h"
#include "text/number.h"
#include "session/data_meta.h"
#include "session/session_ranks.h"
#include "session/session_read.h"
#include "session/session_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The overrides, copied: calls that follow read them again. Device and precision are two more, last. */
static dm_status copy_overrides(dm_model *m, const dm_model_options *o, const char ***out, int *n, dm_err *err)
{
    const char **all;
    bool whole = true;
    dm_status rc;

    *n = 0;
    if ((rc = dm_session_check_overrides(o->overrides, o->n_overrides, err)))
        return rc;
    if (!(all = dm_alloc_n(m->arena, (size_t)o->n_overrides + 2, sizeof *all)))
        return dm_error(err, DM_ENOMEM, "out of memory for overrides");
    for (; *n < o->n_overrides; ++*n)
        whole = (all[*n] = dm_strdup(m->arena, o->overrides[*n])) && whole;
    if (o->device)
        whole = (all[(*n)++] = dm_sprintf(m->arena, "device=%s", o->device)) && whole;
    if (o->precision)
        whole = (all[(*n)++] = dm_sprintf(m->arena, "precision=%s", o->precision)) && whole;
    *out = all;
    return whole ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for overrides");
}

static dm_status open(dm_model *m, const char *run, const dm_model_options *o, dm_err *err)
{
    const char **overrides = NULL;
    int n = 0;
    dm_status rc;

    m->profile = o->profile;
    if (!(m->arena = dm_arena_new()) || !(m->run = dm_strdup(m->arena, run)))
        return dm_error(err, DM_ENOMEM, "out of memory for a model");
    if ((rc = copy_overrides(m, o, &overrides, &n, err)) ||
        (rc = dm_session_read_model(&m->s, run, overrides, n, n - o->n_overrides, o->callbacks, err)))
        return rc;
    m->s.comm = m->comm;
    if ((rc = dm_session_open(&m->s, o->profile, err)) || (rc = dm_session_weights(&m->s, o->raw, &m->weights, err)))
        return rc;
    if (!(m->experiment = dm_experiment_print(m->s.experiment, false)))
        return dm_error(err, DM_ENOMEM, "out of memory for the experiment");
    return dm_forwards_new(m->s.model, m->weights, &m->forwards, err);
}

static dm_status open_together(dm_model *m, const char *run, const dm_model_options *o, dm_err *err)
{
    dm_status rc;

    m->comm = dm_comm_one();
    if (o->ranks && (rc = dm_comm_open(&m->comm, err)))
        return rc;
    rc = dm_comm_agree(m->comm, open(m, run, o, err), NULL, err);
    return rc ? rc : dm_session_same(&m->s, "", err);
}

dm_status dm_model_open(const char *run, const dm_model_options *options, dm_model **out, dm_err *err)
{
    dm_model_options o;
    dm_model *m;
    dm_status rc;

    if (!out)
        return dm_error(err, DM_EINVAL, "dm_model_open was given NULL for the model to write");
    *out = NULL;
    if ((rc = DM_SIZED_READ(dm_model_options, &o, options, err)))
        return rc;
    if (!run)
        return dm_error(err, DM_EINVAL, "the run is NULL; give a run folder or a checkpoint");
    if (!(m = calloc(1, sizeof *m)))
        return dm_error(err, DM_ENOMEM, "out of memory for a model");
    if ((rc = open_together(m, run, &o, err)))
        dm_model_close(m);
    else
        *out = m;
    return rc;
}

void dm_model_close(dm_model *m)
{
    if (!m)
        return;
    dm_image_sampler_free(m->sampler);
    dm_forwards_free(m->forwards);
    dm_wset_free(m->weights);
    dm_experiment_free(m->other);
    dm_session_fini(&m->s);
    dm_comm_close(m->comm);
    free(m->other_key);
    free(m->experiment);
    dm_arena_free(m->arena);
    free(m);
}

static const char *name_of(const dm_experiment *e, dm_section_id id)
{
    return e->section[id].plugin ? e->section[id].plugin->name : NULL;
}

/* How many examples a fingerprint, which begins with that, is of; 0 where there is none. */
static int64_t examples_of(const dm_st *checkpoint)
{
    const char *text = dm_st_meta(checkpoint, DM_DATA_FINGERPRINT);
    char number[24];
    int64_t n = 0;

    if (!text || (size_t)snprintf(number, sizeof number, "%.*s", (int)strcspn(text, " "), text) >= sizeof number)
        return 0;
    return dm_number_int(number, &n) == DM_NUMBER_OK && n > 0 ? n : 0;
}

dm_status dm_model_info(const dm_model *m, dm_model_properties *out, dm_err *err)
{
    static const char *const precisions[] = {
        [DM_PRECISION_FP32] = "fp32", [DM_PRECISION_BF16] = "bf16", [DM_PRECISION_FP16] = "fp16"};
    dm_model_properties p = {.size = sizeof p};
    const dm_experiment *e;
    const dm_session *s;
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_model_properties, out, size, err)))
        return rc;
    if (!m)
        return dm_model_missing(err);
    s = &m->s;
    e = s->experiment;
    p.shape = s->data.shape;
    p.classes = s->data.classes;
    p.label_width = s->label_width;
    p.class_names = dm_st_meta(s->checkpoint, DM_CLASS_NAMES);
    p.class_names = p.class_names && *p.class_names ? p.class_names : NULL;
    p.examples = examples_of(s->checkpoint);
    p.takes_class = s->data.classes && dm_net_reads_labels(s->model);
    p.takes_none = dm_net_can_be_guided(s->model).takes_none;
    p.conditions = dm_net_conditions(s->model)->is;
    p.n_conditions = dm_net_conditions(s->model)->n;
    p.step = dm_session_step(s);
    p.parameters = dm_net_layout(s->model)->parameters;
    p.diffuses = dm_net_diffuses(s->model);
    p.latents = dm_st_meta(s->checkpoint, "latents");
    p.pixels = s->data.levels > 0 && !p.latents;
    p.low = s->data.low;
    p.high = s->data.high;
    p.name = e->run.name;
    p.network = name_of(e, DM_SEC_NETWORK);
    p.objective = name_of(e, DM_SEC_OBJECTIVE);
    p.schedule = name_of(e, DM_SEC_SCHEDULE);
    p.sampler = name_of(e, DM_SEC_SAMPLER);
    p.device = dm_device_get_info(s->device)->name;
    p.precision = precisions[e->run.precision];
    p.experiment = m->experiment;
    DM_SIZED_WRITE(dm_model_properties, out, &p);
    return DM_OK;
}
