/* dm_eval_loss: the loss on held-out data of the raw weights and of each of their averages. */
#include "base/sized.h"
#include "eval/validation.h"
#include "session/session_ranks.h"
#include "session/session_source.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 64 };

/* The sets to measure: as the checkpoint has them. */
static int32_t list_sets(const dm_session *s, const dm_loss_options *o, dm_loss *out, char (*prefix)[16])
{
    const char *rates = dm_st_meta(s->checkpoint, "ema");
    const bool bare = !dm_checkpoint_has(s->checkpoint, "model.");
    int32_t n = 0;

    if (bare || o->all || o->raw || !dm_checkpoint_has(s->checkpoint, "ema.0.")) {
        snprintf(out->row[n].name, sizeof out->row[n].name, "raw");
        snprintf(prefix[n++], sizeof *prefix, "%s", bare ? "" : "model.");
    }
    for (int32_t i = 0; i < DM_MAX_EMA && !bare && (o->all || (!n && !i)); i++) {
        char rate[DM_NUMBER_TEXT] = "";
        const size_t length = rates ? strcspn(rates, ",") : 0;

        snprintf(prefix[n], sizeof *prefix, "ema.%d.", (int)i);
        if (!dm_checkpoint_has(s->checkpoint, prefix[n]))
            break;
        snprintf(rate, sizeof rate, "%.*s", (int)(length < sizeof rate ? length : 0), rates ? rates : "");
        if (dm_number_real(rate, &out->row[n].rate))
            out->row[n].rate = 0;
        rates = rates && rates[length] ? rates + length + 1 : NULL;
        snprintf(out->row[n].name, sizeof out->row[n].name, "ema.%d", (int)i);
        n++;
    }
    return n;
}

/* All that comes before the first row, by each rank alone. */
static dm_status prepare(dm_session *s, const dm_loss_options *o, dm_loss *out, dm_wset **weights, dm_validation **v,
                         dm_err *err)
{
    dm_status rc;

    if ((rc = dm_session_open(s, false, err)) ||
        (rc = dm_session_fits(s, dm_net_layout(s->model), s->checkpoint, o->raw, err)) ||
        (rc = dm_wset_new(s->device, dm_net_layout(s->model), weights, err)) ||
        (rc = dm_validation_new(s, *weights, o->count, BATCH, v, err)))
        return rc;
    out->count = dm_validation_count(*v);
    if (o->count > out->count)
        return dm_error(err, DM_EINVAL, "%lld images were requested; the test split has %lld", (long long)o->count,
                        (long long)out->count);
    out->bands = dm_validation_bands(*v, out->from);
    return DM_OK;
}

static dm_status measure(dm_session *s, const dm_loss_options *o, dm_loss *out, dm_err *err)
{
    const dm_callbacks *cb = &s->callbacks;
    char prefix[DM_MAX_EMA + 1][16];
    dm_validation *v = NULL;
    dm_wset *weights = NULL;
    dm_status rc = dm_comm_agree(s->comm, prepare(s, o, out, &weights, &v, err), NULL, err);

    out->rows = rc ? 0 : list_sets(s, o, out, prefix);
    for (int32_t i = 0; i < out->rows && !rc; i++) {
        rc = dm_checkpoint_load_weights(s->checkpoint, prefix[i], s->experiment->run.allow_nan, weights, err);
        if (!(rc = dm_comm_agree(s->comm, rc, NULL, err)))
            rc = dm_validation_run(v, 0, &out->row[i], err);
        if (!rc && cb->progress)
            cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info),
                                                       .what = "loss",
                                                       .step = i + 1,
                                                       .steps = out->rows,
                                                       .per_step = (double)out->count,
                                                       .loss = out->row[i].loss.mean});
    }
    dm_validation_free(v);
    dm_wset_free(weights);
    return rc;
}

dm_status dm_eval_loss(const char *run, const dm_loss_options *options, dm_loss *out, dm_err *err)
{
    dm_loss_options o;
    dm_loss l = {.size = sizeof l};
    dm_session s;
    char asked[96];
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_loss, out, size, err)) || (rc = DM_SIZED_READ(dm_loss_options, &o, options, err)))
        return rc;
    if (o.count < 0)
        return dm_error(err, DM_EINVAL, "a count of %lld examples; it must be 0 or above (0 means all)",
                        (long long)o.count);
    snprintf(asked, sizeof asked, "count: %lld\nweights: %s\n", (long long)o.count,
             o.all ? "all" : o.raw ? "raw" : "the first average");
    if ((rc = dm_session_join(&s, o.ranks, run, o.overrides, o.n_overrides, o.callbacks, asked, err)))
        return rc;
    l.step = dm_session_step(&s);
    if (!(rc = measure(&s, &o, &l, err)))
        DM_SIZED_WRITE(dm_loss, out, &l);
    dm_session_leave(&s);
    return rc;
}
