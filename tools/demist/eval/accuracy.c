/* demist eval --metric accuracy. */
#include "eval/eval.h"

#include "base/error.h"

static dm_status run(const eval_request *r, json_t **report, dm_err *err)
{
    const dm_accuracy_options o = {.size = sizeof o, .overrides = r->overrides, .n_overrides = r->n_overrides,
                                   .raw = r->raw,
                                   .callbacks = r->callbacks, .ranks = r->ranks};
    dm_accuracy a = {.size = sizeof a};
    const dm_status rc = dm_eval_accuracy(r->run, &o, &a, err);

    if (rc)
        return rc;
    if (!r->silent)
        printf("accuracy       %.4f +- %.4f  (%lld of %lld test images)\ncross entropy  %.4f nats\n", a.accuracy,
               a.error, (long long)a.correct, (long long)a.count, a.loss);
    *report = json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}", "step", (json_int_t)a.step, "count", (json_int_t)a.count,
                        "correct", (json_int_t)a.correct, "accuracy", eval_number(a.accuracy),
                        "accuracy_error", eval_number(a.error), "cross_entropy", eval_number(a.loss));
    return *report ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the report");
}

static const eval_column columns[] = {{"accuracy", "accuracy"}, {"error", "accuracy_error"},
                                      {"cross_entropy", "cross_entropy"}, {NULL, NULL}};

const eval_metric eval_accuracy = {.name = "accuracy", .columns = columns, .run = run};
