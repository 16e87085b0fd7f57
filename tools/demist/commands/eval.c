/* demist eval: how good a trained model is. */
#include "eval/eval.h"
#include "base/json_text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "files/output.h"
#include "run/run_folder.h"

static int run(int argc, char **argv);

const cli_command cmd_eval = {
    "eval", "eval RUN [key=value ...] --metric NAME", "measure a trained model",
    "  demist eval runs/fashion-mnist --metric quality --features runs/features-fashion-mnist\n"
    "  demist eval runs/fashion-mnist --metric nll --count 1000 --plot terms.png\n"
    "  demist eval runs/features-fashion-mnist --metric accuracy\n\n"
    "RUN is a run folder or a checkpoint; key=value: other data, another sampler or device than in training.\n"
    "  --metric quality     samples against the training data: Frechet distance, KID, precision and recall, beside\n"
    "                       those of test images (the floor) and of noise (the ceiling)\n"
    "    --features RUN2      the run whose network gives the features of images\n"
    "    --layer NAME         the layer of it whose input they are (the last)\n"
    "    --count N            samples (10000); of given images, the first so many (all)\n"
    "    --images F           measure these, not samples: x f32[N,C,H,W] of F.safetensors, F.npy, or a folder\n"
    "    --save F.safetensors the features: train, samples or images, test, noise, f32[N,features] each\n"
    "  --metric nll         bits a dimension of the test split by the variational bound: L_T, every L_t-1, L_0\n"
    "    --count N            the first so many images (all)\n"
    "    --steps N            of the chain, spaced as sampler.spacing says (all T)\n"
    "    --plot F.png         the terms over t\n"
    "    --save F.safetensors terms f64[N,steps + 1]: L_0, L_t-1 of each t, L_T of each image; t f64[steps]\n"
    "  --metric loss        the objective's loss on held-out data, the test split, in bands of noise; also a "
    "classifier's\n"
    "    --count N            the first so many examples (all)\n"
    "    --weights all        a row for the raw weights and for each of their averages (the first average)\n"
    "  --metric accuracy    of a classifier, on the test split\n"
    "  --json F             write the report, with all digits (RUN/eval/METRIC.json has the last one too)\n"
    "  --raw                the weights as trained, not their first average\n"
    "  --best               the run's best checkpoint by held-out loss (train.validate_every), not its last\n"
    "  --force              overwrite a file that is there\n",
    run};

static const eval_metric *const metrics[] = {&eval_quality, &eval_nll, &eval_loss, &eval_accuracy};
enum { N_METRICS = sizeof metrics / sizeof metrics[0] };

json_t *eval_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

const eval_metric *eval_find(const char *name)
{
    for (size_t i = 0; name && i < N_METRICS; i++)
        if (!strcmp(metrics[i]->name, name))
            return metrics[i];
    return NULL;
}

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

