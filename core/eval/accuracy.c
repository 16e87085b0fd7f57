/* dm_eval_accuracy: how often a classifier is right on data that it was not trained on. */
#include "base/sized.h"
#include "comm/share.h"
#include "eval/eval_data.h"
#include "session/session_ranks.h"
#include "session/session_source.h"

#include <math.h>
#include <stdlib.h>

enum { BATCH = 128 };

typedef struct scratch { float *x, *logits; int32_t *labels; double *zeros; } scratch;

static void scratch_fini(scratch *r)
{
    free(r->x);
    free(r->logits);
    free(r->labels);
    free(r->zeros);
}

static dm_status scratch_init(scratch *r, int64_t n, int64_t example, int64_t classes, dm_err *err)
{
    r->x = dm_array(n, example, sizeof *r->x);
    r->logits = dm_array(n, classes, sizeof *r->logits);
    r->labels = calloc((size_t)n, sizeof *r->labels);
    r->zeros = calloc((size_t)n, sizeof *r->zeros);
    return r->x && r->logits && r->labels && r->zeros ? DM_OK
        : dm_error(err, DM_ENOMEM, "out of memory for %lld images", (long long)n);
}

/* Adds one image: is its greatest output that of its label, and -ln of the label's probability. */
static dm_status count_one(dm_accuracy *a, const float *logits, int32_t classes, int32_t label, int64_t index,
                           dm_err *err)
{
    int32_t best = 0;
    double sum = 0;

    for (int32_t k = 0; k < classes; k++) {
        if (!isfinite(logits[k]))
            return dm_error(err, DM_EDIVERGED, "the network's output %d for image %lld of the test split is not finite",
                            (int)k, (long long)index);
        best = logits[k] > logits[best] ? k : best;
    }
    for (int32_t k = 0; k < classes; k++)
        sum += exp((double)logits[k] - logits[best]);
    a->loss += log(sum) + logits[best] - logits[label];
    a->correct += best == label;
    a->count++;
    return DM_OK;
}

/* This rank's part of the test split. */
static dm_status measure(dm_session *s, dm_data *data, dm_forward *f, scratch *r, dm_accuracy *out, dm_err *err)
{
    const dm_share mine = dm_share_of(dm_data_get_info(data)->count, 0, s->comm->rank, s->comm->size);
    const int64_t end = mine.first + mine.n, example = dm_shape_count(&s->data.shape);
    const dm_callbacks *cb = &s->callbacks;
    dm_status rc = DM_OK;

    for (int64_t first = mine.first; first < end && !rc; first += BATCH) {
        const int64_t n = end - first < BATCH ? end - first : BATCH;
        const int32_t classes = s->data.classes;

        if ((rc = dm_data_at(data, first, n, r->x, r->labels, err)) ||
            (rc = dm_buf_write(dm_forward_input(f), 0, (size_t)(BATCH * example) * sizeof *r->x, r->x, err)) ||
            (rc = dm_forward_run(f, r->zeros, r->zeros, NULL, err)) ||
            (rc = dm_buf_read(dm_forward_output(f), 0, (size_t)(BATCH * classes) * sizeof *r->logits, r->logits, err)))
            return rc;
        for (int64_t i = 0; i < n && !rc; i++)
            rc = count_one(out, r->logits + i * classes, classes, r->labels[i], first + i, err);
        if (cb->progress)
            cb->progress(cb->user, &(dm_progress_info){.size = sizeof(dm_progress_info), .what = "test",
                                                       .step = first + n - mine.first, .steps = mine.n, .per_step = 1,
                                                       .loss = NAN});
        if (!rc && cb->cancelled && cb->cancelled(cb->user))
            rc = dm_error(err, DM_ECANCELLED, "stopped after %lld of %lld images", (long long)(first + n - mine.first),
                          (long long)mine.n);
    }
    return rc;
}

/* Of all ranks. */
static dm_status add_up(dm_session *s, dm_accuracy *a, dm_err *err)
{
    double sums[] = {(double)a->correct, (double)a->count, a->loss};
    const dm_status rc = dm_share_add(s->comm, sums, sizeof sums / sizeof sums[0], err);

    a->correct = (int64_t)sums[0];
    a->count = (int64_t)sums[1];
    a->loss = sums[2];
    return rc;
}

static dm_status accuracy(dm_session *s, const dm_accuracy_options *o, dm_accuracy *out, dm_err *err)
{
    const dm_shape want = {2, {BATCH, s->data.classes}};
    dm_eval_data *data = NULL;
    dm_wset *weights = NULL;
    dm_forward *f = NULL;
    dm_shape shape;
    scratch r = {0};
    dm_status rc;

    if (s->data.classes < 2)
        return dm_error(err, DM_EINVAL, "accuracy needs data with classes; this run's data has none");
    if (!(rc = dm_eval_data_open(s, "test", &data, err)) && !(rc = dm_eval_data_labels(s, data, err)) &&
        !(rc = dm_session_open(s, false, err)) && !(rc = dm_session_weights(s, o->raw, &weights, err)) &&
        !(rc = dm_forward_new(s->model, weights, BATCH, NULL, &f, err))) {
        shape = dm_forward_shape(f);
        if (dm_net_diffuses(s->model) || shape.rank != want.rank || shape.dim[1] != want.dim[1])
            rc = dm_error(err, DM_EINVAL, "this run is not a classifier: its network gives %s, not %s",
                          dm_shape_show(&shape).text, dm_shape_show(&want).text);
        else if (!(rc = scratch_init(&r, BATCH, dm_shape_count(&s->data.shape), s->data.classes, err)))
            rc = measure(s, dm_eval_data_of(data), f, &r, out, err);
    }
    if (!(rc = dm_comm_agree(s->comm, rc, NULL, err)) && !(rc = add_up(s, out, err))) {
        out->loss /= (double)out->count;
        out->accuracy = (double)out->correct / (double)out->count;
        out->error = sqrt(out->accuracy * (1 - out->accuracy) / (double)out->count);
    }
    scratch_fini(&r);
    dm_forward_free(f);
    dm_wset_free(weights);
    dm_eval_data_close(data);
    return rc;
}

dm_status dm_eval_accuracy(const char *run, const dm_accuracy_options *options, dm_accuracy *out, dm_err *err)
{
    dm_accuracy_options o;
    dm_accuracy a = {.size = sizeof a};
    dm_session s;
    dm_status rc;

    if ((rc = DM_SIZED_CLEAR(dm_accuracy, out, size, err)) ||
        (rc = DM_SIZED_READ(dm_accuracy_options, &o, options, err)) ||
        (rc = dm_session_join(&s, o.ranks, run, o.overrides, o.n_overrides, o.callbacks,
                              o.raw ? "weights: raw\n" : "weights: the first average\n", err)))
        return rc;
    a.step = dm_session_step(&s);
    if (!(rc = accuracy(&s, &o, &a, err)))
        DM_SIZED_WRITE(dm_accuracy, out, &a);
    dm_session_leave(&s);
    return rc;
}
