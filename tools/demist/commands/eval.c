/* demist eval: how good a trained model is. */
#include "eval/eval.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "text/json_text.h"
#include "files/best.h"
#include "files/output.h"
#include "run/run_folder.h"
#include "terminal/signals.h"

typedef struct request { eval_request r; bool best; } request;

static const cli_option options[] = {
    CLI_HEADING("of every metric:"),
    CLI_CHOICE(request, r.metric, "metric", "NAME", EVAL_METRICS, NULL, "what is measured"),
    CLI_NUMBER(request, r.count, "count", "N", 1, 1 << 24, NULL,
               "quality: number of samples (10000), or of given images, from the first (all); nll and loss: number of "
               "examples, from the first (all)"),
    CLI_FILE(request, r.json, "json", "F", ".json",
             "write the report, with all digits (RUN/eval/METRIC.json has the last one too, RUN/eval/nll-ode.json that "
             "of --ode)"),
    CLI_FLAG(request, r.raw, "raw", "the weights as trained, not their first average"),
    CLI_FLAG(request, best, "best", "the run's best checkpoint by held-out loss (train.validate_every), not its last"),
    CLI_SHORT_FLAG(request, r.force, "force", 'f', "overwrite an existing file"),
    CLI_HEADING("of --metric quality:"),
    CLI_STRING(request, r.features, CLI_T_RUN, "features", 0, "RUN2", NULL,
               "run whose network computes the features of images"),
    CLI_TEXT(request, r.layer, "layer", "NAME", "the layer whose input they are (the last)"),
    CLI_FILE(request, r.images, "images", "F", ".safetensors|.npy",
             "measure these, not samples: x f32[N,C,H,W] of F.safetensors, F.npy, or a folder"),
    CLI_FLAG(request, r.by_class, "by-class", "also the samples of each class against the test images of it"),
    CLI_FILE(request, r.save, "save", "F.safetensors", ".safetensors",
             "the features: train, samples or images, test, noise, f32[N,features] each; with --metric nll the terms "
             "f64[N,steps + 1]: L_0, L_t-1 of each t, L_T of each image, and t f64[steps]; with --ode "
             "bits_per_dim f64[N]"),
    CLI_HEADING("of --metric nll:"),
    CLI_NUMBER(request, r.steps, "steps", "N", 1, 1000000, NULL,
               "of the chain, spaced as the grid says (all T); with --ode of Runge and Kutta's method (sampler.steps)"),
    CLI_FLAG(request, r.ode, "ode", "the likelihood by the probability-flow ODE, not the variational bound"),
    CLI_NUMBER(request, r.probes, "probes", "N", 1, 1000000, NULL,
               "with --ode: vectors of Hutchinson's estimate of the divergence (exact up to 64 dimensions, else 1)"),
    CLI_FILE(request, r.plot, "plot", "F.png", ".png", "the terms over t"),
    CLI_HEADING("of --metric loss:"),
    CLI_CHOICE(request, r.weights, "weights", "all", "all", NULL,
               "a row for the raw weights and for each of their averages (the first average)"),
    CLI_END};

