/* demist eval --metric loss. */
#include "eval/eval.h"

#include <string.h>

#include "base/error.h"

static void print(const dm_loss *l)
{
    char band[48];

    printf("%-8s %8s %10s %10s", "weights", "rate", "loss", "+-");
    for (int32_t k = 0; k < l->bands && l->bands > 1; k++) {
        snprintf(band, sizeof band, "t %.4g..%.4g", l->from[k], l->from[k + 1]);
        printf(" %16s", band);
    }
    printf("\n");
    for (int32_t i = 0; i < l->rows; i++) {
        const dm_loss_row *r = &l->row[i];

        if (r->rate > 0)
            printf("%-8s %8.6g %10.6f %10.6f", r->name, r->rate, r->loss.mean, r->loss.error);
        else
            printf("%-8s %8s %10.6f %10.6f", r->name, "", r->loss.mean, r->loss.error);
        for (int32_t k = 0; k < l->bands && l->bands > 1; k++)
            printf(" %16.6f", r->band[k].mean);
        printf("\n");
    }
    printf("step %lld; %lld held-out examples, the same noise for all weights\n", (long long)l->step,
           (long long)l->count);
}

static json_t *row(const dm_loss *l, const dm_loss_row *r)
{
    json_t *o = json_pack("{s:s, s:o, s:o, s:o, s:[]}", "weights", r->name, "rate",
                          r->rate > 0 ? json_real(r->rate) : json_null(), "loss", eval_number(r->loss.mean), "error",
                          eval_number(r->loss.error), "bands");

    for (int32_t k = 0; k < l->bands && l->bands > 1 && o; k++)
        json_array_append_new(json_object_get(o, "bands"),
                              json_pack("{s:o, s:o, s:o, s:o}", "from", eval_number(l->from[k]), "to",
                                        eval_number(l->from[k + 1]), "loss", eval_number(r->band[k].mean), "error",
                                        eval_number(r->band[k].error)));
    return o;
}

static json_t *json(const dm_loss *l)
{
    json_t *all =
        json_pack("{s:I, s:I, s:o, s:o, s:[]}", "step", (json_int_t)l->step, "count", (json_int_t)l->count, "loss",
                  eval_number(l->row[0].loss.mean), "error", eval_number(l->row[0].loss.error), "weights");

    for (int32_t i = 0; i < l->rows && all; i++)
        json_array_append_new(json_object_get(all, "weights"), row(l, &l->row[i]));
    return all;
}

static dm_status run(const eval_request *r, json_t **report, dm_err *err)
{
    const bool all = r->weights && !strcmp(r->weights, "all");
    const dm_loss_options o = {.size = sizeof o,
                               .overrides = r->overrides,
                               .n_overrides = r->n_overrides,
                               .raw = r->raw,
                               .all = all,
                               .count = r->count,
                               .callbacks = r->callbacks, .ranks = r->ranks};
    dm_loss l = {.size = sizeof l};
    dm_status rc;

    if ((rc = dm_eval_loss(r->run, &o, &l, err)))
        return rc;
    if (!r->silent)
        print(&l);
    return (*report = json(&l)) ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the report");
}

static const eval_column columns[] = {{"loss", "loss"}, {"error", "error"}, {NULL, NULL}};

const eval_metric eval_loss = {.name = "loss", .columns = columns, .run = run, .count = true};