/* RUN/eval/METRIC.json: the run's last report of this metric, for `demist report`. Given images are not the run's. */
static dm_status keep_report(const eval_request *r, const char *text, dm_err *err)
{
    dm_folder run = {-1, NULL};
    char name[64];
    struct stat st;
    dm_status rc;

    if (r->images || stat(r->run, &st) || !S_ISDIR(st.st_mode))
        return DM_OK;
    snprintf(name, sizeof name, "eval/%s.json", r->metric);
    if (!(rc = dm_folder_open(&run, r->run, err)) && dm_folder_has(&run, DM_RUN_CONFIG) &&
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
        fprintf(stderr, "demist: warning: the report is not kept with the run: %s\n", why.msg);
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
    if (!(rc = m->run(r, &report, err)))
        rc = write_report(r, report, err);
    json_decref(report);
    return rc;
}

int eval_usage(const cli_command *c, const eval_request *r, const eval_metric *m)
{
    if (!r->metric)
        return cli_usage(c, "which metric? give --metric quality, nll, loss or accuracy");
    if (!m)
        return cli_usage(c, "there is no metric '%s'; there are quality, nll, loss and accuracy", r->metric);
    if (m->quality && !r->features)
        return cli_usage(c,
                         "--metric %s needs --features RUN2, a run whose network gives the features of images; "
                         "configs/features-fashion-mnist.yaml trains one", m->name);
    if (!m->quality && (r->features || r->layer || r->images))
        return cli_usage(c, "--features, --layer and --images are for --metric quality");
    if (!m->quality && !m->nll && (r->save || (r->count && !m->count)))
        return cli_usage(c, m->count ? "--save is for --metric quality and nll"
                                     : "--count and --save are for --metric quality and nll");
    if (r->weights && (!m->count || strcmp(r->weights, "all")))
        return cli_usage(c, "--weights all is for --metric loss");
    if (!m->nll && (r->steps || r->plot))
        return cli_usage(c, "--steps and --plot are for --metric nll");
    if (m->quality && r->count && r->count < 4)
        return cli_usage(c, "--count is %lld; quality needs 4 at least", (long long)r->count);
    return 0;
}

static int run(int argc, char **argv)
{
    static const struct option options[] = {
        {"metric", required_argument, NULL, 'm'},   {"json", required_argument, NULL, 'j'},
        {"features", required_argument, NULL, 'F'}, {"layer", required_argument, NULL, 'l'},
        {"images", required_argument, NULL, 'i'},   {"count", required_argument, NULL, 'n'},
        {"save", required_argument, NULL, 's'},     {"steps", required_argument, NULL, 'S'},
        {"plot", required_argument, NULL, 'p'},     {"weights", required_argument, NULL, 'W'},
        {"best", no_argument, NULL, 'b'},           {"raw", no_argument, NULL, 'w'},
        {"force", no_argument, NULL, 'f'},          CLI_COMMON};
    eval_request r = {0};
    const eval_metric *m;
    cli_common common = {0};
    cli_terminal *t;
    dm_err err = {0};
    dm_status rc;
    char *path = NULL;
    int opt, code;
    bool done, best = false;

    while ((opt = getopt_long(argc, argv, ":hqvf", options, NULL)) != -1)
        switch (opt) {
        case 'm': r.metric = optarg; break;
        case 'j': r.json = optarg; break;
        case 'F': r.features = optarg; break;
        case 'l': r.layer = optarg; break;
        case 'i': r.images = optarg; break;
        case 'n': if (!cli_int(&cmd_eval, "--count", optarg, 1, 1 << 24, &r.count)) return 2; break;
        case 'S': if (!cli_int(&cmd_eval, "--steps", optarg, 1, 1000000, &r.steps)) return 2; break;
        case 'p': r.plot = optarg; break;
        case 's': r.save = optarg; break;
        case 'W': r.weights = optarg; break;
        case 'b': best = true; break;
        case 'w': r.raw = true; break;
        case 'f': r.force = true; break;
        default:
            if (cli_common_option(&cmd_eval, opt, argv, &common, &done, &code) && done)
                return code;
        }
    if (optind >= argc)
        return cli_usage(&cmd_eval, "which run?");
    m = eval_find(r.metric);
    if ((code = eval_usage(&cmd_eval, &r, m)))
        return code;
    if (best && cli_best(argv[optind], &path, &err)) {
        free(path);
        return cli_fail(&err);
    }
    if (!(t = cli_terminal_new(&common)))
        return cli_fail(&(dm_err){DM_ENOMEM, "out of memory"});
    r.run = best ? path : argv[optind];
    r.overrides = (const char *const *)argv + optind + 1;
    r.n_overrides = argc - optind - 1;
    r.callbacks = cli_callbacks(t);
    cli_catch_signals("stopping after this batch");
    rc = evaluate(m, &r, &err);
    cli_terminal_free(t);
    free(path);
    if (rc == DM_ECANCELLED)
        return 128 + cli_signal();
    return rc ? cli_fail(&err) : 0;
}