/* The whole report as text, on the heap. */
static dm_status print_report(const eval_request *r, json_t *report, char **text, dm_err *err)
{
    json_t *all = json_pack("{s:s, s:s, s:s, s:[]}", "demist", dm_version(), "run", r->run, "metric", r->metric,
                            "overrides");

    for (int i = 0; i < r->n_overrides && all; i++)
        if (json_array_append_new(json_object_get(all, "overrides"), json_string(r->overrides[i])))
            break;
    *text =
        all && !json_object_update(all, report) ? dm_json_text(all, JSON_INDENT(2) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(all);
    return *text ? DM_OK : dm_error(err, DM_ENOMEM, "out of memory for the report, or a name in it is not UTF-8");
}

/* RUN/eval/METRIC.json, nll-ode.json with --ode: the run's last report of this metric, for `demist report`. Given
 * images are not the run's. */
static dm_status keep_report(const eval_request *r, const char *text, dm_err *err)
{
    dm_folder run = {-1, NULL};
    char name[64];
    dm_path_kind kind;
    bool there;
    dm_status rc;

    if (r->images || (rc = dm_path_look(r->run, &kind, err)) || kind != DM_PATH_FOLDER)
        return r->images ? DM_OK : rc;
    snprintf(name, sizeof name, "eval/%s%s.json", r->metric, r->ode ? "-ode" : "");
    if (!(rc = dm_folder_open(&run, r->run, err)) && !(rc = dm_folder_has(&run, DM_RUN_CONFIG, &there, err)) && there &&
        !(rc = dm_folder_add(&run, "eval", err)))
        rc = dm_file_write_in(&run, name, text, strlen(text), err);
    dm_folder_close(&run);
    return rc;
}

static dm_status write_report(const eval_request *r, json_t *report, dm_err *err)
{
    dm_err why = {0};
    char *text;
    dm_status rc;

    if ((rc = print_report(r, report, &text, err)))
        return rc;
    if (keep_report(r, text, &why)) /* a run that is only read can be measured too */
        cli_warning("the report is not kept with the run: %s", why.msg);
    if (r->json)
        rc = dm_file_write_atomic(r->json, text, strlen(text), err);
    free(text);
    return rc;
}

static dm_status evaluate(const eval_metric *m, const eval_request *r, dm_err *err)
{
    const output_file files[] = {{r->json, NULL, false}, {r->save, ".safetensors", false}, {r->plot, ".png", false},
                                 {r->images, NULL, true}};
    json_t *report = NULL;
    dm_status rc;

    if ((rc = output_check(files, 4, r->force, err)))
        return rc;
    if (!(rc = m->run(r, &report, err)) && !r->silent)
        rc = write_report(r, report, err);
    json_decref(report);
    return rc;
}

static int run(cli_call *call)
{
    request *q = call->options;
    eval_request *r = &q->r;
    const eval_metric *m = eval_find(r->metric);
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    char *path = NULL;
    int code;

    if ((code = eval_usage(call->command, r, m)))
        return code;
    if (q->best && best_checkpoint(call->argument[0], &path, &err)) {
        free(path);
        return cli_fail(&err);
    }
    if (!(t = cli_terminal_new(&call->common))) {
        free(path);
        return cli_no_memory();
    }
    r->run = path ? path : call->argument[0];
    r->overrides = call->overrides;
    r->n_overrides = call->n_overrides;
    r->callbacks = cli_callbacks(t);
    r->ranks = true;
    r->silent = cli_is_silent();
    cli_catch_signals("stopping after this batch", 0);
    rc = evaluate(m, r, &err);
    cli_terminal_free(t);
    free(path);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : 0;
}

const cli_command cmd_eval = {
    .name = "eval",
    .summary = "measure a trained model",
    .arguments = (const cli_argument[]){{CLI_T_RUN, "RUN", NULL, "give a run", false},
                                        {CLI_T_OVERRIDES, "key=value", "train", NULL, true},
                                        {0}},
    .options = options,
    .size = sizeof(request),
    .shown = "metric",
    .examples = "  demist eval runs/fashion-mnist --metric quality --features runs/features-fashion-mnist\n"
                "  demist eval runs/fashion-mnist --metric nll --count 1000 --plot terms.png\n"
                "  demist eval runs/fashion-mnist --metric nll --ode --count 100 grid.use=log_snr\n"
                "  demist eval runs/features-fashion-mnist --metric accuracy\n",
    .details = "RUN is a run folder or a checkpoint; key=value: other data, another sampler or device than in "
               "training.\n"
               "  quality   samples against the training data: Frechet distance, KID, precision and recall, beside "
               "those of\n"
               "            test images (the floor) and of noise (the ceiling); where RUN is conditioned on the class "
               "and RUN2\n            is a classifier, the share of samples that RUN2 assigns to the requested class\n"
               "  nll       bits a dimension of the test split by the variational bound: L_T, every L_t-1, L_0; with "
               "--ode\n"
               "            by the probability-flow ODE\n"
               "  loss      the objective's loss on held-out data, the test split, in bands of noise; also a "
               "classifier's\n"
               "  accuracy  of a classifier, on the test split\n",
    .ranks = true,
    .run = run};
